"""The template's parameters, from the settings.

Names, environment and thresholds have the same source as in the rest of the code; the template has none of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from pipeline.account import deploy_function as serving
from pipeline.settings import Settings
from steps.contracts import truth_table
from steps.contracts.s3_uri import S3Uri

# The longest endpoint name that `steps.deploy.requests` does not shorten in a model's or endpoint configuration's name:
# 63 characters less `-vVERSION-HASH-model`, with seven digits for the version.
_WHOLE_NAME = 39
_KEPT = slice(6, 45)
# https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html
_ECR_IMAGE = re.compile(r"(?P<account>[0-9]{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com/(?P<name>[^:@]+)")


def parameters(settings: Settings, deploy_code: str) -> dict[str, str]:
    """Values of the template's parameters; lists are separated by commas.

    `deploy_code` is the key of the deploy function's zip in the project's bucket. With an empty key the stack has only
    the resources of its first stage: the bucket for the zip, and the repositories for images.
    """
    return {
        **_names(settings),
        **_function(settings),
        **_data(settings),
        **_access(settings),
        "DeployCode": deploy_code,
        "CheckpointDays": str(settings.retention.checkpoint_days),
        "CaptureDays": str(settings.retention.capture_days),
        "SupersededDays": str(settings.retention.superseded_days),
        "AlertsEmail": settings.alerts.email,
        "MonthlyBudget": f"{settings.alerts.monthly_budget:.2f}".rstrip("0").rstrip("."),
    }


def _names(settings: Settings) -> dict[str, str]:
    place = f"{settings.account.region}:{settings.account.id}"
    return {
        "Name": settings.name,
        "Place": place,
        "SageMaker": f"arn:aws:sagemaker:{place}",
        "Bucket": settings.data.bucket,
        "Prefix": settings.data.prefix,
        "Root": f"arn:aws:s3:::{settings.data.bucket}/{settings.data.prefix}",
        "CodePrefix": settings.code_prefix,
        "Database": settings.data.database,
        "Workgroup": settings.data.workgroup,
        "Approvals": ",".join(settings.registry.approvals),
        "ProcessingRepository": settings.repository("processing").partition("/")[2],
        "SparkRepository": settings.repository("spark").partition("/")[2],
        "TrainingRepository": settings.repository("training").partition("/")[2],
        "InferenceRepository": settings.repository("inference").partition("/")[2],
        "PipelineRole": settings.role_name("pipeline"),
        "JobRole": settings.role_name("job"),
        "ServingRole": settings.role_name("serving"),
        "MonitorRole": settings.role_name("monitor"),
        "BatchRole": settings.role_name("batch"),
        "SchedulerRole": settings.role_name("scheduler"),
        "DeployRole": settings.role_name("deploy"),
        "AlertRole": settings.role_name("alert"),
        "BuildRole": settings.role_name("build"),
        "CiRole": settings.role_name("ci"),
        "DeployFunction": settings.deploy_function,
        "RollbackFunction": settings.rollback_function,
        "AlertFunction": settings.alert_function,
        "DeadLetterQueue": settings.dead_letter_queue,
        "ImageBuilder": settings.image_builder,
        "AlertsTopic": settings.alerts_topic,
        "Command": settings.command,
        "Deployed": _deployed(settings.endpoint.name),
    }


def _function(settings: Settings) -> dict[str, str]:
    """The deploy function's environment, `CANARY_PERCENT` as CanaryPercent, and the thresholds of its alarms.

    The serving role's ARN is left out: the template refers to the role itself.
    """
    environment = serving.function_environment(settings)
    del environment["SERVING_ROLE_ARN"]
    return {
        **{name.title().replace("_", ""): value for name, value in environment.items()},
        "MaximumErrors": str(settings.endpoint.maximum_errors),
        # The metric is in microseconds.
        "MaximumLatency": str(settings.endpoint.maximum_latency_milliseconds * 1000),
        # 0: no alarm.
        "MinimumAccuracy": str(settings.monitoring.minimum_accuracy or 0),
        "MinimumSetCoverage": str(settings.monitoring.minimum_set_coverage or 0),
        "MinimumSureAccuracy": str(settings.monitoring.minimum_sure_accuracy or 0),
        "AccuracyAlarms": ",".join(settings.accuracy_alarms),
    }


def _data(settings: Settings) -> dict[str, str]:
    """ARNs of the data outside the project's bucket that jobs read: buckets, and patterns of objects."""
    raw, raw_key = _bucket_and_key(settings.data.image_location)
    inventory, inventory_key = _bucket_and_key(settings.data.inventory or "")
    split, split_key = _bucket_and_key(settings.shard.split_file or "")
    weights, weights_key = _bucket_and_key(settings.training.weights_file)
    truth = _TrueCounts.of(settings.monitoring.truth)
    return {
        "RawBucket": raw,
        "RawObjects": "/".join(part for part in (raw, raw_key, "*") if part),
        "InventoryBucket": inventory,
        # AWS's example has a configuration's manifests in its own folder, and the files next to that folder:
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html
        "InventoryObjects": f"{inventory}/{inventory_key.rpartition('/')[0]}/*" if inventory else "",
        "SplitFileBucket": split,
        # One object, or all below a prefix.
        "SplitFileObjects": f"{split}/{split_key}*" if split else "",
        "Weights": f"{weights}/{weights_key}" if weights else "",
        "TruthBucket": truth.bucket,
        "TruthPrefix": truth.prefix,
        "TruthObjects": truth.objects,
        "QueryBytes": str(settings.data.query_gigabytes * 10**9),
    }


