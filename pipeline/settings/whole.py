"""All settings of a profile, the names and URIs that follow from them, and their contradictions."""

from __future__ import annotations

import re
import shlex
from typing import Any, Literal, Self

from pydantic import PrivateAttr, model_validator

from pipeline.aws import instances
from pipeline.settings.account import Account, Alerts, ContinuousIntegration, Encryption, Images, Network, Retention
from pipeline.settings.classifiers import half_size_refusal, size_refusal
from pipeline.settings.data import Cache, Data, Explore, Shard
from pipeline.settings.fields import ConflictError, Group, field, form, seconds
from pipeline.settings.local import Local
from pipeline.settings.release import Endpoint, Evaluation, Gate, Monitoring, Registry
from pipeline.settings.tags import Tags
from pipeline.settings.training import IMAGENET, Choices, Tracking, Training, Tuning, check_hyperband
from steps.contracts import imagenet_weights
from steps.contracts.s3_uri import S3Uri

Role = Literal["pipeline", "job", "serving", "monitor", "batch", "scheduler", "deploy", "alert", "build", "ci"]
Repository = Literal["processing", "spark", "training", "inference"]
REPOSITORIES: tuple[Repository, ...] = ("processing", "spark", "training", "inference")
_NAME = form(
    r"^[a-z](-?[a-z0-9]){0,23}$", "up to 24 lower-case letters, digits and hyphens, with a letter first and no -- in it"
)


