"""Quotas of the account: a request for more instances, or a larger tuning job, than they allow is refused.

The defaults are those of `pipeline.aws.quotas`. The setting `local.quotas` raises or lowers single ones, as a request
in Service Quotas does.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pipeline.aws.quotas import (
    ENDPOINT,
    METRICS,
    PARALLEL_TRIALS,
    PROCESSING,
    RANGES,
    SPOT,
    TRAINING,
    TRANSFORM,
    TRIALS,
    TUNING_JOBS,
    default,
)
from pipeline.local.context import Context, Request, ServiceError
from pipeline.local.sagemaker.resources import invalid

FILE = "quotas.json"
_ENDED = ("Completed", "Failed", "Stopped")


def limit(directory: Path, quota: str) -> int:
    """Instances that a quota allows in the cloud of a folder."""
    return _given(directory).get(quota, default(quota))


def write(directory: Path, quotas: Mapping[str, int]) -> None:
    """Replace the quotas that differ from the defaults; a running cloud follows at once."""
    path = directory / FILE
    if dict(quotas) != _given(directory):
        partial = path.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps(dict(sorted(quotas.items()))))
        partial.replace(path)


def _given(directory: Path) -> dict[str, int]:
    try:
        quotas: dict[str, int] = json.loads((directory / FILE).read_text())
    except FileNotFoundError:
        return {}
    return quotas


class Quotas:
    """Counts the instances that jobs and endpoints have, and refuses requests for more than the quotas allow."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[None]:
        """No other request counts or begins between a check and the beginning of what it allows."""
        with self._lock:
            yield

    def check_training(self, request: Request, instances_: int | None = None) -> None:
        """Raise ServiceError for a training job, or for `instances_` of trials, above the quota of its type."""
        resources = request["ResourceConfig"]
        spot = bool(request.get("EnableManagedSpotTraining"))
        used = (
            (job["ResourceConfig"]["InstanceType"], job["ResourceConfig"]["InstanceCount"])
            for job in self._running("training-job", "TrainingJobStatus")
            if bool(job.get("EnableManagedSpotTraining")) == spot
        )
        count = resources["InstanceCount"] if instances_ is None else instances_
        self._check(resources["InstanceType"], SPOT if spot else TRAINING, used, count)

    def check_tuning(self, request: Request) -> None:
        """Raise ServiceError for a tuning job above the limits of tuning, or whose trials together exceed a quota."""
        config, definition = request["HyperParameterTuningJobConfig"], request["TrainingJobDefinition"]
        limits = config["ResourceLimits"]
        parallel = limits["MaxParallelTrainingJobs"]
        ranges = sum(len(kind) for kind in config.get("ParameterRanges", {}).values())
        metrics = len(definition["AlgorithmSpecification"].get("MetricDefinitions", []))
        running = sum(1 for _ in self._running("tuning-job", "HyperParameterTuningJobStatus"))
        for name, most, used, wanted in (
            ("Number of parallel training jobs per hyperparameter tuning job", PARALLEL_TRIALS, 0, parallel),
            (
                "Number of training jobs per hyperparameter tuning job",
                TRIALS,
                0,
                limits.get("MaxNumberOfTrainingJobs", 0),
            ),
            ("Number of parallel hyperparameter tuning jobs", TUNING_JOBS, running, 1),
        ):
            if used + wanted > most:
                raise exceeded(name, most, used, wanted, "")
        for name, most, wanted in (("hyperparameters", RANGES, ranges), ("metrics", METRICS, metrics)):
            if wanted > most:
                raise invalid(f"A hyperparameter tuning job has at most {most} {name}; this one has {wanted}.")
        self.check_training(definition, parallel * definition["ResourceConfig"]["InstanceCount"])

    def check_processing(self, request: Request) -> None:
        """Raise ServiceError for a processing job above the quota of its type."""
        used = (
            (cluster["InstanceType"], cluster["InstanceCount"])
            for job in self._running("processing-job", "ProcessingJobStatus")
            for cluster in [job["ProcessingResources"]["ClusterConfig"]]
        )
        cluster = request["ProcessingResources"]["ClusterConfig"]
        self._check(cluster["InstanceType"], PROCESSING, used, cluster["InstanceCount"])

    def check_transform(self, request: Request) -> None:
        """Raise ServiceError for a transform job above the quota of its type."""
        used = (
            (job["TransformResources"]["InstanceType"], job["TransformResources"]["InstanceCount"])
            for job in self._running("transform-job", "TransformJobStatus")
        )
        resources = request["TransformResources"]
        self._check(resources["InstanceType"], TRANSFORM, used, resources["InstanceCount"])

    def check_endpoint(self, config: Request) -> None:
        """Raise ServiceError for a fleet of an endpoint configuration above the quota of its type.

        An update needs its new fleet besides the one in service: both count, as in a blue/green deployment.
        https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-blue-green.html
        """
        configs = {document["EndpointConfigName"]: document for document in self._context.store.list("endpoint-config")}
        names = [
            name
            for endpoint in self._context.store.list("endpoint")
            if endpoint["EndpointStatus"] != "Failed"
            for name in (endpoint["EndpointConfigName"], endpoint.get("PendingConfig"))
            if name in configs
        ]
        used = [fleet for name in names for fleet in _fleets(configs[name])]
        for instance_type, count in _fleets(config):
            self._check(instance_type, ENDPOINT, used, count)

    def _running(self, kind: str, status: str) -> Iterator[Request]:
        return (job for job in self._context.store.list(kind) if job[status] not in _ENDED)

    def _check(self, instance_type: str, use: str, used: Iterable[tuple[str, int]], wanted: int) -> None:
        quota = f"{instance_type} for {use}"
        most = limit(self._context.directory, quota)
        current = sum(count for name, count in used if name == instance_type)
        if current + wanted > most:
            raise exceeded(quota, most, current, wanted, " Instances")


def _fleets(config: Request) -> list[tuple[str, int]]:
    """Types and numbers of a configuration's instances; a serverless variant has none."""
    variants = config["ProductionVariants"]
    return [(item["InstanceType"], item.get("InitialInstanceCount", 1)) for item in variants if "InstanceType" in item]


def exceeded(quota: str, most: int, used: int, wanted: int, unit: str) -> ServiceError:
    """The refusal in AWS's words, as others have recorded it for jobs of all kinds, tuning jobs and endpoints.

    https://github.com/aws-samples/sagemaker-custom-project-templates/issues/51; its end names Service Quotas today:
    https://repost.aws/knowledge-center/sagemaker-resource-limit-exceeded-error
    """
    return ServiceError(
        "ResourceLimitExceeded",
        f"The account-level service limit '{quota}' is {most}{unit}, with current utilization of {used}{unit} and a"
        f" request delta of {wanted}{unit}. Please use AWS Service Quotas to request an increase for this quota. If AWS"
        " Service Quotas is not available, contact AWS support to request an increase for this quota.",
    )
