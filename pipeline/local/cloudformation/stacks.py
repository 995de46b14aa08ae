"""Stacks and their change sets as documents in the store."""

from __future__ import annotations

import uuid
from typing import Any

from pipeline.aws.cloudformation import ResolvedTemplate, TemplateError, read
from pipeline.local.cloudformation.kinds import KINDS, Account
from pipeline.local.context import ServiceError, now
from pipeline.local.store import Document

STACK, CHANGE_SET = "cloudformation-stack", "cloudformation-change-set"
REVIEW, DELETED = "REVIEW_IN_PROGRESS", "DELETE_COMPLETE"
# Events per stack; the oldest are dropped.
EVENTS = 1000


class Stacks:
    """The account's stacks. A deleted stack is found by its ARN only."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self._store = account.context.store

    def all(self) -> list[Document]:
        """Every stack, oldest first."""
        return self._store.list(STACK)

    def living(self) -> list[Document]:
        """The stacks that are not deleted, oldest first."""
        return [stack for stack in self.all() if stack["StackStatus"] != DELETED]

    def find(self, name: str) -> Document | None:
        """The stack by its name or its ARN."""
        if name.startswith("arn:"):
            return self._store.get(STACK, name)
        return next((stack for stack in self.living() if stack["StackName"] == name), None)

    def get(self, name: str) -> Document:
        """As `find`. Raises ServiceError if there is none."""
        stack = self.find(name)
        if stack is None:
            raise ServiceError("ValidationError", f"Stack with id {name} does not exist")
        return stack

    def new(self, name: str) -> Document:
        """A stack without resources, in review."""
        return {
            "StackId": self.account.context.arn("cloudformation", f"stack/{name}/{uuid.uuid4()}"),
            "StackName": name,
            "CreationTime": now(),
            "Template": "",
            "Parameters": {},
            "Tags": [],
            "Capabilities": [],
            "Outputs": [],
            "Resources": {},
            "Events": [],
            "StackStatus": REVIEW,
            "StackStatusReason": "User Initiated",
        }

    def enter(self, stack: Document, status: str, reason: str = "") -> None:
        """Set a stack's status, record an event and store the stack."""
        stack |= {"StackStatus": status, "StackStatusReason": reason}
        subject = (stack["StackName"], stack["StackId"], "AWS::CloudFormation::Stack")
        self._record(stack, subject, status, reason)

    def mark(self, stack: Document, resource: Document, status: str, reason: str = "") -> None:
        """Set a resource's status, record an event and store the stack."""
        resource |= {"ResourceStatus": status, "ResourceStatusReason": reason, "Timestamp": now()}
        subject = (resource["LogicalResourceId"], resource["PhysicalResourceId"], resource["ResourceType"])
        self._record(stack, subject, status, reason)

    def save(self, stack: Document) -> None:
        """Store a stack."""
        self._store.put(STACK, stack["StackId"], stack)

    def change_sets(self, stack: Document) -> list[Document]:
        """A stack's change sets, oldest first."""
        return [item for item in self._store.list(CHANGE_SET) if item["StackId"] == stack["StackId"]]

    def find_change_set(self, name: str, stack_name: str | None) -> Document | None:
        """A change set by its ARN, or by its name and its stack. Raises ServiceError for a name without a stack.

        The permission is one on the stack: a stack that is not the change set's own has no such change set.
        """
        if name.startswith("arn:"):
            item = self._store.get(CHANGE_SET, name)
            return item if item is None or stack_name in (None, item["StackName"], item["StackId"]) else None
        if not stack_name:
            message = "StackName must be specified if ChangeSetName is not specified as an ARN."
            raise ServiceError("ValidationError", message)
        stack = self.get(stack_name)
        return next((item for item in self.change_sets(stack) if item["ChangeSetName"] == name), None)

    def change_set(self, name: str, stack_name: str | None) -> Document:
        """As `find_change_set`. Raises ServiceError if there is none."""
        change_set = self.find_change_set(name, stack_name)
        if change_set is None:
            raise ServiceError("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)
        return change_set

    def save_change_set(self, change_set: Document) -> None:
        """Store a change set."""
        self._store.put(CHANGE_SET, change_set["ChangeSetId"], change_set)

    def delete_change_set(self, change_set: Document) -> None:
        """Delete a change set."""
        self._store.delete(CHANGE_SET, change_set["ChangeSetId"])

    def resolve(self, stack: Document, template: str, parameters: dict[str, str]) -> ResolvedTemplate:
        """A template with references to the stack's resources. A reference to a resource that it lacks is `{Name}`.

        Raises ServiceError for a malformed template.
        """
        context = self.account.context
        pseudo: dict[str, Any] = {
            "AWS::AccountId": context.account_id,
            "AWS::Region": context.region,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": stack["StackName"],
            "AWS::StackId": stack["StackId"],
            "AWS::NotificationARNs": [],
        }
        resources = stack["Resources"]

        def reference(name: str) -> str:
            return str(resources[name]["PhysicalResourceId"]) if name in resources else f"{{{name}}}"

        def attribute(name: str, attribute: str) -> str:
            if name not in resources:
                return f"{{{name}.{attribute}}}"
            resource = resources[name]
            kind = KINDS[resource["ResourceType"]]
            attributes = kind.attributes(self.account, resource["Name"], resource["Properties"])
            if attribute not in attributes:
                raise TemplateError(f"{resource['ResourceType']} has no attribute {attribute}")
            return attributes[attribute]

        try:
            return ResolvedTemplate(read(template), parameters, pseudo, reference, attribute)
        except TemplateError as error:
            raise ServiceError("ValidationError", str(error)) from None

    def _record(self, stack: Document, subject: tuple[str, str, str], status: str, reason: str) -> None:
        logical, physical, kind = subject
        event = {
            "StackId": stack["StackId"],
            "EventId": str(uuid.uuid4()),
            "StackName": stack["StackName"],
            "LogicalResourceId": logical,
            "PhysicalResourceId": physical,
            "ResourceType": kind,
            "Timestamp": now(),
            "ResourceStatus": status,
        }
        stack["Events"] = [*stack["Events"], event | ({"ResourceStatusReason": reason} if reason else {})][-EVENTS:]
        self.save(stack)
