"""What steps from the cache saved: the time and the money that they took in the run that they come from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal

from pipeline.clients import client
from pipeline.operations.cost import actual
from pipeline.operations.cost.money import INSTANCE_HOURS, SECONDS_AN_HOUR, Bill
from pipeline.operations.cost.prices import Prices
from pipeline.operations.runs import progress
from pipeline.operations.runs.progress import Progress, Saving, StepRun, TrialJob
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

_MILLIONTH = Decimal("0.000001")
# A hit names the run that ran the step; a chain of them that is longer than this is none.
_LONGEST_CHAIN = 10


class Savings:
    """Reads what steps took in the runs that they come from, each once."""

    def __init__(self, settings: Settings, prices: Callable[[], Prices]) -> None:
        """`prices` is asked for once there is something to count."""
        self._settings, self._ask = settings, prices
        self._sagemaker = client(settings, "sagemaker")
        self._prices: Prices | None = None
        self._steps: dict[str, dict[str, StepRun]] = {}
        self._savings: dict[tuple[str, str], Saving | None] = {}

    def annotated(self, run: Progress) -> Progress:
        """The run with `saving` at each of its steps that came from the cache."""
        steps = (
            dataclasses.replace(step, saving=self.of(step.name, step.cached_from)) if step.cached else step
            for step in run.steps
        )
        return dataclasses.replace(run, steps=tuple(steps))

    def each(self, runs: Iterable[Progress]) -> Iterator[Progress]:
        """A run as it goes, each of its states `annotated`."""
        return map(self.annotated, runs)

    def of(self, step: str, source: str) -> Saving | None:
        """What `step` took in the run `source` (an ARN); None where that run cannot be read (any more).

        It is an extra: an error of AWS leaves it out, and stops nothing.
        """
        key = (step, source)
        if key not in self._savings:
            try:
                self._savings[key] = self._read(self.origin(step, source)[1])
            except unanswered():
                self._savings[key] = None
        return self._savings[key]

    def origin(self, step: str, arn: str) -> tuple[str, StepRun | None]:
        """The run that ran `step` for the run `arn`, found by the hits that lead to it, and the step there, if any."""
        for _ in range(_LONGEST_CHAIN):
            before = self.steps(arn).get(step)
            if before is None or not before.cached:
                return arn, before
            arn = before.cached_from
        return arn, None

    def steps(self, arn: str) -> dict[str, StepRun]:
        """The steps of the run `arn`, by name; asked for once, so of a run that has done with them."""
        if arn not in self._steps:
            self._steps[arn] = {step.name: step for step in progress.steps_of(self._sagemaker, arn)}
        return self._steps[arn]

    def _read(self, step: StepRun | None) -> Saving | None:
        if step is None or step.started is None or step.ended is None:
            return None
        seconds = max((step.ended - step.started).total_seconds(), 0.0)
        bill = self._bill(step)
        if bill is None:
            return Saving(seconds, 0, None)
        hours = sum((item.quantity.low for item in bill.items if item.unit == INSTANCE_HOURS), Decimal(0))
        usd = None if bill.missing else bill.total.low.quantize(_MILLIONTH, ROUND_HALF_UP)
        return Saving(seconds, round(hours * SECONDS_AN_HOUR), usd)

    def _bill(self, step: StepRun) -> Bill | None:
        """What the step cost; None where that cannot be told."""
        try:
            if self._prices is None:
                self._prices = self._ask()
            bill, notes = actual.step_bill(self._settings, step, self._trials(step), self._prices, datetime.now(UTC))
        except unanswered():
            return None
        # A job that is no longer there leaves no line.
        return bill if bill.items or not notes else None

    def _trials(self, step: StepRun) -> list[TrialJob]:
        arn = step.arn("TuningJob")
        return [] if arn is None else progress.trials(self._sagemaker, arn.rsplit("/", 1)[-1])


def reader(settings: Settings) -> Savings:
    """Savings at the prices that `cost` counts with: AWS's own where there are credentials, else those of the file."""

    def prices() -> Prices:
        from pipeline.operations.cost import catalog
        from pipeline.operations.cost.prices import FILE

        return catalog.chosen(settings, FILE, datetime.now(UTC).date(), ask=True)

    return Savings(settings, prices)


def unanswered() -> tuple[type[Exception], ...]:
    """The errors of who can do without AWS's answer."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    return BotoCoreError, ClientError, ResponseParserError, PipelineError


@dataclass(frozen=True)
class Total:
    """What several steps saved: `usd` is None where no price is known, and `complete` says whether all of them are."""

    seconds: float
    usd: Decimal | None
    complete: bool


def total(savings: Iterable[Saving | None]) -> Total:
    """The sum of what is known; a step whose source cannot be read has None."""
    each = list(savings)
    priced = [saving.usd for saving in each if saving is not None and saving.usd is not None]
    seconds = sum(saving.seconds for saving in each if saving is not None)
    return Total(seconds, sum(priced, Decimal(0)) if priced else None, len(priced) == len(each))
