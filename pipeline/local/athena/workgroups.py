"""Work groups, which decide the location of query results.

https://docs.aws.amazon.com/athena/latest/ug/workgroups-settings-override.html
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pipeline.local.context import ServiceError
from pipeline.local.store import Document, Store

T = TypeVar("T")
# Every account has this work group.
PRIMARY = "primary"
MAXIMUM = 50
_KIND = "athena-work-group"
ENGINE_VERSION = {"SelectedEngineVersion": "AUTO", "EffectiveEngineVersion": "Athena engine version 3"}


@dataclass(frozen=True)
class OutputLocation:
    """A query's work group, the location of its results, and whether the group enforces it."""

    workgroup: str
    location: str
    enforced: bool


class WorkGroups:
    """Work groups in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # Without enforcement a request's own output location is used.
        store.create(_KIND, PRIMARY, _document(PRIMARY, "", {"EnforceWorkGroupConfiguration": False}))

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """CreateWorkGroup. As on AWS, new groups enforce their settings by default."""
        name = request["Name"]
        configuration = {"EnforceWorkGroupConfiguration": True, **request.get("Configuration", {})}
        if not self._store.create(_KIND, name, _document(name, request.get("Description", ""), configuration)):
            raise ServiceError("InvalidRequestException", "WorkGroup is already created")
        return {}

    def update(self, request: dict[str, Any]) -> dict[str, Any]:
        """UpdateWorkGroup. Members that the request lacks do not change."""
        name = self._find(request["WorkGroup"])["Name"]
        updates = dict(request.get("ConfigurationUpdates", {}))
        result = updates.pop("ResultConfigurationUpdates", {})

        def change(group: Document) -> None:
            group |= {key: request[key] for key in ("Description", "State") if key in request}
            configuration = group["Configuration"]
            for flag in [key for key in (*updates, *result) if key.startswith("Remove")]:
                removed = flag.removeprefix("Remove")
                (configuration.get("ResultConfiguration", {}) if flag in result else configuration).pop(removed, None)
            configuration |= {key: value for key, value in updates.items() if not key.startswith("Remove")}
            changed = {key: value for key, value in result.items() if not key.startswith("Remove")}
            if changed:
                configuration["ResultConfiguration"] = {**configuration.get("ResultConfiguration", {}), **changed}

        self._store.update(_KIND, name, change)
        return {}

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        """DeleteWorkGroup. Its queries are retained."""
        name = self._find(request["WorkGroup"])["Name"]
        if name == PRIMARY:
            raise ServiceError("InvalidRequestException", "Cannot delete primary work group")
        self._store.delete(_KIND, name)
        return {}

    def get(self, request: dict[str, Any]) -> dict[str, Any]:
        """GetWorkGroup."""
        return {"WorkGroup": self._find(request["WorkGroup"])}

    def list(self, request: dict[str, Any]) -> dict[str, Any]:
        """ListWorkGroups."""
        groups, more = page(request, self._store.list(_KIND), MAXIMUM)
        keys = ("Name", "State", "Description", "CreationTime")
        summaries = [{key: group[key] for key in keys} | {"EngineVersion": ENGINE_VERSION} for group in groups]
        return {"WorkGroups": summaries, **more}

    def name_in(self, request: dict[str, Any]) -> str:
        """The work group that a request names, or primary. Raises ServiceError if there is no such group."""
        name: str = self._find(request.get("WorkGroup", PRIMARY))["Name"]
        return name

    def output_of(self, request: dict[str, Any]) -> OutputLocation:
        """The location of the results of a StartQueryExecution: the group's if it enforces it or the request has none.

        Raises ServiceError if neither has one.
        """
        group = self._find(request.get("WorkGroup", PRIMARY))
        configuration = group["Configuration"]
        own = configuration.get("ResultConfiguration", {}).get("OutputLocation")
        requested = request.get("ResultConfiguration", {}).get("OutputLocation")
        enforced = bool(own and configuration["EnforceWorkGroupConfiguration"])
        location = own if enforced or not requested else requested
        if not location:
            raise ServiceError(
                "InvalidRequestException",
                "No output location provided. An output location is required either through the Workgroup result "
                "configuration setting or as an API input.",
            )
        return OutputLocation(group["Name"], location, enforced)

    def _find(self, name: str) -> Document:
        group = self._store.get(_KIND, name)
        if group is None:
            raise ServiceError("InvalidRequestException", f"WorkGroup {name} is not found.")
        return group


def page(request: dict[str, Any], items: Sequence[T], maximum: int) -> tuple[Sequence[T], dict[str, str]]:
    """The items of a page, and the NextToken if more follow. Raises ServiceError for a malformed NextToken."""
    token = request.get("NextToken", "0")
    if not token.isdecimal():
        raise ServiceError("InvalidRequestException", f"NextToken {token!r} is not valid")
    end = int(token) + min(request.get("MaxResults", maximum), maximum)
    return items[int(token) : end], {"NextToken": str(end)} if end < len(items) else {}


def _document(name: str, description: str, configuration: dict[str, Any]) -> Document:
    return {
        "Name": name,
        "State": "ENABLED",
        "Description": description,
        "CreationTime": time.time(),
        "Configuration": {"EngineVersion": ENGINE_VERSION, **configuration},
    }
