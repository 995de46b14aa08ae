"""The results of a benchmark: one JSON line per case, and a line on stderr per promise."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Bound:
    """A promise about a case: its `ratio`, or its `of_limit`, is at least or at most `value`."""

    figure: Literal["ratio", "of_limit"]
    relation: Literal["at least", "at most"]
    value: float

    def holds(self, measured: float) -> bool:
        """Whether the promise holds for the `measured` figure."""
        return measured >= self.value if self.relation == "at least" else measured <= self.value


@dataclass(frozen=True)
class Case:
    """A figure of ours, with those of the baseline and the limit where there are any, all in `unit`.

    `facts` are further members of the line.
    """

    name: str
    unit: str
    ours: float
    baseline: float | None = None
    limit: float | None = None
    bounds: tuple[Bound, ...] = ()
    facts: Mapping[str, bool] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """Ours divided by the baseline."""
        return self.ours / self.baseline if self.baseline else None

    @property
    def of_limit(self) -> float | None:
        """Ours divided by the limit."""
        return self.ours / self.limit if self.limit else None

    def line(self) -> str:
        """The case as one line of JSON; figures have four digits."""
        figures: dict[str, float | None] = {"ours": self.ours, "baseline": self.baseline, "ratio": self.ratio}
        figures |= {"limit": self.limit, "of_limit": self.of_limit}
        rounded = {name: None if value is None else float(f"{value:.4g}") for name, value in figures.items()}
        return json.dumps({"name": self.name, **rounded, "unit": self.unit, **self.facts})

    def verdicts(self) -> list[str]:
        """A line per promise: the measured figure, and whether the promise holds."""
        lines = []
        for bound in self.bounds:
            measured = self.ratio if bound.figure == "ratio" else self.of_limit
            if measured is not None:
                verdict = "holds" if bound.holds(measured) else "DOES NOT HOLD"
                promise = f"{bound.figure} {measured:.3g}, promised {bound.relation} {bound.value:g}"
                lines.append(f"{self.name}: {promise}: {verdict}")
        return lines


def take_turns(contenders: Mapping[str, Callable[[], float]], rounds: int, unit: str) -> dict[str, float]:
    """The median of each contender's figure over `rounds`.

    All run in every round, in one order and then in the other, so that changes of the machine affect all of them.
    """
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        order = list(contenders) if number % 2 == 0 else list(contenders)[::-1]
        for name in order:
            figures[name].append(contenders[name]())
        latest = ", ".join(f"{name} {figures[name][-1]:,.0f}" for name in contenders)
        say(f"round {number + 1} of {rounds}: {latest} {unit}")
    return {name: statistics.median(values) for name, values in figures.items()}


def say(text: str) -> None:
    """Print progress on stderr."""
    print(text, file=sys.stderr, flush=True)
