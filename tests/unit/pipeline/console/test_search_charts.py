"""The charts of a search: scales, ticks and marks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.console.search_charts import axis_of, parallel, scatter, share_of
from pipeline.operations.models.trials import SearchRange, Trial, TuningJob

RATE = SearchRange("rate", 0.0001, 0.01, "Logarithmic")
CHOICE = SearchRange("optimizer", values=("adamw", "sgd"))


def trial(number: int, objective: float | None, status: str = "Completed", **more: object) -> Trial:
    usual = Trial(number, f"trial-{number}", status, "", False, {"rate": "0.001", "optimizer": '"sgd"'}, objective)
    return replace(usual, **more)  # type: ignore[arg-type]


def job(*trials: Trial, ranges: tuple[SearchRange, ...] = (RATE, CHOICE)) -> TuningJob:
    return TuningJob(
        run="run1",
        name="tune-1",
        status="Completed",
        strategy="Bayesian",
        early_stopping=True,
        objective="validation:best_accuracy",
        maximize=True,
        cached_from="",
        failure="",
        trials=trials,
        ranges=ranges,
    )


@pytest.mark.parametrize(
    ("searched", "text", "share"),
    [
        (RATE, "0.001", 0.5),
        (RATE, "0.0001", 0.0),
        (RATE, "5", 1.0),
        (replace(RATE, scale="Linear"), "0.00505", 0.5),
        (replace(RATE, scale="Auto"), "0.001", 0.5),
        (SearchRange("rate", 1.0, 9.0, "Auto"), "5", 0.5),
        (SearchRange("momentum", 0.9, 0.999, "ReverseLogarithmic"), "0.99", 0.5),
        (SearchRange("seed", 3.0, 3.0, "Linear"), "3", 0.5),
        (CHOICE, '"adamw"', 0.25),
        (CHOICE, "lion", None),
        (RATE, "fast", None),
        (RATE, "", None),
        (RATE, "nan", None),
    ],
)
def test_a_value_is_placed_by_the_scale_of_its_range(searched: SearchRange, text: str, share: float | None) -> None:
    assert share_of(searched, text) == (None if share is None else pytest.approx(share))


def test_a_logarithmic_axis_has_powers_of_ten() -> None:
    assert [label for _, label in axis_of(RATE).ticks] == ["0.0001", "0.0003", "0.001", "0.003", "0.01"]
    assert axis_of(RATE).label == "rate, logarithmic"


def test_a_reverse_logarithmic_axis_nears_one() -> None:
    ticks = axis_of(SearchRange("momentum", 0.9, 0.9999, "ReverseLogarithmic")).ticks
    assert [label for _, label in ticks][-1] == "0.9999"
    assert "0.99" in [label for _, label in ticks]


@given(
    st.floats(1e-6, 1e3),
    st.floats(1.001, 1e8),
    st.sampled_from(["Auto", "Linear", "Logarithmic", "ReverseLogarithmic"]),
)
def test_the_ticks_of_any_range_are_few_in_order_and_on_the_axis(low: float, factor: float, scale: str) -> None:
    searched = SearchRange("x", low, low * factor, scale)
    shares = [share for share, _ in axis_of(searched).ticks]
    assert len(shares) <= 12
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)


def test_each_kind_of_trial_has_a_shape_and_a_word() -> None:
    drawing = scatter(
        job(
            trial(1, 0.5, best=True),
            trial(2, 0.4, "Stopped", note="early"),
            trial(3, 0.3),
            trial(4, 0.2, "InProgress"),
            trial(5, 0.1, "Stopped", note="out of time"),
            trial(6, None, "Failed"),
        ),
        RATE,
    )
    corners = {shape.style: len(shape.points) for shape in drawing.polygons}
    assert corners == {"t1 top": 10, "t2 early": 4, "t4 busy": 3, "t5 stopped": 4}
    assert [circle.style for circle in drawing.circles] == ["t3 done"]
    words = ["the best", "completed", "stopped", "stopped early", "under way"]
    assert [key.text for key in drawing.keys] == words
    # The best one is drawn over the others.
    assert drawing.polygons[-1].style == "t1 top"


def test_a_parallel_chart_has_an_axis_per_range_and_the_objectives() -> None:
    drawing = parallel(job(trial(1, 0.5, best=True), trial(2, 0.25), trial(3, None)))
    assert [line.style for line in drawing.lines] == ["grid"] * 3
    assert [len(curve.points) for curve in drawing.curves] == [3, 3]
    texts = [text.text for text in drawing.texts]
    assert {"rate", "optimizer", "best accuracy", "adamw", "sgd", "0.001"} <= set(texts)
    assert all(0 <= x <= drawing.width for curve in drawing.curves for x, _ in curve.points)


def test_without_an_objective_or_a_range_nothing_is_drawn() -> None:
    assert scatter(job(trial(1, None)), RATE).is_empty
    assert parallel(job(trial(1, None))).is_empty
    assert parallel(job(trial(1, 0.5), ranges=())).is_empty


def test_a_trial_without_a_value_of_a_range_is_left_out_of_its_chart_only() -> None:
    searched = job(trial(1, 0.5), trial(2, 0.4, values={"optimizer": "sgd"}))
    assert len(scatter(searched, RATE).circles) == 1
    assert len(scatter(searched, CHOICE).circles) == 2
    assert [len(curve.points) for curve in parallel(searched).curves] == [3, 2]
