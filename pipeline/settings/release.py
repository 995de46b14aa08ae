"""Evaluation, quality gate, registration, serving and monitoring of a model."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import PositiveFloat, PositiveInt, model_validator

from pipeline.settings.fields import EndpointType, Group, ProcessingType, S3Prefix, TransformType, field, form

_ENDPOINT_NAME = form(r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$", "up to 63 letters and digits, with hyphens between them")


class Evaluation(Group):
    """Evaluation of the best model on the test split."""

    instance_type: ProcessingType = field("Instance type of EvaluateModel", "ml.m5.2xlarge")
    decision: Literal["argmax", "expected"] = field(
        "argmax: the likeliest count; expected: the rounded expectation, which has a lower RMSE", "argmax"
    )


class Gate(Group):
    """Limits that a model must reach to be registered."""

    minimum_accuracy: float = field("Lowest accuracy on the test split", 0.5, ge=0, le=1, parameter="MinimumAccuracy")
    maximum_rmse: PositiveFloat = field(
        "Highest root mean squared error on the test split", 1.0, unit="objects", parameter="MaximumRmse"
    )
    maximum_accuracy_loss: float = field(
        "Largest loss of accuracy against the latest approved version, on the same photos; 1 accepts any loss,"
        " -0.01 requires a gain of one point",
        0.01,
        ge=-1,
        le=1,
        parameter="MaximumAccuracyLoss",
    )
    minimum_sure_accuracy: float = field(
        "Lowest accuracy of the counts with the highest confidence, on a share sure_coverage of the test split; 0: no"
        " limit",
        0.0,
        ge=0,
        le=1,
        parameter="MinimumSureAccuracy",
    )
    sure_coverage: float = field(
        "Share of the photos whose counts minimum_sure_accuracy is about", 0.5, gt=0, le=1, parameter="SureCoverage"
    )


class Registry(Group):
    """The SageMaker Model Registry."""

    group: str = field("Model package group; left out: NAME", "", pattern=_ENDPOINT_NAME, example="bins")
    approval: Literal["PendingManualApproval", "Approved"] = field(
        "Approved: runs may register approved versions, by default or by the parameter;"
        " PendingManualApproval: only a person approves",
        "PendingManualApproval",
        parameter="ApprovalStatus",
    )
    register_again: bool = field(
        "Whether a run registers another version although its model, data, evaluation code and serving code are those"
        " of an existing version",
        False,
        parameter="RegisterAgain",
    )

    @property
    def approvals(self) -> list[str]:
        """The approval statuses that a run may register a version with."""
        return list(dict.fromkeys(["PendingManualApproval", self.approval]))


class Endpoint(Group):
    """The endpoint of approved models, and how a new version replaces the one in service."""

    name: str = field("Name of the endpoint; left out: NAME", "", pattern=_ENDPOINT_NAME, example="bins")
    mode: Literal["real-time", "serverless"] = field(
        "serverless: no cost without requests, but no canary, alarms, capture or scaling", "real-time"
    )
    instance_type: EndpointType = field("Instance type of the endpoint", "ml.c5.xlarge")
    instance_count: int = field("Instances; from two on, a new version starts as a canary", 1, ge=1, le=100)
    maximum_instance_count: int = field(
        "Most instances when scaling; more than instance_count turns scaling on", 1, ge=1, le=100
    )
    invocations_per_instance: PositiveInt = field("Target of scaling", 600, unit="requests per minute and instance")
    batch_instance_type: TransformType = field("Instance type of batch transform jobs", "ml.c5.xlarge")
    serverless_memory_megabytes: Literal[1024, 2048, 3072, 4096, 5120, 6144] = field(
        "Memory of a serverless endpoint", 3072, unit="MB"
    )
    serverless_concurrency: int = field("Concurrent requests of a serverless endpoint", 5, ge=1, le=200)
    canary_percent: int = field(
        "Share of the instances, and so of the traffic, that a new version gets first", 10, unit="%", ge=1, le=50
    )
    canary_seconds: int = field("Time of the canary before all traffic moves", 300, unit="seconds", ge=0, le=3600)
    baking_seconds: int = field(
        "Time for which the old instances are retained after all traffic has moved", 300, unit="seconds", ge=0, le=3600
    )
    maximum_errors: PositiveInt = field(
        "Responses with status 500 or above per minute; more roll a deployment back", 5, unit="responses per minute"
    )
    maximum_latency_milliseconds: PositiveInt = field(
        "99th percentile of the model's latency per minute; a higher one rolls a deployment back", 2000, unit="ms"
    )
    capture_percent: int = field(
        "Share of requests captured in S3, to monitor drift; 0: no capture", 10, unit="%", ge=0, le=100
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.maximum_instance_count != 1 and self.maximum_instance_count < self.instance_count:
            raise ValueError("maximum_instance_count is below instance_count; leave it out to have no scaling")
        # https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-exclusions.html
        if self.mode == "real-time" and self.instance_type.startswith("ml.inf1."):
            raise ValueError(
                f"instance_type is {self.instance_type}: SageMaker replaces models on Inf1 instances at once, without a"
                " canary and without alarms that roll back; take another type"
            )
        return self


class Monitoring(Group):
    """Drift: the endpoint's requests against the test split of its version, and its answers against true counts."""

    instance_type: ProcessingType = field("Instance type of the monitor job", "ml.m5.large")
    hours: int = field("Length of the monitored window", 24, unit="hours", ge=1, le=24 * 31)
    level: float = field("Probability of a false alarm in a window without drift", 0.05, gt=0, lt=1)
    minimum_psi: float = field(
        "Population stability index below which a difference is not drift, however significant; not for sure counts",
        0.1,
        ge=0,
        le=10,
    )
    minimum_tail: float = field(
        "Share of photos beyond the baseline's 1st or 99th percentile below which a tail is not drift", 0.03, gt=0, le=1
    )
    minimum_photos: PositiveInt = field(
        "Photos that a window, and the baseline, must have to be compared", 200, unit="photos"
    )
    cooldown_days: int = field(
        "Time after the start of any run in which drift starts no other run", 7, unit="days", ge=0, le=365
    )
    truth: S3Prefix | None = field(
        "True counts that arrive after the answers: a Parquet or CSV file with the columns image_id and quantity, or a"
        " prefix with such files; left out: the monitor measures no accuracy",
        None,
        example="s3://bins-111122223333/truth",
    )
    truth_delay_hours: int = field(
        "Time for true counts to arrive: they are compared with the answers of a window of the same length that ended"
        " this long before the monitored one",
        72,
        unit="hours",
        ge=0,
        le=24 * 365,
    )
    minimum_true_photos: PositiveInt = field(
        "Photos with a true count below which accuracy and coverage are no metrics and raise no alarm",
        50,
        unit="photos",
    )
    minimum_accuracy: float | None = field(
        "Accuracy by true counts below which an alarm is raised; left out: no alarm", None, gt=0, le=1, example=0.8
    )
    minimum_set_coverage: float | None = field(
        "Share of prediction sets with the true count below which an alarm is raised; left out: no alarm",
        None,
        gt=0,
        le=1,
        example=0.85,
    )
    minimum_sure_accuracy: float | None = field(
        "Accuracy of the sure counts by true counts below which an alarm is raised; left out: no alarm",
        None,
        gt=0,
        le=1,
        example=0.95,
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in ("minimum_accuracy", "minimum_set_coverage", "minimum_sure_accuracy"):
            if self.truth is None and getattr(self, name) is not None:
                raise ValueError(f"{name} needs true counts; set truth to their location, or leave {name} out")
        return self
