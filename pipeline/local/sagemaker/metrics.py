"""What a training job's log lines say, read by the job's own expressions.

https://docs.aws.amazon.com/sagemaker/latest/dg/define-train-metrics.html
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pipeline.local.context import now
from pipeline.local.sagemaker.resources import Request

# Is told the values that one log line held, by metric, in the order in which lines come.
Observer = Callable[[dict[str, list[float]]], None]


class Metrics:
    """The latest value of each metric, read off the log lines by the job's own expressions."""

    def __init__(self, definitions: list[Request]) -> None:
        self._patterns = {definition["Name"]: re.compile(definition["Regex"]) for definition in definitions}
        self._latest: dict[str, Request] = {}

    def read(self, line: str) -> dict[str, list[float]]:
        """The values that the line holds, by metric; most lines hold none."""
        found: dict[str, list[float]] = {}
        for name, pattern in self._patterns.items():
            for match in pattern.finditer(line):
                try:
                    value = float(match[1])
                except (ValueError, IndexError):
                    continue
                self._latest[name] = {"MetricName": name, "Value": value, "Timestamp": now()}
                found.setdefault(name, []).append(value)
        return found

    def latest(self) -> list[Request]:
        """FinalMetricDataList."""
        return list(self._latest.values())
