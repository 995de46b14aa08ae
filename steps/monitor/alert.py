"""The consequences of a comparison: metrics for alarms, and a pipeline run that trains on newer data."""

from __future__ import annotations

import hashlib
import logging
from datetime import timedelta
from typing import Any

from steps.contracts import names
from steps.contracts.drift import Drift, Truth
from steps.contracts.errors import StepError

log = logging.getLogger(__name__)

RUNNING = ("Executing", "Stopping")


def put_metrics(cloudwatch: Any, namespace: str, drift: Drift) -> None:
    """Put the metrics Drift (0 or 1), Photos, SureShare, the PSI of each feature, and those of the true counts.

    All have the dimension EndpointName and the time of the window's end, the true counts of the earlier window too: an
    alarm looks at the last hour.
    """
    endpoint = {"Name": "EndpointName", "Value": drift.endpoint}
    photos = {"MetricName": "Photos", "Dimensions": [endpoint], "Value": drift.photos, "Unit": "Count"}
    data: list[dict[str, Any]] = [photos]
    if drift.verdict != "too-few":
        data.append({"MetricName": "Drift", "Dimensions": [endpoint], "Value": float(drift.verdict == "drift")})
    if drift.sure_share is not None:
        data.append({"MetricName": "SureShare", "Dimensions": [endpoint], "Value": drift.sure_share})
    data += [{"Dimensions": [endpoint], **datum} for datum in _true_count_metrics(drift.truth)]
    for feature in drift.features:
        dimensions = [endpoint, {"Name": "Feature", "Value": feature.name}]
        data.append({"MetricName": "PopulationStabilityIndex", "Dimensions": dimensions, "Value": feature.psi})
    cloudwatch.put_metric_data(Namespace=namespace, MetricData=[{**datum, "Timestamp": drift.until} for datum in data])


def _true_count_metrics(truth: Truth | None) -> list[dict[str, Any]]:
    """TruePhotos, and with enough of them the figures that there are; RMSE is in objects."""
    if truth is None:
        return []
    data: list[dict[str, Any]] = [{"MetricName": "TruePhotos", "Value": truth.photos, "Unit": "Count"}]
    figures = (
        (names.ACCURACY_METRIC, truth.accuracy, truth.photos),
        ("RMSE", truth.rmse, truth.photos),
        (names.SURE_ACCURACY_METRIC, truth.sure_accuracy, truth.sure_photos),
        (names.SET_COVERAGE_METRIC, truth.set_coverage, truth.set_photos),
    )
    enough = [(name, value) for name, value, photos in figures if value is not None and photos >= truth.minimum_photos]
    return [*data, *({"MetricName": name, "Value": value} for name, value in enough)]


def retrain(sagemaker: Any, pipeline: str, drift: Drift, cooldown_days: int) -> str:
    """Start the pipeline on the current data; returns the run's ARN, empty if no run was started.

    A drift lasts until another version serves. So no run is started while another one is in progress, nor within
    `cooldown_days` after the start of another one with any result: its version waits for approval, or its failure for
    a person. The request's token depends on the endpoint and the window alone, so a repeated job starts no second
    run. Raises StepError if the pipeline cannot be started.
    """
    from botocore.exceptions import ClientError

    try:
        pages = sagemaker.get_paginator("list_pipeline_executions").paginate(
            PipelineName=pipeline, SortBy="CreationTime", SortOrder="Descending", PaginationConfig={"MaxItems": 20}
        )
        runs = [run for page in pages for run in page["PipelineExecutionSummaries"]]
        if any(run["PipelineExecutionStatus"] in RUNNING for run in runs):
            log.info("drift: a run of %s is in progress already", pipeline)
            return ""
        since = drift.until - timedelta(days=cooldown_days)
        if recent := [run for run in runs if run["StartTime"] >= since]:
            run = f"{recent[0]['PipelineExecutionArn']}, {recent[0]['PipelineExecutionStatus']}"
            next_run = (recent[0]["StartTime"] + timedelta(days=cooldown_days)).isoformat(timespec="minutes")
            log.warning("drift: %s was started already (%s); no other run before %s", pipeline, run, next_run)
            return ""
        stamp = drift.until.strftime("%Y%m%dT%H%M%SZ")
        token = hashlib.sha256(f"{drift.endpoint} {stamp}".encode()).hexdigest()
        started = sagemaker.start_pipeline_execution(
            PipelineName=pipeline,
            PipelineExecutionDisplayName=f"drift-{stamp}",
            PipelineExecutionDescription=f"drift of {', '.join(drift.drifted)} at endpoint {drift.endpoint}"[:3072],
            # A new data version: the query step runs again, even if its result is cached.
            PipelineParameters=[{"Name": "DataVersion", "Value": f"drift-{stamp}"}],
            ClientRequestToken=token,
        )
    except ClientError as error:
        raise StepError(f"the pipeline {pipeline} cannot be started to train on newer data: {error}") from error
    log.info("drift: started %s", started["PipelineExecutionArn"])
    return str(started["PipelineExecutionArn"])
