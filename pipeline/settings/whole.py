"""All settings of a profile, what follows from them, and what they must not say together."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from pipeline.aws import instances
from pipeline.settings.account import Account, Alerts, ContinuousIntegration, Encryption, Images, Network, Retention
from pipeline.settings.data import Cache, Data, Shard
from pipeline.settings.fields import ConflictError, Group
from pipeline.settings.release import Endpoint, Evaluation, Gate, Monitoring, Registry
from pipeline.settings.training import Tracking, Training, Tuning, check_hyperband

Role = Literal["pipeline", "job", "serving", "scheduler", "deploy", "build", "ci"]
_NAME = r"^[a-z](-?[a-z0-9]){0,23}$"


class Settings(Group):
    """All settings of one profile."""

    name: str = Field(
        pattern=_NAME,
        max_length=24,
        description="the pipeline's name, and a prefix of all it owns",
    )
    account: Account
    data: Data
    shard: Shard = Shard()
    training: Training = Training()
    tuning: Tuning = Tuning()
    evaluation: Evaluation = Evaluation()
    gate: Gate = Gate()
    registry: Registry = Registry()
    endpoint: Endpoint = Endpoint()
    monitoring: Monitoring = Monitoring()
    cache: Cache = Cache()
    tracking: Tracking = Tracking()
    network: Network = Network()
    encryption: Encryption = Encryption()
    images: Images = Images()
    retention: Retention = Retention()
    alerts: Alerts = Alerts()
    ci: ContinuousIntegration = ContinuousIntegration()

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: Any) -> Any:
        """Name after the pipeline what is not named: two pipelines in one account must not share an endpoint."""
        if not isinstance(values, dict) or not isinstance(name := values.get("name"), str):
            return values
        if re.fullmatch(_NAME, name) is None:  # one mistake, not one more for each name that would follow from it
            return values
        defaults = (
            ("data", "database", name.replace("-", "_")),
            ("data", "workgroup", name),
            ("registry", "group", name),
            ("endpoint", "name", name),
        )
        named = dict(values)
        for group, key, default in defaults:
            given = named.get(group, {})
            if isinstance(given, Group):
                given = given.model_dump()
            if isinstance(given, dict) and key not in given:
                named[group] = {**given, key: default}
        return named

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.tuning.strategy == "Hyperband":
            check_hyperband(self.tuning.hyperband, self.training.epochs)
        if self.network.isolation:
            self._check_isolation()
        self._check_gpus()
        if self.network.subnets and self.endpoint.mode == "serverless":
            raise ConflictError(
                "a serverless endpoint runs in no VPC of yours; take real-time, or leave network.subnets and"
                " network.security_groups out",
                "endpoint.mode",
                "network.subnets",
            )
        if self.encryption.kms_key and f":{self.account.region}:" not in self.encryption.kms_key:
            raise ConflictError(
                f"the key is not of the account's region, {self.account.region}; its jobs can use no other",
                "encryption.kms_key",
            )
        return self

    def _check_gpus(self) -> None:
        """Refuse GPUs that the image has no kernels for: AWS's own for torchrun is of CUDA 13."""
        if self.training.launcher == "smddp":
            return
        images = self.images
        judged = (
            ("training", self.training.instance_type, "images.training_base", images.training_base),
            (
                "evaluation",
                self.evaluation.instance_type,
                "images.evaluation_base",
                images.evaluation_base or images.training_base,
            ),
        )
        for group, instance_type, base, given in judged:
            if not given and not instances.runs_cuda_13(instance_type):
                raise ConflictError(
                    f"the GPUs of {instance_type} are too old for AWS's PyTorch image, which is of CUDA 13; take a"
                    f" newer type, as ml.g5.2xlarge, or set {base} to an image that runs on them",
                    f"{group}.instance_type",
                    base,
                )

    def _check_isolation(self) -> None:
        """Refuse what a trial without a network could not do."""
        kind = self.tracking.kind
        wrong = (
            ("training.input", self.training.input == "stream", ": stream reads S3; take fastfile, or file"),
            ("training.weights", self.training.weights is not None, " are read from S3; leave them out"),
            ("tracking.kind", kind != "none", f": {kind} calls a server; take none"),
        )
        for place, found, reason in wrong:
            if found:
                message = f"network.isolation leaves trials without a network, but {place}{reason}"
                raise ConflictError(message, place, "network.isolation")

    def hyperband_minimum(self) -> int:
        """Epochs before which Hyperband stops no trial. With its factor of three a ninth leaves two halts."""
        return self.tuning.hyperband.minimum_epochs or max(1, self.training.epochs // 9)

    def role_arn(self, kind: Role) -> str:
        """ARN of one of the roles."""
        return f"arn:aws:iam::{self.account.id}:role/{self.role_name(kind)}"

    def role_name(self, kind: Role) -> str:
        """Name of one of the roles."""
        return getattr(self.account, f"{kind}_role", "") or f"{self.name}-{kind}"

    def repository(self, image: Literal["processing", "training", "inference"]) -> str:
        """ECR repository of an image, without a tag."""
        return f"{self.account.id}.dkr.ecr.{self.account.region}.amazonaws.com/{self.name}-{image}"

    @property
    def deploy_function(self) -> str:
        """Name of the deploy Lambda."""
        return f"{self.name}-deploy"

    @property
    def deploy_function_arn(self) -> str:
        """ARN of the deploy Lambda."""
        return f"arn:aws:lambda:{self.account.region}:{self.account.id}:function:{self.deploy_function}"

    @property
    def dead_letter_queue(self) -> str:
        """Name of the SQS queue for what a schedule or a rule could not deliver, or the deploy function not do."""
        return f"{self.name}-dead-letters"

    @property
    def dead_letter_queue_arn(self) -> str:
        """ARN of that queue."""
        return f"arn:aws:sqs:{self.account.region}:{self.account.id}:{self.dead_letter_queue}"

    @property
    def alarms(self) -> tuple[str, str]:
        """Names of the endpoint's alarms, which roll a deployment back: errors, latency."""
        return (f"{self.name}-endpoint-errors", f"{self.name}-endpoint-latency")

    @property
    def captures_uri(self) -> str:
        """Where the endpoint's captured requests go."""
        return f"{self.root_uri}/captures"

    @property
    def checkpoints_uri(self) -> str:
        """Where trials keep their checkpoints, a folder a run; the bucket lets them expire."""
        return f"{self.root_uri}/checkpoints"

    @property
    def code_prefix(self) -> str:
        """Keys of the deploy function's zip and of image sources: not below `prefix`, where jobs may write."""
        return f"{self.data.prefix}-code"

    @property
    def stack(self) -> str:
        """Name of the CloudFormation stack with all that lives as long as the account."""
        return f"{self.name}-account"

    @property
    def image_builder(self) -> str:
        """Name of the CodeBuild project that builds the images where there is no Docker."""
        return f"{self.name}-images"

    @property
    def alerts_topic(self) -> str:
        """Name of the SNS topic that alarms go to where somebody is to be told."""
        return f"{self.name}-alerts"

    @property
    def root_uri(self) -> str:
        """Where the pipeline keeps all it makes."""
        return f"s3://{self.data.bucket}/{self.data.prefix}"
