"""The changes between a stack and a template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.aws.cloudformation import ResolvedTemplate, TemplateError, dependencies, ordered
from pipeline.local.cloudformation.kinds import KINDS, Account
from pipeline.local.store import Document

_CAPABLE = ("CAPABILITY_NAMED_IAM", "CAPABILITY_IAM")
RETAINED = ("Retain", "RetainExceptOnCreate")
_NAMED_IAM = ("RoleName", "ManagedPolicyName")
# Attributes of a resource that CloudFormation itself reads:
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-product-attribute-reference.html
POLICIES = ("DeletionPolicy", "UpdateReplacePolicy")
TAGS = "Tags"


@dataclass(frozen=True)
class Change:
    """The change of one resource."""

    action: str
    """Add, Modify, Remove or Import."""
    logical: str
    resource_type: str
    physical: str = ""
    replacement: str = ""
    """True, False or Conditional, if the action is Modify."""
    properties: tuple[str, ...] = ()
    """Names of the properties that change."""
    policy_action: str = ""
    scope: tuple[str, ...] = ()

    def description(self) -> dict[str, Any]:
        """The member of DescribeChangeSet's Changes."""
        targets = [{"Attribute": "Properties", "Name": name} for name in self.properties]
        targets += [{"Attribute": TAGS}] if TAGS in self.scope else []
        optional = {
            "PhysicalResourceId": self.physical,
            "PolicyAction": self.policy_action,
            "Replacement": self.replacement,
        }
        change = {
            "Action": self.action,
            "LogicalResourceId": self.logical,
            "ResourceType": self.resource_type,
            "Scope": list(self.scope),
            "Details": [{"Target": target, "Evaluation": "Static"} for target in targets],
            **{key: value for key, value in optional.items() if value},
        }
        return {"Type": "Resource", "ResourceChange": change}


def check(template: ResolvedTemplate, capabilities: list[str]) -> None:
    """Raise TemplateError for a template that CloudFormation, or the local cloud, would refuse."""
    resources = template.resources()
    types = {resource.get("Type", "") for resource in template.template["Resources"].values()}
    if "Transform" in template.template:
        raise TemplateError("The local cloud has no transforms of templates, which Transform names.")
    if exports := sorted(name for name, output in template.template.get("Outputs", {}).items() if "Export" in output):
        raise TemplateError(f"The local cloud has no exports of outputs: [{', '.join(exports)}]")
    if unknown := sorted(types - set(KINDS)):
        raise TemplateError(f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]")
    for logical, resource in resources.items():
        kind = KINDS[resource["Type"]]
        if surplus := sorted(set(resource.get("Properties", {})) - kind.properties - {kind.naming}):
            raise TemplateError(f"{logical}: the local cloud's {resource['Type']} has no {', '.join(surplus)}")
        template.value(resource.get("Properties", {}))  # raises for a function that is not supported
        if resource["Type"].startswith("AWS::IAM::") and not set(capabilities) & set(_CAPABLE):
            raise MissingCapabilityError("Requires capabilities : [CAPABILITY_IAM]")
        named = set(resource.get("Properties", {})) & set(_NAMED_IAM)
        if named and "CAPABILITY_NAMED_IAM" not in capabilities:
            raise MissingCapabilityError("Requires capabilities : [CAPABILITY_NAMED_IAM]")
    ordered(resources)


def outputs(template: ResolvedTemplate) -> list[dict[str, str]]:
    """A template's outputs in the form of DescribeStacks."""
    result = []
    for name, output in template.template.get("Outputs", {}).items():
        if "Condition" not in output or template.condition(output["Condition"]):
            description = {"Description": output["Description"]} if "Description" in output else {}
            result.append({"OutputKey": name, "OutputValue": str(template.value(output["Value"])), **description})
    return result


def differing(properties: Mapping[str, Any], before: Mapping[str, Any]) -> set[str]:
    """Names of properties that have changed."""
    return {name for name in {*properties, *before} if properties.get(name) != before.get(name)}


class MissingCapabilityError(Exception):
    """A template with IAM resources needs a capability in the request."""


def changes(stack: Document, template: ResolvedTemplate, imported: Mapping[str, str]) -> list[Change]:
    """The changes that bring the stack to the template; `imported` are names of existing resources by logical id."""
    wanted, present = template.resources(), stack["Resources"]
    result: dict[str, Change] = {}
    for logical in ordered(wanted):
        resource = wanted[logical]
        if logical in imported:
            result[logical] = Change("Import", logical, resource["Type"], imported[logical])
        elif logical not in present:
            result[logical] = Change("Add", logical, resource["Type"])
        else:
            replaced = {name for name, change in result.items() if change.replacement in ("True", "Conditional")}
            change = _modification(present[logical], resource, template, replaced)
            if change is not None:
                result[logical] = change
    for logical, resource in present.items():
        if logical not in wanted:
            action = "Retain" if resource["DeletionPolicy"] in RETAINED else "Delete"
            kind, physical = resource["ResourceType"], resource["PhysicalResourceId"]
            result[logical] = Change("Remove", logical, kind, physical, policy_action=action)
    return list(result.values())


def tag_changes(stack: Document, listed: list[Change], account: Account) -> list[Change]:
    """The changes of resources by other tags of their stack alone, besides `listed`."""
    changed = {change.logical for change in listed}
    return [
        Change("Modify", logical, resource["ResourceType"], resource["PhysicalResourceId"], "False", scope=(TAGS,))
        for logical, resource in stack["Resources"].items()
        if logical not in changed and KINDS[resource["ResourceType"]].has_tags(account)
    ]


def _modification(
    present: Document, wanted: Mapping[str, Any], template: ResolvedTemplate, replaced: set[str]
) -> Change | None:
    if wanted["Type"] != present["ResourceType"]:
        raise TemplateError(
            f"Update of resource type is not permitted. The new template modifies resource type of the following"
            f" resources: [{present['LogicalResourceId']}]"
        )
    kind = KINDS[wanted["Type"]]
    properties, before = template.value(wanted.get("Properties", {})), present["Properties"]
    different = sorted(differing(properties, before))
    policies = [name for name in POLICIES if wanted.get(name, "Delete") != present[name]]
    # A property that refers to a replaced resource changes with it, and may need a replacement itself.
    follows = {
        name
        for name, value in wanted.get("Properties", {}).items()
        if dependencies({"Properties": value}, dict.fromkeys(replaced))
    }
    if not different and not policies and not follows:
        return None
    replacing = kind.replacing | {kind.naming}
    replacement = "True" if set(different) & replacing else "Conditional" if follows & replacing else "False"
    action = {"Retain": "ReplaceAndRetain"}.get(wanted.get("UpdateReplacePolicy", ""), "ReplaceAndDelete")
    return Change(
        "Modify",
        present["LogicalResourceId"],
        wanted["Type"],
        present["PhysicalResourceId"],
        replacement,
        tuple(different),
        policy_action=action if replacement == "True" else "",
        scope=(*(("Properties",) if different or follows else ()), *policies),
    )
