"""One CloudFormation stack: what state it is in, and change sets that are shown before they act.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-changesets.html
"""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pipeline.account.events import Change, ChangeSet, Event
from pipeline.account.failures import failure, one_line
from steps.contracts.errors import PipelineError

ChangeSetType = Literal["CREATE", "UPDATE", "IMPORT"]
# The template that an account's stack is created from.
TEMPLATE = Path(__file__).with_name("template.yaml")
REVIEW = "REVIEW_IN_PROGRESS"
# Beside throttling, which the client waits for: CloudFormation's own states take seconds to minutes.
POLL_SECONDS = 2.0
CHANGE_SET_SECONDS = 300
# The roles and the bucket take a minute or two; what is stuck for longer is looked at in the console.
STACK_SECONDS = 30 * 60
# For how long after a request a state is not believed without the event that goes with it.
SETTLING_SECONDS = 30
_STACK = "AWS::CloudFormation::Stack"
_OWN = "bootstrap-"
_UNCHANGED = ("didn't contain changes", "No updates are to be performed")
_VALIDATION = "EarlyValidation"
_CONSEQUENCES = ("Resource creation cancelled", "Resource update cancelled", "The following resource(s) failed")


class Stack:
    """The stack `name`, through a boto3 CloudFormation client. `poll` is the longest pause between two looks, in
    seconds.
    """

    def __init__(self, client: Any, name: str, poll: float = POLL_SECONDS) -> None:
        self._client = client
        self.name = name
        self._poll = poll
        self._made = False

    def status(self) -> str:
        """Its state; empty where it is not there."""
        described = self._described(self.name)
        return str(described["StackStatus"]) if described else ""

    def outputs(self) -> dict[str, str]:
        """Its outputs; none where it is not there."""
        described = self._described(self.name) or {}
        return {one["OutputKey"]: one["OutputValue"] for one in described.get("Outputs", [])}

    def parameters(self) -> dict[str, str]:
        """The values that it was made with; none where it is not there, or nothing was made yet."""
        described = self._described(self.name) or {}
        if described.get("StackStatus") == REVIEW:
            return {}
        return {one["ParameterKey"]: one.get("ParameterValue", "") for one in described.get("Parameters", [])}

    def resources(self) -> dict[str, str]:
        """What it holds: physical ids by the names in the template."""
        pages = self._client.get_paginator("list_stack_resources").paginate(StackName=self.name)
        return {
            one["LogicalResourceId"]: one.get("PhysicalResourceId", "")
            for page in pages
            for one in page["StackResourceSummaries"]
            if not one["ResourceStatus"].endswith(("DELETE_COMPLETE", "CREATE_FAILED"))
        }

    # ---------------------------------------------------------------------------------------------- change sets

    def change_set(
        self,
        template: str,
        parameters: Mapping[str, str],
        kind: ChangeSetType,
        *,
        imports: list[dict[str, Any]] | None = None,
        validated: bool = True,
    ) -> ChangeSet:
        """Make a change set and wait until it can be read. It changes nothing before it is executed.

        `validated` is CloudFormation's check that names are not taken yet. Raises PipelineError with CloudFormation's
        reason where it refuses; what was made for it is removed then.
        """
        from botocore.exceptions import ClientError

        name = f"{_OWN}{uuid.uuid4().hex[:12]}"
        request: dict[str, Any] = {
            "StackName": self.name,
            "ChangeSetName": name,
            "ChangeSetType": kind,
            "TemplateBody": template,
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            "Capabilities": ["CAPABILITY_NAMED_IAM"],
        }
        if imports:
            request["ResourcesToImport"] = imports
        if not validated:
            request["DisableValidation"] = True
        self._made = self._made or not self.status()
        self._client.create_change_set(**request)
        try:
            return self._readable(name)
        except BaseException:
            # Why it cannot be read says more than why it cannot be removed.
            with contextlib.suppress(ClientError):
                self.discard(name)
            raise

    def discard(self, name: str) -> None:
        """Remove a change set of ours, and the stack without resources that came with it."""
        described = self._described(self.name)
        if described is None:
            return
        self._client.delete_change_set(StackName=self.name, ChangeSetName=name)
        if described["StackStatus"] == REVIEW and self._made:
            pages = self._client.get_paginator("list_change_sets").paginate(StackName=self.name)
            others = {one["ChangeSetName"] for page in pages for one in page["Summaries"]} - {name}
            if not others:
                self._client.delete_stack(StackName=self.name)
                # Until then whoever comes next would find a stack that somebody changes.
                self._wait_until_gone()

    def _readable(self, name: str) -> ChangeSet:
        for _ in self._looks(CHANGE_SET_SECONDS, f"the change set {name} is not ready"):
            described = self._client.describe_change_set(StackName=self.name, ChangeSetName=name)
            status, reason = described["Status"], described.get("StatusReason", "")
            if status == "FAILED" and any(words in reason for words in _UNCHANGED):
                return ChangeSet(name, (), empty=True)
            if status == "FAILED":
                invalid = self._invalid(name) if _VALIDATION in reason else ""
                raise PipelineError(f"CloudFormation refuses the change of {self.name}: {invalid or one_line(reason)}")
            if status == "CREATE_COMPLETE":
                break
        pages = self._client.get_paginator("describe_change_set").paginate(StackName=self.name, ChangeSetName=name)
        found = (one["ResourceChange"] for page in pages for one in page.get("Changes", []) if "ResourceChange" in one)
        return ChangeSet(name, tuple(_change(one) for one in found))

    def _invalid(self, name: str) -> str:
        """What CloudFormation's validation found; a change set's own reason says only that it found something.

        https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/validate-stack-deployments.html
        """
        pages = self._client.get_paginator("describe_events").paginate(
            StackName=self.name, ChangeSetName=name, Filters={"FailedEvents": True}
        )
        events = (one for page in pages for one in page["OperationEvents"])
        return "; ".join(
            f"{one.get('LogicalResourceId', 'the template')} ({one.get('ResourceType', '')}):"
            f" {one_line(one.get('ValidationStatusReason', ''))}"
            for one in events
            if one.get("EventType") == "VALIDATION_ERROR" and one.get("ValidationFailureMode") != "WARN"
        )

    def execute(self, change_set: ChangeSet) -> Iterator[Event]:
        """Execute a change set; yields what happens until it has ended. Raises PipelineError where it failed."""
        identity, seen = self._id(), self._seen()
        self._client.execute_change_set(StackName=self.name, ChangeSetName=change_set.name)
        yield from self._follow(identity, seen, ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"))

    def delete(self) -> Iterator[Event]:
        """Delete the stack; yields what happens until it has ended. Raises PipelineError where it failed."""
        identity, seen = self._id(), self._seen()
        self._client.delete_stack(StackName=self.name)
        yield from self._follow(identity, seen, ("DELETE_COMPLETE",))

    # --------------------------------------------------------------------------------------------------- events

    def _wait_until_gone(self) -> None:
        """Wait for the end of a deletion that was asked for."""
        for _ in self._looks(CHANGE_SET_SECONDS, f"the stack {self.name} is still there"):
            if not self.status():
                return

    def template(self) -> str:
        """The template that it was made of, as text."""
        body = self._client.get_template(StackName=self.name, TemplateStage="Original")["TemplateBody"]
        return body if isinstance(body, str) else json.dumps(body)

    def _follow(self, identity: str, seen: set[str], good: tuple[str, ...]) -> Iterator[Event]:
        failures: list[Event] = []
        told, settled = "", time.monotonic() + SETTLING_SECONDS
        for _ in self._looks(STACK_SECONDS, f"the stack {self.name} is not done"):
            # First the state, then the events: of a stack that has ended all events are there.
            status = str((self._described(identity) or {}).get("StackStatus", "DELETE_COMPLETE"))
            for event in self._events(identity, seen):
                if event.status.endswith("_FAILED") and not event.reason.startswith(_CONSEQUENCES):
                    failures.append(event)
                if (event.kind, event.resource) == (_STACK, self.name):
                    told = event.status
                yield event
            # What the stack's own events do not say may be the state from before the request.
            stale = status != told and time.monotonic() < settled
            if status.endswith("_IN_PROGRESS") or stale:
                continue
            if status in good:
                return
            raise PipelineError(failure(self.name, status, failures))

    def _events(self, identity: str, seen: set[str]) -> list[Event]:
        """Events that are not in `seen`, oldest first; they are put there."""
        new = []
        for page in self._client.get_paginator("describe_stack_events").paginate(StackName=identity):
            fresh = [one for one in page["StackEvents"] if one["EventId"] not in seen]
            new += fresh
            if len(fresh) < len(page["StackEvents"]):
                break  # newest first: what follows is older
        seen |= {one["EventId"] for one in new}
        return [_event(one) for one in reversed(new)]

    def _seen(self) -> set[str]:
        """The newest events of the past: where one of them comes, all is told."""
        pages = self._client.get_paginator("describe_stack_events").paginate(StackName=self._id())
        return {one["EventId"] for one in next(iter(pages))["StackEvents"]}

    def _id(self) -> str:
        """ARN of the stack, by which it is found when it is deleted too."""
        described = self._described(self.name)
        return str(described["StackId"]) if described else self.name

    def _described(self, name: str) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        try:
            stacks: list[dict[str, Any]] = self._client.describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if _no_such_stack(error):
                return None
            raise
        return stacks[0] if stacks and (stacks[0]["StackStatus"] != "DELETE_COMPLETE" or name != self.name) else None

    def _looks(self, seconds: float, problem: str) -> Iterator[None]:
        """Ever again, with pauses that grow to `poll`; raises PipelineError after `seconds`."""
        deadline, pause = time.monotonic() + seconds, self._poll / 10
        while True:
            yield
            if time.monotonic() > deadline:
                minutes = f"{seconds / 60:.0f} minutes"
                raise PipelineError(f"{problem} after {minutes}; look at it in CloudFormation's console")
            time.sleep(pause)
            pause = min(pause * 1.5, self._poll)


def _change(change: Mapping[str, Any]) -> Change:
    policy = change.get("PolicyAction", "")
    targets = [one.get("Target", {}) for one in change.get("Details", [])]
    return Change(
        action=change["Action"],
        resource=change["LogicalResourceId"],
        kind=change["ResourceType"],
        replacement=change.get("Replacement", "") if change["Action"] == "Modify" else "",
        physical=change.get("PhysicalResourceId", ""),
        kept=policy in ("Retain", "ReplaceAndRetain"),
        properties=tuple(dict.fromkeys(name for one in targets if (name := one.get("Name")))),
    )


def _event(event: Mapping[str, Any]) -> Event:
    return Event(
        time=event["Timestamp"],
        resource=event["LogicalResourceId"],
        kind=event["ResourceType"],
        status=event["ResourceStatus"],
        reason=event.get("ResourceStatusReason", ""),
    )


def _no_such_stack(error: Any) -> bool:
    """CloudFormation says it by a ValidationError whose message is all there is to tell."""
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    return code == "ValidationError" and "does not exist" in message
