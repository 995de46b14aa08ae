"""Work groups: where a query's results go.

https://docs.aws.amazon.com/athena/latest/ug/workgroups-settings-override.html
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from pipeline.local.context import ServiceError
from pipeline.local.store import Document, Store

# The one that every account has.
PRIMARY = "primary"
MAXIMUM = 50
_KIND = "athena-work-group"
_ENGINE = {"SelectedEngineVersion": "AUTO", "EffectiveEngineVersion": "Athena engine version 3"}


@dataclass(frozen=True)
class Output:
    """A query's work group, the location of its results, and whether the group insists on it."""

    workgroup: str
    location: str
    enforced: bool


class WorkGroups:
    """Work groups in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # Where settings enforce nothing a request's own output location counts.
        store.create(_KIND, PRIMARY, _document(PRIMARY, "", {"EnforceWorkGroupConfiguration": False}))

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """CreateWorkGroup. New groups enforce their settings unless told otherwise, as on AWS."""
        name = request["Name"]
        configuration = {"EnforceWorkGroupConfiguration": True, **request.get("Configuration", {})}
        if not self._store.create(_KIND, name, _document(name, request.get("Description", ""), configuration)):
            raise ServiceError("InvalidRequestException", "WorkGroup is already created")
        return {}

    def update(self, request: dict[str, Any]) -> dict[str, Any]:
        """UpdateWorkGroup: what is not named stays as it is."""
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
            kept = {key: value for key, value in result.items() if not key.startswith("Remove")}
            if kept:
                configuration["ResultConfiguration"] = {**configuration.get("ResultConfiguration", {}), **kept}

        self._store.update(_KIND, name, change)
        return {}

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        """DeleteWorkGroup. Queries that ran in it are still described, so none is in the way."""
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
        start, size = int(request.get("NextToken", "0")), min(request.get("MaxResults", MAXIMUM), MAXIMUM)
        groups = self._store.list(_KIND)
        summaries = [
            {key: group[key] for key in ("Name", "State", "Description", "CreationTime")} | {"EngineVersion": _ENGINE}
            for group in groups[start : start + size]
        ]
        more = {"NextToken": str(start + size)} if start + size < len(groups) else {}
        return {"WorkGroups": summaries, **more}

    def name_in(self, request: dict[str, Any]) -> str:
        """The work group that a request names, or primary. Raises ServiceError where there is none."""
        name: str = self._find(request.get("WorkGroup", PRIMARY))["Name"]
        return name

    def output_of(self, request: dict[str, Any]) -> Output:
        """Where the results of a StartQueryExecution go: the group's place where it enforces it or the request has
        none. Raises ServiceError where neither has one.
        """
        group = self._find(request.get("WorkGroup", PRIMARY))
        configuration = group["Configuration"]
        own = configuration.get("ResultConfiguration", {}).get("OutputLocation")
        asked = request.get("ResultConfiguration", {}).get("OutputLocation")
        enforced = bool(own and configuration["EnforceWorkGroupConfiguration"])
        location = own if enforced or not asked else asked
        if not location:
            raise ServiceError(
                "InvalidRequestException",
                "No output location provided. An output location is required either through the Workgroup result "
                "configuration setting or as an API input.",
            )
        return Output(group["Name"], location, enforced)

    def _find(self, name: str) -> Document:
        group = self._store.get(_KIND, name)
        if group is None:
            raise ServiceError("InvalidRequestException", f"WorkGroup {name} is not found.")
        return group


def _document(name: str, description: str, configuration: dict[str, Any]) -> Document:
    return {
        "Name": name,
        "State": "ENABLED",
        "Description": description,
        "CreationTime": time.time(),
        "Configuration": {"EngineVersion": _ENGINE, **configuration},
    }
