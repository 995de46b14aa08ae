"""The images of the steps: which are in the account (moto's), and Docker (a stand-in) building and pushing the rest."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from pipeline import ROOT
from pipeline.compiling import step_images as images
from pipeline.compiling.step_images import StepImage
from pipeline.operations.images import publishing as operation
from pipeline.operations.images.publishing import ImageResult
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from tests.unit.pipeline.operations.images.stand_in_docker import StandIn

MANIFEST = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}
# Moto takes the size of an image's configuration for the image's.
SIZE = 4_000_000
DLC = "763104351884.dkr.ecr.us-east-1.amazonaws.com"
# The steps of runs with the settings' defaults, which neither explore nor have a step that plans.
USED = [step for step in images.STEPS if step not in ("explore", "plan")]
OWN = "111122223333.dkr.ecr.us-east-1.amazonaws.com"


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn.installed(tmp_path / "docker-bin")
    monkeypatch.setenv("PATH", str(stand_in.folder))
    return stand_in


@pytest.fixture
def repositories(account: None, settings: Settings) -> None:
    for image in ("processing", "training", "inference"):
        boto3.client("ecr", settings.account.region).create_repository(repositoryName=f"{settings.name}-{image}")


def put(settings: Settings, *steps: str) -> None:
    """Have the images of these steps in the repositories."""
    for image in operation.select(settings, steps):
        layer = f"sha256:{image.tag.encode().hex():0<64.64}"
        manifest = {**MANIFEST, "config": {"digest": layer, "size": SIZE}, "layers": []}
        boto3.client("ecr", settings.account.region).put_image(
            repositoryName=image.repository_name, imageTag=image.tag, imageManifest=json.dumps(manifest)
        )


def others(*steps: str) -> list[str]:
    return [step for step in USED if step not in steps]


def ignore(_: str) -> None:
    """Tell nobody."""


def image(settings: Settings, step: str) -> StepImage:
    return images.step_image(step, settings)


# ------------------------------------------------------------------------------------------ what is in the account


def test_what_is_not_in_its_repository_is_missing(repositories: None, settings: Settings) -> None:
    put(settings, "shard", "serve")
    assert [one.step for one in operation.missing(settings)] == others("shard", "serve")


def test_an_image_under_another_tag_does_not_count(repositories: None, settings: Settings) -> None:
    put(
        settings.model_copy(update={"images": settings.images.model_copy(update={"python_base": "a.com/b:1"})}), "serve"
    )
    assert "serve" in [one.step for one in operation.missing(settings)]


def test_with_all_images_pushed_nothing_is_missing(repositories: None, settings: Settings) -> None:
    put(settings, *USED)
    assert operation.missing(settings) == []


def test_to_ask_for_what_is_missing_without_a_repository_is_ecrs_own_error(account: None, settings: Settings) -> None:
    with pytest.raises(ClientError) as caught:
        operation.missing(settings)
    assert caught.value.response["Error"]["Code"] == "RepositoryNotFoundException"


def test_a_pushed_image_is_listed_with_its_size_and_time(repositories: None, settings: Settings) -> None:
    put(settings, "query")
    listing = operation.listing(settings)
    assert listing.problem is None
    first, *rest = listing.images
    assert (first.image.step, first.pushed, first.size) == ("query", True, SIZE)
    assert first.pushed_at is not None
    assert {(one.pushed, one.size, one.pushed_at) for one in rest} == {(False, None, None)}


def test_without_credentials_images_are_listed_and_not_checked(
    no_account: None, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    listing = operation.listing(settings)
    assert isinstance(listing.problem, NoCredentialsError)
    assert [one.image.step for one in listing.images] == USED
    assert {one.pushed for one in listing.images} == {None}


def test_without_repositories_the_list_says_how_to_make_them(account: None, settings: Settings) -> None:
    problem = operation.listing(settings).problem
    assert str(problem) == (
        "the image repositories (bins-processing, bins-training, bins-inference) do not all exist in account"
        " 111122223333; create them: python -m pipeline bootstrap"
    )


def test_a_step_that_is_none_is_named(settings: Settings) -> None:
    with pytest.raises(PipelineError, match="there is no step nope; the steps are query, explore, plan, shard, train"):
        operation.select(settings, ["serve", "nope"])


@pytest.mark.parametrize(
    ("step", "remedy"),
    [
        ("plan", "ShardImages plans in its own job; set shard.planner: local or spark, or shard.plan_instance_count"),
        ("explore", "set explore.enabled: true"),
    ],
)
def test_a_step_that_no_run_has_is_not_built(settings: Settings, step: str, remedy: str) -> None:
    with pytest.raises(PipelineError) as caught:
        operation.select(settings, ["query", step])
    assert str(caught.value) == f"no run has the step {step}: {remedy}"


# ------------------------------------------------------------------------------------------------ who builds


def with_builder(settings: Settings, builder: str) -> Settings:
    return settings.model_copy(update={"images": settings.images.model_copy(update={"builder": builder})})


def test_docker_builds_where_it_answers(docker: StandIn, settings: Settings) -> None:
    assert operation.builder(settings) == ("docker", "docker answers")


@pytest.mark.parametrize(
    ("call", "says", "reason"),
    [
        ("info", "Cannot connect to the Docker daemon", "docker does not answer: Cannot connect to the Docker daemon"),
        ("buildx version", "docker: unknown command", "docker has no buildx: docker: unknown command"),
    ],
)
def test_codebuild_builds_where_docker_cannot_and_the_reason_is_said(
    docker: StandIn, settings: Settings, call: str, says: str, reason: str
) -> None:
    docker.fails(call, says)
    assert operation.builder(settings) == ("codebuild", reason)


def test_codebuild_builds_where_there_is_no_docker(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert operation.builder(settings) == ("codebuild", "there is no docker command")


def test_docker_that_is_asked_for_and_does_not_run_is_an_error(docker: StandIn, settings: Settings) -> None:
    docker.fails("info", "\nCannot connect\n")
    with pytest.raises(PipelineError, match=r"images\.builder is docker, but docker does not answer: Cannot connect;"):
        operation.builder(with_builder(settings, "docker"))


def test_codebuild_that_is_asked_for_is_taken_without_a_look_at_docker(docker: StandIn, settings: Settings) -> None:
    assert operation.builder(with_builder(settings, "codebuild"))[0] == "codebuild"
    assert docker.calls() == []


def test_a_builder_that_is_asked_for_goes_before_the_settings(docker: StandIn, settings: Settings) -> None:
    assert operation.builder(with_builder(settings, "docker"), "codebuild") == ("codebuild", "--builder codebuild")
    assert operation.builder(with_builder(settings, "codebuild"), "auto") == ("docker", "docker answers")
    docker.fails("info", "Cannot connect")
    with pytest.raises(PipelineError) as caught:
        operation.builder(with_builder(settings, "codebuild"), "docker")
    assert str(caught.value) == (
        "--builder docker, but docker does not answer: Cannot connect; start docker, or use --builder codebuild"
    )


# ------------------------------------------------------------------------------------------------ build, by Docker


def test_an_image_is_built_from_exactly_the_files_of_its_tag(
    docker: StandIn, repositories: None, settings: Settings
) -> None:
    operation.build(settings, [image(settings, "shard")], ignore, by="docker")
    (call,) = docker.calls("buildx", "build")
    with tarfile.open(fileobj=io.BytesIO(call.input)) as archive:
        found = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    assert found == {path.as_posix(): (ROOT / path).read_bytes() for path in images.source_files("shard")}


def test_an_image_is_built_on_its_base_for_sagemakers_machines_and_manifests(
    docker: StandIn, repositories: None, settings: Settings
) -> None:
    wanted = image(settings, "shard")
    lines: list[str] = []
    assert operation.build(settings, [wanted], lines.append, by="docker") == [ImageResult("shard", wanted.uri, "built")]
    (call,) = docker.calls("buildx", "build")
    words = call.arguments
    given = {word: words[number + 1] for number, word in enumerate(words) if word in ("--platform", "--tag", "--file")}
    assert given == {
        "--platform": "linux/amd64",
        "--tag": wanted.uri,
        "--file": "containers/processing/Dockerfile",
    }
    assert {"STEP=shard", f"BASE_IMAGE={settings.images.python_base}", "--provenance=false"} <= set(words)
    assert lines == ["#1 building"]


def test_two_builds_of_one_source_get_the_same_context(docker: StandIn, settings: Settings, account: None) -> None:
    for _ in range(2):
        operation.build(settings, [image(settings, "serve")], ignore, everything=True, by="docker")
    first, second = docker.calls("buildx", "build")
    assert first.input == second.input


def test_what_docker_or_the_account_has_is_not_built_again_unless_all_is_asked_for(
    docker: StandIn, repositories: None, settings: Settings
) -> None:
    put(settings, "query")
    wanted = operation.select(settings, ["query", "shard", "serve"])
    docker.keeps({wanted[1].uri: {}})
    done = operation.build(settings, wanted, ignore, by="docker")
    assert [(one.step, one.change) for one in done] == [
        ("query", "unchanged"),
        ("shard", "unchanged"),
        ("serve", "built"),
    ]
    done = operation.build(settings, wanted, ignore, everything=True, by="docker")
    assert {one.change for one in done} == {"built"}


def test_a_public_base_needs_no_account(
    docker: StandIn, no_account: None, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    (done,) = operation.build(settings, [image(settings, "serve")], ignore, by="docker")
    assert done.change == "built"
    assert docker.calls("login") == []


def test_for_awss_base_docker_is_let_into_its_registry_first(
    docker: StandIn, repositories: None, settings: Settings
) -> None:
    operation.build(settings, [image(settings, "train")], ignore, by="docker")
    login, build = docker.calls("login") + docker.calls("buildx", "build")
    assert login.arguments == ["login", "--username", "AWS", "--password-stdin", DLC]
    assert f"BASE_IMAGE={images.base('train', settings)}" in build.arguments


def test_a_build_that_fails_is_a_line_with_dockers_reason(
    docker: StandIn, repositories: None, settings: Settings
) -> None:
    docker.fails("buildx build", "#5 pip\n\nERROR: failed to solve: python:3.11: not found\n")
    with pytest.raises(PipelineError) as caught:
        operation.build(settings, [image(settings, "serve")], ignore, by="docker")
    assert str(caught.value) == "docker build of serve failed: ERROR: failed to solve: python:3.11: not found"


@pytest.mark.parametrize(
    ("kind", "refused"),
    [
        ("application/vnd.docker.distribution.manifest.v2+json", False),
        ("application/vnd.oci.image.manifest.v1+json", True),
        ("application/vnd.oci.image.index.v1+json", True),
    ],
)
def test_a_manifest_that_sagemaker_does_not_take_is_refused_before_it_is_pushed(
    docker: StandIn, repositories: None, settings: Settings, kind: str, refused: bool
) -> None:
    docker.builds({"Descriptor": {"mediaType": kind}})
    if not refused:
        operation.push(settings, [image(settings, "serve")], ignore, by="docker")
        assert len(docker.calls("push")) == 1
        return
    with pytest.raises(PipelineError, match=f"as {kind.replace('+', '.')}, which SageMaker does not accept"):
        operation.push(settings, [image(settings, "serve")], ignore, by="docker")
    assert docker.calls("push") == []


def test_a_builder_that_keeps_nothing_is_said(docker: StandIn, repositories: None, settings: Settings) -> None:
    docker.fails("image inspect", "No such image")
    with pytest.raises(PipelineError, match=r"has not stored it.*: docker buildx use default"):
        operation.build(settings, [image(settings, "serve")], ignore, by="docker")


# ------------------------------------------------------------------------------------------------- push, by Docker


def test_only_what_the_account_lacks_is_pushed_and_only_what_docker_lacks_is_built(
    docker: StandIn, repositories: None, settings: Settings
) -> None:
    put(settings, "query")
    wanted = operation.select(settings, ["query", "shard", "serve"])
    docker.keeps({wanted[1].uri: {}})
    done = operation.push(settings, wanted, ignore, by="docker")
    assert [(one.step, one.change) for one in done] == [
        ("query", "unchanged"),
        ("shard", "pushed"),
        ("serve", "pushed"),
    ]
    assert [call.arguments[1] for call in docker.calls("push")] == [wanted[1].uri, wanted[2].uri]
    (build,) = docker.calls("buildx", "build")
    assert wanted[2].uri in build.arguments


def test_the_registrys_password_goes_through_a_pipe_and_nowhere_else(
    docker: StandIn, repositories: None, settings: Settings
) -> None:
    lines: list[str] = []
    operation.push(settings, [image(settings, "serve")], lines.append, by="docker")
    (login,) = docker.calls("login")
    ecr = boto3.client("ecr", settings.account.region)
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    password = base64.b64decode(token).decode().partition(":")[2]
    assert login.arguments[-1] == OWN
    assert login.input.decode() == password
    seen = [text for call in docker.calls() for text in (*call.arguments, *call.environment.values())]
    assert not [text for text in seen + lines if password in text]


@pytest.mark.parametrize(
    ("call", "says", "line"),
    [
        ("login", "denied: wrong", f"docker login at {OWN} failed: denied: wrong"),
        ("push", "x\ntag invalid: immutable", "tag invalid: immutable"),
    ],
)
def test_a_push_that_fails_is_a_line(
    docker: StandIn, repositories: None, settings: Settings, call: str, says: str, line: str
) -> None:
    docker.fails(call, says)
    with pytest.raises(PipelineError) as caught:
        operation.push(settings, [image(settings, "serve")], ignore, by="docker")
    assert str(caught.value).endswith(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("by", ["docker", "codebuild"])
def test_a_tag_that_somebody_pushed_meanwhile_is_no_error(
    docker: StandIn, repositories: None, settings: Settings, by: operation.Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(*_: Any) -> None:
        put(settings, "serve")
        raise PipelineError("tag invalid: immutable")

    monkeypatch.setattr(operation.docker, "push", overtaken)
    monkeypatch.setattr(operation.codebuild, "start", lambda *_: "build")
    monkeypatch.setattr(operation.codebuild, "follow", overtaken)
    lines: list[str] = []
    serve = image(settings, "serve")
    (done,) = operation.push(settings, [serve], lines.append, by=by)
    assert (done.step, done.change) == ("serve", "pushed")
    assert lines[-1] == f"pushed by somebody else meanwhile: {serve.uri} (tag invalid: immutable)"


def test_a_push_without_repositories_says_how_to_make_them_and_builds_nothing(
    docker: StandIn, account: None, settings: Settings
) -> None:
    with pytest.raises(PipelineError, match="create them: python -m pipeline bootstrap"):
        operation.push(settings, [image(settings, "serve")], ignore, by="docker")
    assert docker.calls() == []


def test_codebuild_builds_nothing_that_is_there_even_when_all_is_asked_for(settings: Settings) -> None:
    with pytest.raises(PipelineError, match="leave --all out"):
        operation.build(settings, [image(settings, "serve")], ignore, everything=True, by="codebuild")
