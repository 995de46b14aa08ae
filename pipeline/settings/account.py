"""The account, and what is on its side of the pipeline: network, keys, images, alerts."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.settings.fields import ConflictError, Group

# HOST/REPOSITORY with a tag, a digest, or both.
_IMAGE = r"^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[a-f0-9]{64})?$"
_IMAGE_OR_NONE = f"^$|{_IMAGE}"


class Account(Group):
    """Where the pipeline lives."""

    target: Literal["aws", "local"] = "aws"
    id: str = Field(pattern=r"^[0-9]{12}$", description="AWS account id, quoted")
    region: str = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")
    pipeline_role: str = Field(
        default="", description="name of the role SageMaker Pipelines assumes; default NAME-pipeline"
    )
    job_role: str = Field(default="", description="name of the role of the jobs; default NAME-job")
    serving_role: str = Field(default="", description="name of the role of the endpoint; default NAME-serving")
    scheduler_role: str = Field(default="", description="name of the role of schedules; default NAME-scheduler")


class Network(Group):
    """Where jobs run, and what can be seen of their traffic."""

    subnets: list[Annotated[str, Field(pattern=r"^subnet-[0-9a-f]{8,17}$")]] = Field(
        default=[], max_length=16, description="private subnets that jobs, trials and the endpoint run in; none: AWS's"
    )
    security_groups: list[Annotated[str, Field(pattern=r"^sg-[0-9a-f]{8,17}$")]] = Field(default=[], max_length=5)
    isolation: bool = Field(
        default=False,
        description="trials get no network but each other's: shards come through a channel, so training.input must"
        " be fastfile or file",
    )
    encrypt_traffic: bool = Field(default=False, description="between the instances of a job; takes longer")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.subnets) != bool(self.security_groups):
            missing = "security_groups" if self.subnets else "subnets"
            raise ConflictError(
                f"subnets and security_groups go together; add {missing}", "network.subnets", "network.security_groups"
            )
        return self


class Encryption(Group):
    """Keys of your own, in place of those that AWS keeps."""

    kms_key: str = Field(
        default="",
        pattern=r"^(arn:aws:kms:[a-z0-9-]+:[0-9]{12}:key/(mrk-[a-f0-9]{32}|[a-f0-9-]{36}))?$",
        description="ARN of a KMS key for the bucket, the jobs' volumes and outputs, captures, and instances' volumes"
        " where they can be encrypted",
    )


class Images(Group):
    """What the container images are built on, and by whom."""

    builder: Literal["auto", "docker", "codebuild"] = Field(
        default="auto", description="auto: docker where it answers, else the account's CodeBuild project"
    )
    python_base: str = Field(
        default="public.ecr.aws/docker/library/python:3.11-slim-bookworm",
        pattern=_IMAGE,
        description="of the processing and inference images; NAME@sha256:DIGEST pins its bytes",
    )
    training_base: str = Field(
        default="",
        pattern=_IMAGE_OR_NONE,
        description="of the training image; default AWS's PyTorch training image for the backend, in the region",
    )
    evaluation_base: str = Field(
        default="",
        pattern=_IMAGE_OR_NONE,
        description="of the image that evaluates, on CPUs mostly; default training_base, and without one AWS's",
    )


class Retention(Group):
    """How long the bucket keeps what nothing needs any more, in days."""

    checkpoint_days: int = Field(default=14, ge=1, le=3650)
    capture_days: int = Field(default=90, ge=1, le=3650)
    superseded_days: int = Field(default=30, ge=1, le=3650, description="versions of objects that have newer ones")


class Alerts(Group):
    """Who is told, and of what, beside the alarms themselves."""

    email: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+)?$",
        description="gets the alarms and the budget's warnings",
    )
    monthly_budget: float = Field(
        default=0.0, ge=0, description="USD a month for SageMaker and Athena in this account, warned at 80%; 0: none"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.monthly_budget and not self.email:
            raise ConflictError("monthly_budget wants email: a budget warns somebody", "alerts.monthly_budget")
        return self


class ContinuousIntegration(Group):
    """Which repository may upsert without keys of its own, by GitHub's OpenID Connect tokens."""

    github_repository: str = Field(
        default="", pattern=r"^([A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100})?$", description="OWNER/NAME; none: no role"
    )
    branch: str = Field(
        default="main", pattern=r"^[A-Za-z0-9._/-]{1,200}$", description="whose runs may assume the role"
    )
    make_provider: bool = Field(
        default=False, description="make GitHub's identity provider too; an account has one, so others may have made it"
    )
