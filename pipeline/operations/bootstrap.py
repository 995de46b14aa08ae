"""Make what an account gets once, the stack of `pipeline/infrastructure/template.yaml`: plan it, make it, delete it.

The bucket comes first, then the deploy function's zip in it, then everything else. What a deleted stack has left
behind, the bucket and the image repositories, is taken over by the next one.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pipeline.errors import PipelineError
from pipeline.infrastructure import function_code, template
from pipeline.infrastructure.failures import remedy
from pipeline.infrastructure.parameters import parameters
from pipeline.infrastructure.stack import POLL_SECONDS, REVIEW, Change, ChangeSet, Event, Stack
from pipeline.operations.responses import says_missing
from pipeline.session import client, verify_account
from pipeline.settings import Settings

BUCKET, POLICY, REPOSITORY = "AWS::S3::Bucket", "AWS::S3::BucketPolicy", "AWS::ECR::Repository"
# What deleted stacks leave behind, and the property that each is found by.
_NAMING = {BUCKET: "BucketName", POLICY: "Bucket", REPOSITORY: "RepositoryName"}
# States in which a stack can be changed or is not there.
_READY = (
    "",
    REVIEW,
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
)


@dataclass(frozen=True)
class Plan:
    """What a bootstrap would do; `empty` where that is nothing. Outputs may change without a resource."""

    stack: str
    exists: bool
    changes: tuple[Change, ...]
    empty: bool = False


@dataclass(frozen=True)
class Bootstrapped:
    """The account's stack, and what had to be done for it."""

    stack: str
    change: Literal["created", "updated", "unchanged"]
    outputs: dict[str, str]


class Bootstrap:
    """Brings one account up to date with the template: `plan`, then `apply` or `discard`.

    `poll` is the longest pause between two looks at CloudFormation, in seconds.
    """

    def __init__(self, settings: Settings, poll: float = POLL_SECONDS) -> None:
        self._settings = settings
        self._stack = Stack(client(settings, "cloudformation"), settings.stack, poll)
        self._template = template.ACCOUNT.read_text()
        self._code = function_code.function_zip()
        self._key = function_code.code_key(settings, self._code)
        self._shown: ChangeSet | None = None
        self._leftovers: list[dict[str, Any]] = []
        self._exists = False

    def plan(self) -> Plan:
        """What there is to do, as CloudFormation sees it. Nothing is changed.

        Raises PipelineError for credentials of another account, for a stack in a state that allows no change, and for a
        bucket that somebody else owns.
        """
        verify_account(self._settings)
        status = self._stack.status()
        if status not in _READY:
            raise PipelineError(f"the stack {self._stack.name} is in {status}: {remedy(self._stack.name, status)}")
        self._exists = status not in ("", REVIEW)
        held = self._stack.resources() if self._exists else {}
        self._leftovers = leftovers(self._settings, self._template, besides=set(held))
        if status and self._leftovers:
            names = ", ".join(one["LogicalResourceId"] for one in self._leftovers)
            raise PipelineError(
                f"the stack {self._stack.name} ({status}) is there without {names}, which the account has already and"
                " only a new stack can take over; delete the stack, which keeps them: python -m pipeline bootstrap"
                " --delete; and bootstrap again"
            )
        self._shown = self._stack.change_set(
            self._template,
            parameters(self._settings, self._key),
            "UPDATE" if self._exists else "CREATE",
            # Of what is taken over the names are taken.
            validated=not self._leftovers,
        )
        imported = {one["LogicalResourceId"]: one["ResourceIdentifier"] for one in self._leftovers}
        changes = (
            replace(one, action="Import", physical=next(iter(imported[one.resource].values())))
            if one.resource in imported
            else one
            for one in self._shown.changes
        )
        return Plan(self._stack.name, self._exists, tuple(changes), empty=self._shown.empty)

    def discard(self) -> None:
        """Leave nothing of the plan behind."""
        if self._shown is not None:
            self._stack.discard(self._shown.name)
            self._shown = None

    def apply(self) -> Iterator[Event]:
        """Do what was planned; yields what happens. Raises PipelineError with the reason of the first failure."""
        shown = self._shown
        if self._leftovers:
            yield from self._take_over()
            shown = None
        if self._settings.data.bucket not in self._held():
            yield from self._make(parameters(self._settings, ""))
            shown = None
        self._upload()
        # What was shown is still true, but a change set is of the stack as it was.
        self._shown = None
        if shown is not None:
            yield from self._stack.execute(shown)
        else:
            yield from self._make(parameters(self._settings, self._key))

    def result(self) -> Bootstrapped:
        """What came of it; for a plan without changes too."""
        change: Literal["created", "updated"] = "updated" if self._exists else "created"
        return Bootstrapped(self._stack.name, change, self._stack.outputs())

    def unchanged(self) -> Bootstrapped:
        """What there is, where nothing had to be done."""
        self.discard()
        return Bootstrapped(self._stack.name, "unchanged", self._stack.outputs())

    def _held(self) -> set[str]:
        return set(self._stack.resources().values()) if self._stack.status() not in ("", REVIEW) else set()

    def _make(self, values: Mapping[str, str]) -> Iterator[Event]:
        """Bring the stack to the template with these values."""
        kind: Literal["CREATE", "UPDATE"] = "CREATE" if self._stack.status() in ("", REVIEW) else "UPDATE"
        change_set = self._stack.change_set(self._template, values, kind)
        if change_set.empty:
            self._stack.discard(change_set.name)
        else:
            yield from self._stack.execute(change_set)

    def _take_over(self) -> Iterator[Event]:
        """Begin the stack with what is there already: an import adds nothing else, no output either."""
        self.discard()
        whole = template.read(self._template)
        taken = {one["LogicalResourceId"] for one in self._leftovers}
        part = {key: value for key, value in whole.items() if key != "Outputs"}
        part["Resources"] = {
            name: copy.deepcopy(whole["Resources"][name]) for name in whole["Resources"] if name in taken
        }
        values = parameters(self._settings, "")
        change_set = self._stack.change_set(json.dumps(part), values, "IMPORT", imports=self._leftovers)
        yield from self._stack.execute(change_set)

    def _upload(self) -> None:
        """Put the deploy function's zip where it is not yet."""
        from botocore.exceptions import ClientError

        s3 = client(self._settings, "s3")
        where = {
            "Bucket": self._settings.data.bucket,
            "Key": self._key,
            "ExpectedBucketOwner": self._settings.account.id,
        }
        try:
            s3.head_object(**where)
        except ClientError as error:
            if not says_missing(error):
                raise
            s3.put_object(**where, Body=self._code, ContentType="application/zip")


