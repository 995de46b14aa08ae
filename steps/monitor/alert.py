"""What a verdict sets off: metrics for alarms, and the run that trains on newer data."""

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
    """Drift (0 or 1), Photos, and each feature's PSI, under the dimension EndpointName."""
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
    """Start the pipeline on data as it is now; gives the run's ARN, empty where none is started.

    A drift lasts until another version serves. So none is started while a run is under way, nor for `cooldown_days`
    after the start of any, whatever became of it: its version waits for approval, or its failure for a person. The
    request's token is the window's: a job that is tried again starts no second run. Raises StepError where the pipeline
    cannot be started.
    """
    from botocore.exceptions import ClientError

    try:
        pages = sagemaker.get_paginator("list_pipeline_executions").paginate(
            PipelineName=pipeline, SortBy="CreationTime", SortOrder="Descending", PaginationConfig={"MaxItems": 20}
        )
        runs = [one for page in pages for one in page["PipelineExecutionSummaries"]]
        if any(run["PipelineExecutionStatus"] in RUNNING for run in runs):
            log.info("drift: a run of %s is under way already", pipeline)
            return ""
        since = drift.until - timedelta(days=cooldown_days)
        if recent := [run for run in runs if run["StartTime"] >= since]:
            log.warning(
                "drift: %s has trained already (%s, %s); no other run before %s",
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
            # Another data version: the query looks anew, whatever is cached.
            PipelineParameters=[{"Name": "DataVersion", "Value": f"drift-{stamp}"}],
            ClientRequestToken=token,
        )
    except ClientError as error:
        raise StepError(f"the pipeline {pipeline} could not be started to train on newer data: {error}") from error
    log.info("drift: started %s", started["PipelineExecutionArn"])
    return str(started["PipelineExecutionArn"])
