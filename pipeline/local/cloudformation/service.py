"""CloudFormation's operations.

https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/Welcome.html
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

from pipeline.aws.cloudformation import LARGEST_BODY, TemplateError
from pipeline.local.cloudformation.changes import MissingCapabilityError, changes, check, outputs, tag_changes
from pipeline.local.cloudformation.engine import Engine
from pipeline.local.cloudformation.kinds import KINDS, Account
from pipeline.local.cloudformation.stacks import DELETED, REVIEW, Stacks
from pipeline.local.cloudformation.template_url import read_template
from pipeline.local.context import Context, Request, ServiceError, now
from pipeline.local.store import Document

UNCHANGED = "The submitted information didn't contain changes. Submit different information to create a change set."
# States without updates: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
_FINAL = ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED", "UPDATE_ROLLBACK_FAILED")
_SUMMARY = ("StackId", "StackName", "CreationTime", "LastUpdatedTime", "DeletionTime", "StackStatus")
_CHANGE_SET_SUMMARY = (
    *("ChangeSetName", "ChangeSetId", "StackId", "StackName", "CreationTime", "Status", "ExecutionStatus"),
)


class CloudFormation:
    """The account's stacks. Call `restore` once the other services answer."""

    def __init__(self, context: Context, connect: Callable[[str], Any] | None = None) -> None:
        self._stacks = Stacks(Account(context, connect))
        self._engine = Engine(self._stacks)
        self._lock = threading.Lock()

    def restore(self) -> None:
        """After a start: create again the resources that other services keep in memory."""
        self._engine.restore()

    def close(self) -> None:
        """Stop the work on stacks."""
        self._engine.close()

    def operations(self) -> dict[str, Callable[[Request], Request]]:
        """Handlers by operation."""
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
        """The stack of a change set: an existing one for an update, a new one for a creation."""
        name, kind = request["StackName"], request.get("ChangeSetType", "UPDATE")
        stack = self._stacks.find(name)
        living = stack is not None and stack["StackStatus"] not in (REVIEW, DELETED)
        if kind == "CREATE" and living:
            where = f"with the changeSet [{request['ChangeSetName']}]"
            raise _invalid(f"Stack [{name}] already exists and cannot be created again {where}.")
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
        template, parameters = self._template(stack, request), _parameters(stack, request)
        capabilities = request.get("Capabilities", [])
        if any(item["ChangeSetName"] == request["ChangeSetName"] for item in self._stacks.change_sets(stack)):
            raise ServiceError("AlreadyExistsException", f"ChangeSet {request['ChangeSetName']} already exists")
        resolved = self._stacks.resolve(stack, template, parameters)
        try:
            check(resolved, capabilities)
            imported = self._imported(request, resolved.resources(), stack)
            listed = changes(stack, resolved, imported)
        except MissingCapabilityError as error:
            raise ServiceError("InsufficientCapabilitiesException", str(error)) from None
        except TemplateError as error:
            raise _invalid(str(error)) from None
        kind = request.get("ChangeSetType", "UPDATE")
        # "If you don't specify this parameter, CloudFormation doesn't modify the stack's tags":
        # https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_UpdateStack.html
        tags = request["Tags"] if "Tags" in request else stack["Tags"]  # the store's types say None
        retagged = kind == "UPDATE" and _by_key(tags) != _by_key(stack["Tags"])
        listed += tag_changes(stack, listed, self._stacks.account) if retagged else []
        if kind == "IMPORT" and (other := [change.logical for change in listed if change.action != "Import"]):
            raise _invalid(f"As part of the import operation, you cannot modify or add resources: {', '.join(other)}")
        if kind == "IMPORT" and resolved.template.get("Outputs", {}) and not stack["Resources"]:
            raise _invalid("As part of the import operation, you cannot modify or add [Outputs]")
        # Changed outputs are a change, even without a changed resource.
        unchanged = kind == "UPDATE" and not listed and not retagged and outputs(resolved) == stack["Outputs"]
        name = request["ChangeSetName"]
        return {
            "ChangeSetName": name,
            "ChangeSetId": self._stacks.account.context.arn("cloudformation", f"changeSet/{name}/{uuid.uuid4()}"),
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
            "Tags": tags,
            "Description": request.get("Description", ""),
            "Imported": imported,
            "Removed": [change.logical for change in listed if change.action == "Remove"],
            "Changes": [change.description() for change in listed],
        }

    def _template(self, stack: Document, request: Request) -> str:
        """The template of a request: in it, or in S3, or the stack's own."""
        sources = [key for key in ("TemplateBody", "TemplateURL", "UsePreviousTemplate") if request.get(key)]
        if len(sources) != 1:
            raise _invalid(
                "You must specify only one of the following parameters: TemplateBody, TemplateURL, or set the"
                " UsePreviousTemplate to true."
            )
        if "TemplateURL" in request:
            return read_template(self._stacks.account.client("s3"), str(request["TemplateURL"]))
        return _own_template(stack, request)

    @staticmethod
    def _imported(request: Request, resources: dict[str, Any], stack: Document) -> dict[str, str]:
        """Names of the resources to import, by logical id."""
        imported = {}
        for item in request.get("ResourcesToImport", []):
            logical, identifier = item["LogicalResourceId"], item["ResourceIdentifier"]
            if logical not in resources or logical in stack["Resources"]:
                raise _invalid(f"Resource {logical} is not in the template, or in the stack already")
            naming = KINDS[item["ResourceType"]].naming
            if set(identifier) != {naming}:
                raise _invalid(f"Resource identifier of {item['ResourceType']} is [{naming}]")
            if "DeletionPolicy" not in resources[logical]:
                raise _invalid(f"Resources [{logical}] is missing DeletionPolicy attribute in the template")
            imported[logical] = identifier[naming]
        return imported

    def _describe_change_set(self, request: Request) -> Request:
        change_set = self._stacks.change_set(request["ChangeSetName"], request.get("StackName"))
        keys = (*_CHANGE_SET_SUMMARY, "StatusReason", "Capabilities", "Tags", "Changes")
        description = {"Description": change_set["Description"]} if change_set.get("Description") else {}
        parameters = _listed(change_set["Parameters"])
        return {**{key: change_set[key] for key in keys}, **description, "Parameters": parameters}

    def _list_change_sets(self, request: Request) -> Request:
        stack = self._stacks.get(request["StackName"])
        change_sets = self._stacks.change_sets(stack)
        return {"Summaries": [{key: item[key] for key in _CHANGE_SET_SUMMARY} for item in change_sets]}

    def _delete_change_set(self, request: Request) -> Request:
        change_set = self._stacks.find_change_set(request["ChangeSetName"], request.get("StackName"))
        if change_set is not None:
            self._stacks.delete_change_set(change_set)
        return {}

    def _execute_change_set(self, request: Request) -> Request:
        with self._lock:
            change_set = self._stacks.change_set(request["ChangeSetName"], request.get("StackName"))
            stack = self._stacks.get(change_set["StackId"])
            if change_set["ExecutionStatus"] != "AVAILABLE":
                arn, status = change_set["ChangeSetId"], change_set["Status"]
                message = f"ChangeSet [{arn}] cannot be executed in its current status of [{status}]"
                raise ServiceError("InvalidChangeSetStatus", message)
            if stack["StackStatus"] != REVIEW:
                self._refuse_busy(stack)
            # The other change sets were compared with the stack before this change.
            self._delete_change_sets(stack)
            stack["LastUpdatedTime"] = now()
            self._stacks.enter(stack, f"{change_set['ChangeSetType']}_IN_PROGRESS", "User Initiated")
        self._engine.start(lambda: self._engine.execute(stack, change_set), stack)
        return {}

    def _delete_change_sets(self, stack: Document) -> None:
        for change_set in self._stacks.change_sets(stack):
            self._stacks.delete_change_set(change_set)

    def _describe_stacks(self, request: Request) -> Request:
        name = request.get("StackName")
        stacks = [self._stacks.get(name)] if name else self._stacks.living()
        return {"Stacks": [_description(stack) for stack in stacks]}

    def _list_stacks(self, request: Request) -> Request:
        wanted = request.get("StackStatusFilter")
        stacks = [stack for stack in self._stacks.all() if not wanted or stack["StackStatus"] in wanted]
        return {"StackSummaries": [{key: stack[key] for key in _SUMMARY if key in stack} for stack in stacks[::-1]]}

    def _describe_events(self, request: Request) -> Request:
        return {"StackEvents": self._stacks.get(_stack_name(request))["Events"][::-1]}

    def _list_resources(self, request: Request) -> Request:
        resources = self._stacks.get(request["StackName"])["Resources"].values()
        return {"StackResourceSummaries": [_resource(item, "LastUpdatedTimestamp") for item in resources]}

    def _describe_resources(self, request: Request) -> Request:
        stack = self._stacks.get(_stack_name(request))
        wanted = request.get("LogicalResourceId")
        names = {"StackId": stack["StackId"], "StackName": stack["StackName"]}
        resources = [item for name, item in stack["Resources"].items() if wanted in (None, name)]
        return {"StackResources": [names | _resource(item, "Timestamp") for item in resources]}

    def _get_template(self, request: Request) -> Request:
        if "ChangeSetName" in request:
            template = self._stacks.change_set(request["ChangeSetName"], request.get("StackName"))["Template"]
        else:
            template = self._stacks.get(_stack_name(request))["Template"]
        return {"TemplateBody": template, "StagesAvailable": ["Original"]}

    def _delete_stack(self, request: Request) -> Request:
        with self._lock:
            stack = self._stacks.find(request["StackName"])
            if stack is None or stack["StackStatus"] == DELETED:
                return {}
            if stack["StackStatus"].endswith("_IN_PROGRESS") and stack["StackStatus"] != REVIEW:
                raise _invalid(f"Stack [{stack['StackId']}] cannot be deleted while in status {stack['StackStatus']}")
            self._delete_change_sets(stack)
            self._stacks.enter(stack, "DELETE_IN_PROGRESS", "User Initiated")
        retained = request.get("RetainResources", [])
        self._engine.start(lambda: self._engine.delete(stack, retained), stack)
        return {}


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationError", message)


