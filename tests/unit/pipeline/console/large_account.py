"""A large account: 1,000 runs, 200 versions, 50 trials of a run, 30 windows of the monitor, 100 alerts, an endpoint.

SageMaker's runs and jobs, and their logs, are answered on the wire; moto pretends the rest. One run has all of
its steps, so every page has something to show, but for three later ones that have failed, and one of ten before.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import boto3

from pipeline import ROOT
from pipeline.console.console import Console, View
from pipeline.console.pages import ROUTES
from pipeline.operations.runs import schedules
from pipeline.operations.serving import monitoring
from pipeline.settings import Settings
from tests.unit.pipeline.console.pages.account_of_data import (
    QUERIED,
    RAW,
    SHARDED,
    TUNED,
    AccountOfData,
    Written,
    epoch_lines,
    job,
)
from tests.unit.pipeline.console.pages.account_of_drift import AccountOfDrift, drift
from tests.unit.pipeline.console.pages.account_of_models import AccountOfModels
from tests.unit.pipeline.console.pages.account_of_runs import STARTED, AccountOfRuns, step

RUNS, VERSIONS, TRIALS, WINDOWS, ALERTS = 1_000, 200, 50, 30, 100
PROFILE = "dev"
WHOLE = f"run{RUNS - 1}"
# A value for each name in a path, and for one in a certain path; a page with a name that is not here has none yet.
_VALUES = {"run": WHOLE, "step": "TuneModel", "trial": "7", "version": str(VERSIONS), "place": "0"}
_VALUES_OF = {
    ("/runs/{run}/photos/{photo}", "photo"): "17",
    ("/models/{version}/photos/{photo}", "photo"): "00003",
    ("/monitor/{job}", "job"): f"bins-monitor-{WINDOWS - 1}",
    ("/monitor/{job}/report", "job"): f"bins-monitor-{WINDOWS - 1}",
}
EVALUATED = step("EvaluateModel", Metadata=job("evaluate-1"))
_QUERIES = {"/models/compare": {"first": "199", "second": "200"}}


class LargeAccount(AccountOfData):
    """The account of the settings; its requests, and those that moto answers, are in `requests`, by operation."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.data.bucket)
        self.requests: Counter[str] = Counter()
        golden = ROOT / "tests" / "golden" / f"{PROFILE}.json"
        self.definition = json.dumps(json.loads(golden.read_text()))
        boto3.setup_default_session(region_name="us-east-1")
        events = boto3.DEFAULT_SESSION.events  # type: ignore[union-attr]
        events.register_first("before-send", self._count)
        own = [name for name in dir(self) if name[0].isupper()]
        for operation in own:
            service = "logs" if operation == "FilterLogEvents" else "sagemaker"
            events.register_first(f"before-send.{service}.{operation}", self.answer)
        self.models = AccountOfModels(settings)
        self.drift = AccountOfDrift(settings)
        self._fill(settings)

    def _count(self, event_name: str, **_: Any) -> None:
        self.requests[event_name.removeprefix("before-send.")] += 1

    def _fill(self, settings: Settings) -> None:
        self.models.create_group()
        self.models.register_many(VERSIONS)
        arn = self.models.arn_of(VERSIONS)
        place = {"parameter_ImageLocation": f"s3://{RAW}/raw"}
        self.models.describe(arn, self.models.golden("shared") | place)
        self.models.put("runs/shared/report.html", b"<!doctype html><h1>Report</h1>")
        self.models.serve(arn)
        for number in range(RUNS - 1):
            self.add(f"run{number}", "Failed" if number % 10 == 0 else "Succeeded", step("ShardImages"))
        registered = step("RegisterModel", Metadata={"RegisterModel": {"Arn": arn}})
        self.add(WHOLE, "Succeeded", QUERIED, SHARDED, TUNED, EVALUATED, registered)
        for number in range(3):
            failed = step("ShardImages", "Failed", FailureReason="AlgorithmError", Metadata=job("shard-1"))
            self.add(f"failed{number}", "Failed", QUERIED, failed)
        for number in range(TRIALS):
            self.tune(number / 100, **{"learning-rate": f"{0.0001 * (1 + number)}"})
        self.lines = epoch_lines(1, 2, 3)
        written = Written(settings)
        written.query(above_maximum=(40, ["17"]))
        written.shards()
        for photo in ("17.jpg", "00003.jpg"):
            written.photo(photo)
        for number in range(WINDOWS):
            window = drift(STARTED - timedelta(days=WINDOWS - number), darker=number / 200)
            self.drift.compared(str(number), window)
        monitoring.schedule(settings, "rate(1 day)")
        schedules.put(settings, "rate(2 days)", {})
        for number in range(ALERTS):
            record = {"request_id": "x", "subject": f"bins: run {number} failed", "text": "It failed.", "sent": ""}
            self.models.put(f"{settings.data.prefix}/alerts/{number}.json", json.dumps(record).encode())
        boto3.client("sns", region_name="us-east-1").create_topic(Name=settings.alerts_topic)

    def DescribePipeline(self, values: dict[str, Any]) -> dict[str, Any]:
        return {"PipelineName": values["PipelineName"], "PipelineDefinition": self.definition}

    def DescribePipelineDefinitionForExecution(self, values: dict[str, Any]) -> dict[str, Any]:
        self._run(values)
        return {"PipelineDefinition": self.definition}

    def ListProcessingJobs(self, values: dict[str, Any]) -> dict[str, Any]:
        return self.drift.ListProcessingJobs(values)

    def DescribeProcessingJob(self, values: dict[str, Any]) -> dict[str, Any]:
        if values["ProcessingJobName"] in self.drift.jobs:
            return self.drift.DescribeProcessingJob(values)
        if values["ProcessingJobName"] == "evaluate-1":
            outputs = [{"OutputName": "evaluation", "S3Output": {"S3Uri": f"s3://{self.bucket}/runs/shared"}}]
            return {**AccountOfRuns.DescribeProcessingJob(self, values), "ProcessingOutputConfig": {"Outputs": outputs}}
        return {**AccountOfRuns.DescribeProcessingJob(self, values), **super().DescribeProcessingJob(values)}


def looks(console: Console) -> Iterator[tuple[str, Callable[[], View]]]:
    """Every page of the console, by its path, with a look at it."""
    for part in ROUTES:
        for path, page in part.pages.items():
            values = values_of(path)
            yield path, lambda page=page, values=values: page(console, values)  # type: ignore[misc]


def addresses() -> Iterator[tuple[str, str]]:
    """Every path that a browser can get, pages and downloads, with an address of it in this account."""
    for part in ROUTES:
        for path in (*part.pages, *(part.downloads or {})):
            values = values_of(path)
            query = "&".join(f"{name}={value}" for name, value in values.items() if f"{{{name}}}" not in path)
            yield path, path.format(**values) + (f"?{query}" if query else "")


def values_of(path: str) -> dict[str, str]:
    """The values in the path of a page, and in its query. Raises KeyError for a name that has none."""
    names = [word.strip("{}") for word in path.split("/") if word.startswith("{")]
    return {name: _VALUES_OF.get((path, name)) or _VALUES[name] for name in names} | _QUERIES.get(path, {})
