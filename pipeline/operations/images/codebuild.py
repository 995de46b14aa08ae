"""Build images in the account with its CodeBuild project: upload the source as a zip, follow the build's log.

https://docs.aws.amazon.com/codebuild/latest/APIReference/API_StartBuild.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import ROOT
from pipeline.account.deploy_function import zip_of
from pipeline.aws.responses import CREATE_IT, Report, error_if_missing, exists
from pipeline.aws.waiting import wait_until
from pipeline.clients import client
from pipeline.compiling import step_images as images
from pipeline.compiling.step_images import StepImage
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

BUILD_FILES = (Path("containers/build.sh"), Path("containers/buildspec.yaml"))
# Above the longest build: the project's timeout is 60 minutes, and a build waits in the queue for at most 8 hours.
# https://docs.aws.amazon.com/codebuild/latest/APIReference/API_CreateProject.html
BUILD_SECONDS = 10 * 3600.0
_SUCCEEDED = "SUCCEEDED"
# Prefix of CodeBuild's own lines; the reason of a failure is in the others.
_CONTAINER = "[Container]"


def source(wanted: Sequence[StepImage], root: Path = ROOT) -> bytes:
    """A zip of the images' source files and the build scripts; equal sources give equal bytes."""
    files = {path.as_posix(): path for path in BUILD_FILES}
    for image in wanted:
        # A build context per image: a step's image must not contain modules of other steps.
        paths = images.source_files(image.step, root, image.image)
        files |= {f"contexts/{image.step}/{path.as_posix()}": path for path in paths}
    return zip_of({name: root / path for name, path in files.items()})


def start(settings: Settings, wanted: Sequence[StepImage], root: Path = ROOT) -> str:
    """Upload the source and start a build that builds and pushes the images; returns the build's id.

    Raises PipelineError where the bucket or the project does not exist.
    """
    code, bucket = source(wanted, root), settings.data.bucket
    key = f"{settings.code_prefix}/images/{hashlib.sha256(code).hexdigest()}.zip"
    with error_if_missing(f"there is no bucket {bucket} for the images' source; {CREATE_IT}"):
        client(settings, "s3").put_object(Bucket=bucket, Key=key, Body=code, ExpectedBucketOwner=settings.account.id)
    entries = " ".join(f"{image.image}|{image.step}|{image.base}|{image.uri}" for image in wanted)
    with error_if_missing(f"there is no CodeBuild project {settings.image_builder}; {CREATE_IT}"):
        started = client(settings, "codebuild").start_build(
            projectName=settings.image_builder,
            sourceTypeOverride="S3",
            sourceLocationOverride=f"{bucket}/{key}",
            environmentVariablesOverride=[{"name": "IMAGES", "value": entries, "type": "PLAINTEXT"}],
        )
    return str(started["build"]["id"])


def follow(settings: Settings, build: str, report: Report, *, interval: float = 5.0) -> None:
    """Report a build's phases and log lines until it ends; `interval` is the seconds between two looks.

    An interrupted look (Ctrl-C, no network, expired credentials) reports that the build continues. Raises PipelineError
    with the failed phase, its reason and the log's last line, or where the build does not end.
    """
    description, last = _wait(settings, build, report, interval)
    if description is None:
        raise PipelineError(
            f"CodeBuild {build} has not ended after {BUILD_SECONDS / 3600:.0f} hours; see it in CodeBuild's console"
        )
    if description["buildStatus"] != _SUCCEEDED:
        end = f"; its log ends: {last}" if last else ""
        url = description.get("logs", {}).get("deepLink", "")
        raise PipelineError(f"CodeBuild {build}: {_reason(description)}{end}{f'; whole log: {url}' if url else ''}")


def _wait(settings: Settings, build: str, report: Report, interval: float) -> tuple[dict[str, Any] | None, str]:
    """The description of a build that has ended, and the last line of its log that is not CodeBuild's own."""
    from botocore.exceptions import BotoCoreError, ClientError

    service, log = client(settings, "codebuild"), _Log(client(settings, "logs"))
    phase, last, is_complete = "", "", False

    def look() -> dict[str, Any] | None:
        nonlocal phase, last, is_complete
        description: dict[str, Any]
        (description,) = service.batch_get_builds(ids=[build])["builds"]
        if (current := description.get("currentPhase", phase)) != phase:
            phase = current
            report(f"{build}: {phase}")
        for line in log.new(description.get("logs", {})):
            report(line)
            if line.strip() and not line.startswith(_CONTAINER):
                last = line.strip()
        # One more look after the end: the log's last lines, which contain the reason, may arrive later.
        was_complete, is_complete = is_complete, description["buildComplete"]
        return description if was_complete else None

    try:
        return wait_until(look, BUILD_SECONDS, interval), last
    except (KeyboardInterrupt, BotoCoreError, ClientError):
        if not is_complete:
            report(f"the build continues in CodeBuild: {build}")
        raise


def _reason(build: dict[str, Any]) -> str:
    """The first phase that did not succeed, and its messages."""
    for phase in build.get("phases", []):
        if phase.get("phaseStatus", _SUCCEEDED) != _SUCCEEDED:
            messages = [context["message"] for context in phase.get("contexts", []) if context.get("message")]
            reason = f": {' '.join(' '.join(messages).split())}" if messages else ""
            return f"{phase['phaseType']} {phase['phaseStatus']}{reason}"
    return str(build["buildStatus"])


@dataclass
class _Log:
    """A build's log, read forwards."""

    service: Any
    token: str = ""

    def new(self, location: dict[str, Any]) -> Iterator[str]:
        """The lines since the last look; none before the build has a log stream."""
        group, stream = location.get("groupName"), location.get("streamName")
        while group and stream:
            request = {"logGroupName": group, "logStreamName": stream, "startFromHead": True}
            request |= {"nextToken": self.token} if self.token else {}
            page = exists(self.service.get_log_events, **request)
            if page is None:
                return  # CodeBuild names the stream before creating it
            yield from (event["message"].rstrip("\n") for event in page["events"])
            # The same token again means that there are no more events yet.
            # https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
            if page["nextForwardToken"] == self.token:
                return
            self.token = page["nextForwardToken"]
