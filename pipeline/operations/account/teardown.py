"""Take from an account what a bootstrap gave it: the stack, and with it or later the data that is kept."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.account.events import Event
from pipeline.account.failures import remedy
from pipeline.account.stack import POLL_SECONDS, REVIEW, Stack
from pipeline.aws import cloudformation as template
from pipeline.aws import errors as aws_errors
from pipeline.aws.responses import says_missing
from pipeline.clients import client, verify_account
from pipeline.operations.runs.schedules import schedules
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

_KEPT = ("Retain", "RetainExceptOnCreate")
_POLICY, _ROLE = "AWS::IAM::ManagedPolicy", "AWS::IAM::Role"


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
    others: str = ""
    """An object, or a folder of objects, that the pipeline has not made and that lies in the bucket too."""

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
    unlooked: str = ""
    """Why nobody looked whether somebody holds the stack's policies; empty where that was looked at."""


def plan(settings: Settings) -> Teardown:
    """What there is to delete, and what stays. Nothing is changed.

    Raises PipelineError for credentials of another account, while the pipeline, its endpoint or its schedules are still
    there, for a stack that is being changed, and while somebody outside it holds one of its policies.
    """
    verify_account(settings)
    if users := in_use(settings):
        raise PipelineError(f"still there: {', '.join(users)}; delete the pipeline first: python -m pipeline delete")
    stack = Stack(client(settings, "cloudformation"), settings.stack)
    status = stack.status()
    if status.endswith("_IN_PROGRESS") and status != REVIEW:
        raise PipelineError(f"the stack {settings.stack} is in {status}: {remedy(settings.stack, status)}")
    held = _held(stack) if status else ()
    unlooked = _check_policies(settings, held)
    return Teardown(settings.stack if status else "", status, held, kept_data(settings), unlooked)


def _check_policies(settings: Settings, held: Sequence[Held]) -> str:
    """Refuse while somebody outside the stack holds one of its policies: IAM does not delete it then, and the stack is
    left without the half that goes before. Gives why that could not be looked at.
    """
    from botocore.exceptions import ClientError

    own = {one.physical for one in held if one.kind == _ROLE}
    holders = []
    for one in held:
        if one.kind == _POLICY and one.physical and not one.kept:
            try:
                found = _holders(settings, one.physical, own)
            except ClientError as error:
                if says_missing(error):
                    continue
                if not aws_errors.has_code(error, aws_errors.DENIED):
                    raise
                return f"these credentials may not {aws_errors.denied_action(error)}"
            if found:
                holders.append(f"{one.physical.rpartition('/')[2]} by {', '.join(found)}")
    if holders:
        raise PipelineError(
            f"policies of the stack {settings.stack} are held by others: {'; '.join(holders)}. Detach them in IAM"
            " first; until then the stack would be deleted only by half"
        )
    return ""


def _holders(settings: Settings, policy: str, own: Collection[str]) -> list[str]:
    """Who holds a policy, as permissions or as a boundary, besides the stack's own roles."""
    found = []
    for page in client(settings, "iam").get_paginator("list_entities_for_policy").paginate(PolicyArn=policy):
        for kind in ("User", "Group", "Role"):
            names = (one[f"{kind}Name"] for one in page[f"Policy{kind}s"])
            found += [f"the {kind.lower()} {name}" for name in names if kind != "Role" or name not in own]
    return found


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
    return Data(bucket if there else "", repositories, _others(settings) if there else "")


def erased(settings: Settings) -> tuple[str, str]:
    """Where in the bucket the pipeline's own objects lie. Others may lie beside them, and photos below them."""
    return f"{settings.data.prefix}/", f"{settings.code_prefix}/"


def _photos(settings: Settings) -> tuple[str, ...]:
    """Where in the bucket the raw photos lie, which no run could make again; none where they lie in another one."""
    bucket, _, key = settings.data.image_location.removeprefix("s3://").partition("/")
    folder = f"{key.rstrip('/')}/".lstrip("/")
    return (f"{folder}bin-images/", f"{folder}metadata/") if bucket == settings.data.bucket else ()


def _others(settings: Settings) -> str:
    """One object or folder in the bucket that erasing leaves; empty where it leaves none. It is found folder by folder
    down to the pipeline's own, so that nobody waits for these to be listed.
    """
    ours = erased(settings)
    above = {prefix[: end + 1] for prefix in ours for end, letter in enumerate(prefix[:-1]) if letter == "/"}
    for folder in ("", *sorted(above)):
        for page in _versions(settings, Prefix=folder, Delimiter="/"):
            below = (one["Prefix"] for one in page.get("CommonPrefixes", []))
            if found := [*(one["Key"] for one in _found(page)), *(one for one in below if one not in (*ours, *above))]:
                return str(found[0])
    for photos in _photos(settings):
        if any(_found(page) for page in _versions(settings, Prefix=photos)):
            return photos
    return ""


def _versions(settings: Settings, **where: str) -> Iterator[dict[str, Any]]:
    """Pages of the bucket's versions; each is as long as DeleteObjects takes keys: 1,000."""
    pages = client(settings, "s3").get_paginator("list_object_versions")
    yield from pages.paginate(Bucket=settings.data.bucket, ExpectedBucketOwner=settings.account.id, **where)


def _found(page: dict[str, Any]) -> list[dict[str, Any]]:
    return [*page.get("Versions", []), *page.get("DeleteMarkers", [])]


def erase(settings: Settings, data: Data) -> Iterator[int]:
    """Delete the repositories with their images, every version of the pipeline's own objects, and the bucket where
    nothing is left in it then.

    Yields how many versions are gone, page by page. Raises PipelineError for the first object that is not to be
    deleted.
    """
    ecr = client(settings, "ecr")
    for name in data.repositories:
        ecr.delete_repository(repositoryName=name, force=True)
    if data.bucket:
        yield from _emptied(settings)
        # Asked for, as the local object server would take along what S3 refuses to.
        if not any(_found(page) for page in _versions(settings)):
            client(settings, "s3").delete_bucket(Bucket=data.bucket, ExpectedBucketOwner=settings.account.id)


def _emptied(settings: Settings) -> Iterator[int]:
    s3, bucket, photos = client(settings, "s3"), settings.data.bucket, _photos(settings)
    gone = 0
    for page in (page for prefix in erased(settings) for page in _versions(settings, Prefix=prefix)):
        found = [one for one in _found(page) if not one["Key"].startswith(photos)]
        if not found:
            continue
        objects = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]
        answer = s3.delete_objects(
            Bucket=bucket, Delete={"Objects": objects, "Quiet": True}, ExpectedBucketOwner=settings.account.id
        )
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
