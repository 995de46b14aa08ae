"""Executes change sets and deletes stacks: resources in order, with a rollback after a failure.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
"""

from __future__ import annotations

import contextvars
import functools
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.aws.cloudformation import ResolvedTemplate, TemplateError, ordered
from pipeline.aws.errors import code_of, message_of
from pipeline.local import threads
from pipeline.local.cloudformation.changes import POLICIES, RETAINED, differing, outputs
from pipeline.local.cloudformation.kinds import KINDS
from pipeline.local.cloudformation.stacks import DELETED, Stacks
from pipeline.local.context import now
from pipeline.local.store import Document

log = logging.getLogger(__name__)

STOPPED = "The local cloud was stopped meanwhile"


class ResourceError(Exception):
    """A resource could not be created, changed or imported."""


class Engine:
    """Works on stacks, each in a thread of its own."""

    def __init__(self, stacks: Stacks) -> None:
        self._stacks = stacks
        self._threads: list[threading.Thread] = []
        self._closing = threading.Event()

    def start(self, work: Callable[[], None], stack: Document) -> None:
        """Run `work` on a stack in the background, for the present caller."""
        context = contextvars.copy_context()

        def give_up(error: Exception) -> None:
            """A client that waits for the stack must see an end."""
            self._give_up(stack, f"{type(error).__name__}: {error}")

        self._threads = [thread for thread in self._threads if thread.is_alive()]
        run = functools.partial(context.run, work)
        self._threads.append(threads.start(f"stack-{stack['StackName']}", run, give_up))

    def close(self) -> None:
        """Stop after the resource in work."""
        self._closing.set()
        for thread in self._threads:
            thread.join(60)

    def restore(self) -> None:
        """After a start: fail the stacks that were interrupted, and create again the resources that were in memory."""
        for stack in self._stacks.living():
            if stack["StackStatus"].endswith("_IN_PROGRESS") and not stack["StackStatus"].startswith("REVIEW"):
                self._give_up(stack, STOPPED)
            self._create_again(stack)

    def _give_up(self, stack: Document, reason: str) -> None:
        """Set the status of an operation that has failed and cannot be rolled back."""
        operation = stack["StackStatus"].split("_")[0]
        failed = {"IMPORT": "IMPORT_ROLLBACK_FAILED", "UPDATE": "UPDATE_ROLLBACK_FAILED"}
        self._stacks.enter(stack, failed.get(operation, f"{operation}_FAILED"), reason)

    def _create_again(self, stack: Document) -> None:
        for resource in stack["Resources"].values():
            is_present = resource["ResourceStatus"].endswith(("_COMPLETE", "UPDATE_FAILED"))
            if is_present and not KINDS[resource["ResourceType"]].persistent:
                try:
                    self._put(resource)
                except Exception:
                    logical = resource["LogicalResourceId"]
                    log.exception("stack %s: %s could not be created again", stack["StackName"], logical)

    def _put(self, resource: Document) -> None:
        kind, tags = KINDS[resource["ResourceType"]], resource.get("Tags", [])
        kind.put(self._stacks.account, resource["Name"], resource["Properties"], tags)

    def _exists(self, resource: Document) -> bool | None:
        """None if the service refuses to answer; the operation that follows then fails with the reason."""
        from botocore.exceptions import BotoCoreError, ClientError

        kind = KINDS[resource["ResourceType"]]
        try:
            return kind.exists(self._stacks.account, resource["Name"], resource["Properties"])
        except (ClientError, BotoCoreError, KeyError):
            return None

    def _set_reference(self, resource: Document) -> None:
        kind = KINDS[resource["ResourceType"]]
        reference = kind.reference(self._stacks.account, resource["Name"], resource["Properties"])
        resource["PhysicalResourceId"] = reference

    # ------------------------------------------------------------------------------------------------ executing

    def execute(self, stack: Document, change_set: Document) -> None:
        """Bring a stack to the template of a change set, and back if that fails."""
        operation = change_set["ChangeSetType"]
        before = {key: stack[key] for key in ("Template", "Parameters", "Outputs", "Capabilities", "Tags")}
        past = dict(stack["Resources"])
        replaced: list[Document] = []
        try:
            self._apply(stack, change_set, replaced)
        except ResourceError as error:
            self._roll_back(stack, operation, past, before, str(error))
            return
        if operation == "UPDATE":
            # botocore's model of events has no such status.
            stack["StackStatus"] = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
            self._stacks.save(stack)
            removed = [resource for name, resource in past.items() if name in change_set["Removed"]]
            self._clean_up(stack, [*replaced, *removed])
        self._stacks.enter(stack, f"{operation}_COMPLETE")

    def _apply(self, stack: Document, change_set: Document, replaced: list[Document]) -> None:
        template = self._stacks.resolve(stack, change_set["Template"], change_set["Parameters"])
        wanted = template.resources()
        stack["Tags"] = change_set["Tags"]
        for logical in ordered(wanted):
            if self._closing.is_set():
                raise ResourceError(STOPPED)
            resource = {**wanted[logical], "LogicalResourceId": logical}
            try:
                if logical in change_set["Imported"]:
                    self._import(stack, resource, template, change_set["Imported"][logical])
                elif logical in stack["Resources"]:
                    self._modify(stack, resource, template, replaced)
                else:
                    self._create(stack, resource, template)
            except (TemplateError, KeyError, TypeError, ValueError) as error:
                # A property is missing or malformed.
                status = "UPDATE_FAILED" if logical in stack["Resources"] else "CREATE_FAILED"
                raise self._failed(stack, _document(resource, {}, ""), status, _handler_message(error)) from error
        stack |= {key: change_set[key] for key in ("Template", "Parameters", "Capabilities")}
        stack |= {"Description": template.template.get("Description", ""), "Outputs": outputs(template)}

    def _create(
        self, stack: Document, declared: Mapping[str, Any], template: ResolvedTemplate, old_name: str = ""
    ) -> None:
        logical = declared["LogicalResourceId"]
        properties = template.value(declared.get("Properties", {}))
        name = KINDS[declared["Type"]].name(stack["StackName"], logical, properties)
        resource = {**_document(declared, properties, name), "Tags": stack["Tags"]}
        if name == old_name:
            reason = (
                "CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename"
                f" {name} and update the stack again."
            )
            raise self._failed(stack, stack["Resources"][logical], "UPDATE_FAILED", reason)
        self._stacks.mark(stack, resource, "CREATE_IN_PROGRESS")
        if self._exists(resource):
            reason = f'Resource handler returned message: "{name} already exists" (HandlerErrorCode: AlreadyExists)'
            raise self._failed(stack, resource, "CREATE_FAILED", reason)
        # The resource belongs to the stack even if its creation fails halfway: a rollback deletes it.
        stack["Resources"][logical] = resource
        if problem := _problem(lambda: self._put(resource)):
            raise self._failed(stack, resource, "CREATE_FAILED", problem)
        self._set_reference(resource)
        self._stacks.mark(stack, resource, "CREATE_COMPLETE")

    def _modify(
        self, stack: Document, declared: Mapping[str, Any], template: ResolvedTemplate, replaced: list[Document]
    ) -> None:
        logical = declared["LogicalResourceId"]
        kind, present = KINDS[declared["Type"]], stack["Resources"][logical]
        properties = template.value(declared.get("Properties", {}))
        policies = {name: declared.get(name, "Delete") for name in POLICIES}
        different = differing(properties, present["Properties"])
        if not different:
            stack["Resources"][logical] = {**present, **policies}
            return
        if different & (kind.replacing | {kind.naming}):
            self._create(stack, declared, template, old_name=present["Name"])
            replaced.append(present)
            return
        resource = {**present, **policies, "Properties": properties}
        # The stack has the new properties even if the change fails halfway: a rollback puts the old ones.
        stack["Resources"][logical] = resource
        self._stacks.mark(stack, resource, "UPDATE_IN_PROGRESS")
        if problem := _problem(lambda: self._put(resource)):
            raise self._failed(stack, resource, "UPDATE_FAILED", problem)
        self._stacks.mark(stack, resource, "UPDATE_COMPLETE")

    def _import(self, stack: Document, declared: Mapping[str, Any], template: ResolvedTemplate, name: str) -> None:
        """Import an existing resource without any change to it."""
        resource = _document(declared, template.value(declared.get("Properties", {})), name)
        resource["PhysicalResourceId"] = name
        self._stacks.mark(stack, resource, "IMPORT_IN_PROGRESS", "Resource import started.")
        if not self._exists(resource):
            reason = f"Resource of type '{declared['Type']}' with identifier '{name}' was not found."
            raise self._failed(stack, resource, "IMPORT_FAILED", reason)
        self._set_reference(resource)
        stack["Resources"][declared["LogicalResourceId"]] = resource
        self._stacks.mark(stack, resource, "IMPORT_COMPLETE", "Resource import completed.")

    def _failed(self, stack: Document, resource: Document, status: str, reason: str) -> ResourceError:
        self._stacks.mark(stack, resource, status, reason)
        return ResourceError(f"The following resource(s) failed: [{resource['LogicalResourceId']}].")

    # ----------------------------------------------------------------------------------------------- rolling back

    def _roll_back(
        self, stack: Document, operation: str, past: Mapping[str, Document], before: Mapping[str, Any], reason: str
    ) -> None:
        prefix = {"CREATE": "ROLLBACK", "UPDATE": "UPDATE_ROLLBACK", "IMPORT": "IMPORT_ROLLBACK"}[operation]
        self._stacks.enter(stack, f"{prefix}_IN_PROGRESS", reason)
        failed = False
        for logical, resource in reversed(list(stack["Resources"].items())):
            earlier = past.get(logical)
            if earlier is None or earlier["Name"] != resource["Name"]:
                failed |= not self._delete(stack, resource, retain=operation == "IMPORT")
                if earlier is not None:
                    stack["Resources"][logical] = earlier
            elif earlier["Properties"] != resource["Properties"]:
                problem = _problem(lambda: self._put(earlier))  # noqa: B023
                stack["Resources"][logical] = earlier
                self._stacks.mark(stack, earlier, "UPDATE_FAILED" if problem else "UPDATE_COMPLETE", problem)
                failed |= bool(problem)
        stack |= before
        self._stacks.enter(stack, f"{prefix}_FAILED" if failed else f"{prefix}_COMPLETE")

    # -------------------------------------------------------------------------------------------------- deleting

    def delete(self, stack: Document, retained: list[str]) -> None:
        """Delete a stack with its resources, except those to be retained."""
        order: list[str] = []
        if stack["Template"]:
            order = ordered(self._stacks.resolve(stack, stack["Template"], stack["Parameters"]).resources())
        order = [name for name in order if name in stack["Resources"]]
        others = [name for name in stack["Resources"] if name not in order]
        failed = []
        for logical in reversed([*order, *others]):
            resource = stack["Resources"][logical]
            if self._closing.is_set() or not self._delete(stack, resource, retain=logical in retained):
                failed.append(logical)
        if failed:
            reason = STOPPED if self._closing.is_set() else f"The following resource(s) failed to delete: {failed}."
            self._stacks.enter(stack, "DELETE_FAILED", reason.replace("'", ""))
        else:
            stack["DeletionTime"] = now()
            self._stacks.enter(stack, DELETED)

    def _clean_up(self, stack: Document, superseded: list[Document]) -> None:
        """Delete replaced and removed resources. A failure is an event, and the update is complete nevertheless."""
        for resource in superseded:
            logical = resource["LogicalResourceId"]
            living = stack["Resources"].get(logical, resource)
            replaced = living is not resource
            self._delete(stack, resource, policy="UpdateReplacePolicy" if replaced else "DeletionPolicy")
            if replaced:
                stack["Resources"][logical] = living

    def _delete(
        self, stack: Document, resource: Document, *, retain: bool = False, policy: str = "DeletionPolicy"
    ) -> bool:
        """Delete a resource and remove it from the stack. Returns False if it could not be deleted."""
        if retain or resource[policy] in RETAINED:
            self._stacks.mark(stack, resource, "DELETE_SKIPPED")
        else:
            self._stacks.mark(stack, resource, "DELETE_IN_PROGRESS")
            kind = KINDS[resource["ResourceType"]]
            if problem := _problem(lambda: kind.delete(self._stacks.account, resource["Name"], resource["Properties"])):
                self._stacks.mark(stack, resource, "DELETE_FAILED", problem)
                return False
            self._stacks.mark(stack, resource, "DELETE_COMPLETE")
        stack["Resources"].pop(resource["LogicalResourceId"], None)
        self._stacks.save(stack)
        return True


def _document(declared: Mapping[str, Any], properties: dict[str, Any], name: str) -> Document:
    return {
        "LogicalResourceId": declared["LogicalResourceId"],
        "PhysicalResourceId": "",
        "Name": name,
        "ResourceType": declared["Type"],
        "Properties": properties,
        **{policy: declared.get(policy, "Delete") for policy in POLICIES},
    }


def _problem(call: Callable[[], object]) -> str:
    """The error of a call in CloudFormation's words; empty if it succeeds."""
    from botocore.exceptions import ClientError

    try:
        call()
    except ClientError as error:
        return f'Resource handler returned message: "{message_of(error)}" (HandlerErrorCode: {code_of(error)})'
    except Exception as error:
        # A property of a wrong type, or one that the service does not have.
        return _handler_message(error)
    return ""


def _handler_message(error: Exception) -> str:
    missing = isinstance(error, KeyError)
    message = f"Required property {error} is missing" if missing else " ".join(str(error).split())
    return f'Resource handler returned message: "{message}" (HandlerErrorCode: InvalidRequest)'
