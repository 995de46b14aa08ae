"""How a model is judged, registered, served and watched."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from pipeline.settings.fields import Group, InstanceType


class Evaluation(Group):
    """How the best model is judged."""

    instance_type: InstanceType = "ml.m5.2xlarge"
    decision: Literal["argmax", "expected"] = Field(
        default="argmax", description="a count is the likeliest class, or the rounded expectation (lower RMSE)"
    )


class Gate(Group):
    """What a model has to reach to be registered."""

    minimum_accuracy: float = Field(default=0.5, ge=0, le=1)
    maximum_rmse: PositiveFloat = 1.0
    maximum_accuracy_loss: float = Field(
        default=0.01,
        ge=-1,
        le=1,
        description="to the latest approved version on the same photos; 1 lets any model pass, -0.01 asks for a gain",
    )


class Registry(Group):
    """The Model Registry."""

    group: str = Field(
        default="", pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$", description="model package group; default NAME"
    )
    approval: Literal["PendingManualApproval", "Approved"] = Field(
        default="PendingManualApproval",
        description="Approved: runs register approved versions, unless one is started with another ApprovalStatus;"
        " otherwise a person approves, and no run may",
    )
    register_again: bool = Field(
        default=False,
        description="whether a run whose model, data, evaluation code and serving code are those of a version registers"
        " another one, unless one is started with another RegisterAgain",
    )

    @property
    def approvals(self) -> list[str]:
        """What a run may register a version as."""
        return list(dict.fromkeys(["PendingManualApproval", self.approval]))


class Endpoint(Group):
    """What an approved model is served on, and how carefully a version takes the place of another."""

    name: str = Field(default="", pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$", description="default NAME")
    mode: Literal["real-time", "serverless"] = Field(
        default="real-time",
        description="serverless costs nothing while nobody asks, and has no canary, alarms, capture or scaling",
    )
    instance_type: InstanceType = "ml.c5.xlarge"
    instance_count: int = Field(default=1, ge=1, le=100, description="from two on, a new version gets a canary first")
    maximum_instance_count: int = Field(
        default=1, ge=1, le=100, description="more than instance_count: the endpoint scales between the two"
    )
    invocations_per_instance: PositiveInt = Field(
        default=600, description="requests a minute and instance that scaling aims at"
    )
    batch_instance_type: InstanceType = Field(default="ml.c5.xlarge", description="of batch transform jobs")
    serverless_memory_megabytes: Literal[1024, 2048, 3072, 4096, 5120, 6144] = 3072
    serverless_concurrency: int = Field(default=5, ge=1, le=200)
    canary_percent: int = Field(default=10, ge=1, le=50, description="of the instances, and so of the traffic")
    canary_seconds: int = Field(default=300, ge=0, le=3600)
    baking_seconds: int = Field(
        default=300, ge=0, le=3600, description="how long the old instances are kept after all traffic has moved"
    )
    maximum_errors: PositiveInt = Field(
        default=5, description="answers with a status of 500 or above a minute; more roll a deployment back"
    )
    maximum_latency_milliseconds: PositiveInt = Field(
        default=2000, description="of the slowest hundredth of a minute's answers; more roll a deployment back"
    )
    capture_percent: int = Field(
        default=10, ge=0, le=100, description="requests that are kept in S3, to be watched for drift; 0: none"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.maximum_instance_count != 1 and self.maximum_instance_count < self.instance_count:
            raise ValueError("maximum_instance_count is below instance_count; leave it out to have no scaling")
        return self


class Monitoring(Group):
    """Watching what the endpoint sees, against what the version that serves was tested on."""

    instance_type: InstanceType = "ml.m5.large"
    hours: int = Field(default=24, ge=1, le=24 * 31, description="length of the window that is looked at")
    level: float = Field(
        default=0.05, gt=0, lt=1, description="probability of a false alarm in a window where nothing has changed"
    )
    minimum_psi: float = Field(
        default=0.1, ge=0, le=10, description="stability index below which a difference is no drift, however sure it is"
    )
    minimum_photos: PositiveInt = Field(default=200, description="fewer are not judged, nor is a smaller baseline")
    cooldown_days: int = Field(
        default=7, ge=0, le=365, description="after the start of any run, in which a drift starts no other"
    )
