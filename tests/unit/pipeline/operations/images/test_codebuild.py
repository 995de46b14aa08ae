"""Building in the account: what CodeBuild is sent, and how its build is followed."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.stub import Stubber

from pipeline import ROOT
from pipeline.compiling import step_images as images
from pipeline.operations.images import codebuild
from pipeline.operations.images import publishing as operation
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from tests.unit.pipeline.operations.images.stand_in_docker import StandIn

BUILD = "bins-images:0123"
WHERE = {"groupName": "/aws/codebuild/bins-images", "streamName": "0123", "deepLink": "https://console/log"}
STREAM = {"logGroupName": WHERE["groupName"], "logStreamName": "0123", "startFromHead": True}


class Stubs:
    """Stubbed clients by service."""

    def __init__(self, clients: dict[str, Any]) -> None:
        self._clients = clients
        self.of = {name: Stubber(client) for name, client in clients.items()}

    def client(self, _: Settings, service: str) -> Any:
        return self._clients[service]

    def builds(self, *answers: dict[str, Any]) -> None:
        """What BatchGetBuilds says, call by call."""
        for answer in answers:
            build = {"id": BUILD, "buildComplete": False, "buildStatus": "IN_PROGRESS", **answer}
            self.of["codebuild"].add_response("batch_get_builds", {"builds": [build]}, {"ids": [BUILD]})

    def log(self, token: str, following: str, *lines: str) -> None:
        """What GetLogEvents says from `token` on."""
        events = [{"timestamp": 0, "ingestionTime": 0, "message": f"{line}\n"} for line in lines]
        request = {**STREAM, **({"nextToken": token} if token else {})}
        self.of["logs"].add_response("get_log_events", {"events": events, "nextForwardToken": following}, request)


@pytest.fixture(scope="module")
def clients() -> dict[str, Any]:
    """Clients take a second to make and one test leaves nothing in them for another."""
    session = boto3.Session("testing", "testing", region_name="us-east-1")
    return {name: session.client(name) for name in ("codebuild", "logs", "s3")}


@pytest.fixture
def stubs(clients: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubs]:
    stubs = Stubs(clients)
    monkeypatch.setattr(codebuild, "client", stubs.client)
    with contextlib.ExitStack() as active:
        for stubber in stubs.of.values():
            active.enter_context(stubber)
        yield stubs
    for stubber in stubs.of.values():
        stubber.assert_no_pending_responses()


def followed(settings: Settings) -> list[str]:
    """The lines that a build tells until it ends; nothing is waited for."""
    lines: list[str] = []
    codebuild.follow(settings, BUILD, lines.append, interval=0)
    return lines


# ------------------------------------------------------------------------------------------------ what is sent


def test_the_source_is_what_the_images_are_made_of_and_what_builds_them(settings: Settings) -> None:
    wanted = operation.select(settings, ["query", "serve"])
    with zipfile.ZipFile(io.BytesIO(codebuild.source(wanted))) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    files = {path.as_posix(): path for path in codebuild.BUILD_FILES}
    for step in ("query", "serve"):
        files |= {f"contexts/{step}/{path.as_posix()}": path for path in images.source_files(step)}
    assert found == {name: (ROOT / path).read_bytes() for name, path in files.items()}


def test_the_same_source_gives_the_same_bytes(settings: Settings) -> None:
    wanted = operation.select(settings, [])
    assert codebuild.source(wanted) == codebuild.source(list(reversed(wanted)))


def test_a_build_gets_the_source_by_its_hash_and_what_to_build_from_it(stubs: Stubs, settings: Settings) -> None:
    wanted = operation.select(settings, ["train", "serve"])
    code = codebuild.source(wanted)
    key = f"bin-counting-code/images/{hashlib.sha256(code).hexdigest()}.zip"
    stubs.of["s3"].add_response(
        "put_object",
        {},
        {"Bucket": settings.data.bucket, "Key": key, "Body": code, "ExpectedBucketOwner": settings.account.id},
    )
    entries = " ".join(f"{one.image}|{one.step}|{one.base}|{one.uri}" for one in wanted)
    stubs.of["codebuild"].add_response(
        "start_build",
        {"build": {"id": BUILD}},
        {
            "projectName": "bins-images",
            "sourceTypeOverride": "S3",
            "sourceLocationOverride": f"{settings.data.bucket}/{key}",
            "environmentVariablesOverride": [{"name": "IMAGES", "value": entries, "type": "PLAINTEXT"}],
        },
    )
    assert codebuild.start(settings, wanted) == BUILD


def test_without_the_projects_bucket_it_says_how_to_make_it(stubs: Stubs, settings: Settings) -> None:
    stubs.of["s3"].add_client_error("put_object", "NoSuchBucket", "The specified bucket does not exist")
    with pytest.raises(PipelineError, match=r"there is no bucket bins-111122223333.*: python -m pipeline bootstrap"):
        codebuild.start(settings, operation.select(settings, ["serve"]))


def test_without_the_project_it_says_how_to_make_it(stubs: Stubs, settings: Settings) -> None:
    stubs.of["s3"].add_response("put_object", {})
    stubs.of["codebuild"].add_client_error("start_build", "ResourceNotFoundException", "Project cannot be found")
    with pytest.raises(PipelineError) as caught:
        codebuild.start(settings, operation.select(settings, ["serve"]))
    assert str(caught.value) == "there is no CodeBuild project bins-images; create it: python -m pipeline bootstrap"


def test_a_build_that_is_not_allowed_is_awss_own_error(stubs: Stubs, settings: Settings) -> None:
    stubs.of["s3"].add_response("put_object", {})
    stubs.of["codebuild"].add_client_error("start_build", "AccessDeniedException", "not authorized")
    with pytest.raises(ClientError, match="AccessDeniedException"):
        codebuild.start(settings, operation.select(settings, ["serve"]))


# ------------------------------------------------------------------------------------------------ how it is followed


def test_a_builds_phases_and_lines_are_told_once_each_to_its_end(stubs: Stubs, settings: Settings) -> None:
    stubs.builds(
        {"currentPhase": "QUEUED"},
        {"currentPhase": "BUILD", "logs": WHERE},
        {"currentPhase": "BUILD", "logs": WHERE},
        {"currentPhase": "COMPLETED", "logs": WHERE, "buildComplete": True, "buildStatus": "SUCCEEDED"},
        {"currentPhase": "COMPLETED", "logs": WHERE, "buildComplete": True, "buildStatus": "SUCCEEDED"},
    )
    stubs.log("", "f/1", "building serve")
    stubs.log("f/1", "f/1")
    stubs.log("f/1", "f/2", "pushed serve")
    stubs.log("f/2", "f/2")
    stubs.log("f/2", "f/2")
    # Lines that come after the end are lines too.
    stubs.log("f/2", "f/3", "[Container] done")
    stubs.log("f/3", "f/3")
    assert followed(settings) == [
        f"{BUILD}: QUEUED",
        f"{BUILD}: BUILD",
        "building serve",
        "pushed serve",
        f"{BUILD}: COMPLETED",
        "[Container] done",
    ]


def test_a_log_that_is_named_before_it_is_there_is_waited_for(stubs: Stubs, settings: Settings) -> None:
    ended = {"logs": WHERE, "buildComplete": True, "buildStatus": "SUCCEEDED"}
    stubs.builds(ended, ended)
    stubs.of["logs"].add_client_error("get_log_events", "ResourceNotFoundException", "no such stream")
    stubs.log("", "f/1", "a line")
    stubs.log("f/1", "f/1")
    assert followed(settings) == ["a line"]


def test_a_build_that_fails_is_a_line_with_the_phase_and_the_logs_end(stubs: Stubs, settings: Settings) -> None:
    failed = {
        "logs": WHERE,
        "buildComplete": True,
        "buildStatus": "FAILED",
        "phases": [
            {"phaseType": "DOWNLOAD_SOURCE", "phaseStatus": "SUCCEEDED"},
            {
                "phaseType": "BUILD",
                "phaseStatus": "FAILED",
                "contexts": [{"statusCode": "COMMAND_EXECUTION_ERROR", "message": "Error while executing\ncommand"}],
            },
            {"phaseType": "COMPLETED", "startTime": datetime(2026, 1, 1, tzinfo=UTC)},
        ],
    }
    stubs.builds(failed, failed)
    stubs.log("", "f/1", "ERROR: no space left on device", "[Container] Command did not exit successfully")
    stubs.log("f/1", "f/1")
    stubs.log("f/1", "f/1")
    with pytest.raises(PipelineError) as caught:
        followed(settings)
    assert str(caught.value) == (
        f"CodeBuild {BUILD}: BUILD FAILED: Error while executing command; its log ends: ERROR: no space left on device;"
        " whole log: https://console/log"
    )


def test_a_build_that_is_stopped_before_it_begins_says_so(stubs: Stubs, settings: Settings) -> None:
    stopped = {"buildComplete": True, "buildStatus": "STOPPED"}
    stubs.builds(stopped, stopped)
    with pytest.raises(PipelineError, match=f"^CodeBuild {BUILD}: STOPPED$"):
        followed(settings)


def raising(error: BaseException) -> Callable[[float], None]:
    def sleep(_: float) -> None:
        raise error

    return sleep


def test_an_interrupted_look_reports_that_the_build_continues(
    stubs: Stubs, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr("time.sleep", raising(KeyboardInterrupt()))
    stubs.builds({"currentPhase": "BUILD"})
    with pytest.raises(KeyboardInterrupt):
        codebuild.follow(settings, BUILD, lines.append)
    assert lines == [f"{BUILD}: BUILD", f"the build continues in CodeBuild: {BUILD}"]


def test_expired_credentials_and_a_lost_network_end_no_build(
    stubs: Stubs, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = EndpointConnectionError(endpoint_url="https://codebuild.us-east-1.amazonaws.com")
    monkeypatch.setattr("time.sleep", raising(lost))
    for problem in (ClientError, EndpointConnectionError):
        lines: list[str] = []
        if problem is ClientError:
            stubs.of["codebuild"].add_client_error("batch_get_builds", "ExpiredTokenException", "expired")
        else:
            stubs.builds({})
        with pytest.raises(problem):
            codebuild.follow(settings, BUILD, lines.append)
        assert lines == [f"the build continues in CodeBuild: {BUILD}"]


def test_a_build_that_has_ended_does_not_continue_after_an_interruption(
    stubs: Stubs, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr("time.sleep", raising(KeyboardInterrupt()))
    stubs.builds({"buildComplete": True, "buildStatus": "SUCCEEDED"})
    with pytest.raises(KeyboardInterrupt):
        codebuild.follow(settings, BUILD, lines.append)
    assert lines == []


def test_a_build_that_has_failed_does_not_go_on(stubs: Stubs, settings: Settings) -> None:
    lines: list[str] = []
    stopped = {"buildComplete": True, "buildStatus": "STOPPED"}
    stubs.builds(stopped, stopped)
    with pytest.raises(PipelineError):
        codebuild.follow(settings, BUILD, lines.append, interval=0)
    assert lines == []


# ------------------------------------------------------------------------------------------------ what runs there

AWS = '#!/bin/sh\necho "$@" >> "{log}"\n{end}\n'
Script = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def docker(tmp_path: Path) -> StandIn:
    return StandIn.installed(tmp_path / "bin")


@pytest.fixture
def script(docker: StandIn, tmp_path: Path) -> Script:
    """Runs build.sh as CodeBuild does, with a docker and an aws command that only keep what they are lines."""

    def run(images: str, aws: str = 'printf "%s" "password-of-$4"') -> subprocess.CompletedProcess[str]:
        command = docker.folder / "aws"
        command.write_text(AWS.format(log=tmp_path / "aws.log", end=aws))
        command.chmod(0o755)
        environment = {"PATH": f"{docker.folder}{os.pathsep}/usr/bin{os.pathsep}/bin", "IMAGES": images}
        return subprocess.run(
            ["sh", "containers/build.sh"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )

    return run


def entries(settings: Settings, *steps: str) -> str:
    return " ".join(f"{one.image}|{one.step}|{one.base}|{one.uri}" for one in operation.select(settings, steps))


def test_codebuild_builds_and_pushes_every_image_it_is_told_of(
    script: Script, docker: StandIn, settings: Settings
) -> None:
    wanted = operation.select(settings, ["shard", "train"])
    done = script(entries(settings, "shard", "train"))
    assert done.returncode == 0, done.stderr
    builds = docker.calls("buildx", "build")
    assert [call.arguments[call.arguments.index("--tag") + 1] for call in builds] == [one.uri for one in wanted]
    for call, one in zip(builds, wanted, strict=True):
        context = f"contexts/{one.step}"
        assert {f"BASE_IMAGE={one.base}", f"STEP={one.step}", f"{context}/containers/{one.image}/Dockerfile"} <= set(
            call.arguments
        )
        assert call.arguments[-1] == context
        assert {"linux/amd64", "--provenance=false", "type=image,oci-mediatypes=false"} <= set(call.arguments)
    assert [call.arguments[1] for call in docker.calls("push")] == [one.uri for one in wanted]


def test_codebuild_signs_in_where_a_registry_is_ecrs_and_pipes_the_password(
    script: Script, docker: StandIn, settings: Settings
) -> None:
    done = script(entries(settings, "train"))
    logins = docker.calls("login")
    registries = ["111122223333.dkr.ecr.us-east-1.amazonaws.com", "763104351884.dkr.ecr.us-east-1.amazonaws.com"]
    assert [call.arguments[-1] for call in logins] == registries
    assert {call.input for call in logins} == {b"password-of-us-east-1"}
    assert not [text for call in docker.calls() for text in call.arguments if "password-of" in text]
    assert "password-of" not in done.stdout + done.stderr


def test_codebuild_leaves_what_is_pushed_by_now_and_goes_on(
    script: Script, docker: StandIn, settings: Settings
) -> None:
    there, wanted = operation.select(settings, ["shard", "serve"])
    docker.registry_has([there.uri])
    done = script(entries(settings, "shard", "serve"))
    assert done.returncode == 0, done.stderr
    assert f"exists already, shard: {there.uri}" in done.stdout
    (build,) = docker.calls("buildx", "build")
    assert wanted.uri in build.arguments
    assert [call.arguments[1] for call in docker.calls("push")] == [wanted.uri]


def test_codebuild_goes_on_where_another_build_was_the_first_to_push(
    script: Script, docker: StandIn, settings: Settings
) -> None:
    first, second = operation.select(settings, ["shard", "serve"])
    docker.another_pushes([first.uri])
    done = script(entries(settings, "shard", "serve"))
    assert done.returncode == 0, done.stderr
    assert [call.arguments[1] for call in docker.calls("push")] == [first.uri, second.uri]


def test_a_push_that_fails_and_leaves_nothing_ends_the_build(
    script: Script, docker: StandIn, settings: Settings
) -> None:
    docker.fails("push", "denied: not authorized")
    done = script(entries(settings, "shard", "serve"))
    assert done.returncode != 0
    assert len(docker.calls("push")) == 1


def test_codebuild_stops_at_the_first_failure(script: Script, docker: StandIn, settings: Settings) -> None:
    docker.fails("buildx build", "ERROR: failed to solve")
    done = script(entries(settings, "shard", "serve"))
    assert done.returncode != 0
    assert (len(docker.calls("buildx", "build")), docker.calls("push")) == (1, [])


def test_codebuild_says_why_it_gets_no_password(script: Script, docker: StandIn, settings: Settings) -> None:
    done = script(entries(settings, "serve"), aws="echo 'not authorized: ecr:GetAuthorizationToken' >&2; exit 254")
    assert done.returncode != 0
    assert "not authorized: ecr:GetAuthorizationToken" in done.stderr
    assert docker.calls("login") == []


def test_the_buildspec_runs_the_script() -> None:
    import yaml

    spec = yaml.safe_load((ROOT / "containers" / "buildspec.yaml").read_text())
    assert spec == {"version": 0.2, "phases": {"build": {"commands": ["sh containers/build.sh"]}}}
