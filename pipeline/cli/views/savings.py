"""What comes from the cache: the forecast before a run, and the savings of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from rich.text import Text

from pipeline.cli.tables import Column, Table
from pipeline.operations.caching import savings
from pipeline.operations.caching.reuse import Expectation, Outcome
from pipeline.operations.caching.savings import Total
from pipeline.operations.runs.progress import Progress, Saving
from pipeline.texts import time_text

_CENT = Decimal("0.01")


def dollars(usd: Decimal) -> str:
    """`$12.34`, or `< $0.01` for a smaller amount above zero."""
    return f"${usd:,.2f}" if usd >= _CENT or not usd else f"< ${_CENT}"


def saving_text(saving: Saving) -> str:
    """`$0.12, 3 min 05 s`; the time alone where the amount is zero or unknown."""
    return f"{dollars(saving.usd)}, {time_text(saving.seconds)}" if saving.usd else time_text(saving.seconds)


def total_text(total: Total, *, local: bool) -> str:
    """`about $12.34 and 3 h 10 min`; for a run in the local cloud the amount is what AWS would have billed."""
    if not total.usd:
        return f"about {time_text(total.seconds)}"
    about = "" if total.usd < _CENT else "about " if total.complete else "at least "
    where = " (at AWS's prices)" if local else ""
    return f"{about}{dollars(total.usd)}{where} and {time_text(total.seconds)}"


def forecast_table(expectations: Iterable[Expectation]) -> Table:
    """What is expected for each step of a run that is about to start, why, and what that saves."""
    table = Table("step", "expected", Column("why", priority=0), Column("saves", "time"))
    for expectation in expectations:
        saves = "" if expectation.saving is None else saving_text(expectation.saving)
        expected = {
            Outcome.CACHED: Text(f"from run {expectation.source.rsplit('/', 1)[-1]}", style="green"),
            Outcome.UNSURE: Text("possibly cached", style="yellow"),
            Outcome.RUNS: Text("runs"),
        }[expectation.outcome]
        if expectation.outcome == Outcome.UNSURE:
            saving = Text(f"({saves})" if saves else "", style="dim")
        else:
            saving = Text(saves)
        table.add_row(expectation.step, expected, expectation.why, saving)
    return table


def forecast_lines(expectations: Iterable[Expectation], *, local: bool) -> list[str]:
    """The steps that come from the cache, and the sum of what they save."""
    each = list(expectations)
    lines = []
    for outcome, heading in ((Outcome.CACHED, "from the cache"), (Outcome.UNSURE, "possibly from the cache")):
        steps = {expected.step: expected.saving for expected in each if expected.outcome == outcome}
        if steps:
            lines.append(_sum_line(heading, "saves", steps, local=local))
    return lines or ["from the cache: nothing"]


def saved_lines(progress: Progress, *, local: bool) -> list[str]:
    """The steps of a run that came from the cache, and the sum of what that saved; no line where there are none."""
    cached = {step.name: step.saving for step in progress.steps if step.cached}
    return [_sum_line("from the cache", "saved", cached, local=local)] if cached else []


def _sum_line(heading: str, verb: str, steps: Mapping[str, Saving | None], *, local: bool) -> str:
    names = f"{heading}: {', '.join(steps)}"
    if not any(steps.values()):
        return names
    return f"{names}; {verb} {total_text(savings.total(steps.values()), local=local)}"
