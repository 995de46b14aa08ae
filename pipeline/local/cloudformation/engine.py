"""What happens when a change set is executed or a stack is deleted: resources in order, and back again on a failure.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.aws.cloudformation import Evaluation, TemplateError, ordered
from pipeline.local.cloudformation.changes import POLICIES, differing, outputs
from pipeline.local.cloudformation.stacks import DELETED, Stacks
from pipeline.local.context import now
from pipeline.local.store import Document

log = logging.getLogger(__name__)

STOPPED = "The local cloud was stopped meanwhile"
_KEPT = ("Retain", "RetainExceptOnCreate")


class ResourceError(Exception):
    """A resource that could not be made, with the reason."""


class Engine:
    """Works on stacks, each in a thread of its own."""

    def __init__(self, stacks: Stacks) -> None:
        self._stacks = stacks
        self._threads: list[threading.Thread] = []
        self._closing = threading.Event()

    def start(self, work: Callable[[], None], stack: Document) -> None:
        """Do something to a stack in the background."""

        def run() -> None:
            try:
                work()
            except Exception as error:
                # Nobody may wait for it for ever.
                log.exception("stack %s", stack["StackName"])
                self._give_up(stack, f"{type(error).__name__}: {error}")

        self._threads = [one for one in self._threads if one.is_alive()]
        thread = threading.Thread(target=run, name=f"stack-{stack['StackName']}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """Stop behind the resource that is being worked on."""
        self._closing.set()
        for thread in self._threads:
            thread.join(60)

    def restore(self) -> None:
        """After a start: make anew what was forgotten, and say of what was interrupted that it was."""
        for stack in self._stacks.all():
            if stack["StackStatus"] == DELETED:
                continue
            if stack["StackStatus"].endswith("_IN_PROGRESS") and not stack["StackStatus"].startswith("REVIEW"):
                self._give_up(stack, STOPPED)
            self._make_anew(stack)

    def _give_up(self, stack: Document, reason: str) -> None:
        """End what was under way in the state of one that cannot go back either."""
        operation = stack["StackStatus"].split("_")[0]
        failed = {"IMPORT": "IMPORT_ROLLBACK_FAILED", "UPDATE": "UPDATE_ROLLBACK_FAILED"}
        self._stacks.enter(stack, failed.get(operation, f"{operation}_FAILED"), reason)
        self._stacks.save(stack)

    def _make_anew(self, stack: Document) -> None:
        for one in stack["Resources"].values():
            kind = self._stacks.kind(one["ResourceType"])
            if kind.forgotten and one["ResourceStatus"].endswith(("_COMPLETE", "UPDATE_FAILED")):
                try:
                    kind.put(one["Name"], one["Properties"])
                except Exception:
                    log.exception("stack %s: %s is not made anew", stack["StackName"], one["LogicalResourceId"])

    # ------------------------------------------------------------------------------------------------ executing

    def execute(self, stack: Document, change_set: Document) -> None:
        """Bring a stack to the template of a change set, and back where that fails."""
        operation = change_set["ChangeSetType"]
        before = {key: stack[key] for key in ("Template", "Parameters", "Outputs", "Capabilities")}
        past = dict(stack["Resources"])
        replaced: list[Document] = []
        try:
            self._bring(stack, change_set, replaced)
        except ResourceError as error:
            self._roll_back(stack, operation, past, before, str(error))
            return
        if operation == "UPDATE":
            # A state without an event of its own: botocore's model of events has none.
            stack["StackStatus"] = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
            self._stacks.save(stack)
            gone = [one for name, one in past.items() if name in change_set["Removed"]]
            self._clean_up(stack, [*replaced, *gone])
        self._stacks.enter(stack, f"{operation}_COMPLETE")
        self._stacks.save(stack)

    def _bring(self, stack: Document, change_set: Document, replaced: list[Document]) -> None:
        evaluation = self._stacks.evaluation(stack, change_set["Template"], change_set["Parameters"])
        wanted = evaluation.resources()
        for logical in ordered(wanted):
            if self._closing.is_set():
                raise ResourceError(STOPPED)
            resource = {**wanted[logical], "LogicalResourceId": logical}
            try:
                if logical in change_set["Imported"]:
                    self._import(stack, resource, evaluation, change_set["Imported"][logical])
                elif logical in stack["Resources"]:
                    self._modify(stack, resource, evaluation, replaced)
                else:
                    self._create(stack, resource, evaluation)
            except (TemplateError, KeyError, TypeError, ValueError) as error:
                # A property that is missing or of another form than the service's.
                status = "UPDATE_FAILED" if logical in stack["Resources"] else "CREATE_FAILED"
                raise self._failed(stack, _document(resource, {}, ""), status, _words(error)) from error
        stack |= {
            "Template": change_set["Template"],
            "Parameters": change_set["Parameters"],
            "Capabilities": change_set["Capabilities"],
            "Description": evaluation.template.get("Description", ""),
            "Outputs": outputs(evaluation),
        }

    def _create(self, stack: Document, resource: Mapping[str, Any], evaluation: Evaluation, old_name: str = "") -> None:
        kind = self._stacks.kind(resource["Type"])
        properties = evaluation.value(resource.get("Properties", {}))
        name = kind.name(stack["StackName"], resource["LogicalResourceId"], properties)
        one = _document(resource, properties, name)
        present = stack["Resources"].get(resource["LogicalResourceId"])
        if name == old_name:
            raise self._failed(
                stack,
                present or one,
                "UPDATE_FAILED",
                "CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename"
                f" {name} and update the stack again.",
            )
        self._stacks.mark(stack, one, "CREATE_IN_PROGRESS")
        self._stacks.save(stack)
        if _said(lambda: kind.exists(name, properties)) is True:
            reason = f'Resource handler returned message: "{name} already exists" (HandlerErrorCode: AlreadyExists)'
            raise self._failed(stack, one, "CREATE_FAILED", reason)
        # From here on it is the stack's, also where it is made by half: going back takes it away.
        stack["Resources"][resource["LogicalResourceId"]] = one
        if problem := _problem(lambda: kind.put(name, properties)):
            raise self._failed(stack, one, "CREATE_FAILED", problem)
        one["PhysicalResourceId"] = kind.reference(name, properties)
        self._stacks.mark(stack, one, "CREATE_COMPLETE")
        self._stacks.save(stack)

    def _modify(
        self, stack: Document, resource: Mapping[str, Any], evaluation: Evaluation, replaced: list[Document]
    ) -> None:
        logical = resource["LogicalResourceId"]
        kind, present = self._stacks.kind(resource["Type"]), stack["Resources"][logical]
        properties = evaluation.value(resource.get("Properties", {}))
        policies = {name: resource.get(name, "Delete") for name in POLICIES}
        different = differing(properties, present["Properties"])
        if not different:
            stack["Resources"][logical] = {**present, **policies}
            return
        if different & (kind.replacing | {kind.naming}):
            self._create(stack, resource, evaluation, old_name=present["Name"])
            replaced.append(present)
            return
        one = {**present, **policies, "Properties": properties}
        # Also where it is changed by half: going back puts what was.
        stack["Resources"][logical] = one
        self._stacks.mark(stack, one, "UPDATE_IN_PROGRESS")
        self._stacks.save(stack)
        if problem := _problem(lambda: kind.put(present["Name"], properties)):
            raise self._failed(stack, one, "UPDATE_FAILED", problem)
        self._stacks.mark(stack, one, "UPDATE_COMPLETE")
        self._stacks.save(stack)

    def _import(self, stack: Document, resource: Mapping[str, Any], evaluation: Evaluation, name: str) -> None:
        """Take what is there as it is: an import changes nothing of it."""
        kind = self._stacks.kind(resource["Type"])
        one = _document(resource, evaluation.value(resource.get("Properties", {})), name)
        one["PhysicalResourceId"] = name
        self._stacks.mark(stack, one, "IMPORT_IN_PROGRESS", "Resource import started.")
        if _said(lambda: kind.exists(name, one["Properties"])) is not True:
            reason = f"Resource of type '{resource['Type']}' with identifier '{name}' was not found."
            raise self._failed(stack, one, "IMPORT_FAILED", reason)
        one["PhysicalResourceId"] = kind.reference(name, one["Properties"])
        stack["Resources"][resource["LogicalResourceId"]] = one
        self._stacks.mark(stack, one, "IMPORT_COMPLETE", "Resource import completed.")
        self._stacks.save(stack)

    def _failed(self, stack: Document, one: Document, status: str, reason: str) -> ResourceError:
        self._stacks.mark(stack, one, status, reason)
        self._stacks.save(stack)
        return ResourceError(f"The following resource(s) failed: [{one['LogicalResourceId']}].")

    # ------------------------------------------------------------------------------------------------ going back

    def _roll_back(
        self, stack: Document, operation: str, past: Mapping[str, Document], before: Mapping[str, Any], reason: str
    ) -> None:
        prefix = {"CREATE": "ROLLBACK", "UPDATE": "UPDATE_ROLLBACK", "IMPORT": "IMPORT_ROLLBACK"}[operation]
        self._stacks.enter(stack, f"{prefix}_IN_PROGRESS", reason)
        self._stacks.save(stack)
        failed = False
        for logical, one in reversed(list(stack["Resources"].items())):
            earlier = past.get(logical)
            if earlier is None or earlier["Name"] != one["Name"]:
                failed |= not self._delete(stack, one, keep=operation == "IMPORT")
                if earlier is not None:
                    stack["Resources"][logical] = earlier
            elif earlier["Properties"] != one["Properties"]:
                kind = self._stacks.kind(one["ResourceType"])
                problem = _problem(lambda: kind.put(earlier["Name"], earlier["Properties"]))  # noqa: B023
                stack["Resources"][logical] = earlier
                self._stacks.mark(stack, earlier, "UPDATE_FAILED" if problem else "UPDATE_COMPLETE", problem)
                failed |= bool(problem)
        stack |= before
        self._stacks.enter(stack, f"{prefix}_FAILED" if failed else f"{prefix}_COMPLETE")
        self._stacks.save(stack)

    # -------------------------------------------------------------------------------------------------- deleting

    def delete(self, stack: Document, retained: list[str]) -> None:
        """Delete a stack with its resources, but those that are to be kept."""
        template = self._stacks.evaluation(stack, stack["Template"], stack["Parameters"]) if stack["Template"] else None
        order = ordered(template.resources()) if template else []
        known = [name for name in order if name in stack["Resources"]]
        rest = [name for name in stack["Resources"] if name not in known]
        failed = []
        for logical in reversed([*known, *rest]):
            one = stack["Resources"][logical]
            if self._closing.is_set() or not self._delete(stack, one, keep=logical in retained):
                failed.append(logical)
        if failed:
            reason = STOPPED if self._closing.is_set() else f"The following resource(s) failed to delete: {failed}."
            self._stacks.enter(stack, "DELETE_FAILED", reason.replace("'", ""))
        else:
            stack["DeletionTime"] = now()
            self._stacks.enter(stack, DELETED)
        self._stacks.save(stack)

    def _clean_up(self, stack: Document, gone: list[Document]) -> None:
        """Delete what an update left behind; a failure is an event, and the update is complete all the same."""
        for one in gone:
            replaced = stack["Resources"].get(one["LogicalResourceId"], one) is not one
            policy = one["UpdateReplacePolicy" if replaced else "DeletionPolicy"]
            living = stack["Resources"].get(one["LogicalResourceId"])
            self._delete(stack, one, keep=policy in _KEPT, policy="")
            if replaced and living is not None:
                stack["Resources"][one["LogicalResourceId"]] = living

    def _delete(self, stack: Document, one: Document, *, keep: bool, policy: str | None = None) -> bool:
        """Delete one resource and take it from the stack; False where it could not be deleted."""
        policy = one["DeletionPolicy"] if policy is None else policy
        if keep or policy in _KEPT:
            self._stacks.mark(stack, one, "DELETE_SKIPPED")
        else:
            self._stacks.mark(stack, one, "DELETE_IN_PROGRESS")
            self._stacks.save(stack)
            kind = self._stacks.kind(one["ResourceType"])
            if problem := _problem(lambda: kind.delete(one["Name"], one["Properties"])):
                self._stacks.mark(stack, one, "DELETE_FAILED", problem)
                self._stacks.save(stack)
                return False
            self._stacks.mark(stack, one, "DELETE_COMPLETE")
        stack["Resources"].pop(one["LogicalResourceId"], None)
        self._stacks.save(stack)
        return True


def _document(resource: Mapping[str, Any], properties: dict[str, Any], name: str) -> Document:
    return {
        "LogicalResourceId": resource["LogicalResourceId"],
        "PhysicalResourceId": "",
        "Name": name,
        "ResourceType": resource["Type"],
        "Properties": properties,
        **{policy: resource.get(policy, "Delete") for policy in POLICIES},
    }


def _problem(call: Callable[[], object]) -> str:
    """What a service says against a call, as CloudFormation words it; empty where it says nothing."""
    from botocore.exceptions import ClientError

    try:
        call()
    except ClientError as error:
        reason = error.response["Error"]
        message = " ".join(str(reason.get("Message", "")).split())
        return f'Resource handler returned message: "{message}" (HandlerErrorCode: {reason["Code"]})'
    except Exception as error:
        # A property of a wrong type, or a value that the service's model has no place for.
        return _words(error)
    return ""


def _words(error: Exception) -> str:
    missing = isinstance(error, KeyError)
    message = f"Required property {error} is missing" if missing else " ".join(str(error).split())
    return f'Resource handler returned message: "{message}" (HandlerErrorCode: InvalidRequest)'


def _said(call: Callable[[], bool]) -> bool | None:
    """A yes or no, or None where the service gives neither: the call that follows says why."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return call()
    except (ClientError, BotoCoreError, KeyError):
        return None
