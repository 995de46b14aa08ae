"""The Glue database and the Athena workgroup."""

from __future__ import annotations

from typing import Any

from pipeline.local.cloudformation.kinds.kind import Kind, Properties, found, picked, send, unless_missing


class Database(Kind):
    """A database of the Glue catalog."""

    known = frozenset({"CatalogId", "DatabaseInput"})

    def name(self, stack: str, logical: str, properties: Properties) -> str:
        """As its input says."""
        return str(properties["DatabaseInput"].get("Name") or super().name(stack, logical, properties).lower())

    def exists(self, name: str, properties: Properties) -> bool:  # noqa: ARG002
        """Whether there is a database of that name."""
        return found(lambda: self._glue.get_database(Name=name))

    def put(self, name: str, properties: Properties) -> None:
        """Make it, or bring it up to date."""
        wanted = {**properties["DatabaseInput"], "Name": name}
        if self.exists(name, properties):
            self._glue.update_database(Name=name, DatabaseInput=wanted)
        else:
            self._glue.create_database(DatabaseInput=wanted)

    def delete(self, name: str, properties: Properties) -> None:  # noqa: ARG002
        """Delete it, with its tables."""
        with unless_missing():
            self._glue.delete_database(Name=name)

    @property
    def _glue(self) -> Any:
        return self.account.client("glue")


class WorkGroup(Kind):
    """An Athena workgroup."""

    naming = "Name"
    known = frozenset({"Description", "RecursiveDeleteOption", "WorkGroupConfiguration"})
    forgotten = False

    def exists(self, name: str, properties: Properties) -> bool:  # noqa: ARG002
        """Whether there is a workgroup of that name."""
        return found(lambda: self._athena.get_work_group(WorkGroup=name))

    def put(self, name: str, properties: Properties) -> None:
        """Make it, or bring it up to date."""
        configuration = properties.get("WorkGroupConfiguration", {})
        description = picked(properties, "Description")
        if self.exists(name, properties):
            send(
                self._athena,
                "UpdateWorkGroup",
                WorkGroup=name,
                ConfigurationUpdates=_updates(configuration),
                **description,
            )
        else:
            send(self._athena, "CreateWorkGroup", Name=name, Configuration=configuration, **description)

    def delete(self, name: str, properties: Properties) -> None:
        """Delete it, with what it remembers of its queries where the template says so."""
        if self.exists(name, properties):
            recursive = properties.get("RecursiveDeleteOption") in (True, "true")
            self._athena.delete_work_group(WorkGroup=name, RecursiveDeleteOption=recursive)

    @property
    def _athena(self) -> Any:
        return self.account.client("athena")


def _updates(configuration: Properties) -> dict[str, Any]:
    """UpdateWorkGroup's updates that bring about a configuration."""
    updates = {name: value for name, value in configuration.items() if name != "ResultConfiguration"}
    if result := configuration.get("ResultConfiguration"):
        updates["ResultConfigurationUpdates"] = result
    return updates