def _stack_name(request: Request) -> str:
    """The stack that a request names. Raises ServiceError if it names none, which its model allows."""
    if not request.get("StackName"):
        raise _invalid("StackName must be specified.")
    return str(request["StackName"])


def _own_template(stack: Document, request: Request) -> str:
    if "TemplateBody" not in request:
        return str(stack["Template"])
    body = str(request["TemplateBody"])
    if len(body.encode()) > LARGEST_BODY:
        raise _invalid(
            "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have"
            f" length less than or equal to {LARGEST_BODY}"
        )
    return body


def _parameters(stack: Document, request: Request) -> dict[str, str]:
    given = {}
    for item in request.get("Parameters", []):
        name = item["ParameterKey"]
        if item.get("UsePreviousValue"):
            if name not in stack["Parameters"]:
                raise _invalid(f"Invalid input for parameter key {name}. Cannot specify usePreviousValue as true")
            given[name] = stack["Parameters"][name]
        else:
            given[name] = item.get("ParameterValue", "")
    return given


def _by_key(tags: list[dict[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


def _listed(parameters: dict[str, str]) -> list[dict[str, str]]:
    return [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()]


def _description(stack: Document) -> dict[str, Any]:
    keys = (*_SUMMARY, "StackStatusReason", "Outputs", "Capabilities", "Tags", "Description")
    members = {key: stack[key] for key in keys if stack.get(key) not in (None, "")}
    parameters = _listed(stack["Parameters"])
    return {**members, "Parameters": parameters, "RollbackConfiguration": {}, "DisableRollback": False}


def _resource(resource: Document, time: str) -> dict[str, Any]:
    keys = ("LogicalResourceId", "PhysicalResourceId", "ResourceType", "ResourceStatus")
    reason = {"ResourceStatusReason": resource["ResourceStatusReason"]} if resource["ResourceStatusReason"] else {}
    return {**{key: resource[key] for key in keys}, time: resource["Timestamp"], **reason}
