"""`monitor`: how far each feature is, of which window, at 80 columns."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.operations.serving import monitor_jobs, monitoring
from pipeline.operations.serving.monitoring import MonitorJob
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from tests.unit.pipeline.cli.test_registry import settings
from tests.unit.pipeline.conftest import Call, plain
from tests.unit.pipeline.console.pages.account_of_drift import true_counts

__all__ = ["settings"]


def tail(share: float, *, drifted: bool = False) -> dict[str, Any]:
    return {"limit": 0.3, "share": share, "p_value": 0.5, "threshold": 0.01, "drifted": drifted}


def feature(name: str, psi: float, low: dict[str, Any] | None = None, *, drifted: bool = False) -> dict[str, Any]:
    values = {
        f"{sample}_{value}": number
        for sample, numbers in (("baseline", (209_236, 84_240, 821_845)), ("window", (0.4251, 0.01, 0.7448)))
        for value, number in zip(("mean", "smallest", "largest"), numbers, strict=True)
    }
    high = None if low is None else tail(0.004)
    return {"name": name, "psi": psi, "p_value": 0.1, "drifted": drifted, "low": low, "high": high, **values}


def drift(*features: dict[str, Any], verdict: str = "drift") -> dict[str, Any]:
    numbers = {"photos": 1959, "compared": 1959, "minimum_photos": 200, "baseline_photos": 2000}
    return {
        "verdict": verdict,
        "model_version": "3",
        "refused": {"damaged line": 1},
        "features": list(features),
        **numbers,
    }


@pytest.fixture
def asked(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The hours of each job; its result is a drift of the brightness."""
    hours: list[int] = []
    found = drift(feature("predicted", 0.01), feature("brightness", 0.021, tail(0.088, drifted=True), drifted=True))

    def start(settings: Settings, *, retrain: bool) -> MonitorJob:
        hours.append(settings.monitoring.hours)
        return MonitorJob("j", "InProgress", "s3://b/out")

    monkeypatch.setattr(monitoring, "start", start)
    monkeypatch.setattr(monitoring, "wait", lambda settings, job: MonitorJob("j", "Completed", "s3://b/out", "", found))
    return hours


def test_each_feature_is_shown_with_its_extremes_and_tails(call: Call, asked: list[int], terminal: Any) -> None:
    terminal(80)
    outcome = call("monitor")
    lines = plain(outcome.out).splitlines()
    assert outcome.code == 3
    assert max(map(len, lines)) <= 80
    rows = [line.split() for line in lines]
    assert ["brightness", "0.4251", "0.01", "0.7448", "8.8%", "0.4%", "0.021", "drifted"] in rows
    assert ["predicted", "0.4251", "0.01", "0.7448", "-", "-", "0.010"] in rows
    assert ["baseline", "209,236", "84,240", "821,845"] in rows
    assert "furthest from the baseline: brightness, PSI 0.021" in lines
    assert lines[-1] == "report: s3://b/out/report.html"


@pytest.mark.parametrize(("words", "hours"), [([], 24), (["--hours", "2"], 2), (["--hours", "744"], 744)])
def test_the_window_is_that_of_the_option(call: Call, asked: list[int], words: list[str], hours: int) -> None:
    assert call("monitor", "--json", *words).code == 3
    assert asked == [hours]


@pytest.mark.parametrize("hours", ["0", "745", "x", "-1"])
def test_hours_have_the_limits_of_the_setting(call: Call, asked: list[int], hours: str) -> None:
    assert call("monitor", "--hours", hours).code == 2
    assert asked == []


def test_a_schedule_has_the_hours_too(call: Call, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[Any] = []

    def save(settings: Settings, request: Any) -> Any:
        requests.append(request)
        raise PipelineError("not saved here")

    monkeypatch.setattr(monitoring.schedules, "save", save)
    call("monitor", "--every", "rate(1 day)", "--hours", "6")
    arguments = json.loads(requests[0]["Target"]["Input"])["AppSpecification"]["ContainerArguments"]
    assert arguments[arguments.index("--hours") + 1] == "6"


def test_true_counts_are_shown_with_what_is_below_its_minimum(
    call: Call, settings: Settings, monkeypatch: pytest.MonkeyPatch, terminal: Any
) -> None:
    terminal(80)
    until = datetime(2026, 11, 23, 3, tzinfo=UTC)
    found = {**drift(feature("sure", 0.02), verdict="ok"), "sure_share": 0.762}

    def describe(settings: Settings, job: str) -> MonitorJob:
        return MonitorJob(job, "Completed", "s3://b/out", "", found)

    monkeypatch.setattr(monitoring, "describe", describe)
    monkeypatch.setattr(monitor_jobs, "last", lambda settings: "bins-monitor-7")
    assert call("monitor", "--last").code == 0
    found["truth"] = true_counts(until, 0.712).model_dump(mode="json")
    outcome = call("monitor", "--last")
    lines = plain(outcome.out).splitlines()
    rows = [line.split() for line in lines]
    assert (outcome.code, max(map(len, lines)) <= 80) == (3, True)
    assert "sure counts, which need no person: 76.2% of the photos" in lines
    assert ["accuracy", "71.2%", "-", "80.0%", "100"] in rows
    assert ["accuracy", "of", "sure", "counts", "97.0%", "98.0%", "95.0%", "50"] in rows
    assert "accuracy 71.2% of 100 photos is below the minimum of 80.0%" in lines
    assert "not compared with a true count: 2 photos in requests without an InferenceId" in lines
    found["truth"] = true_counts(until, 0.812).model_dump(mode="json")
    assert call("monitor", "--last").code == 0
    found["truth"] = true_counts(until, photos=0).model_dump(mode="json")
    outcome = call("monitor", "--last")
    assert "with fewer than 50, no metrics are written, and no minimum applies" in plain(outcome.out)


def test_the_result_of_an_earlier_job_is_shown_and_none_is_started(
    call: Call, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = drift(feature("brightness", 0.021, tail(0.088, drifted=True), drifted=True))

    def describe(settings: Settings, job: str) -> MonitorJob:
        return MonitorJob(job, "Completed", "s3://b/earlier", "", found)

    monkeypatch.setattr(monitoring, "describe", describe)
    outcome = call("monitor", "--job", "bins-monitor-1")
    assert (outcome.code, asked) == (3, [])
    assert outcome.out.splitlines()[-1] == "report: s3://b/earlier/report.html"
    failed = MonitorJob("bins-monitor-1", "Failed", "s3://b/earlier", "no captures")
    monkeypatch.setattr(monitoring, "describe", lambda *_: failed)
    assert call("monitor", "--job", "bins-monitor-1").error == "job bins-monitor-1: Failed: no captures\n"
