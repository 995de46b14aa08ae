"""CloudFormation's operations."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

from pipeline.aws.cloudformation import LARGEST_BODY, TemplateError
from pipeline.local.cloudformation.changes import MissingCapabilityError, changes, checked, outputs
from pipeline.local.cloudformation.engine import Engine
from pipeline.local.cloudformation.kinds import KINDS, Account
from pipeline.local.cloudformation.stacks import DELETED, REVIEW, Stacks
from pipeline.local.context import Context, ServiceError, now
from pipeline.local.store import Document

Request = dict[str, Any]
UNCHANGED = "The submitted information didn't contain changes. Submit different information to create a change set."
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html: what no update begins from
_FINAL = ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED", "UPDATE_ROLLBACK_FAILED")
_SUMMARY = ("StackId", "StackName", "CreationTime", "LastUpdatedTime", "DeletionTime", "StackStatus")


class CloudFormation:
    """Stacks of this account. `start` has to follow once the other services answer."""

    def __init__(self, context: Context) -> None:
        self._stacks = Stacks(Account(context))
        self._engine = Engine(self._stacks)
        self._lock = threading.Lock()

    def restore(self) -> None:
        """After a start: what other services forgot is made anew."""
        self._engine.restore()

    def close(self) -> None:
        """Stop what is under way."""
        self._engine.close()

    def operations(self) -> dict[str, Callable[[Request], Request]]:
        """Operation names and their handlers."""
        return {
            "CreateChangeSet": self._create_change_set,
            "DeleteChangeSet": self._delete_change_set,
            "DeleteStack": self._delete_stack,
            "DescribeChangeSet": self._describe_change_set,
            "DescribeStackEvents": self._describe_events,
            "DescribeStackResources": self._describe_resources,
            "DescribeStacks": self._describe_stacks,
            "ExecuteChangeSet": self._execute_change_set,
            "GetTemplate": self._get_template,
            "ListChangeSets": self._list_change_sets,
            "ListStackResources": self._list_resources,
            "ListStacks": self._list_stacks,
        }

    # ---------------------------------------------------------------------------------------------- change sets

    def _create_change_set(self, request: Request) -> Request:
        with self._lock:
            stack = self._stack_for(request)
            new = not self._stacks.find(stack["StackId"])
            change_set = self._change_set(stack, request)
            if new:
                self._stacks.save(stack)
            self._stacks.save_change_set(change_set)
        return {"Id": change_set["ChangeSetId"], "StackId": stack["StackId"]}

    def _stack_for(self, request: Request) -> Document:
        """The stack that a change set is for: it is there for an update, and is not yet for a creation."""
        name, kind = request["StackName"], request.get("ChangeSetType", "UPDATE")
        stack = self._stacks.find(name)
        living = stack is not None and stack["StackStatus"] not in (REVIEW, DELETED)
        if kind == "CREATE" and living:
            raise _invalid(
                f"Stack [{name}] already exists and cannot be created again with the changeSet"
                f" [{request['ChangeSetName']}]."
            )
        if kind == "UPDATE" and not living:
            raise _invalid(f"Stack [{name}] does not exist")
        if stack is not None and living:
            self._refuse_busy(stack)
        return stack if stack is not None else self._stacks.new(name)

    @staticmethod
    def _refuse_busy(stack: Document) -> None:
        status = stack["StackStatus"]
        if status in _FINAL or status.endswith("_IN_PROGRESS"):
            raise _invalid(f"Stack:{stack['StackId']} is in {status} state and can not be updated.")

    def _change_set(self, stack: Document, request: Request) -> Document:
        template, parameters = _template(stack, request), _parameters(stack, request)
        capabilities = request.get("Capabilities", [])
        if any(one["ChangeSetName"] == request["ChangeSetName"] for one in self._stacks.change_sets(stack)):
            raise ServiceError("AlreadyExistsException", f"ChangeSet {request['ChangeSetName']} already exists")
        evaluation = self._stacks.evaluation(stack, template, parameters)
        try:
            resources = checked(evaluation, capabilities)
            imported = self._imported(request, resources, stack)
            found = changes(self._stacks, stack, evaluation, imported)
        except MissingCapabilityError as error:
            raise ServiceError("InsufficientCapabilitiesException", str(error)) from None
        except TemplateError as error:
            raise _invalid(str(error)) from None
        kind = request.get("ChangeSetType", "UPDATE")
        if kind == "IMPORT" and (other := [one.logical for one in found if one.action != "Import"]):
            raise _invalid(f"As part of the import operation, you cannot modify or add resources: {', '.join(other)}")
        if kind == "IMPORT" and evaluation.template.get("Outputs", {}) and not stack["Resources"]:
            raise _invalid("As part of the import operation, you cannot modify or add [Outputs]")
        # Other outputs alone are a change, though of no resource.
        unchanged = kind == "UPDATE" and not found and outputs(evaluation) == stack["Outputs"]
        name = request["ChangeSetName"]
        return {
            "ChangeSetName": name,
            "ChangeSetId": self._stacks.account.arn("cloudformation", f"changeSet/{name}/{uuid.uuid4()}"),
            "ChangeSetType": kind,
            "StackId": stack["StackId"],
            "StackName": stack["StackName"],
            "CreationTime": now(),
            "Status": "FAILED" if unchanged else "CREATE_COMPLETE",
            "StatusReason": UNCHANGED if unchanged else "",
            "ExecutionStatus": "UNAVAILABLE" if unchanged else "AVAILABLE",
            "Template": template,
            "Parameters": parameters,
            "Capabilities": capabilities,
            "Imported": imported,
            "Removed": [one.logical for one in found if one.action == "Remove"],
            "Changes": [one.described() for one in found],
        }

    @staticmethod
    def _imported(request: Request, resources: dict[str, Any], stack: Document) -> dict[str, str]:
        """Names of what is to be imported, by logical id."""
        imported = {}
        for one in request.get("ResourcesToImport", []):
            logical, identifier = one["LogicalResourceId"], one["ResourceIdentifier"]
            if logical not in resources or logical in stack["Resources"]:
                raise _invalid(f"Resource {logical} is not in the template, or in the stack already")
            naming = KINDS[one["ResourceType"]].naming
            if set(identifier) != {naming}:
                raise _invalid(f"Resource identifier of {one['ResourceType']} is [{naming}]")
            if "DeletionPolicy" not in resources[logical]:
                raise _invalid(f"Resources [{logical}] is missing DeletionPolicy attribute in the template")
            imported[logical] = identifier[naming]
        return imported

    def _describe_change_set(self, request: Request) -> Request:
        found = self._stacks.change_set(request["ChangeSetName"], request.get("StackName"))
        kept = ("ChangeSetName", "ChangeSetId", "StackId", "StackName", "CreationTime", "Status", "ExecutionStatus")
        return {
            **{key: found[key] for key in (*kept, "StatusReason", "Capabilities", "Changes")},
            "Parameters": _listed(found["Parameters"]),
        }

    def _list_change_sets(self, request: Request) -> Request:
        stack = self._stacks.get(request["StackName"])
        kept = ("ChangeSetName", "ChangeSetId", "StackId", "StackName", "CreationTime", "Status", "ExecutionStatus")
        return {"Summaries": [{key: one[key] for key in kept} for one in self._stacks.change_sets(stack)]}

    def _delete_change_set(self, request: Request) -> Request:
        found = self._stacks.find_change_set(request["ChangeSetName"], request.get("StackName"))
        if found is not None:
            self._stacks.delete_change_set(found)
        return {}

    def _execute_change_set(self, request: Request) -> Request:
        with self._lock:
            found = self._stacks.change_set(request["ChangeSetName"], request.get("StackName"))
            stack = self._stacks.get(found["StackId"])
            if found["ExecutionStatus"] != "AVAILABLE":
                raise ServiceError(
                    "InvalidChangeSetStatus",
                    f"ChangeSet [{found['ChangeSetId']}] cannot be executed in its current status of"
                    f" [{found['Status']}]",
                )
            if stack["StackStatus"] != REVIEW:
                self._refuse_busy(stack)
            # All change sets were of the stack as it was.
            for one in self._stacks.change_sets(stack):
                self._stacks.delete_change_set(one)
            stack["LastUpdatedTime"] = now()
            self._stacks.enter(stack, f"{found['ChangeSetType']}_IN_PROGRESS", "User Initiated")
            self._stacks.save(stack)
        self._engine.start(lambda: self._engine.execute(stack, found), stack)
        return {}

    # -------------------------------------------------------------------------------------------------- stacks

    def _describe_stacks(self, request: Request) -> Request:
        name = request.get("StackName")
        stacks = [self._stacks.get(name)] if name else [s for s in self._stacks.all() if s["StackStatus"] != DELETED]
        return {"Stacks": [_described(one) for one in stacks]}

    def _list_stacks(self, request: Request) -> Request:
        wanted = request.get("StackStatusFilter")
        stacks = [one for one in self._stacks.all() if not wanted or one["StackStatus"] in wanted]
        return {"StackSummaries": [{key: one[key] for key in _SUMMARY if key in one} for one in reversed(stacks)]}

    def _describe_events(self, request: Request) -> Request:
        return {"StackEvents": self._stacks.get(request["StackName"])["Events"][::-1]}

    def _list_resources(self, request: Request) -> Request:
        resources = self._stacks.get(request["StackName"])["Resources"].values()
        return {"StackResourceSummaries": [_resource(one, "LastUpdatedTimestamp") for one in resources]}

    def _describe_resources(self, request: Request) -> Request:
        stack = self._stacks.get(request["StackName"])
        wanted = request.get("LogicalResourceId")
        names = {"StackId": stack["StackId"], "StackName": stack["StackName"]}
        resources = [one for name, one in stack["Resources"].items() if wanted in (None, name)]
        return {"StackResources": [names | _resource(one, "Timestamp") for one in resources]}

    def _get_template(self, request: Request) -> Request:
        return {"TemplateBody": self._stacks.get(request["StackName"])["Template"], "StagesAvailable": ["Original"]}

    def _delete_stack(self, request: Request) -> Request:
        with self._lock:
            stack = self._stacks.find(request["StackName"])
            if stack is None or stack["StackStatus"] == DELETED:
                return {}
            if stack["StackStatus"].endswith("_IN_PROGRESS") and stack["StackStatus"] != REVIEW:
                raise _invalid(f"Stack [{stack['StackId']}] cannot be deleted while in status {stack['StackStatus']}")
            for one in self._stacks.change_sets(stack):
                self._stacks.delete_change_set(one)
            self._stacks.enter(stack, "DELETE_IN_PROGRESS", "User Initiated")
            self._stacks.save(stack)
        retained = request.get("RetainResources", [])
        self._engine.start(lambda: self._engine.delete(stack, retained), stack)
        return {}


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationError", message)


def _template(stack: Document, request: Request) -> str:
    if request.get("UsePreviousTemplate"):
        return str(stack["Template"])
    if "TemplateBody" not in request:
        raise _invalid("The local cloud takes a template's body, not its URL")
    body = str(request["TemplateBody"])
    if len(body.encode()) > LARGEST_BODY:
        raise _invalid(
            "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have"
            f" length less than or equal to {LARGEST_BODY}"
        )
    return body


def _parameters(stack: Document, request: Request) -> dict[str, str]:
    given = {}
    for one in request.get("Parameters", []):
        name = one["ParameterKey"]
        if one.get("UsePreviousValue"):
            if name not in stack["Parameters"]:
                raise _invalid(f"Invalid input for parameter key {name}. Cannot specify usePreviousValue as true")
            given[name] = stack["Parameters"][name]
        else:
            given[name] = one.get("ParameterValue", "")
    return given


def _listed(parameters: dict[str, str]) -> list[dict[str, str]]:
    return [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()]


def _described(stack: Document) -> dict[str, Any]:
    kept = (*_SUMMARY, "StackStatusReason", "Outputs", "Capabilities", "Tags", "Description")
    found = {key: stack[key] for key in kept if stack.get(key) not in (None, "")}
    return {**found, "Parameters": _listed(stack["Parameters"]), "RollbackConfiguration": {}, "DisableRollback": False}


def _resource(one: Document, time: str) -> dict[str, Any]:
    kept = ("LogicalResourceId", "PhysicalResourceId", "ResourceType", "ResourceStatus")
    reason = {"ResourceStatusReason": one["ResourceStatusReason"]} if one["ResourceStatusReason"] else {}
    return {**{key: one[key] for key in kept}, time: one["Timestamp"], **reason}
