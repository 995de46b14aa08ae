"""The images that steps run in: which are in the account's repositories, and how the others get there.

A tag is the hash of what an image is made of, and the repositories let no tag be overwritten: what is there stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pipeline.aws.responses import BOOTSTRAP, Report
from pipeline.clients import client
from pipeline.compiling import step_images as images
from pipeline.compiling.step_images import StepImage
from pipeline.operations.images import codebuild, docker
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

Builder = Literal["docker", "codebuild"]
_ECR = re.compile(r"[0-9]{12}\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com")


@dataclass(frozen=True)
class Listed:
    """A step's image; `pushed` is None where the repository could not be asked, `size` in bytes, compressed."""

    image: StepImage
    uri: str
    pushed: bool | None
    size: int | None = None
    pushed_at: datetime | None = None


@dataclass(frozen=True)
class Listing:
    """All steps' images; `problem` is why the repositories could not be asked."""

    images: tuple[Listed, ...]
    problem: Exception | None = None


@dataclass(frozen=True)
class Done:
    """What became of an image."""

    step: str
    uri: str
    change: Literal["built", "pushed", "unchanged", "published"]


def chosen(settings: Settings, steps: Sequence[str]) -> list[StepImage]:
    """The images of `steps`, or of all. Raises PipelineError for a step that is none."""
    if unknown := [step for step in steps if step not in images.STEPS]:
        raise PipelineError(f"there is no step {', '.join(unknown)}; the steps are {', '.join(images.STEPS)}")
    return [images.step_image(step, settings) for step in images.STEPS if step in steps or not steps]


def missing(settings: Settings) -> list[StepImage]:
    """The images that the definition and the monitor name and that are not in the repositories.

    Raises botocore's errors: no credentials, no access, no repository (RepositoryNotFoundException).
    """
    return _missing(settings, images.step_images(settings))


def listed(settings: Settings) -> Listing:
    """Every step's image, and whether it is in its repository; works without an account too."""
    from botocore.exceptions import BotoCoreError, ClientError

    wanted = images.step_images(settings)
    try:
        with _repositories(settings):
            contents = {name: _contents(settings, name) for name in _names(wanted)}
    except (BotoCoreError, ClientError, PipelineError) as error:
        return unchecked(settings, error)
    return Listing(tuple(_listed(image, contents[image.repository_name].get(image.tag)) for image in wanted))


def unchecked(settings: Settings, problem: Exception) -> Listing:
    """Every step's image where the repositories cannot be asked."""
    return Listing(tuple(Listed(image, image.uri, None) for image in images.step_images(settings)), problem)


def _listed(image: StepImage, detail: dict[str, Any] | None) -> Listed:
    if detail is None:
        return Listed(image, image.uri, False)
    return Listed(image, image.uri, True, detail.get("imageSizeInBytes"), detail.get("imagePushedAt"))


def builder(settings: Settings, asked: Literal["auto", "docker", "codebuild"] | None = None) -> tuple[Builder, str]:
    """Who builds, and why: as `asked` by --builder, else as set. Raises PipelineError for a Docker that cannot."""
    wanted, said, remedy = settings.images.builder, "images.builder is", "set images.builder:"
    if asked is not None:
        wanted, said, remedy = asked, "--builder", "take --builder"
    if wanted == "codebuild":
        return "codebuild", f"{said} codebuild"
    reason = docker.unavailable()
    if not reason:
        return "docker", "docker answers"
    if wanted == "docker":
        raise PipelineError(f"{said} docker, but {reason}; start docker, or {remedy} codebuild")
    return "codebuild", reason


def build(
    settings: Settings, wanted: Sequence[StepImage], tell: Report, *, everything: bool = False, by: Builder
) -> list[Done]:
    """Build what is neither in the repositories nor in Docker, or with `everything` all; CodeBuild pushes it too.

    With Docker alone no account is needed, but for a base image in ECR. Raises PipelineError with a failure's reason.
    """
    if by == "codebuild":
        if everything:
            raise PipelineError("CodeBuild pushes what it builds, and a pushed tag stays as it is; leave --all out")
        return _build_there(settings, wanted, tell)
    pushed = {one.image.tag for one in listed(settings).images if one.pushed}
    done = []
    for image in wanted:
        if not everything and (image.tag in pushed or docker.media_type(image.uri) is not None):
            done.append(Done(image.step, image.uri, "unchanged"))
            continue
        _build_here(settings, image, tell)
        done.append(Done(image.step, image.uri, "built"))
    return done


def push(settings: Settings, wanted: Sequence[StepImage], tell: Report, *, by: Builder) -> list[Done]:
    """Build and push what is not in the repositories. Raises PipelineError with a failure's reason."""
    if by == "codebuild":
        return _build_there(settings, wanted, tell)
    with _repositories(settings):
        absent = _missing(settings, wanted)
    for image in absent:
        if docker.media_type(image.uri) is None:
            _build_here(settings, image, tell)
    for image in absent:
        _login(settings, image.uri)
        docker.push(image.uri, tell)
    return _done(wanted, absent)


def _build_there(settings: Settings, wanted: Sequence[StepImage], tell: Report) -> list[Done]:
    """One build for all: the steps of one Dockerfile share what is installed."""
    with _repositories(settings):
        absent = _missing(settings, wanted)
    if absent:
        codebuild.follow(settings, codebuild.start(settings, absent), tell)
    return _done(wanted, absent)


def _build_here(settings: Settings, image: StepImage, tell: Report) -> None:
    _login(settings, image.base)
    docker.build(image, tell)


def _done(wanted: Sequence[StepImage], absent: Sequence[StepImage]) -> list[Done]:
    return [Done(image.step, image.uri, "pushed" if image in absent else "unchanged") for image in wanted]


def _login(settings: Settings, uri: str) -> None:
    """Let Docker into the registry of `uri` where that is ECR's; a token holds for all registries of its region."""
    import base64

    registry = uri.split("/", 1)[0]
    if (match := _ECR.fullmatch(registry)) is None:
        return
    there = settings.model_copy(update={"account": settings.account.model_copy(update={"region": match["region"]})})
    token = client(there, "ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    docker.login(registry, base64.b64decode(token).decode().partition(":")[2])


def _missing(settings: Settings, wanted: Sequence[StepImage]) -> list[StepImage]:
    present = {name: _contents(settings, name) for name in _names(wanted)}
    return [image for image in wanted if image.tag not in present[image.repository_name]]


def _names(wanted: Sequence[StepImage]) -> list[str]:
    return list(dict.fromkeys(image.repository_name for image in wanted))


def _contents(settings: Settings, repository: str) -> dict[str, dict[str, Any]]:
    """What ECR says of each tag of a repository."""
    pages = (
        client(settings, "ecr")
        .get_paginator("describe_images")
        .paginate(
            registryId=settings.account.id,
            repositoryName=repository,
            filter={"tagStatus": "TAGGED"},
            PaginationConfig={"PageSize": 1000},
        )
    )
    return {tag: detail for page in pages for detail in page["imageDetails"] for tag in detail.get("imageTags", [])}


@contextmanager
def _repositories(settings: Settings) -> Iterator[None]:
    """Turn ECR's answer that a repository is not there into what to do about it."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] != "RepositoryNotFoundException":
            raise
        names = ", ".join(_names(images.step_images(settings)))
        raise PipelineError(
            f"the image repositories ({names}) are not all in account {settings.account.id}; make them: {BOOTSTRAP}"
        ) from error
