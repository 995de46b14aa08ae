"""images list, build and push, as they are typed; the account is moto's, Docker a stand-in."""

from __future__ import annotations

import json
from pathlib import Path

import boto3
import pytest

from pipeline.compiling import step_images as images
from tests.unit.pipeline.conftest import Call
from tests.unit.pipeline.operations.images.stand_in_docker import StandIn

# Those of runs with the settings' defaults, which neither explore nor have a step that plans.
USED = [step for step in images.STEPS if step not in ("explore", "plan")]


@pytest.fixture
def repositories(account: None) -> None:
    for image in ("processing", "training", "inference"):
        boto3.client("ecr", "us-east-1").create_repository(repositoryName=f"bins-{image}")


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn.installed(tmp_path / "docker-bin")
    monkeypatch.setenv("PATH", str(stand_in.folder))
    return stand_in


def test_without_credentials_the_list_says_every_image_and_that_it_is_not_checked(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = call("--profile", "aws", "images", "list")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert [line.split()[0] for line in lines[1:7]] == USED
    assert all(line.rstrip().endswith("not checked") for line in lines[1:7])
    assert lines[7] == "query, shard, serve, monitor: built on public.ecr.aws/docker/library/python:3.11-slim-bookworm"
    assert outcome.error.startswith("not checked: no AWS credentials were found; sign in")


def test_without_a_local_cloud_the_list_says_how_to_start_it(call: Call) -> None:
    outcome = call("images", "list")
    assert (outcome.code, outcome.out.count("not checked")) == (0, 6)
    assert outcome.error == "not checked: the local cloud is not running; start it: python -m pipeline local up\n"


@pytest.mark.usefixtures("repositories")
def test_the_list_says_what_is_missing_and_what_to_do(call: Call) -> None:
    outcome = call("images", "list")
    assert (outcome.code, outcome.error) == (0, "")
    assert outcome.out.count("missing") == 6
    assert outcome.out.splitlines()[-1] == "next: python -m pipeline --profile aws images push"


@pytest.mark.usefixtures("account")
def test_the_list_is_json_for_machines(call: Call) -> None:
    document = json.loads(call("images", "list", "--json").out)
    assert "python -m pipeline bootstrap" in document["not_checked"]
    assert [image["image"]["step"] for image in document["images"]] == USED
    first = document["images"][0]
    assert first["uri"] == f"{first['image']['repository']}:{first['image']['tag']}"
    assert first["pushed"] is None


@pytest.mark.usefixtures("repositories")
def test_a_push_reports_the_builder_and_what_was_pushed(call: Call, docker: StandIn) -> None:
    outcome = call("images", "push", "serve")
    (pushed,) = outcome.out.splitlines()
    assert outcome.code == 0
    assert pushed.startswith("pushed: 123456789012.dkr.ecr.us-east-1.amazonaws.com/bins-inference:serve-")
    assert outcome.error.splitlines()[:2] == ["building with Docker (docker answers)", "#1 building"]
    assert [call_.arguments[1] for call_ in docker.calls("push")] == [pushed.partition(": ")[2]]


@pytest.mark.usefixtures("repositories")
def test_a_build_pushes_nothing_and_says_what_is_next(call: Call, docker: StandIn) -> None:
    outcome = call("images", "build", "serve", "query")
    *built, following = outcome.out.splitlines()
    assert [line.split(":")[0] for line in built] == ["built", "built"]
    assert following == "next: python -m pipeline --profile aws images push"
    assert docker.calls("push") == []


@pytest.mark.usefixtures("repositories")
def test_without_docker_the_account_builds_and_a_missing_project_is_a_line(call: Call, docker: StandIn) -> None:
    docker.fails("info", "Cannot connect to the Docker daemon")
    boto3.client("s3", "us-east-1").create_bucket(Bucket="bins-123456789012")
    outcome = call("images", "push", "serve")
    assert outcome.code == 1
    assert outcome.error.splitlines() == [
        "building with the account's CodeBuild project bins-images, which also pushes"
        " (docker does not answer: Cannot connect to the Docker daemon)",
        "there is no CodeBuild project bins-images; create it: python -m pipeline --profile aws bootstrap",
    ]


@pytest.mark.usefixtures("repositories")
@pytest.mark.parametrize("command", ["build", "push"])
def test_the_account_builds_where_it_is_asked_to_though_docker_answers(
    call: Call, docker: StandIn, command: str
) -> None:
    boto3.client("s3", "us-east-1").create_bucket(Bucket="bins-123456789012")
    outcome = call("images", command, "serve", "--builder", "codebuild")
    assert outcome.error.splitlines() == [
        "building with the account's CodeBuild project bins-images, which also pushes (--builder codebuild)",
        "there is no CodeBuild project bins-images; create it: python -m pipeline --profile aws bootstrap",
    ]
    assert docker.calls() == []


@pytest.mark.usefixtures("account")
def test_an_unknown_step_is_a_line(call: Call, docker: StandIn) -> None:
    outcome = call("images", "push", "nope")
    assert (outcome.code, outcome.error.count("\n")) == (1, 1)
    assert outcome.error.startswith("there is no step nope; the steps are query, explore, plan, shard")
    assert docker.calls() == []


def test_credentials_of_another_account_push_nothing(call: Call, account: None, docker: StandIn, project: Path) -> None:
    path = project / "pipeline.yaml"
    path.write_text(path.read_text().replace("123456789012", "210987654321"))
    outcome = call("images", "push")
    assert outcome.code == 1
    assert outcome.error.startswith("the credentials are of account 123456789012, the settings name 210987654321")
    assert docker.calls() == []
