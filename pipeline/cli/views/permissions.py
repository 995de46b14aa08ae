"""View of `local permissions`: each role's statements with the actions used and never used, and what was refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import RenderableType
from rich.text import Text

from pipeline.cli.tables import Column, Table
from pipeline.operations.account.permissions import RoleUse


def permissions_page(uses: Iterable[RoleUse]) -> Iterator[RenderableType]:
    """One part per role."""
    for place, use in enumerate(uses):
        if place:
            yield ""
        yield Text(use.name, style="bold")
        if use.denied:
            table = Table("refused", Column("resource", "uri", 2), "reason", Column("call", "uri", 0))
            for refusal in use.denied:
                table.add_row(Text(refusal.action, style="red"), refusal.resource, refusal.reason, refusal.call)
            yield table
        if use.statements:
            table = Table(Column("statement", "uri"), "used", "never used")
            for statement in use.statements:
                table.add_row(statement.name, _actions(statement.used), _actions(statement.never_used))
            yield table


def _actions(actions: Iterable[str]) -> str:
    return ", ".join(actions)
