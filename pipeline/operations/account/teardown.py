"""Delete the account's stack and, with it or later, the data that it retains."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.account.events import Event, remedy
from pipeline.account.stack import POLL_SECONDS, REVIEW, Stack
from pipeline.aws import cloudformation as template
from pipeline.aws import errors as aws_errors
from pipeline.aws.arns import name_of
from pipeline.aws.pages import items
from pipeline.aws.responses import exists, says_missing
from pipeline.clients import client, verify_account
from pipeline.operations.runs.schedules import schedules
from pipeline.settings import REPOSITORIES, Settings
from steps.contracts.errors import PipelineError
from steps.contracts.s3_uri import S3Uri

_RETAINING = ("Retain", "RetainExceptOnCreate")
_POLICY, _ROLE = "AWS::IAM::ManagedPolicy", "AWS::IAM::Role"


@dataclass(frozen=True)
class StackResource:
    """A resource of the stack, and whether it stays in the account when the stack is deleted."""

    resource: str
    kind: str
    physical: str
    retained: bool


@dataclass(frozen=True)
class RetainedData:
    """The bucket, empty where it does not exist, and the repositories with their numbers of images."""

    bucket: str
    repositories: dict[str, int]
    others: str = ""
    """An object, or a folder of objects, in the bucket that is not the pipeline's."""

    @property
    def exists(self) -> bool:
        """Whether the bucket or a repository exists."""
        return bool(self.bucket or self.repositories)


@dataclass(frozen=True)
class Teardown:
    """The effect of deleting the stack; `stack` is empty where it does not exist."""

    stack: str
    status: str
    resources: tuple[StackResource, ...]
    data: RetainedData
    unchecked: str = ""
    """Why the attachments of the stack's policies could not be checked; empty where they were."""


def plan(settings: Settings) -> Teardown:
    """What would be deleted and what retained. Nothing is changed.

    Raises PipelineError for credentials of another account, while the pipeline, its endpoint or its schedules exist,
    for a stack with a change in progress, and while one of its policies is attached outside it.
    """
    verify_account(settings)
    if users := in_use(settings):
        raise PipelineError(
            f"these still exist: {', '.join(users)}; delete the pipeline first: python -m pipeline delete"
        )
    stack = Stack(client(settings, "cloudformation"), settings.stack)
    status = stack.status()
    if status.endswith("_IN_PROGRESS") and status != REVIEW:
        raise PipelineError(f"the stack {settings.stack} is in {status}: {remedy(settings.stack, status)}")
    resources = _resources(stack) if status not in ("", REVIEW) else ()
    unchecked = _check_policies(settings, resources)
    return Teardown(settings.stack if status else "", status, resources, retained_data(settings), unchecked)


def _resources(stack: Stack) -> tuple[StackResource, ...]:
    declared: dict[str, Any] = template.read(stack.template())["Resources"]
    resources = ((logical, physical, declared.get(logical, {})) for logical, physical in stack.resources().items())
    return tuple(
        StackResource(logical, resource.get("Type", ""), physical, resource.get("DeletionPolicy") in _RETAINING)
        for logical, physical, resource in resources
    )


def _check_policies(settings: Settings, resources: Sequence[StackResource]) -> str:
    """Refuse while a policy of the stack is attached outside it: IAM does not delete such a policy, and the stack would
    be deleted in part. Returns why the attachments could not be checked.
    """
    from botocore.exceptions import ClientError

    own = {resource.physical for resource in resources if resource.kind == _ROLE}
    attached = []
    for policy in resources:
        if policy.kind != _POLICY or not policy.physical or policy.retained:
            continue
        try:
            entities = _entities(settings, policy.physical, own)
        except ClientError as error:
            if says_missing(error):
                continue
            if not aws_errors.has_code(error, aws_errors.DENIED):
                raise
            return f"these credentials may not {aws_errors.denied_action(error)}"
        if entities:
            attached.append(f"{name_of(policy.physical)} to {', '.join(entities)}")
    if attached:
        raise PipelineError(
            f"policies of the stack {settings.stack} are attached outside it: {'; '.join(attached)}. Detach them in IAM"
            " first; until then the stack would be deleted only in part"
        )
    return ""


def _entities(settings: Settings, policy: str, own: Collection[str]) -> list[str]:
    """The entities that a policy is attached to, as permissions or as a boundary, without the stack's own roles."""
    return [
        f"the {kind.lower()} {name}"
        for page in client(settings, "iam").get_paginator("list_entities_for_policy").paginate(PolicyArn=policy)
        for kind in ("User", "Group", "Role")
        for name in (entity[f"{kind}Name"] for entity in page[f"Policy{kind}s"])
        if kind != "Role" or name not in own
    ]


def in_use(settings: Settings) -> list[str]:
    """The existing parts of the pipeline that need the stack."""
    sagemaker, endpoint = client(settings, "sagemaker"), settings.endpoint.name
    parts = {
        f"the pipeline {settings.name}": exists(sagemaker.describe_pipeline, PipelineName=settings.name),
        f"the endpoint {endpoint}": exists(sagemaker.describe_endpoint, EndpointName=endpoint),
    }
    existing = [part for part, description in parts.items() if description]
    return existing + [f"the schedule {schedule.name}" for schedule in schedules(settings)]


