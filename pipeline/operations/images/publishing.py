"""The images of steps: list them, build them, and push them to the account's repositories.

A tag is the hash of an image's source, and the repositories are immutable: an existing tag is never overwritten.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pipeline.aws.pages import items
from pipeline.aws.responses import BOOTSTRAP, Report, error_if_missing
from pipeline.clients import client
from pipeline.compiling import step_images as images
from pipeline.compiling.step_images import StepImage
from pipeline.operations.images import codebuild, docker
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

Builder = Literal["docker", "codebuild"]
# Why a step that settings turn on is in no run.
_UNUSED = {
    "plan": "ShardImages plans in its own job; set shard.planner: local or spark, or shard.plan_instance_count",
    "explore": "set explore.enabled: true",
}
_ECR = re.compile(r"[0-9]{12}\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com")


@dataclass(frozen=True)
class ListedImage:
    """A step's image; `pushed` is None where that is unknown, `size` is compressed, in bytes."""

    image: StepImage
    uri: str
    pushed: bool | None
    size: int | None = None
    pushed_at: datetime | None = None


@dataclass(frozen=True)
class Listing:
    """All steps' images; `problem` is the error of a request to the repositories."""

    images: tuple[ListedImage, ...]
    problem: Exception | None = None


@dataclass(frozen=True)
class ImageResult:
    """The result for one image."""

    step: str
    uri: str
    change: Literal["built", "pushed", "unchanged", "published"]


def select(settings: Settings, steps: Sequence[str]) -> list[StepImage]:
    """The images of `steps`, or of all that runs have. Raises PipelineError for a step that is unknown or in no run."""
    if unknown := [step for step in steps if step not in images.STEPS]:
        raise PipelineError(f"there is no step {', '.join(unknown)}; the steps are {', '.join(images.STEPS)}")
    used = images.used_steps(settings)
    if unused := [step for step in steps if step not in used]:
        raise PipelineError("\n".join(f"no run has the step {step}: {_UNUSED[step]}" for step in unused))
    return [images.step_image(step, settings) for step in used if step in steps or not steps]


def missing(settings: Settings, wanted: Sequence[StepImage] | None = None) -> list[StepImage]:
    """The images of `wanted`, or of the definition and the monitor, that are missing in the repositories.

    Raises botocore's errors: no credentials, no access, no repository (RepositoryNotFoundException).
    """
    wanted = images.step_images(settings) if wanted is None else wanted
    present = {name: _contents(settings, name) for name in _names(wanted)}
    return [image for image in wanted if image.tag not in present[image.repository_name]]


def listing(settings: Settings) -> Listing:
    """Every step's image, with its state in the repository; works without an account too."""
    from botocore.exceptions import BotoCoreError, ClientError

    wanted = images.step_images(settings)
    try:
        with _existing(settings):
            contents = {name: _contents(settings, name) for name in _names(wanted)}
    except (BotoCoreError, ClientError, PipelineError) as error:
        return unchecked_listing(settings, error)
    details = ((image, contents[image.repository_name].get(image.tag, {})) for image in wanted)
    listed = (
        ListedImage(image, image.uri, bool(detail), detail.get("imageSizeInBytes"), detail.get("imagePushedAt"))
        for image, detail in details
    )
    return Listing(tuple(listed))


def unchecked_listing(settings: Settings, problem: Exception) -> Listing:
    """Every step's image, without its state in the repository."""
    return Listing(tuple(ListedImage(image, image.uri, None) for image in images.step_images(settings)), problem)


def builder(settings: Settings, requested: Literal["auto", "docker", "codebuild"] | None = None) -> tuple[Builder, str]:
    """The builder and the reason: `requested` or else the setting. Raises PipelineError where Docker is missing."""
    wanted, source, remedy = settings.images.builder, "images.builder is", "set images.builder:"
    if requested is not None:
        wanted, source, remedy = requested, "--builder", "use --builder"
    if wanted == "codebuild":
        return "codebuild", f"{source} codebuild"
    reason = docker.unavailable()
    if not reason:
        return "docker", "docker answers"
    if wanted == "docker":
        raise PipelineError(f"{source} docker, but {reason}; start docker, or {remedy} codebuild")
    return "codebuild", reason


