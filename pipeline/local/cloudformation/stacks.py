"""Stacks and their change sets as documents in the store, and what is asked about them."""

from __future__ import annotations

import uuid
from typing import Any

from pipeline.aws.cloudformation import Evaluation, TemplateError, read
from pipeline.local.cloudformation.kinds import KINDS, Account, Kind
from pipeline.local.context import ServiceError, now
from pipeline.local.store import Document

STACK, CHANGE_SET = "cloudformation-stack", "cloudformation-change-set"
REVIEW, DELETED = "REVIEW_IN_PROGRESS", "DELETE_COMPLETE"
# What is told of a stack's past; the oldest go first.
EVENTS = 1000


class Stacks:
    """The account's stacks. A stack that was deleted is found by its ARN alone."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self._store = account.context.store
        self._kinds = {name: kind(account) for name, kind in KINDS.items()}

    def kind(self, resource_type: str) -> Kind:
        """What makes a type of resources. The type is known: templates with others are refused."""
        return self._kinds[resource_type]

    def all(self) -> list[Document]:
        """Every stack, oldest first."""
        return self._store.list(STACK)

    def find(self, name: str) -> Document | None:
        """The stack by its name or its ARN."""
        if name.startswith("arn:"):
            return self._store.get(STACK, name)
        living = (one for one in self.all() if one["StackName"] == name and one["StackStatus"] != DELETED)
        return next(living, None)

    def get(self, name: str) -> Document:
        """The stack by its name or its ARN. Raises ServiceError."""
        stack = self.find(name)
        if stack is None:
            raise ServiceError("ValidationError", f"Stack with id {name} does not exist")
        return stack

    def new(self, name: str) -> Document:
        """A stack without resources, to be reviewed."""
        return {
            "StackId": self.account.arn("cloudformation", f"stack/{name}/{uuid.uuid4()}"),
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
        """Bring a stack into a state, with an event."""
        stack["StackStatus"], stack["StackStatusReason"] = status, reason
        subject = (stack["StackName"], stack["StackId"], "AWS::CloudFormation::Stack")
        self._event(stack, subject, status, reason)

    def mark(self, stack: Document, resource: Document, status: str, reason: str = "") -> None:
        """Bring one of a stack's resources into a state, with an event."""
        resource |= {"ResourceStatus": status, "ResourceStatusReason": reason, "Timestamp": now()}
        subject = (resource["LogicalResourceId"], resource["PhysicalResourceId"], resource["ResourceType"])
        self._event(stack, subject, status, reason)

    def save(self, stack: Document) -> None:
        """Keep a stack as it is now."""
        self._store.put(STACK, stack["StackId"], stack)

    def change_sets(self, stack: Document) -> list[Document]:
        """A stack's change sets, oldest first."""
        return [one for one in self._store.list(CHANGE_SET) if one["StackId"] == stack["StackId"]]

    def find_change_set(self, name: str, stack_name: str | None) -> Document | None:
        """A change set by its ARN, or by its name and its stack."""
        if name.startswith("arn:"):
            return self._store.get(CHANGE_SET, name)
        if not stack_name:
            raise ServiceError(
                "ValidationError", "StackName must be specified if ChangeSetName is not specified as an ARN."
            )
        stack = self.get(stack_name)
        return next((one for one in self.change_sets(stack) if one["ChangeSetName"] == name), None)

    def change_set(self, name: str, stack_name: str | None) -> Document:
        """As `find_change_set`. Raises ServiceError where there is none."""
        found = self.find_change_set(name, stack_name)
        if found is None:
            raise ServiceError("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)
        return found

    def save_change_set(self, change_set: Document) -> None:
        """Keep a change set as it is now."""
        self._store.put(CHANGE_SET, change_set["ChangeSetId"], change_set)

    def delete_change_set(self, change_set: Document) -> None:
        """Forget a change set."""
        self._store.delete(CHANGE_SET, change_set["ChangeSetId"])

    def evaluation(self, stack: Document, template: str, parameters: dict[str, str]) -> Evaluation:
        """A template as a stack sees it: references to resources are to those it has.

        A reference to one that it has not yet is `{Name}`. Raises ServiceError for a template that is none.
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
            one = resources[name]
            found = self.kind(one["ResourceType"]).attributes(one["Name"], one["Properties"])
            if attribute not in found:
                raise TemplateError(f"{one['ResourceType']} has no attribute {attribute}")
            return found[attribute]

        try:
            return Evaluation(read(template), parameters, pseudo, reference, attribute)
        except TemplateError as error:
            raise ServiceError("ValidationError", str(error)) from None

    @staticmethod
    def _event(stack: Document, subject: tuple[str, str, str], status: str, reason: str) -> None:
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
