"""Create or update the account's stack from `pipeline/account/template.yaml`: plan, then apply.

The bucket comes first, then the deploy function's zip and the template in it, then all other resources. Resources that
a deleted stack retained, the bucket and the image repositories, are imported into the next stack.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pipeline.account import stack
from pipeline.account.deploy_function import code_key, function_zip
from pipeline.account.events import Change, ChangeSet, Event, remedy
from pipeline.account.parameters import parameters
from pipeline.account.retained import RetainedResource, buckets, first_stage, import_template, retained_resources
from pipeline.account.stack import POLL_SECONDS, REVIEW, Stack
from pipeline.account.stages import declared_values, first_stage_template, later_changes, template_key, template_url
from pipeline.aws import errors as aws_errors
from pipeline.aws.responses import exists
from pipeline.clients import client, verify_account
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

# States in which a stack can be changed, or does not exist.
_CHANGES = ("CREATE", "UPDATE", "UPDATE_ROLLBACK", "IMPORT", "IMPORT_ROLLBACK")
_READY = ("", REVIEW, *(f"{change}_COMPLETE" for change in _CHANGES))


@dataclass(frozen=True)
class BootstrapPlan:
    """What a bootstrap would change; an empty plan changes nothing. Outputs may change without a resource."""

    stack: str
    exists: bool
    changes: tuple[Change, ...]
    empty: bool = False


@dataclass(frozen=True)
class BootstrapResult:
    """The account's stack and the change that was made."""

    stack: str
    change: Literal["created", "updated", "unchanged"]
    outputs: dict[str, str]


