"""One CloudFormation stack: its state, its change sets, and its deletion.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-changesets.html
"""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pipeline.account.events import Change, ChangeSet, Event, failure, one_line
from pipeline.aws.pages import items
from pipeline.aws.responses import exists
from pipeline.aws.tags import tagged
from pipeline.aws.waiting import wait_until
from steps.contracts.errors import PipelineError

T = TypeVar("T")
ChangeSetType = Literal["CREATE", "UPDATE", "IMPORT"]
TEMPLATE = Path(__file__).with_name("template.yaml")
REVIEW = "REVIEW_IN_PROGRESS"
# A stack's states last for seconds to minutes.
POLL_SECONDS = 2.0
CHANGE_SET_SECONDS = 300
# Longest time without an event; roles and the bucket take a minute or two.
STACK_SECONDS = 30 * 60
# For this long after a request, a state without its own event may be the state from before the request.
SETTLING_SECONDS = 30
_STACK = "AWS::CloudFormation::Stack"
_PREFIX = "bootstrap-"
_UNCHANGED = ("didn't contain changes", "No updates are to be performed")
_VALIDATION = "EarlyValidation"
_CONSEQUENCES = ("Resource creation cancelled", "Resource update cancelled", "The following resource(s) failed")


class Stack:
    """The stack `name`, through a boto3 CloudFormation client; `poll` is the seconds between two looks.

    Its change sets give the stack exactly `tags`, which CloudFormation passes to the resources that can have them, or
    leave its tags where there are none.
    """

    def __init__(
        self, client: Any, name: str, poll: float = POLL_SECONDS, tags: Mapping[str, str] | None = None
    ) -> None:
        self._client = client
        self.name = name
        self._poll = poll
        self._tags = tags or {}
        self._is_new = False

    def status(self) -> str:
        """The stack's state; empty where it does not exist."""
        return str(self._description().get("StackStatus", ""))

    def outputs(self) -> dict[str, str]:
        """The stack's outputs; none where it does not exist."""
        return {output["OutputKey"]: output["OutputValue"] for output in self._description().get("Outputs", [])}

    def parameters(self) -> dict[str, str]:
        """The values that the stack was created with; none where it does not exist or is in review."""
        description = self._description()
        if description.get("StackStatus") == REVIEW:
            return {}
        parameters = description.get("Parameters", [])
        return {parameter["ParameterKey"]: parameter.get("ParameterValue", "") for parameter in parameters}

    def resources(self) -> dict[str, str]:
        """Physical ids of the stack's resources, by logical id."""
        paginator = self._client.get_paginator("list_stack_resources")
        return {
            resource["LogicalResourceId"]: resource.get("PhysicalResourceId", "")
            for resource in items(paginator, "StackResourceSummaries", StackName=self.name)
            if not resource["ResourceStatus"].endswith(("DELETE_COMPLETE", "CREATE_FAILED"))
        }

    def template(self) -> str:
        """The template that the stack was created with, as text."""
        body = self._client.get_template(StackName=self.name, TemplateStage="Original")["TemplateBody"]
        return body if isinstance(body, str) else json.dumps(body)

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
        """Create a change set and wait until it can be read. It changes nothing before it is executed.

        `template` is its text, or the https URL of an object in S3, which CloudFormation reads as the caller.
        `validated` is CloudFormation's check that names are free. Raises PipelineError with CloudFormation's reason
        where it refuses; the change set is deleted then.
        """
        from botocore.exceptions import ClientError

        name = f"{_PREFIX}{uuid.uuid4().hex[:12]}"
        request: dict[str, Any] = {
            "StackName": self.name,
            "ChangeSetName": name,
            "ChangeSetType": kind,
            ("TemplateURL" if template.startswith("https://") else "TemplateBody"): template,
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            "Capabilities": ["CAPABILITY_NAMED_IAM"],
            **tagged(self._tags),
        }
        if imports:
            request["ResourcesToImport"] = imports
        if not validated:
            request["DisableValidation"] = True
        self._is_new = self._is_new or not self.status()
        self._client.create_change_set(**request)
        try:
            return self._readable(name)
        except BaseException:
            # The first error matters more than an error of the deletion.
            with contextlib.suppress(ClientError):
                self.discard(name)
            raise

    def discard(self, name: str) -> None:
        """Delete a change set, and the stack without resources that was created with it."""
        description = self._description()
        if not description:
            return
        self._client.delete_change_set(StackName=self.name, ChangeSetName=name)
        if description["StackStatus"] == REVIEW and self._is_new:
            change_sets = items(self._client.get_paginator("list_change_sets"), "Summaries", StackName=self.name)
            if {change_set["ChangeSetName"] for change_set in change_sets} <= {name}:
                self._client.delete_stack(StackName=self.name)
                # The next bootstrap refuses a stack that is being deleted.
                self._wait(lambda: None if self.status() else True, CHANGE_SET_SECONDS, "is not deleted")

    def _readable(self, name: str) -> ChangeSet:
        request = {"StackName": self.name, "ChangeSetName": name}

        def ended() -> dict[str, Any] | None:
            description: dict[str, Any] = self._client.describe_change_set(**request)
            return description if description["Status"] in ("CREATE_COMPLETE", "FAILED") else None

        description = self._wait(ended, CHANGE_SET_SECONDS, f"has no readable change set {name}")
        reason = description.get("StatusReason", "")
        if description["Status"] == "FAILED":
            if any(words in reason for words in _UNCHANGED):
                return ChangeSet(name, (), empty=True)
            invalid = self._invalid(name) if _VALIDATION in reason else ""
            raise PipelineError(f"CloudFormation refuses the change of {self.name}: {invalid or one_line(reason)}")
        changes = items(self._client.get_paginator("describe_change_set"), "Changes", **request)
        return ChangeSet(
            name, tuple(_change(change["ResourceChange"]) for change in changes if "ResourceChange" in change)
        )

    def _invalid(self, name: str) -> str:
        """The errors of CloudFormation's validation; a change set's own reason reports only that there are some.

        https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/validate-stack-deployments.html
        """
        paginator = self._client.get_paginator("describe_events")
        events = items(
            paginator, "OperationEvents", StackName=self.name, ChangeSetName=name, Filters={"FailedEvents": True}
        )
        return "; ".join(
            f"{event.get('LogicalResourceId', 'the template')} ({event.get('ResourceType', '')}):"
            f" {one_line(event.get('ValidationStatusReason', ''))}"
            for event in events
            if event.get("EventType") == "VALIDATION_ERROR" and event.get("ValidationFailureMode") != "WARN"
        )

    def execute(self, change_set: ChangeSet) -> Iterator[Event]:
        """Execute a change set; yields events until it has ended. Raises PipelineError where it failed."""
        identity, seen = self._id(), self._seen()
        self._client.execute_change_set(StackName=self.name, ChangeSetName=change_set.name)
        yield from self._follow(identity, seen, ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"))

    def delete(self) -> Iterator[Event]:
        """Delete the stack; yields events until it has ended. Raises PipelineError where it failed."""
        identity, seen = self._id(), self._seen()
        self._client.delete_stack(StackName=self.name)
        yield from self._follow(identity, seen, ("DELETE_COMPLETE",))

    # --------------------------------------------------------------------------------------------------- events

    def _follow(self, identity: str, seen: set[str], good: tuple[str, ...]) -> Iterator[Event]:
        failures: list[Event] = []
        reported, settled = "", time.monotonic() + SETTLING_SECONDS

        def look() -> tuple[list[Event], str] | None:
            """New events, and the state where it is final; None where there is neither."""
            nonlocal reported
            # The state before the events: a stack that has ended has all its events.
            status = str(self._description(identity).get("StackStatus", "DELETE_COMPLETE"))
            events = self._events(identity, seen)
            for event in events:
                if (event.kind, event.resource) == (_STACK, self.name):
                    reported = event.status
            is_stale = status != reported and time.monotonic() < settled
            final = "" if status.endswith("_IN_PROGRESS") or is_stale else status
            return (events, final) if events or final else None

        final = ""
        while not final:
            events, final = self._wait(look, STACK_SECONDS, "has not ended and has no new event")
            failures += [
                event
                for event in events
                if event.status.endswith("_FAILED") and not event.reason.startswith(_CONSEQUENCES)
            ]
            yield from events
            if not final:
                time.sleep(self._poll)
        if final not in good:
            raise PipelineError(failure(self.name, final, failures))

    def _events(self, identity: str, seen: set[str]) -> list[Event]:
        """Events that are not in `seen`, oldest first; their ids are added to `seen`."""
        new = []
        for page in self._client.get_paginator("describe_stack_events").paginate(StackName=identity):
            fresh = [event for event in page["StackEvents"] if event["EventId"] not in seen]
            new += fresh
            if len(fresh) < len(page["StackEvents"]):
                break  # newest first: the other pages are older
        seen |= {event["EventId"] for event in new}
        return [_event(event) for event in reversed(new)]

    def _seen(self) -> set[str]:
        """Ids of the newest past events, where the reading of new events ends."""
        pages = self._client.get_paginator("describe_stack_events").paginate(StackName=self._id())
        return {event["EventId"] for event in next(iter(pages))["StackEvents"]}

    def _id(self) -> str:
        """The stack's ARN, by which a deleted stack can be described too."""
        return str(self._description().get("StackId", self.name))

    def _description(self, identity: str = "") -> dict[str, Any]:
        """DescribeStacks' answer; empty where the stack does not exist, or is deleted and not asked for by its id."""
        name = identity or self.name
        answer = exists(self._client.describe_stacks, StackName=name) or {}
        stacks: list[dict[str, Any]] = answer.get("Stacks", [])
        is_gone = not stacks or (stacks[0]["StackStatus"] == "DELETE_COMPLETE" and name == self.name)
        return {} if is_gone else stacks[0]

    def _wait(self, look: Callable[[], T | None], seconds: float, problem: str) -> T:
        """The first value of `look`. Raises PipelineError with the problem after `seconds`."""
        value = wait_until(look, seconds, self._poll)
        if value is None:
            minutes = f"{seconds / 60:.0f} minutes"
            raise PipelineError(f"the stack {self.name} {problem} after {minutes}; see it in CloudFormation's console")
        return value


def _change(change: Mapping[str, Any]) -> Change:
    targets = [detail.get("Target", {}) for detail in change.get("Details", [])]
    return Change(
        action=change["Action"],
        resource=change["LogicalResourceId"],
        kind=change["ResourceType"],
        replacement=change.get("Replacement", "") if change["Action"] == "Modify" else "",
        physical=change.get("PhysicalResourceId", ""),
        retained=change.get("PolicyAction", "") in ("Retain", "ReplaceAndRetain"),
        properties=tuple(dict.fromkeys(name for target in targets if (name := _target(target)))),
    )


def _target(target: Mapping[str, Any]) -> str:
    """The property that changes, or the tags: an attribute of the resource, without a name."""
    return str(target.get("Name", "") or ("Tags" if target.get("Attribute") == "Tags" else ""))


def _event(event: Mapping[str, Any]) -> Event:
    return Event(
        time=event["Timestamp"],
        resource=event["LogicalResourceId"],
        kind=event["ResourceType"],
        status=event["ResourceStatus"],
        reason=event.get("ResourceStatusReason", ""),
    )
