"""What steps from the cache saved: the time and the money of the run that ran them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal

from pipeline.clients import client
from pipeline.operations.cost import actual
from pipeline.operations.cost.measured import unanswered
from pipeline.operations.cost.money import INSTANCE_HOURS, SECONDS_PER_HOUR
from pipeline.operations.cost.prices import FILE, Prices
from pipeline.operations.runs import progress
from pipeline.operations.runs.progress import Progress, Saving, StepRun
from pipeline.settings import Settings

_MILLIONTH = Decimal("0.000001")
# A cache hit names the run that ran the step, or another hit; the limit ends a circle of them.
_LONGEST_CHAIN = 10


class Savings:
    """Reads what steps took in the runs that they come from; each step of a run is read once."""

    def __init__(self, settings: Settings, prices: Prices) -> None:
        self._settings, self._prices = settings, prices
        self._sagemaker = client(settings, "sagemaker")
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
        """The states of a run, each `annotated`."""
        return map(self.annotated, runs)

    def of(self, step: str, source: str) -> Saving | None:
        """What `step` took in the run `source` (an ARN); None where AWS has no answer about that run."""
        key = (step, source)
        if key not in self._savings:
            try:
                self._savings[key] = self._read(self.origin(step, source)[1])
            except unanswered():
                self._savings[key] = None
        return self._savings[key]

    def origin(self, step: str, arn: str) -> tuple[str, StepRun | None]:
        """The run that ran `step` for the run `arn`, by following cache hits, and its step, if it has that."""
        for _ in range(_LONGEST_CHAIN):
            run = self.steps(arn).get(step)
            if run is None or not run.cached:
                return arn, run
            arn = run.cached_from
        return arn, None

    def steps(self, arn: str) -> dict[str, StepRun]:
        """The steps of the run `arn`, by name; read once."""
        if arn not in self._steps:
            self._steps[arn] = {step.name: step for step in progress.steps_of(self._sagemaker, arn)}
        return self._steps[arn]

    def _read(self, step: StepRun | None) -> Saving | None:
        if step is None or step.started is None or step.ended is None:
            return None
        seconds = max((step.ended - step.started).total_seconds(), 0.0)
        try:
            tuning_job = step.arn("TuningJob")
            trials = progress.trials(self._sagemaker, tuning_job.rsplit("/", 1)[-1]) if tuning_job else []
            bill, notes = actual.step_bill(self._settings, step, trials, self._prices, datetime.now(UTC))
        except unanswered():
            return Saving(seconds, 0, None)
        if notes and not bill.items:  # its job no longer exists
            return Saving(seconds, 0, None)
        hours = sum((item.quantity.low for item in bill.items if item.unit == INSTANCE_HOURS), Decimal(0))
        # Prices of another region would be a wrong amount without a word.
        priced = not bill.missing and self._prices.region == self._settings.account.region
        usd = bill.total.low.quantize(_MILLIONTH, ROUND_HALF_UP) if priced else None
        return Saving(seconds, round(hours * SECONDS_PER_HOUR), usd)


def reader(settings: Settings) -> Savings:
    """Savings at the prices of `cost`."""
    return Savings(settings, Prices(FILE, settings.account.region))


@dataclass(frozen=True)
class Total:
    """What several steps saved: `usd` is None where all prices are missing; `complete` is whether none is."""

    seconds: float
    usd: Decimal | None
    complete: bool


def total(savings: Iterable[Saving | None]) -> Total:
    """The sum of the savings that could be read."""
    savings = list(savings)
    priced = [saving.usd for saving in savings if saving is not None and saving.usd is not None]
    seconds = sum(saving.seconds for saving in savings if saving is not None)
    return Total(seconds, sum(priced, Decimal(0)) if priced else None, len(priced) == len(savings))
