"""An account whose monitor has compared windows: SageMaker, its schedule and logs on the wire, S3 by moto."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import boto3
import numpy as np

from pipeline.settings import Settings
from steps.contracts.drift import Drift, Truth
from steps.monitor.run import Window, evaluate
from steps.monitor.serving import ServedVersion
from steps.monitor.settings import Settings as StepSettings
from tests.unit.pipeline.console.pages.account_of_runs import PREFIX, STARTED, AccountOfRuns, RefusedError
from tests.unit.steps.arguments import MONITOR

PHOTOS = 400


class AccountOfDrift(AccountOfRuns):
    """`jobs` are the monitor's, in the order of their creation; `created` are those that were asked for."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.jobs: dict[str, dict[str, Any]] = {}
        self.created: list[dict[str, Any]] = []
        self.s3 = boto3.client("s3", region_name="us-east-1")
        self.s3.create_bucket(Bucket=settings.data.bucket)

    def job(self, identity: str, status: str = "Completed", **members: Any) -> str:
        """A job of the monitor, an hour after the one before. Returns its name."""
        name = f"{self.settings.name}-monitor-{identity}"
        created = STARTED - timedelta(days=2) + timedelta(hours=len(self.jobs))
        ended = {} if status == "InProgress" else {"ProcessingEndTime": (created + timedelta(minutes=4)).timestamp()}
        self.jobs[name] = {
            "ProcessingJobName": name,
            "ProcessingJobArn": f"{PREFIX}:processing-job/{name}",
            "ProcessingJobStatus": status,
            "CreationTime": created.timestamp(),
            "LastModifiedTime": created.timestamp(),
            **ended,
            **members,
        }
        return name

    def compared(self, identity: str, drift: Drift) -> str:
        """A completed job with its result."""
        name = self.job(identity)
        self.put(identity, "drift.json", drift.model_dump_json().encode())
        self.put(identity, "report.html", b"<!doctype html><h1>Drift of the endpoint's data</h1>")
        return name

    def put(self, identity: str, file: str, content: bytes) -> None:
        key = f"{self.settings.data.prefix}/monitor/{identity}/{file}"
        self.s3.put_object(Bucket=self.settings.data.bucket, Key=key, Body=content)

    def ListProcessingJobs(self, values: dict[str, Any]) -> dict[str, Any]:
        assert (values["SortBy"], values["SortOrder"]) == ("CreationTime", "Descending")
        named = [job for name, job in reversed(self.jobs.items()) if values["NameContains"] in name]
        start, size = int(values.get("NextToken", "0")), values["MaxResults"]
        more = {"NextToken": str(start + size)} if start + size < len(named) else {}
        return {"ProcessingJobSummaries": named[start : start + size], **more}

    def DescribeProcessingJob(self, values: dict[str, Any]) -> dict[str, Any]:
        if values["ProcessingJobName"] not in self.jobs:
            raise RefusedError("ResourceNotFound", "Could not find requested job")
        identity = values["ProcessingJobName"].removeprefix(f"{self.settings.name}-monitor-")
        uri = {"S3Uri": f"{self.settings.root_uri}/monitor/{identity}"}
        outputs = {"ProcessingOutputConfig": {"Outputs": [{"OutputName": "report", "S3Output": uri}]}}
        return {**self.jobs[values["ProcessingJobName"]], **outputs}

    def CreateProcessingJob(self, values: dict[str, Any]) -> dict[str, Any]:
        self.created.append(values)
        name = self.job(values["ProcessingJobName"].removeprefix(f"{self.settings.name}-monitor-"), "InProgress")
        return {"ProcessingJobArn": f"{PREFIX}:processing-job/{name}"}


def drift(
    until: datetime,
    darker: float = 0.0,
    *,
    photos: int = PHOTOS,
    version: str = "3",
    sure: tuple[float | None, float | None] = (None, None),
) -> Drift:
    """What the step finds in a window whose photos are darker by this than those of the baseline.

    `sure` are the shares of sure counts in the baseline and in the window.
    """
    columns, now = population(1, PHOTOS, sure[0]), population(2, photos, sure[1])
    now["brightness"] = now["brightness"] - darker
    settings = StepSettings(**{**MONITOR, "until": until})
    window = Window(now, photos, other_versions=2, refused=Counter({"no photo": 3}))
    return evaluate(settings, ServedVersion(version, "s3://bucket/baseline.parquet"), columns, window)


def true_counts(until: datetime, accuracy: float = 0.9, *, photos: int = 100) -> Truth:
    """What the step finds of the true counts of an earlier window."""
    return Truth(
        location="s3://labels/counts",
        since=until - timedelta(hours=96),
        until=until - timedelta(hours=72),
        answered=400,
        photos=photos,
        without_truth=300,
        without_id=2,
        in_several=0,
        other_versions=0,
        refused={},
        minimum_photos=50,
        accuracy=accuracy if photos else None,
        rmse=0.5 if photos else None,
        sure_photos=photos // 2,
        sure_accuracy=0.97 if photos else None,
        sure_level=0.98,
        set_photos=photos,
        set_coverage=0.93 if photos else None,
        level=0.95,
        minimum_accuracy=0.8,
        minimum_set_coverage=None,
        minimum_sure_accuracy=0.95,
    )


def population(seed: int, photos: int, sure: float | None = None) -> dict[str, Any]:
    """Features of photos, by name; without `sure`, the share of sure counts, as of a model without a calibration."""
    generator = np.random.default_rng(seed)
    return {
        "predicted": generator.integers(0, 6, photos),
        "confidence": generator.beta(5, 2, photos),
        **({} if sure is None else {"sure": (np.arange(photos) < sure * photos).astype(np.int8)}),
        "brightness": generator.normal(0.5, 0.1, photos),
        "sharpness": generator.gamma(3, 100, photos),
        "pixels": generator.integers(200_000, 300_000, photos),
        "bytes": generator.integers(40_000, 90_000, photos),
    }
