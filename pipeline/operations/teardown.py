"""Take from an account what a bootstrap gave it: the stack, and with it or later the data that is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.errors import PipelineError
from pipeline.infrastructure import template
from pipeline.infrastructure.failures import remedy
from pipeline.infrastructure.stack import POLL_SECONDS, REVIEW, Event, Stack
from pipeline.operations.responses import says_missing
from pipeline.operations.schedules import schedules
from pipeline.session import client, verify_account
from pipeline.settings import Settings

_KEPT = ("Retain", "RetainExceptOnCreate")


@dataclass(frozen=True)
class Held:
    """One resource of the stack, and whether it stays when the stack is deleted."""

    resource: str
    kind: str
    physical: str
    kept: bool


@dataclass(frozen=True)
class Data:
    """What holds data and is kept: the bucket, where it is there, and repositories with their numbers of images."""

    bucket: str
    repositories: dict[str, int]

    @property
    def there(self) -> bool:
        """Whether there is any of it."""
        return bool(self.bucket or self.repositories)


@dataclass(frozen=True)
class Teardown:
    """What deleting would do. `stack` is empty where there is none."""

    stack: str
    status: str
    held: tuple[Held, ...]
    data: Data


def plan(settings: Settings) -> Teardown:
    """What there is to delete, and what stays. Nothing is changed.

    Raises PipelineError for credentials of another account, while the pipeline, its endpoint or its schedules are still
    there, and for a stack that is being changed.
    """
    verify_account(settings)
    if users := in_use(settings):
        raise PipelineError(f"still there: {', '.join(users)}; delete the pipeline first: python -m pipeline delete")
    stack = Stack(client(settings, "cloudformation"), settings.stack)
    status = stack.status()
    if status.endswith("_IN_PROGRESS") and status != REVIEW:
        raise PipelineError(f"the stack {settings.stack} is in {status}: {remedy(settings.stack, status)}")
    return Teardown(settings.stack if status else "", status, _held(stack) if status else (), kept_data(settings))


def in_use(settings: Settings) -> list[str]:
    """What of the pipeline is there and needs the stack."""
    sagemaker = client(settings, "sagemaker")
    found = []
    if _there(lambda: sagemaker.describe_pipeline(PipelineName=settings.name)):
        found.append(f"the pipeline {settings.name}")
    if _there(lambda: sagemaker.describe_endpoint(EndpointName=settings.endpoint.name)):
        found.append(f"the endpoint {settings.endpoint.name}")
    found += [f"the schedule {one.name}" for one in schedules(settings)]
    return found


def delete(settings: Settings, poll: float = POLL_SECONDS) -> Iterator[Event]:
    """Delete the stack; yields what happens. Raises PipelineError where it fails."""
    yield from Stack(client(settings, "cloudformation"), settings.stack, poll).delete()


def kept_data(settings: Settings) -> Data:
    """The bucket and the repositories that are there."""
    s3, ecr = client(settings, "s3"), client(settings, "ecr")
    bucket = settings.data.bucket
    there = _there(lambda: s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=settings.account.id))
    repositories = {}
    for image in ("processing", "training", "inference"):
        name = settings.repository(image).split("/", 1)[1]
        pages = ecr.get_paginator("list_images").paginate(repositoryName=name)
        counted: list[int] = []
        if _there(lambda: counted.append(sum(len(page["imageIds"]) for page in pages))):  # noqa: B023  # called at once
            repositories[name] = counted[0]
    return Data(bucket if there else "", repositories)


def erase(settings: Settings, data: Data) -> Iterator[int]:
    """Delete the repositories with their images and the bucket with every version in it.

    Yields how many versions are gone, page by page. Raises PipelineError for the first object that is not to be
    deleted.
    """
    ecr = client(settings, "ecr")
    for name in data.repositories:
        ecr.delete_repository(repositoryName=name, force=True)
    if data.bucket:
        yield from _emptied(settings, data.bucket)
        client(settings, "s3").delete_bucket(Bucket=data.bucket, ExpectedBucketOwner=settings.account.id)


def _emptied(settings: Settings, bucket: str) -> Iterator[int]:
    s3, owner = client(settings, "s3"), {"ExpectedBucketOwner": settings.account.id}
    gone = 0
    # A page is as long as DeleteObjects takes keys: 1,000.
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, **owner):
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if not found:
            continue
        objects = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True}, **owner)
        if refused := answer.get("Errors"):
            first = refused[0]
            raise PipelineError(
                f"s3://{bucket}/{first['Key']} cannot be deleted ({first['Code']}: {first.get('Message', '')});"
                f" {gone} versions before it are gone. Run this again once that is put right"
            )
        gone += len(objects)
        yield gone


def _held(stack: Stack) -> tuple[Held, ...]:
    text = stack.template() if stack.status() != REVIEW else ""
    declared = template.read(text)["Resources"] if text else {}
    found = []
    for logical, physical in (stack.resources() if text else {}).items():
        resource: dict[str, Any] = declared.get(logical, {})
        kept = resource.get("DeletionPolicy") in _KEPT
        found.append(Held(logical, resource.get("Type", ""), physical, kept))
    return tuple(found)


def _there(call: Any) -> bool:
    from botocore.exceptions import ClientError

    try:
        call()
    except ClientError as error:
        if says_missing(error) or error.response["Error"]["Code"] == "RepositoryNotFoundException":
            return False
        raise
    return True
