"""What goes on costing after a command has ended: the endpoint, runs in progress, and schedules that start more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from pipeline.operations.cost import before
from pipeline.operations.cost.before import HourlyCost
from pipeline.operations.cost.measured import reason, unanswered
from pipeline.operations.cost.money import Range
from pipeline.operations.cost.prices import Prices
from pipeline.operations.runs import schedules
from pipeline.operations.runs.executions import Execution
from pipeline.operations.serving import endpoint
from pipeline.operations.serving.endpoint import Endpoint
from pipeline.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True)
class Standing:
    """What goes on costing. `endpoint` is None where there is none; `runs` are the ids of the runs in progress.

    `schedules` start a run or a monitor; `problems` are why something was not looked up.
    """

    endpoint: Endpoint | None
    hourly: HourlyCost | None
    runs: tuple[str, ...]
    schedules: tuple[str, ...]
    problems: tuple[str, ...]


def read(settings: Settings, runs: Iterable[Execution], prices: Prices) -> Standing:
    """What goes on costing in the account of the settings, besides storage; `runs` are its newest runs."""
    problems: list[str] = []

    def asked(what: str, question: Callable[[], T]) -> T | None:
        try:
            return question()
        except unanswered() as error:
            problems.append(f"{what} not looked up: {reason(error)}")
            return None

    described = asked("the endpoint was", lambda: endpoint.find(settings))
    enabled = asked("schedules were", lambda: [each.name for each in schedules.schedules(settings) if each.is_due])
    return Standing(
        described,
        None if described is None else of_serving(described, prices),
        tuple(run.id for run in runs if not run.ended),
        tuple(enabled or ()),
        tuple(problems),
    )


def of_serving(described: Endpoint, prices: Prices) -> HourlyCost:
    """What an endpoint costs per hour with the instances that it has now."""
    return before.of_instances(prices, described.on, Range.of(described.instances))
