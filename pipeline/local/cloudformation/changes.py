"""What a template would change of a stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.aws.cloudformation import Evaluation, TemplateError, dependencies, ordered
from pipeline.local.cloudformation.kinds import KINDS
from pipeline.local.cloudformation.stacks import Stacks
from pipeline.local.store import Document

_CAPABLE = ("CAPABILITY_NAMED_IAM", "CAPABILITY_IAM")
_KEPT = ("Retain", "RetainExceptOnCreate")
_NAMED_IAM = ("RoleName", "ManagedPolicyName")
# Attributes of a resource that CloudFormation itself reads.
POLICIES = ("DeletionPolicy", "UpdateReplacePolicy")


@dataclass(frozen=True)
class Change:
    """What would be done to one resource."""

    action: str
    """Add, Modify, Remove or Import."""
    logical: str
    resource_type: str
    physical: str = ""
    replacement: str = ""
    """True, False or Conditional; of Modify alone."""
    properties: tuple[str, ...] = ()
    """Which would change."""
    policy_action: str = ""
    scope: tuple[str, ...] = field(default=("Properties",))

    def described(self) -> dict[str, Any]:
        """As DescribeChangeSet has it."""
        change: dict[str, Any] = {
            "Action": self.action,
            "LogicalResourceId": self.logical,
            "ResourceType": self.resource_type,
            "Scope": [],
            "Details": [],
        }
        if self.physical:
            change["PhysicalResourceId"] = self.physical
        if self.policy_action:
            change["PolicyAction"] = self.policy_action
        if self.action == "Modify":
            change |= {"Replacement": self.replacement, "Scope": list(self.scope)}
            change["Details"] = [
                {"Target": {"Attribute": "Properties", "Name": name}, "Evaluation": "Static"}
                for name in self.properties
            ]
        return {"Type": "Resource", "ResourceChange": change}


def checked(evaluation: Evaluation, capabilities: list[str]) -> dict[str, dict[str, Any]]:
    """The resources of a template. Raises TemplateError for what CloudFormation, or the local cloud, would refuse."""
    resources = evaluation.resources()
    types = {resource.get("Type", "") for resource in evaluation.template["Resources"].values()}
    if unknown := sorted(types - set(KINDS)):
        raise TemplateError(f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]")
    for logical, resource in resources.items():
        kind = KINDS[resource["Type"]]
        if surplus := sorted(set(resource.get("Properties", {})) - kind.known - {kind.naming}):
            raise TemplateError(f"{logical}: the local cloud's {resource['Type']} has no {', '.join(surplus)}")
        evaluation.value(resource.get("Properties", {}))  # refuses a function that is not known
        if resource["Type"].startswith("AWS::IAM::") and not set(capabilities) & set(_CAPABLE):
            raise MissingCapabilityError("Requires capabilities : [CAPABILITY_IAM]")
        named = set(resource.get("Properties", {})) & set(_NAMED_IAM)
        if named and "CAPABILITY_NAMED_IAM" not in capabilities:
            raise MissingCapabilityError("Requires capabilities : [CAPABILITY_NAMED_IAM]")
    ordered(resources)
    return resources


def outputs(evaluation: Evaluation) -> list[dict[str, str]]:
    """A template's outputs, as DescribeStacks has them."""
    found = []
    for name, output in evaluation.template.get("Outputs", {}).items():
        if "Condition" not in output or evaluation.condition(output["Condition"]):
            described = {"Description": output["Description"]} if "Description" in output else {}
            found.append({"OutputKey": name, "OutputValue": str(evaluation.value(output["Value"])), **described})
    return found


def differing(properties: Mapping[str, Any], before: Mapping[str, Any]) -> set[str]:
    """Names of properties that are not what they were."""
    return {name for name in {*properties, *before} if properties.get(name) != before.get(name)}


class MissingCapabilityError(Exception):
    """A template that makes roles wants to be told that it may."""


def changes(stacks: Stacks, stack: Document, evaluation: Evaluation, imported: Mapping[str, str]) -> list[Change]:
    """What it takes to bring the stack to the template; `imported` are names of what is there, by logical id."""
    wanted, present = evaluation.resources(), stack["Resources"]
    found: dict[str, Change] = {}
    for logical in ordered(wanted):
        resource = wanted[logical]
        if logical in imported:
            found[logical] = Change("Import", logical, resource["Type"], imported[logical])
        elif logical not in present:
            found[logical] = Change("Add", logical, resource["Type"])
        else:
            replaced = {name for name, change in found.items() if change.replacement in ("True", "Conditional")}
            change = _modification(stacks, present[logical], resource, evaluation, replaced)
            if change is not None:
                found[logical] = change
    for logical, one in present.items():
        if logical not in wanted:
            kept = "Retain" if one["DeletionPolicy"] in _KEPT else "Delete"
            kind, physical = one["ResourceType"], one["PhysicalResourceId"]
            found[logical] = Change("Remove", logical, kind, physical, policy_action=kept)
    return list(found.values())


def _modification(
    stacks: Stacks, present: Document, wanted: Mapping[str, Any], evaluation: Evaluation, replaced: set[str]
) -> Change | None:
    if wanted["Type"] != present["ResourceType"]:
        raise TemplateError(
            f"Update of resource type is not permitted. The new template modifies resource type of the following"
            f" resources: [{present['LogicalResourceId']}]"
        )
    kind = stacks.kind(wanted["Type"])
    properties, before = evaluation.value(wanted.get("Properties", {})), present["Properties"]
    different = sorted(differing(properties, before))
    policies = [name for name in POLICIES if wanted.get(name, "Delete") != present[name]]
    # What names a replaced resource changes with it, and is replaced itself where that property cannot be changed.
    follows = {
        name
        for name, value in wanted.get("Properties", {}).items()
        if dependencies({"Properties": value}, dict.fromkeys(replaced))
    }
    if not different and not policies and not follows:
        return None
    replacing = kind.replacing | {kind.naming}
    replacement = "True" if set(different) & replacing else "Conditional" if follows & replacing else "False"
    kept = {"Retain": "ReplaceAndRetain"}.get(wanted.get("UpdateReplacePolicy", ""), "ReplaceAndDelete")
    return Change(
        "Modify",
        present["LogicalResourceId"],
        wanted["Type"],
        present["PhysicalResourceId"],
        replacement,
        tuple(different),
        policy_action=kept if replacement == "True" else "",
        scope=(*(("Properties",) if different or follows else ()), *policies),
    )
