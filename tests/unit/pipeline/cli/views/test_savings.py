"""What comes from the cache: the forecast before a run, and the savings after it."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console

from pipeline.cli.views import savings as savings_view
from pipeline.operations.caching.reuse import Expectation, Outcome
from pipeline.operations.runs.executions import Execution
from pipeline.operations.runs.progress import Progress, Saving, StepRun

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EXECUTION = Execution("arn:aws:sagemaker:us-east-1:1:pipeline/bins/execution/run1", "Executing", START)
QUERY = StepRun("Query", "Executing", START)
SAVED = Saving(185, 180, Decimal("0.0239"))
RUN_0 = "arn:aws:sagemaker:us-east-1:1:pipeline/bins/execution/ab12cd34ef56"
FORECAST = (
    Expectation("QueryMetadata", Outcome.CACHED, "made 3 h ago", RUN_0, saving=SAVED),
    Expectation(
        "ShardImages",
        Outcome.UNSURE,
        "from the cache if QueryMetadata finds the same photos",
        RUN_0,
        saving=Saving(4000, 0, None),
    ),
    Expectation("TuneModel", Outcome.RUNS, "TrainingVersion was 1"),
    Expectation("RegisterModel", Outcome.RUNS, "after QualityGate"),
)


def printed(table: Any, width: int = 80) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=True, color_system=None).print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_what_is_expected_of_a_run_fits_80_columns() -> None:
    assert printed(savings_view.forecast_table(FORECAST)) == [
        "step            expected                why                    saves",
        "QueryMetadata   from run ab12cd34ef56   made 3 h ago           $0.02, 3 min 05 s",
        "ShardImages     possibly cached         from the cache if      (1 h 06 min)",
        "                                        QueryMetadata finds",
        "                                        the same photos",
        "TuneModel       runs                    TrainingVersion was",
        "                                        1",
        "RegisterModel   runs                    after QualityGate",
    ]


def test_lines_list_the_steps_from_the_cache_and_those_that_are_unsure() -> None:
    assert savings_view.forecast_lines(FORECAST, local=False) == [
        "from the cache: QueryMetadata; saves about $0.02 and 3 min 05 s",
        "possibly from the cache: ShardImages; saves about 1 h 06 min",
    ]
    assert savings_view.forecast_lines(FORECAST[2:], local=False) == ["from the cache: nothing"]


def cached_steps(*savings: Saving | None) -> Progress:
    steps = [
        StepRun(name, "Succeeded", START, START, cached_from=RUN_0, saving=saving)
        for name, saving in zip(("QueryMetadata", "ShardImages"), savings, strict=False)
    ]
    return Progress(EXECUTION, (*steps, QUERY), ())


@pytest.mark.parametrize(
    ("savings", "local", "line"),
    [
        (
            (SAVED, Saving(11_215, 1, Decimal("12.32"))),
            False,
            "QueryMetadata, ShardImages; saved about $12.34 and 3 h 10 min",
        ),
        ((SAVED,), True, "QueryMetadata; saved about $0.02 (at AWS's prices) and 3 min 05 s"),
        ((SAVED, Saving(60, 1, None)), False, "QueryMetadata, ShardImages; saved at least $0.02 and 4 min 05 s"),
        ((Saving(60, 1, None), None), False, "QueryMetadata, ShardImages; saved about 1 min 00 s"),
        ((Saving(60, 0, Decimal(0)),), True, "QueryMetadata; saved about 1 min 00 s"),
        ((Saving(2, 2, Decimal("0.0001")),), False, "QueryMetadata; saved < $0.01 and 2.0 s"),
        ((None, None), False, "QueryMetadata, ShardImages"),
    ],
)
def test_the_last_line_has_the_sum_of_the_savings(savings: tuple[Saving | None, ...], local: bool, line: str) -> None:
    assert savings_view.saved_lines(cached_steps(*savings), local=local) == [f"from the cache: {line}"]


def test_a_run_without_a_cached_step_has_no_such_line() -> None:
    assert savings_view.saved_lines(Progress(EXECUTION, (QUERY,), ()), local=False) == []