class Settings(Group):
    """All settings of one profile."""

    name: str = field(
        "Name of the pipeline, and prefix of all resources that it owns", pattern=_NAME, max_length=24, example="bins"
    )
    tags: Tags = field(
        "Tags of all that the pipeline makes: the stack's resources, pipeline, jobs, models, endpoint, registry and"
        " schedules",
        {},
        example={"team": "vision", "cost-center": "4711"},
    )
    account: Account
    data: Data
    shard: Shard = Shard()
    explore: Explore = Explore()
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
    local: Local = Local()
    _profile: str = PrivateAttr("")

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: Any) -> Any:
        """Name after the pipeline what has no name: two pipelines of an account must not share an endpoint."""
        if not isinstance(values, dict) or not isinstance(name := values.get("name"), str):
            return values
        if re.fullmatch(_NAME, name) is None:  # one mistake, and not another per derived name
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
            if self.training.progressive_resizing:
                raise ConflictError(
                    "Hyperband compares trials by their first epochs, whose photos have half the side;"
                    " set progressive_resizing to 0, or take another strategy",
                    "tuning.strategy",
                    "training.progressive_resizing",
                )
        self._check_searched_sizes()
        self._check_weights()
        if self.network.isolation:
            self._check_isolation()
        self._check_gpus()
        self._check_overlap()
        self._check_retention()
        self._check_captures()
        self._check_volume()
        if self.network.subnets and self.endpoint.mode == "serverless":
            raise ConflictError(
                "a serverless endpoint does not run in your VPC; take real-time, or leave network.subnets and"
                " network.security_groups out",
                "endpoint.mode",
                "network.subnets",
            )
        if self.encryption.kms_key and f":{self.account.region}:" not in self.encryption.kms_key:
            raise ConflictError(
                f"the key is not in the account's region, {self.account.region}; its jobs cannot use it",
                "encryption.kms_key",
            )
        return self

    def _check_searched_sizes(self) -> None:
        """Refuse a searched classifier that does not support the size of the photos."""
        for name in self.architectures if "architecture" in self.tuning.ranges else ():
            if reason := size_refusal(name, self.training.image_size):
                raise ConflictError(reason, "tuning.ranges.architecture", "training.image_size")
            if self.training.progressive_resizing and (reason := half_size_refusal(name, self.training.image_size)):
                raise ConflictError(reason, "tuning.ranges.architecture", "training.progressive_resizing")

    def _check_weights(self) -> None:
        """Refuse an architecture without published weights where training begins with them."""
        searched = "tuning.ranges" if "architecture" in self.tuning.ranges else "training"
        for name in self.architectures if self.starts_from_imagenet else ():
            if reason := imagenet_weights.refusal(name):
                raise ConflictError(reason, "training.weights", f"{searched}.architecture")

    def _check_overlap(self) -> None:
        """Refuse a prefix for results within the raw folders: a run would read its results as photos or metadata."""
        raw = S3Uri.parse(self.data.image_location)
        own = f"{self.data.prefix}/"
        for folder in ("bin-images", "metadata"):
            other = f"{raw.join(folder).key}/"
            if raw.bucket == self.data.bucket and own.startswith(other):
                raise ConflictError(
                    f"runs write below s3://{self.data.bucket}/{own}, and the raw data are in {raw.join(folder)}/; set"
                    " another data.prefix",
                    "data.image_location",
                    "data.prefix",
                )

    def _check_retention(self) -> None:
        """Refuse checkpoints that expire while a trial may still need them."""
        training = self.training
        longest = "wait_time" if training.spot else "run_time"
        duration = getattr(training, longest)
        if self.retention.checkpoint_days * 86_400 < seconds(duration):
            raise ConflictError(
                f"checkpoints expire after {self.retention.checkpoint_days} days, and a trial may take {duration}"
                f" (training.{longest}); retain them as long",
                "retention.checkpoint_days",
                f"training.{longest}",
            )

    def _check_captures(self) -> None:
        """Refuse captures that expire before their true counts are compared with them."""
        monitoring = self.monitoring
        oldest = monitoring.truth_delay_hours + monitoring.hours
        if monitoring.truth is not None and self.retention.capture_days * 24 < oldest:
            raise ConflictError(
                f"captures expire after {self.retention.capture_days} days, and true counts are compared with captures"
                f" of up to {oldest} hours before (monitoring.truth_delay_hours and monitoring.hours); retain them as"
                " long",
                "retention.capture_days",
                "monitoring.truth_delay_hours",
            )

    def _check_gpus(self) -> None:
        """Refuse GPUs without kernels in the image: AWS's own for torchrun has CUDA 13."""
        if self.training.launcher == "smddp":
            return
        images = self.images
        bases = (
            ("training", self.training.instance_type, "images.training_base", images.training_base),
            (
                "evaluation",
                self.evaluation.instance_type,
                "images.evaluation_base",
                images.evaluation_base or images.training_base,
            ),
        )
        for group, instance_type, base, given in bases:
            if not given and not instances.runs_cuda_13(instance_type):
                raise ConflictError(
                    f"the GPUs of {instance_type} are too old for AWS's PyTorch image with CUDA 13; take a"
                    f" newer type such as ml.g5.2xlarge, or set {base} to an image that runs on them",
                    f"{group}.instance_type",
                    base,
                )

    def _check_volume(self) -> None:
        """Refuse a storage volume above the type's own disks, which take its place."""
        shard = self.shard
        volumes = [
            (f"{group}.volume_gigabytes", part.volume_gigabytes, f"{group}.instance_type", part.instance_type)
            for group, part in (("data", self.data), ("training", self.training))
        ]
        if shard.plan_image is not None:
            key = "shard.plan_instance_type" if shard.plan_instance_type else "shard.instance_type"
            volumes.append(("shard.plan_volume_gigabytes", shard.plan_volume_gigabytes, key, shard.plan_type))
        for place, wanted, type_place, instance_type in volumes:
            size = instances.own_disk_gigabytes(instance_type)
            if size is not None and wanted > size:
                raise ConflictError(
                    f"{instance_type} has disks of its own, {size} GB in all, and SageMaker refuses a larger volume;"
                    f" set {size} or less, or take another type",
                    place,
                    type_place,
                )

    def _check_isolation(self) -> None:
        """Refuse settings that a trial without a network cannot carry out."""
        kind = self.tracking.kind
        wrong = (
            ("training.input", self.training.input == "stream", ": stream reads S3; take fastfile, or file"),
            ("training.weights", self.weights_uri != "", " are read from S3; leave them out"),
            ("tracking.kind", kind != "none", f": {kind} calls a server; take none"),
        )
        for place, is_set, reason in wrong:
            if is_set:
                message = f"network.isolation leaves trials without a network, but {place}{reason}"
                raise ConflictError(message, place, "network.isolation")

    @property
    def architectures(self) -> tuple[str, ...]:
        """The classifiers that trials have: those of the search, or the setting."""
        searched = self.tuning.ranges.get("architecture")
        return tuple(map(str, searched.values)) if isinstance(searched, Choices) else (self.training.architecture,)

    @property
    def starts_from_imagenet(self) -> bool:
        """Whether trials begin with torchvision's published weights."""
        if self.training.weights is None:
            return self.account.target == "aws" and not self.network.isolation
        return self.training.weights == IMAGENET

    @property
    def imagenet_uris(self) -> dict[str, str]:
        """Where the published weights of each architecture belong in the bucket; none for weights of another kind."""
        names = self.architectures if self.starts_from_imagenet else ()
        return {name: f"{self.published_weights_uri}/{imagenet_weights.published(name).name}" for name in names}

    @property
    def weights_uri(self) -> str:
        """The trainer's initial weights: a file, or for a search over architectures the folder of their files.

        Empty for random weights.
        """
        if not self.starts_from_imagenet:
            return self.training.weights_file
        files = self.imagenet_uris
        return f"{self.published_weights_uri}/" if "architecture" in self.tuning.ranges else next(iter(files.values()))

    def hyperband_minimum(self) -> int:
        """Epochs before which Hyperband stops no trial; with its factor of three, a ninth leaves two decisions."""
        return self.tuning.hyperband.minimum_epochs or max(1, self.training.epochs // 9)

    def role_arn(self, kind: Role) -> str:
        """ARN of one of the roles."""
        return f"arn:aws:iam::{self.account.id}:role/{self.role_name(kind)}"

    def role_name(self, kind: Role) -> str:
        """Name of one of the roles."""
        return getattr(self.account, f"{kind}_role", "") or f"{self.name}-{kind}"

    def repository(self, image: Repository) -> str:
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
    def rollback_function(self) -> str:
        """Name of the Lambda that goes back to an earlier version: the deploy function's code, for operators alone."""
        return f"{self.name}-rollback"

    @property
    def dead_letter_queue(self) -> str:
        """Name of the SQS queue for undelivered schedules and events, and failed calls of the deploy function."""
        return f"{self.name}-dead-letters"

    @property
    def dead_letter_queue_arn(self) -> str:
        """ARN of that queue."""
        return f"arn:aws:sqs:{self.account.region}:{self.account.id}:{self.dead_letter_queue}"

    @property
    def alarms(self) -> tuple[str, str]:
        """Names of the endpoint's alarms, on errors and on latency; they roll a deployment back."""
        return (f"{self.name}-endpoint-errors", f"{self.name}-endpoint-latency")

    @property
    def accuracy_alarms(self) -> tuple[str, str, str]:
        """Names of the alarms by true counts: accuracy, coverage of the prediction sets, accuracy of sure counts."""
        return (f"{self.name}-accuracy", f"{self.name}-set-coverage", f"{self.name}-sure-accuracy")

    @property
    def captures_uri(self) -> str:
        """Prefix of the endpoint's captured requests."""
        return f"{self.root_uri}/captures"

    @property
    def published_weights_uri(self) -> str:
        """Prefix of torchvision's published weights, which jobs read and do not write."""
        return f"{self.root_uri}/{imagenet_weights.WEIGHTS_FOLDER}"

    @property
    def released_uri(self) -> str:
        """Prefix of the deployed models and their golden photos, copies that only the deploy function writes."""
        return f"{self.root_uri}/released"

    @property
    def checkpoints_uri(self) -> str:
        """Prefix of checkpoints, with one folder per run; they expire by the bucket's lifecycle rules."""
        return f"{self.root_uri}/checkpoints"

    @property
    def code_prefix(self) -> str:
        """Prefix of the deploy function's zip and of image sources: outside `prefix`, where jobs may write."""
        return f"{self.data.prefix}-code"

    @property
    def stack(self) -> str:
        """Name of the CloudFormation stack with the resources of the account."""
        return f"{self.name}-account"

    @property
    def image_builder(self) -> str:
        """Name of the CodeBuild project that builds images where Docker is missing."""
        return f"{self.name}-images"

    @property
    def alerts_topic(self) -> str:
        """Name of the SNS topic that alerts and alarms are published to."""
        return f"{self.name}-alerts"

    @property
    def alerts_topic_arn(self) -> str:
        """ARN of that topic."""
        return f"arn:aws:sns:{self.account.region}:{self.account.id}:{self.alerts_topic}"

    @property
    def alert_function(self) -> str:
        """Name of the Lambda that makes a message of an event."""
        return f"{self.name}-alert"

    @property
    def command(self) -> str:
        """The command line before a command's name, for messages: with the profile, and without the settings' file."""
        return shlex.join(["python", "-m", "pipeline", *(["--profile", self._profile] if self._profile else [])])

    @property
    def profile(self) -> str:
        """Name of the profile; empty for settings that are no profile's."""
        return self._profile

    def of_profile(self, profile: str) -> Self:
        """The same settings, as those of a profile."""
        settings = self.model_copy()
        settings._profile = profile
        return settings

    @property
    def root_uri(self) -> str:
        """Prefix of all that the pipeline writes."""
        return f"s3://{self.data.bucket}/{self.data.prefix}"