@dataclass(frozen=True)
class _TrueCounts:
    """ARNs of the bucket and the objects with true counts, and the prefix to list; all empty without a location."""

    bucket: str = ""
    prefix: str = ""
    objects: str = ""

    @classmethod
    def of(cls, location: str | None) -> Self:
        if location is None:
            return cls()
        place = S3Uri.parse(location)
        prefix = truth_table.listed_prefix(place).key
        bucket = f"arn:aws:s3:::{place.bucket}"
        return cls(bucket, prefix, f"{bucket}/{prefix}" if truth_table.is_table(place) else f"{bucket}/{prefix}*")


def _access(settings: Settings) -> dict[str, str]:
    account, network, tracking = settings.account, settings.network, settings.tracking
    # A shared VPC's subnets belong to another account.
    subnets = [f"arn:aws:ec2:{account.region}:*:subnet/{subnet}" for subnet in network.subnets]
    groups = [f"arn:aws:ec2:{account.region}:*:security-group/{group}" for group in network.security_groups]
    interfaces = [f"arn:aws:ec2:{account.region}:{account.id}:network-interface/*"]
    secret = tracking.wandb_secret if tracking.kind == "wandb" else ""
    if secret and not secret.startswith("arn:"):
        # Secrets Manager adds a hyphen and six characters to a secret's name.
        secret = f"arn:aws:secretsmanager:{account.region}:{account.id}:secret:{secret}-??????"
    server = tracking.mlflow_server if tracking.kind == "mlflow" else ""
    return {
        "InterfaceArns": ",".join([*interfaces, *subnets, *groups]),
        "EncryptTraffic": str(network.encrypt_traffic).lower(),
        "Isolation": str(network.isolation).lower(),
        "BaseRepositories": ",".join(_base_repositories(settings)),
        "GithubRepository": settings.ci.github_repository,
        "GithubSubject": settings.ci.subject,
        "MakeGithubProvider": str(settings.ci.make_provider).lower(),
        "WandbSecret": secret,
        "MlflowServer": server if server.startswith("arn:") else "",
    }


def _deployed(endpoint: str) -> str:
    """Pattern of the names of models and endpoint configurations that the deploy function creates for an endpoint."""
    return f"{endpoint}-v*" if len(endpoint) <= _WHOLE_NAME else f"*{endpoint[_KEPT].strip('-')}*"


def _base_repositories(settings: Settings) -> list[str]:
    """ARNs of the ECR repositories of base images; public registries need no permission.

    AWS's own training images are in another account in each region:
    https://docs.aws.amazon.com/sagemaker/latest/dg-ecr-paths/sagemaker-algo-docker-registry-paths.html
    """
    arns = [f"arn:aws:ecr:{settings.account.region}:*:repository/pytorch-*"]
    for image in (settings.images.python_base, settings.images.training_base):
        if match := _ECR_IMAGE.match(image):
            arns.append(f"arn:aws:ecr:{match['region']}:{match['account']}:repository/{match['name']}")
    return arns


def _bucket_and_key(uri: str) -> tuple[str, str]:
    """The ARN of a URI's bucket, and the key; both empty for an empty URI."""
    if not uri:
        return "", ""
    location = S3Uri.parse(uri)
    return f"arn:aws:s3:::{location.bucket}", location.key.rstrip("/")