class Bootstrap:
    """Creates or updates an account's stack: `plan`, then `apply` or `discard`.

    `poll` is the seconds between two looks at CloudFormation.
    """

    def __init__(self, settings: Settings, poll: float = POLL_SECONDS) -> None:
        self._settings = settings
        self._stack = Stack(client(settings, "cloudformation"), settings.stack, poll, settings.tags)
        self._template = stack.TEMPLATE.read_text()
        self._first_template = first_stage_template(self._template)
        self._code = function_zip()
        self._key = code_key(settings, self._code)
        self._change_set: ChangeSet | None = None
        self._retained: list[RetainedResource] = []
        self._exists = False

    def plan(self) -> BootstrapPlan:
        """The changes according to CloudFormation. No resource is changed; the template is put into an existing bucket.

        Before there is a bucket, CloudFormation is asked about the first stage, and the other resources are those of
        the template. Raises PipelineError for credentials of another account, for a stack in a state that allows no
        change or with another bucket or without its bucket, and for a bucket of another account.
        """
        verify_account(self._settings)
        status = self._stack.status()
        if status not in _READY:
            raise PipelineError(f"the stack {self._stack.name} is in {status}: {remedy(self._stack.name, status)}")
        self._exists = status not in ("", REVIEW)
        resources = self._stack.resources() if self._exists else {}
        first = first_stage(self._settings, self._template, parameters(self._settings, ""))
        self._check_bucket(resources, buckets(first))
        self._check_key()
        self._check_provider(resources)
        self._retained = retained_resources(self._settings, first, besides=set(resources))
        if status and self._retained:
            missing = ", ".join(retained.logical for retained in self._retained)
            raise PipelineError(
                f"the stack {self._stack.name} ({status}) exists without {missing}, which exist in the account and can"
                " be imported into a new stack only; delete the stack, which retains them: python -m pipeline bootstrap"
                " --delete; and bootstrap again"
            )
        values = parameters(self._settings, self._key)
        has_bucket = bool(set(buckets(first)) & {*resources, *(retained.logical for retained in self._retained)})
        if has_bucket:
            self._put_template()
        self._change_set = self._stack.change_set(
            template_url(self._settings, self._template) if has_bucket else self._first_template,
            values if has_bucket else declared_values(self._first_template, values),
            "UPDATE" if self._exists else "CREATE",
            # The names of resources to import are in use.
            validated=not self._retained,
        )
        changes = list(self._change_set.changes)
        if not has_bucket:
            earlier = {change.resource for change in changes}
            changes += later_changes(self._settings, self._template, values, earlier)
        imports = {retained.logical: retained for retained in self._retained}
        changes = [
            replace(change, action="Import", physical=retained.name, properties=retained.changes)
            if (retained := imports.get(change.resource))
            else change
            for change in changes
        ]
        return BootstrapPlan(self._stack.name, self._exists, tuple(changes), empty=self._change_set.empty)

    def _check_bucket(self, resources: Mapping[str, str], wanted: Mapping[str, str]) -> None:
        """Refuse another bucket: the resources named after it would be replaced, without the data in it."""
        for logical, name in wanted.items():
            if (resources.get(logical) or name) != name:
                raise PipelineError(
                    f"the stack {self._stack.name} has the bucket {resources[logical]}, and data.bucket names {name};"
                    " set it back, or choose another name for a pipeline with that bucket, or delete the stack first,"
                    " which retains the data: python -m pipeline bootstrap --delete"
                )

    def _check_key(self) -> None:
        """Refuse another key: the repositories under it would be replaced, which CloudFormation refuses halfway.

        https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ecr-repository.html
        """
        present, wanted = self._stack.parameters().get("KmsKey"), self._settings.encryption.kms_key
        if present is not None and present != wanted:
            raise PipelineError(
                f"the stack {self._stack.name} was created with {present or 'no key'}, and encryption.kms_key names"
                f" {wanted or 'no key'}; a repository's encryption cannot be changed: set it back, or choose another"
                " name for a pipeline with that key"
            )

    def _check_provider(self, resources: Mapping[str, str]) -> None:
        """Refuse to create GitHub's identity provider where the account has it: another stack, or this one before."""
        ci = self._settings.ci
        if not (ci.github_repository and ci.make_provider) or "GithubProvider" in resources:
            return
        arn = f"arn:aws:iam::{self._settings.account.id}:oidc-provider/token.actions.githubusercontent.com"
        if exists(client(self._settings, "iam").get_open_id_connect_provider, OpenIDConnectProviderArn=arn):
            raise PipelineError(
                "the account has GitHub's identity provider already, and can have one only; set ci.make_provider: false"
            )

    def discard(self) -> None:
        """Delete the plan's change set."""
        if self._change_set is not None:
            self._stack.discard(self._change_set.name)
            self._change_set = None

    def apply(self) -> Iterator[Event]:
        """Carry out the plan; yields events. Raises PipelineError with the reason of the first failure."""
        change_set = self._change_set
        if self._retained:
            yield from self._import()
            change_set = None
        if not self._stack.parameters().get("DeployCode"):
            values = declared_values(self._first_template, parameters(self._settings, ""))
            yield from self._update(self._first_template, values)
            change_set = None
        self._put_code()
        # A change set applies to the stack as it was, so that each change before needs another one.
        self._change_set = None
        if change_set is not None:
            yield from self._stack.execute(change_set)
        else:
            self._put_template()
            url = template_url(self._settings, self._template)
            yield from self._update(url, parameters(self._settings, self._key))

    def result(self) -> BootstrapResult:
        """The stack after `apply`."""
        return BootstrapResult(self._stack.name, "updated" if self._exists else "created", self._stack.outputs())

    def unchanged(self) -> BootstrapResult:
        """The stack after an empty plan, which is discarded."""
        self.discard()
        return BootstrapResult(self._stack.name, "unchanged", self._stack.outputs())

    def _update(self, template: str, values: Mapping[str, str]) -> Iterator[Event]:
        kind: Literal["CREATE", "UPDATE"] = "CREATE" if self._stack.status() in ("", REVIEW) else "UPDATE"
        change_set = self._stack.change_set(template, values, kind)
        if change_set.empty:
            self._stack.discard(change_set.name)
        else:
            yield from self._stack.execute(change_set)

    def _import(self) -> Iterator[Event]:
        self.discard()
        body, imports = import_template(self._template, self._retained), [item.imported for item in self._retained]
        values = declared_values(body, parameters(self._settings, ""))
        change_set = self._stack.change_set(body, values, "IMPORT", imports=imports)
        yield from self._stack.execute(change_set)

    def _put_code(self) -> None:
        """Put the deploy function's zip."""
        self._put(self._key, self._code, "application/zip")

    def _put_template(self) -> None:
        """Put the template. Raises PipelineError where the stack's bucket does not exist any more."""
        from botocore.exceptions import ClientError

        try:
            self._put(template_key(self._settings, self._template), self._template.encode(), "application/yaml")
        except ClientError as error:
            if not aws_errors.has_code(error, ("NoSuchBucket",)):
                raise
            bucket, name = self._settings.data.bucket, self._stack.name
            raise PipelineError(
                f"the stack {name} has the bucket {bucket}, which does not exist any more; create it:"
                f" aws s3 mb s3://{bucket} --region {self._settings.account.region}; and bootstrap again"
            ) from error

    def _put(self, key: str, body: bytes, kind: str) -> None:
        """Put an object, also over an existing one, which others may have put there.

        The bucket retains every version.
        """
        client(self._settings, "s3").put_object(
            Bucket=self._settings.data.bucket,
            Key=key,
            Body=body,
            ContentType=kind,
            ExpectedBucketOwner=self._settings.account.id,
        )


def bring_up_to_date(settings: Settings, poll: float = POLL_SECONDS) -> BootstrapResult:
    """Plan and apply without a question."""
    bootstrap = Bootstrap(settings, poll)
    if bootstrap.plan().empty:
        return bootstrap.unchanged()
    for _ in bootstrap.apply():
        pass
    return bootstrap.result()
