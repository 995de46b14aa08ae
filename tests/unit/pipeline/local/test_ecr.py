"""ECR's DescribeImages, over what is published in the local cloud."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import images
from pipeline.local.ecr import Repositories
from pipeline.local.errors import ServiceError
from pipeline.local.images import ImageRegistry
from pipeline.validation import validate_response

ACCOUNT = "123456789012"


@pytest.fixture
def published(tmp_path: Path) -> str:
    return ImageRegistry(tmp_path).publish("bins-processing", "monitor")


@pytest.fixture
def repositories(tmp_path: Path) -> Repositories:
    return Repositories(ImageRegistry(tmp_path), ACCOUNT)


def test_a_published_image_is_found_by_its_tag_and_listed(repositories: Repositories, published: str) -> None:
    assert published == images.tag("monitor")
    for request in ({"imageIds": [{"imageTag": published}]}, {}):
        answer = repositories.describe({"repositoryName": "bins-processing", **request})
        assert [detail["imageTags"] for detail in answer["imageDetails"]] == [[published]]
        assert validate_response("ecr", "DescribeImages", answer) == []


def test_a_tag_that_nobody_published_is_ecrs_own_error(repositories: Repositories, published: str) -> None:
    with pytest.raises(ServiceError) as caught:
        repositories.describe({"repositoryName": "bins-processing", "imageIds": [{"imageTag": "other"}]})
    assert caught.value.code == "ImageNotFoundException"


@pytest.mark.parametrize("name", ["bins-training", "../bins-processing"])
def test_a_repository_without_an_image_is_not_there(repositories: Repositories, published: str, name: str) -> None:
    with pytest.raises(ServiceError) as caught:
        repositories.describe({"repositoryName": name})
    assert caught.value.code == "RepositoryNotFoundException"


def test_what_is_just_being_written_is_not_published(
    tmp_path: Path, repositories: Repositories, published: str
) -> None:
    (tmp_path / "bins-processing" / ".half.abc").mkdir()
    answer = repositories.describe({"repositoryName": "bins-processing"})
    assert len(answer["imageDetails"]) == 1
