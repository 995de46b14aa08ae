"""Make what an account gets once, the stack of `pipeline/account/template.yaml`: plan it, make it, delete it.

The bucket comes first, then the deploy function's zip in it, then everything else. What a deleted stack has left
behind, the bucket and the image repositories, is taken over by the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pipeline.account import function_code, stack
from pipeline.account.events import Change, ChangeSet, Event
from pipeline.account.failures import remedy
from pipeline.account.leftovers import Leftover, buckets, first_stage, import_template, leftovers
from pipeline.account.parameters import parameters
from pipeline.account.stack import POLL_SECONDS, REVIEW, Stack
from pipeline.clients import client, verify_account
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

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
        self._template = stack.TEMPLATE.read_text()
        self._code = function_code.function_zip()
        self._key = function_code.code_key(settings, self._code)
        self._shown: ChangeSet | None = None
        self._leftovers: list[Leftover] = []
        self._exists = False

    def plan(self) -> Plan:
        """What there is to do, as CloudFormation sees it. Nothing is changed.

        Raises PipelineError for credentials of another account, for a stack in a state that allows no change or with
        another bucket, and for a bucket that somebody else owns.
        """
        verify_account(self._settings)
        status = self._stack.status()
        if status not in _READY:
            raise PipelineError(f"the stack {self._stack.name} is in {status}: {remedy(self._stack.name, status)}")
        self._exists = status not in ("", REVIEW)
        held = self._stack.resources() if self._exists else {}
        first = first_stage(self._settings, self._template, parameters(self._settings, ""))
        self._check_bucket(held, buckets(first))
        self._leftovers = leftovers(self._settings, first, besides=set(held))
        if status and self._leftovers:
            missing = ", ".join(one.logical for one in self._leftovers)
            raise PipelineError(
                f"the stack {self._stack.name} ({status}) is there without {missing}, which the account has already and"
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
        taken = {one.logical: one for one in self._leftovers}
        changes = (
            replace(one, action="Import", physical=taken[one.resource].name, properties=taken[one.resource].changes)
            if one.resource in taken
            else one
            for one in self._shown.changes
        )
        return Plan(self._stack.name, self._exists, tuple(changes), empty=self._shown.empty)

    def _check_bucket(self, held: Mapping[str, str], wanted: Mapping[str, str]) -> None:
        """Under another bucket the rest of the stack, made of its name, would be made anew, without what is in it."""
        for logical, name in wanted.items():
            if (held.get(logical) or name) != name:
                raise PipelineError(
                    f"the stack {self._stack.name} has the bucket {held[logical]}, and data.bucket names {name}; set it"
                    " back, or take another name for a pipeline with that bucket, or delete the stack first, which"
                    " keeps the data: python -m pipeline bootstrap --delete"
                )

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
        if not self._stack.parameters().get("DeployCode"):
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

    def _make(self, values: Mapping[str, str]) -> Iterator[Event]:
        """Bring the stack to the template with these values."""
        kind: Literal["CREATE", "UPDATE"] = "CREATE" if self._stack.status() in ("", REVIEW) else "UPDATE"
        change_set = self._stack.change_set(self._template, values, kind)
        if change_set.empty:
            self._stack.discard(change_set.name)
        else:
            yield from self._stack.execute(change_set)

    def _take_over(self) -> Iterator[Event]:
        """Begin the stack with what is there already."""
        self.discard()
        body, imports = import_template(self._template, self._leftovers), [one.imported for one in self._leftovers]
        change_set = self._stack.change_set(body, parameters(self._settings, ""), "IMPORT", imports=imports)
        yield from self._stack.execute(change_set)

    def _upload(self) -> None:
        """Put the deploy function's zip, whatever lies there: somebody else may have put it, to be run as the function.

        The bucket keeps every version.
        """
        client(self._settings, "s3").put_object(
            Bucket=self._settings.data.bucket,
            Key=self._key,
            Body=self._code,
            ContentType="application/zip",
            ExpectedBucketOwner=self._settings.account.id,
        )


def bring_up_to_date(settings: Settings, poll: float = POLL_SECONDS) -> Bootstrapped:
    """Plan and apply at once, without a question."""
    bootstrap = Bootstrap(settings, poll)
    if bootstrap.plan().empty:
        return bootstrap.unchanged()
    for _ in bootstrap.apply():
        pass
    return bootstrap.result()
