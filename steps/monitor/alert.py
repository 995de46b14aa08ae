"""The consequences of a comparison: metrics for alarms, and a pipeline run that trains on newer data."""

from __future__ import annotations

import hashlib
import logging
from datetime import timedelta
from typing import Any

from steps.contracts.drift import Drift
from steps.contracts.errors import StepError

log = logging.getLogger(__name__)

RUNNING = ("Executing", "Stopping")


def put_metrics(cloudwatch: Any, namespace: str, drift: Drift) -> None:
    """Put the metrics Drift (0 or 1), Photos, and the PSI of each feature, with the dimension EndpointName."""
    endpoint = {"Name": "EndpointName", "Value": drift.endpoint}
    data: list[dict[str, Any]] = [
        {"MetricName": "Photos", "Dimensions": [endpoint], "Value": drift.photos, "Unit": "Count"},
    ]
    if drift.verdict != "too-few":
        data.append({"MetricName": "Drift", "Dimensions": [endpoint], "Value": float(drift.verdict == "drift")})
    data += [
        {
            "MetricName": "PopulationStabilityIndex",
            "Dimensions": [endpoint, {"Name": "Feature", "Value": feature.name}],
            "Value": feature.psi,
        }
        for feature in drift.features
    ]
    for datum in data:
        datum["Timestamp"] = drift.until
    cloudwatch.put_metric_data(Namespace=namespace, MetricData=data)


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
            log.warning(
                "drift: %s was started already (%s, %s); no other run before %s",
                pipeline,
                recent[0]["PipelineExecutionArn"],
                recent[0]["PipelineExecutionStatus"],
                (recent[0]["StartTime"] + timedelta(days=cooldown_days)).isoformat(timespec="minutes"),
            )
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
