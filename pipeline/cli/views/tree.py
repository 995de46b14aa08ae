"""A run as a tree: its steps, the branches of conditions and the trials below them, and the cost so far.

In a terminal with too few rows hyperparameters are left out, then what has ended folds, and what has not begun.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.text import Text

from pipeline.cli.tables import Column, Table, wrapped
from pipeline.cli.views.cells import status_text
from pipeline.cli.views.folding import FULL, Fold, folds, steps_of, trials_of
from pipeline.cli.views.notes import watched_step_note, watched_trial_note
from pipeline.cli.views.savings import dollars
from pipeline.operations.runs.progress import StepRun, TrialJob
from pipeline.operations.watching.snapshot import CostSoFar, Snapshot
from pipeline.texts import duration, time_text

# Columns below which a row has no word for its status: its sign and its colour are left.
_WIDE = 72
# Signs of a status, and those for terminals that have ASCII only.
_SIGNS = {
    **dict.fromkeys(("Succeeded", "Completed"), ("✓", "+")),
    **dict.fromkeys(("Executing", "InProgress", "Starting"), ("●", "*")),
    "Failed": ("✗", "x"),
    **dict.fromkeys(("Stopping", "Stopped"), ("■", "#")),
    "Waiting": ("○", "."),
}
_BRANCHES, _ASCII_BRANCHES = ("├─ ", "└─ ", "│  "), ("|- ", "`- ", "|  ")


@dataclass
class Node:
    """A row, and the rows below it."""

    name: str
    status: str
    time: str = ""
    note: Text = field(default_factory=Text)
    is_trial: bool = False
    children: list[Node] = field(default_factory=list)


class RunTree:
    """A snapshot as a tree, folded to `height` rows; whole where that is None. Times count until `now`, or the present.

    `hint` is a last line.
    """

    def __init__(
        self, snapshot: Snapshot, *, height: int | None = None, now: datetime | None = None, hint: str = ""
    ) -> None:
        self._snapshot, self._height, self._hint = snapshot, height, hint
        self._now = now

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        width = options.max_width if console.is_terminal else None
        tree = self._drawn(FULL, width, is_ascii=options.ascii_only)
        if self._height is not None:
            for fold in folds(self._snapshot):
                tree = self._drawn(fold, width, is_ascii=options.ascii_only)
                if len(console.render_lines(tree, options.update(height=None))) <= self._height:
                    break
        yield tree

    def _drawn(self, fold: Fold, width: int | None, *, is_ascii: bool) -> Group:
        is_wide = width is None or width >= _WIDE
        columns: list[Column | str] = ["step", *(["status"] if is_wide else []), Column("time", "time"), ""]
        table = Table(*columns, show_header=False)
        nodes = self._nodes(fold, is_ascii=is_ascii)
        for prefix, node in _flat(nodes, _ASCII_BRANCHES if is_ascii else _BRANCHES):
            status = status_text(node.status)
            sign = _SIGNS.get(node.status, ("·", "-"))[is_ascii]
            name = Text.assemble((prefix, "dim"), (sign, status.style), " ", node.name)
            note = node.note if node.is_trial or not fold.notes else Text()
            table.add_row(name, *([status] if is_wide else []), node.time, note)
        return Group(self._heading(), table, *self._footer(fold, width))

    def _footer(self, fold: Fold, width: int | None) -> Iterator[Text]:
        run = self._snapshot.progress.execution
        lines = [Text(line, style="yellow") for line in self._snapshot.problems]
        if self._snapshot.cost is not None:
            lines.append(Text(cost_line(self._snapshot.cost, has_ended=run.ended), style="dim"))
        if self._hint and not fold.notes:
            lines.append(Text(self._hint, style="dim"))
        for line in lines:
            yield from wrapped(line, width)

    def _heading(self) -> Text:
        run = self._snapshot.progress.execution
        ends = [step.ended for step in self._snapshot.progress.steps if step.ended]
        end = max(ends, default=run.changed) if run.ended else self._until()
        name = f"  {run.given_name}" if run.given_name else ""
        took = duration(run.started, end)
        return Text.assemble("run ", (run.id, "bold"), "  ", status_text(run.status), f"  {took}", (name, "dim"))

    def _nodes(self, fold: Fold, *, is_ascii: bool) -> list[Node]:
        """The rows at the top, with the others below them."""
        roots: list[Node] = []
        by_name: dict[str, Node] = {}
        for group in steps_of(self._snapshot.progress, fold):
            if isinstance(group, StepRun):
                node = self._step(group, fold, is_ascii=is_ascii)
                by_name[group.name] = node
                # Where the condition is folded, its branch moves up.
                above = by_name[group.condition].children if group.condition in by_name else roots
                above.append(node)
            else:
                roots.append(Node(group.name, group.status, note=Text(group.note, style="dim")))
        return roots

    def _step(self, step: StepRun, fold: Fold, *, is_ascii: bool) -> Node:
        time = "" if step.cached else duration(step.started, step.ended or self._until())
        node = Node(step.name, step.status, time, watched_step_note(step, self._snapshot))
        if "TuningJob" in step.metadata:
            for group in trials_of(self._snapshot, fold):
                if isinstance(group, tuple):
                    node.children.append(self._trial(*group, fold, is_ascii=is_ascii))
                else:
                    node.children.append(Node(group.name, group.status, note=Text(group.note, style="dim")))
        return node

    def _trial(self, number: int, trial: TrialJob, fold: Fold, *, is_ascii: bool) -> Node:
        note = watched_trial_note(trial, self._snapshot.detail(trial), is_short=fold.hyperparameters, is_ascii=is_ascii)
        time = duration(trial.started, trial.ended or self._until())
        return Node(f"trial {number}", trial.status, time, note, is_trial=True)

    def _until(self) -> datetime:
        return self._now or datetime.now(UTC)


def cost_line(cost: CostSoFar, *, has_ended: bool) -> str:
    """`so far: $1.23 for 1 h 05 min of instances, at prices of 2026-08-01 or later`."""
    until = "in all" if has_ended else "so far"
    instances = f"{time_text(cost.instance_seconds)} of instances"
    least = "" if cost.complete else "at least "
    if cost.usd is None:
        return f"{until}: {least}{instances}"
    priced = f", at prices of {cost.priced} or later" if cost.priced else ""
    return f"{until}: {least}{dollars(cost.usd)} for {instances}{priced}"


def _flat(
    nodes: Sequence[Node], branches: tuple[str, str, str], above: str | None = None
) -> Iterator[tuple[str, Node]]:
    """The nodes from top to bottom, each with the lines before its name; `above` is None at the top."""
    fork, end, line = branches
    for node in nodes:
        is_last = node is nodes[-1]
        if above is None:
            yield "", node
            yield from _flat(node.children, branches, "")
        else:
            yield above + (end if is_last else fork), node
            yield from _flat(node.children, branches, above + (" " * len(line) if is_last else line))