def build(
    settings: Settings, wanted: Sequence[StepImage], report: Report, *, everything: bool = False, by: Builder
) -> list[ImageResult]:
    """Build the images that are neither in the repositories nor in Docker, or `everything`; CodeBuild also pushes them.

    With Docker alone an account is needed only for a base image in ECR. Raises PipelineError with a failure's reason.
    """
    if by == "codebuild":
        if everything:
            raise PipelineError("CodeBuild also pushes, and a pushed tag cannot be overwritten; leave --all out")
        return push(settings, wanted, report, by=by)
    pushed = {item.image.tag for item in listing(settings).images if item.pushed}
    done = []
    for image in wanted:
        is_kept = not everything and (image.tag in pushed or docker.media_type(image.uri) is not None)
        if not is_kept:
            _build_with_docker(settings, image, report)
        done.append(ImageResult(image.step, image.uri, "unchanged" if is_kept else "built"))
    return done


def push(settings: Settings, wanted: Sequence[StepImage], report: Report, *, by: Builder) -> list[ImageResult]:
    """Build and push the images that are missing in the repositories. Raises PipelineError with a failure's reason."""
    with _existing(settings):
        absent = missing(settings, wanted)
    if by == "docker":
        for image in absent:
            if docker.media_type(image.uri) is None:
                _build_with_docker(settings, image, report)
        for image in absent:
            _login(settings, image.uri)
            with _unless_pushed_meanwhile(settings, [image], report):
                docker.push(image.uri, report)
    elif absent:
        # One build for all images: steps with the same Dockerfile share its layers.
        with _unless_pushed_meanwhile(settings, absent, report):
            codebuild.follow(settings, codebuild.start(settings, absent), report)
    return [ImageResult(image.step, image.uri, "pushed" if image in absent else "unchanged") for image in wanted]


@contextmanager
def _unless_pushed_meanwhile(settings: Settings, wanted: Sequence[StepImage], report: Report) -> Iterator[None]:
    """Ignore a failed push of images that are in the repositories now: an immutable repository refuses a tag that
    somebody else has pushed meanwhile, and equal tags have equal sources.
    """
    try:
        yield
    except PipelineError as error:
        if missing(settings, wanted):
            raise
        report(f"pushed by somebody else meanwhile: {', '.join(image.uri for image in wanted)} ({error})")


def _build_with_docker(settings: Settings, image: StepImage, report: Report) -> None:
    _login(settings, image.base)
    docker.build(image, report)


def _login(settings: Settings, uri: str) -> None:
    """Log Docker in at the registry of `uri` if it is ECR's; a token is valid for all registries of its region."""
    import base64

    registry = uri.split("/", 1)[0]
    if (match := _ECR.fullmatch(registry)) is None:
        return
    regional = settings.model_copy(update={"account": settings.account.model_copy(update={"region": match["region"]})})
    token = client(regional, "ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    docker.login(registry, base64.b64decode(token).decode().partition(":")[2])


def _names(wanted: Sequence[StepImage]) -> list[str]:
    return list(dict.fromkeys(image.repository_name for image in wanted))


def _contents(settings: Settings, repository: str) -> dict[str, dict[str, Any]]:
    """ECR's details of each tag of a repository."""
    details = items(
        client(settings, "ecr").get_paginator("describe_images"),
        "imageDetails",
        registryId=settings.account.id,
        repositoryName=repository,
        filter={"tagStatus": "TAGGED"},
        PaginationConfig={"PageSize": 1000},
    )
    return {tag: detail for detail in details for tag in detail.get("imageTags", [])}


def _existing(settings: Settings) -> AbstractContextManager[None]:
    """Raises PipelineError with the remedy for a missing repository."""
    names = ", ".join(_names(images.step_images(settings)))
    return error_if_missing(
        f"the image repositories ({names}) do not all exist in account {settings.account.id}; create them: {BOOTSTRAP}"
    )