def delete(settings: Settings, poll: float = POLL_SECONDS) -> Iterator[Event]:
    """Delete the stack; yields events. Raises PipelineError where it fails."""
    yield from Stack(client(settings, "cloudformation"), settings.stack, poll).delete()


def retained_data(settings: Settings) -> RetainedData:
    """The existing bucket and repositories."""
    bucket = settings.data.bucket
    head = exists(client(settings, "s3").head_bucket, Bucket=bucket, ExpectedBucketOwner=settings.account.id)
    names = (settings.repository(image).split("/", 1)[1] for image in REPOSITORIES)
    counts = {name: _image_count(settings, name) for name in names}
    repositories = {name: count for name, count in counts.items() if count is not None}
    if head is None:
        return RetainedData("", repositories)
    return RetainedData(bucket, repositories, _others(settings))


def _image_count(settings: Settings, repository: str) -> int | None:
    from botocore.exceptions import ClientError

    paginator = client(settings, "ecr").get_paginator("list_images")
    try:
        return sum(1 for _ in items(paginator, "imageIds", repositoryName=repository))
    except ClientError as error:
        if says_missing(error):
            return None
        raise


def erased(settings: Settings) -> tuple[str, str]:
    """The prefixes of the pipeline's own objects. The bucket may have other objects besides, and photos below them."""
    return f"{settings.data.prefix}/", f"{settings.code_prefix}/"


def _photos(settings: Settings) -> tuple[str, ...]:
    """The prefixes of the raw photos, which no run can create again; none where they are in another bucket."""
    location = S3Uri.parse(settings.data.image_location)
    if location.bucket != settings.data.bucket:
        return ()
    return location.join("bin-images").key + "/", location.join("metadata").key + "/"


def _others(settings: Settings) -> str:
    """An object or folder in the bucket that erasing leaves; empty where it leaves none.

    The search lists folder by folder down to the pipeline's own, so that these need not be listed.
    """
    ours = erased(settings)
    above = {prefix[: end + 1] for prefix in ours for end, letter in enumerate(prefix[:-1]) if letter == "/"}
    for folder in ("", *sorted(above)):
        for page in _versions(settings, Prefix=folder, Delimiter="/"):
            keys = [version["Key"] for version in _in_page(page)]
            folders = (common["Prefix"] for common in page.get("CommonPrefixes", []))
            if others := [*keys, *(name for name in folders if name not in (*ours, *above))]:
                return str(others[0])
    for photos in _photos(settings):
        if any(_in_page(page) for page in _versions(settings, Prefix=photos)):
            return photos
    return ""


def _versions(settings: Settings, **where: str) -> Iterator[dict[str, Any]]:
    """Pages of the bucket's object versions, of up to 1,000 each, as many keys as DeleteObjects takes."""
    pages = client(settings, "s3").get_paginator("list_object_versions")
    yield from pages.paginate(Bucket=settings.data.bucket, ExpectedBucketOwner=settings.account.id, **where)


def _in_page(page: dict[str, Any]) -> list[dict[str, Any]]:
    return [*page.get("Versions", []), *page.get("DeleteMarkers", [])]


def erase(settings: Settings, data: RetainedData) -> Iterator[int]:
    """Delete the repositories with images, every version of the pipeline's own objects, and the bucket if empty then.

    Yields the number of deleted versions after each page. Raises PipelineError for the first object that cannot be
    deleted.
    """
    for name in data.repositories:
        client(settings, "ecr").delete_repository(repositoryName=name, force=True)
    if data.bucket:
        yield from _delete_versions(settings)
        # Checked first: the local object server deletes a bucket with objects, which S3 refuses.
        if not any(_in_page(page) for page in _versions(settings)):
            client(settings, "s3").delete_bucket(Bucket=data.bucket, ExpectedBucketOwner=settings.account.id)


def _delete_versions(settings: Settings) -> Iterator[int]:
    s3, bucket, photos = client(settings, "s3"), settings.data.bucket, _photos(settings)
    count = 0
    for page in (page for prefix in erased(settings) for page in _versions(settings, Prefix=prefix)):
        objects = [
            {"Key": version["Key"], "VersionId": version["VersionId"]}
            for version in _in_page(page)
            if not version["Key"].startswith(photos)
        ]
        if not objects:
            continue
        answer = s3.delete_objects(
            Bucket=bucket, Delete={"Objects": objects, "Quiet": True}, ExpectedBucketOwner=settings.account.id
        )
        if errors := answer.get("Errors"):
            first = errors[0]
            raise PipelineError(
                f"s3://{bucket}/{first['Key']} cannot be deleted ({first['Code']}: {first.get('Message', '')});"
                f" {count} versions before it are deleted. Fix the cause and run this again"
            )
        count += len(objects)
        yield count
