"""ECR's DescribeImages over what is published to the local cloud."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.aws.validation import validate_response
from pipeline.compiling.step_images import source_files
from pipeline.local.container_registry import ContainerRegistry
from pipeline.local.context import ServiceError
from pipeline.local.machine.image_store import ImageRegistry

ACCOUNT = "123456789012"
REPOSITORY = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/bins-inference"


@pytest.fixture
def ecr(tmp_path: Path) -> ContainerRegistry:
    """A registry with two images of one repository."""
    root = tmp_path / "project"
    for folder in ("steps/serve/inner", "steps/serve", "containers/inference"):
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / "file.py").write_text("123456789\n")
    (root / "steps/__init__.py").write_text("")
    registry = ImageRegistry(tmp_path / "images")
    for tag in ("serve-a", "serve-b"):
        registry.publish("bins-inference", tag, root, source_files("serve", root))
    assert len(source_files("serve", root)) == 4
    return ContainerRegistry(SimpleNamespace(account_id=ACCOUNT), registry)  # type: ignore[arg-type]


def describe(ecr: ContainerRegistry, **request: Any) -> Any:
    answer = ecr.operations()["DescribeImages"]({"repositoryName": "bins-inference", **request})
    assert validate_response("ecr", "DescribeImages", answer) == []
    return answer


def tags(answer: Any) -> list[str]:
    return [tag for detail in answer["imageDetails"] for tag in detail["imageTags"]]


def test_a_repositorys_images_are_described_with_what_they_weigh(ecr: ContainerRegistry) -> None:
    answer = describe(ecr, registryId=ACCOUNT, filter={"tagStatus": "TAGGED"})
    assert sorted(tags(answer)) == ["serve-a", "serve-b"]
    assert {detail["imageSizeInBytes"] for detail in answer["imageDetails"]} == {30}


def test_images_of_the_same_content_have_one_digest(ecr: ContainerRegistry) -> None:
    (digest,) = {detail["imageDigest"] for detail in describe(ecr)["imageDetails"]}
    assert digest.startswith("sha256:")


def test_images_come_in_pages_as_they_are_asked_for(ecr: ContainerRegistry) -> None:
    first = describe(ecr, maxResults=1)
    second = describe(ecr, maxResults=1, nextToken=first["nextToken"])
    assert sorted(tags(first) + tags(second)) == ["serve-a", "serve-b"]
    assert "nextToken" not in second


def test_an_image_is_found_by_its_tag(ecr: ContainerRegistry) -> None:
    assert tags(describe(ecr, imageIds=[{"imageTag": "serve-b"}])) == ["serve-b"]


def test_no_image_is_without_a_tag(ecr: ContainerRegistry) -> None:
    assert describe(ecr, filter={"tagStatus": "UNTAGGED"})["imageDetails"] == []


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"imageIds": [{"imageTag": "serve-c"}]}, "ImageNotFoundException"),
        ({"imageIds": [{"imageDigest": "sha256:0"}]}, "ImageNotFoundException"),
        ({"nextToken": "x"}, "InvalidParameterException"),
        ({"repositoryName": "bins-training"}, "RepositoryNotFoundException"),
        ({"repositoryName": "../images"}, "RepositoryNotFoundException"),
        ({"registryId": "210987654321"}, "RepositoryNotFoundException"),
    ],
)
def test_what_is_not_there_is_ecrs_own_error(ecr: ContainerRegistry, request_: dict[str, Any], code: str) -> None:
    with pytest.raises(ServiceError) as caught:
        describe(ecr, **request_)
    assert caught.value.code == code
