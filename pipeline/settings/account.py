"""The account, and what belongs to it: network, encryption keys, images, retention, alerts, continuous integration."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.settings.fields import FORMS, ConflictError, Group, field, form

# HOST/REPOSITORY with a tag, a digest, or both.
_IMAGE = form(
    r"^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[a-f0-9]{64})?$",
    "an image as HOST/REPOSITORY:TAG or HOST/REPOSITORY@sha256:DIGEST",
)
_IMAGE_OR_NONE = form(f"^$|{_IMAGE}", f"empty, or {FORMS[_IMAGE]}")
_BRANCH = form(r"^[A-Za-z0-9._/-]{1,200}$", "a branch: up to 200 letters, digits and any of . _ / -")


class Account(Group):
    """The account that the pipeline runs in."""

    target: Literal["aws", "local"] = field("aws: an AWS account; local: the local cloud on this machine", "aws")
    id: str = field("AWS account id, in quotes", pattern=form(r"^[0-9]{12}$", "12 digits"), example="111122223333")
    region: str = field(
        "AWS region",
        pattern=form(r"^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}$", "a region such as us-east-1"),
        example="us-east-1",
    )
    pipeline_role: str = field("Name of the role that SageMaker Pipelines assumes; empty: NAME-pipeline", "")
    job_role: str = field("Name of the role of jobs and trials; empty: NAME-job", "")
    serving_role: str = field("Name of the role of the endpoint; empty: NAME-serving", "")
    monitor_role: str = field("Name of the role of the monitor's jobs; empty: NAME-monitor", "")
    batch_role: str = field("Name of the role of batch transform jobs; empty: NAME-batch", "")
    scheduler_role: str = field("Name of the role of schedules; empty: NAME-scheduler", "")

    @model_validator(mode="after")
    def _in_partition(self) -> Self:
        # https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html
        if self.region.startswith(("cn-", "us-gov-", "us-iso", "eu-isoe-", "eusc-")):
            raise ConflictError(
                f"{self.region} is in another partition than `aws`, which the ARNs of this pipeline and its template"
                " have; take a region of it: the AWS GovCloud (US) and China regions are not supported",
                "account.region",
            )
        return self


class Network(Group):
    """The network that jobs run in, and the protection of their traffic."""

    subnets: list[Annotated[str, Field(pattern=form(r"^subnet-[0-9a-f]{8,17}$", "a subnet's id, subnet-0a1b2c3d"))]] = (
        field(
            "Private subnets for jobs, trials and the endpoint; empty: SageMaker's own network",
            [],
            max_length=16,
            example=["subnet-0a1b2c3d"],
        )
    )
    security_groups: list[
        Annotated[str, Field(pattern=form(r"^sg-[0-9a-f]{8,17}$", "a security group's id, sg-0a1b2c3d"))]
    ] = field("Security groups in these subnets; required with subnets", [], max_length=5, example=["sg-0a1b2c3d"])
    isolation: bool = field(
        "Whether trials run without a network, except to each other; requires training.input fastfile or file", False
    )
    encrypt_traffic: bool = field(
        "Whether traffic between the instances of a job is encrypted; jobs then take longer", False
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.subnets) != bool(self.security_groups):
            missing = "security_groups" if self.subnets else "subnets"
            raise ConflictError(
                f"subnets and security_groups go together; add {missing}", "network.subnets", "network.security_groups"
            )
        return self


class Encryption(Group):
    """Encryption with a key of your own."""

    kms_key: str = field(
        "ARN of a KMS key for the bucket, volumes and outputs of jobs, captures, and volumes of instances that support"
        " it; empty: keys that AWS manages",
        "",
        pattern=form(
            r"^(arn:aws:kms:[a-z0-9-]+:[0-9]{12}:key/(mrk-[a-f0-9]{32}|[a-f0-9-]{36}))?$",
            "the ARN of a key, arn:aws:kms:REGION:ACCOUNT:key/ID (not an alias)",
        ),
        example="arn:aws:kms:us-east-1:111122223333:key/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f",
    )


class Images(Group):
    """The container images: their bases and their builder."""

    builder: Literal["auto", "docker", "codebuild"] = field(
        "auto: Docker where its engine answers, else the account's CodeBuild project", "auto"
    )
    python_base: str = field(
        "Base of the processing and inference images; NAME@sha256:DIGEST pins its content",
        "public.ecr.aws/docker/library/python:3.11-slim-bookworm",
        pattern=_IMAGE,
    )
    training_base: str = field(
        "Base of the training image; empty: AWS's PyTorch training image for the backend and region",
        "",
        pattern=_IMAGE_OR_NONE,
        example="763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.5.1-gpu-py311-cu124-ubuntu22.04-sagemaker",
    )
    evaluation_base: str = field(
        "Base of the evaluation image, which mostly runs on CPUs; empty: training_base, else AWS's PyTorch image for"
        " the instance",
        "",
        pattern=_IMAGE_OR_NONE,
        example="111122223333.dkr.ecr.us-east-1.amazonaws.com/pytorch:2.10.0-cpu",
    )


class Retention(Group):
    """Expiry of objects in the bucket that are no longer needed."""

    checkpoint_days: int = field("Age at which checkpoints of trials expire", 14, unit="days", ge=1, le=3650)
    capture_days: int = field("Age at which captured requests of the endpoint expire", 90, unit="days", ge=1, le=3650)
    superseded_days: int = field(
        "Age at which versions of objects that have a newer version expire", 30, unit="days", ge=1, le=3650
    )


class Alerts(Group):
    """Notifications by e-mail."""

    email: str = field(
        "Address that receives alerts, alarms and the warnings of the budget; empty: no e-mail",
        "",
        pattern=form(
            r"^([A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+)?$", "an address, team@example.com"
        ),
        example="team@example.com",
    )
    monthly_budget: float = field(
        "Budget for SageMaker and Athena in this account; a warning is sent at 80%; 0: no budget",
        0.0,
        unit="USD per month",
        ge=0,
        example=500.0,
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.monthly_budget and not self.email:
            raise ConflictError("monthly_budget requires email, the address to warn", "alerts.monthly_budget")
        return self


class ContinuousIntegration(Group):
    """The GitHub repository that may upsert, with OpenID Connect tokens in place of access keys."""

    github_repository: str = field(
        "Repository, as OWNER/NAME; empty: no role for continuous integration",
        "",
        pattern=form(r"^([A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100})?$", "OWNER/NAME"),
        example="example/bin-counting",
    )
    branch: str = field(
        "Branch whose workflow runs may assume the role, where environment is empty", "main", pattern=_BRANCH
    )
    environment: str = field(
        "GitHub environment whose jobs may assume the role, with its own reviewers and branches; empty: every job of"
        " the branch",
        "",
        pattern=form(r"^[A-Za-z0-9._-]{0,100}$", "up to 100 letters, digits and any of . _ -"),
        example="production",
    )
    make_provider: bool = field(
        "Whether bootstrap also creates GitHub's identity provider; an account has one, so it may exist already", False
    )

    @property
    def subject(self) -> str:
        """Subject of the tokens that GitHub issues to the workflow runs which may assume the role.

        https://docs.github.com/en/actions/reference/security/oidc#example-subject-claims
        """
        if not self.github_repository:
            return ""
        where = f"environment:{self.environment}" if self.environment else f"ref:refs/heads/{self.branch}"
        return f"repo:{self.github_repository}:{where}"
