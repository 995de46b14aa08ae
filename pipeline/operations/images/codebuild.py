"""Images built in the account, by its CodeBuild project: the source goes there as a zip, its log comes back.

https://docs.aws.amazon.com/codebuild/latest/APIReference/API_StartBuild.html
"""

from __future__ import annotations

import hashlib
import io
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline import ROOT
from pipeline.aws.responses import CREATE_IT, Report, error_if_missing
from pipeline.clients import client
from pipeline.compiling import step_images as images
from pipeline.compiling.step_images import StepImage
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

BUILD_FILES = (Path("containers/build.sh"), Path("containers/buildspec.yaml"))
_SUCCEEDED = "SUCCEEDED"
# How CodeBuild's own lines begin; the reason of a failure stands in the others.
_CONTAINER = "[Container]"


def source(wanted: Sequence[StepImage], root: Path = ROOT) -> bytes:
    """A zip of what the images are made of and of what builds them; the same source gives the same bytes."""
    files = {path.as_posix(): path for path in BUILD_FILES}
    for image in wanted:
        # A build context per image: a step's image must not hold what another imports.
        files |= {f"contexts/{image.step}/{path.as_posix()}": path for path in images.source_files(image.step, root)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in sorted(files.items()):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, (root / path).read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def start(settings: Settings, wanted: Sequence[StepImage], root: Path = ROOT) -> str:
    """Upload the source and start a build that builds and pushes the images; gives the build's id.

    Raises PipelineError where bucket or project are not there.
    """
    code = source(wanted, root)
    bucket = settings.data.bucket
    key = f"{settings.code_prefix}/images/{hashlib.sha256(code).hexdigest()}.zip"
    with error_if_missing(f"there is no bucket {bucket} to put the images' source into; {CREATE_IT}"):
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


def follow(
    settings: Settings,
    build: str,
    tell: Report,
    *,
    interval: float = 5.0,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Report a build's phases and log until it ends; `interval` in seconds.

    Where that is broken off (Ctrl-C, no network, expired credentials) it tells that the build itself goes on.
    Raises PipelineError with the phase that failed, its reason and the log's last line.
    """
    found, last = _to_its_end(settings, build, tell, interval, sleep)
    if found["buildStatus"] != _SUCCEEDED:
        said = f"; its log ends: {last}" if last else ""
        where = found.get("logs", {}).get("deepLink", "")
        raise PipelineError(f"CodeBuild {build}: {_reason(found)}{said}{f'; whole log: {where}' if where else ''}")


def _to_its_end(
    settings: Settings, build: str, tell: Report, interval: float, sleep: Callable[[float], None]
) -> tuple[dict[str, Any], str]:
    """What CodeBuild says of a build that has ended, and the last line of its log that is the build's own."""
    from botocore.exceptions import BotoCoreError, ClientError

    phase, last, complete = "", "", False
    try:
        service, lines = client(settings, "codebuild"), _Log(client(settings, "logs"))
        while True:
            (found,) = service.batch_get_builds(ids=[build])["builds"]
            if (current := found.get("currentPhase", phase)) != phase:
                phase = current
                tell(f"{build}: {phase}")
            for line in lines.new(found.get("logs", {})):
                tell(line)
                if line.strip() and not line.startswith(_CONTAINER):
                    last = line.strip()
            if complete:
                return found, last
            # One more look after the end: the log's last lines, which hold the reason, may come after it.
            complete = found["buildComplete"]
            sleep(interval)
    except (KeyboardInterrupt, BotoCoreError, ClientError):
        if not complete:
            tell(f"the build goes on in CodeBuild: {build}")
        raise


def _reason(build: dict[str, Any]) -> str:
    """The first phase that did not succeed, and what it says."""
    for phase in build.get("phases", []):
        if phase.get("phaseStatus", _SUCCEEDED) != _SUCCEEDED:
            contexts = [one["message"] for one in phase.get("contexts", []) if one.get("message")]
            said = f": {' '.join(' '.join(contexts).split())}" if contexts else ""
            return f"{phase['phaseType']} {phase['phaseStatus']}{said}"
    return str(build["buildStatus"])


class _Log:
    """A build's log, read forwards."""

    def __init__(self, service: Any) -> None:
        self._service = service
        self._token = ""

    def new(self, location: dict[str, Any]) -> Iterator[str]:
        """The lines since the last look; none before the build has a log."""
        from botocore.exceptions import ClientError

        from pipeline.aws.responses import says_missing

        group, stream = location.get("groupName"), location.get("streamName")
        while group and stream:
            token = {"nextToken": self._token} if self._token else {}
            try:
                page = self._service.get_log_events(
                    logGroupName=group, logStreamName=stream, startFromHead=True, **token
                )
            except ClientError as error:
                if says_missing(error):
                    return  # CodeBuild names the stream before it makes it
                raise
            yield from (event["message"].rstrip("\n") for event in page["events"])
            # The same token again is the end for now.
            # https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
            if page["nextForwardToken"] == self._token:
                return
            self._token = page["nextForwardToken"]
