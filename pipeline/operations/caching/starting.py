"""What a run that is about to start will do and cost: shown before the start, which it never prevents."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from pipeline.operations.caching import reuse, savings
from pipeline.operations.caching.reuse import Expectation, Outcome, Planned
from pipeline.operations.cost import before
from pipeline.operations.cost.before import RunCost
from pipeline.operations.cost.prices import FILE, Prices
from pipeline.settings import Settings

# The line of an error, or None for one without.
Explain = Callable[[Exception], str | None]


def forecast(
    settings: Settings, planned: Planned, now: datetime, explain: Explain
) -> tuple[tuple[Expectation, ...], str]:
    """What is expected of each step; nothing, and why, where that is unknown."""
    try:
        return reuse.forecast(settings, planned, savings.reader(settings), now), ""
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        return (), f"a definition has an unknown form ({type(error).__name__}: {error})"
    except Exception as error:  # an error of AWS or the network is no reason not to start
        return (), _reason(error, explain)


def cost(
    settings: Settings, planned: Planned, expected: tuple[Expectation, ...], explain: Explain
) -> tuple[RunCost | None, str]:
    """What the run will cost; None, and why, where that is unknown. Without a forecast no step counts as cached."""
    steps = {
        outcome: {expectation.step for expectation in expected if expectation.outcome == outcome}
        for outcome in (Outcome.CACHED, Outcome.UNSURE)
    }
    try:
        return before.of_run(
            settings,
            planned.definition,
            planned.values,
            Prices(FILE, settings.account.region),
            cached=steps[Outcome.CACHED],
            unsure=steps[Outcome.UNSURE],
        ), ""
    except Exception as error:  # an error of AWS or the network is no reason not to start
        return None, _reason(error, explain)


def _reason(error: Exception, explain: Explain) -> str:
    return (explain(error) or str(error)).split(";")[0]
