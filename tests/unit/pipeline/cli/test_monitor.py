"""`monitor`: how far each feature is, of which window, at 80 columns."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.operations.serving import monitoring
from pipeline.operations.serving.monitoring import MonitorJob
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from tests.unit.pipeline.cli.test_registry import settings
from tests.unit.pipeline.conftest import Call, plain

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
