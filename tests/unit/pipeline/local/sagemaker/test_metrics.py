"""Metrics read off log lines by a job's own expressions."""

from __future__ import annotations

from pipeline.local.sagemaker.training import Metrics


def test_a_line_gives_each_metric_it_holds_and_the_latest_value_stays() -> None:
    metrics = Metrics([{"Name": "best", "Regex": r"best=([0-9.]+)"}, {"Name": "loss", "Regex": r"loss=([0-9.]+)"}])
    assert metrics.read("epoch=1 loss=0.9 best=0.4") == {"loss": [0.9], "best": [0.4]}
    assert metrics.read("best=0.5") == {"best": [0.5]}
    assert {metric["MetricName"]: metric["Value"] for metric in metrics.latest()} == {"loss": 0.9, "best": 0.5}


def test_a_line_without_a_number_is_no_metric() -> None:
    metrics = Metrics([{"Name": "best", "Regex": r"best=(\S+)"}, {"Name": "none", "Regex": "best"}])
    assert metrics.read("best=unknown") == {}
    assert metrics.latest() == []