def bring_up_to_date(settings: Settings, poll: float = POLL_SECONDS) -> Bootstrapped:
    """Plan and apply at once, without a question."""
    bootstrap = Bootstrap(settings, poll)
    if bootstrap.plan().empty:
        return bootstrap.unchanged()
    for _ in bootstrap.apply():
        pass
    return bootstrap.result()


def leftovers(settings: Settings, text: str, besides: Collection[str] = ()) -> list[dict[str, Any]]:
    """What the template keeps and the account has already, as CloudFormation's resources to import.

    `besides` are names in the template of what a stack holds.
    """
    evaluation = _evaluation(settings, text)
    found = []
    for logical, resource in evaluation.resources().items():
        kind = resource["Type"]
        if logical in besides or kind not in _NAMING or "DeletionPolicy" not in resource:
            continue
        name = evaluation.value(resource["Properties"][_NAMING[kind]])
        if _exists(settings, kind, name):
            identifier = {_NAMING[kind]: name}
            found.append({"ResourceType": kind, "LogicalResourceId": logical, "ResourceIdentifier": identifier})
    return found


def _evaluation(settings: Settings, text: str) -> template.Evaluation:
    """The template's first stage: what is kept. A reference to one of its buckets is the bucket's name."""
    declared = template.read(text)
    pseudo = {
        "AWS::AccountId": settings.account.id,
        "AWS::Region": settings.account.region,
        "AWS::Partition": "aws",
        "AWS::StackName": settings.stack,
        "AWS::URLSuffix": "amazonaws.com",
    }
    evaluation = template.Evaluation(declared, parameters(settings, ""), pseudo)
    evaluation.reference = lambda name: str(evaluation.value(declared["Resources"][name]["Properties"]["BucketName"]))
    return evaluation


def _exists(settings: Settings, kind: str, name: str) -> bool:
    from botocore.exceptions import ClientError

    try:
        if kind == REPOSITORY:
            client(settings, "ecr").describe_repositories(repositoryNames=[name])
        elif kind == POLICY:
            client(settings, "s3").get_bucket_policy(Bucket=name, **_owner(settings))
        else:
            _check_region(settings, client(settings, "s3").head_bucket(Bucket=name, **_owner(settings)))
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if says_missing(error) or code in ("RepositoryNotFoundException", "NoSuchBucketPolicy"):
            return False
        if kind == BUCKET and code in ("403", "Forbidden", "AccessDenied"):
            raise PipelineError(
                f"the bucket {name} is there, and belongs to another account or is closed to these credentials;"
                " name another one in data.bucket: names are taken all over AWS"
            ) from error
        raise
    return True


def _check_region(settings: Settings, head: Mapping[str, Any]) -> None:
    region = head.get("BucketRegion", settings.account.region)
    if region != settings.account.region:
        raise PipelineError(
            f"the bucket {settings.data.bucket} is in {region}, the pipeline in {settings.account.region}; name another"
            " bucket in data.bucket, or another account.region"
        )


def _owner(settings: Settings) -> dict[str, str]:
    return {"ExpectedBucketOwner": settings.account.id}
