"""View of `check`: the compiled definition, and one line per check that succeeded or has a warning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import RenderableType
from rich.text import Text

from pipeline.cli.tables import Column, Facts, Table
from pipeline.operations.check import Summary
from pipeline.operations.preflight import Result
from pipeline.settings import Settings

_STYLES = {"ok": "green", "warning": "yellow", "not checked": "dim"}


def check_page(settings: Settings, summary: Summary, results: Iterable[Result]) -> Iterator[RenderableType]:
    """The definition's steps and parameters, then the checks."""
    account = settings.account
    yield Text.assemble((settings.name, "bold"), f"  account {account.id} ({account.target}), {account.region}")
    table = Table("step", "kind", Column("image", "uri", 0))
    for step in summary.steps:
        # Without the registry, which is the account's for every step.
        table.add_row(step.name, step.kind, step.image.split("/", 1)[-1])
    yield table
    yield Facts(
        [
            ("parameters", ", ".join(summary.parameters)),
            ("definition", f"{summary.bytes:,} bytes, SHA-256 {summary.sha256[:16]}"),
        ]
    )
    yield Facts((Text(status, style=_STYLES[status]), text) for status, text in check_lines(results))


def check_lines(results: Iterable[Result]) -> Iterator[tuple[str, str]]:
    """Status and text of every check that did not fail; checks that were skipped for one reason share a line."""
    each = list(results)
    for check in dict.fromkeys(result.check for result in each):
        passed = [result.detail for result in each if result.check == check and result.status == "ok"]
        if passed:
            yield "ok", f"{check}: {', '.join(passed)}"
        for result in each:
            if result.check == check and result.status == "warning":
                yield "warning", f"{check}: {result.detail}"
    skipped: dict[str, list[str]] = {}
    for result in each:
        if result.status == "not checked":
            skipped.setdefault(result.detail, []).append(result.check)
    for reason, names in skipped.items():
        yield "not checked", f"{', '.join(dict.fromkeys(names))} ({reason})"
