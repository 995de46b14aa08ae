"""The template's parameters: what of the settings the account's stack is made from.

Names, environment and thresholds come from where the rest of the code takes them; the template has none of its own.
"""

from __future__ import annotations

import re

from pipeline.account import deploy_function as serving
from pipeline.settings import Settings

# The lengths up to which `steps.deploy.requests` cuts nothing off a model's and an endpoint configuration's name:
# 63 characters, less `-vVERSION-HASH-model`, with seven digits for the version.
_WHOLE_NAME = 39
_KEPT = slice(6, 45)
# https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html
_ECR_IMAGE = re.compile(r"(?P<account>[0-9]{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com/(?P<name>[^:@]+)")


def parameters(settings: Settings, deploy_code: str) -> dict[str, str]:
    """Values of the template's parameters; lists are separated by commas.

    `deploy_code` is the key of the deploy function's zip in the project's bucket. Empty, the stack has only what is
    there first: the bucket that the zip goes into, and the images' repositories.
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
        "TrainingRepository": settings.repository("training").partition("/")[2],
        "InferenceRepository": settings.repository("inference").partition("/")[2],
        "PipelineRole": settings.role_name("pipeline"),
        "JobRole": settings.role_name("job"),
        "ServingRole": settings.role_name("serving"),
        "SchedulerRole": settings.role_name("scheduler"),
        "DeployRole": settings.role_name("deploy"),
        "BuildRole": settings.role_name("build"),
        "CiRole": settings.role_name("ci"),
        "DeployFunction": settings.deploy_function,
        "DeadLetterQueue": settings.dead_letter_queue,
        "ImageBuilder": settings.image_builder,
        "AlertsTopic": settings.alerts_topic,
        "Deployed": _deployed(settings.endpoint.name),
    }


def _function(settings: Settings) -> dict[str, str]:
    """The deploy function's environment, `CANARY_PERCENT` as CanaryPercent, and the thresholds of its alarms.

    Not the serving role's ARN, which the template has from the role itself.
    """
    environment = serving.function_environment(settings)
    del environment["SERVING_ROLE_ARN"]
    errors, latency = serving.alarms(settings)
    return {
        **{name.title().replace("_", ""): value for name, value in environment.items()},
        "MaximumErrors": f"{errors['Threshold']:.0f}",
        "MaximumLatency": f"{latency['Threshold']:.0f}",
    }


def _data(settings: Settings) -> dict[str, str]:
    """ARNs of what jobs read that is not in the project's bucket: buckets, and patterns of objects."""
    raw, raw_key = _place(settings.data.image_location)
    split, split_key = _place(settings.shard.split_file or "")
    weights, weights_key = _place(settings.training.weights or "")
    return {
        "RawBucket": raw,
        "RawObjects": "/".join(part for part in (raw, raw_key, "*") if part),
        "SplitFileBucket": split,
        # One object, or all below a prefix.
        "SplitFileObjects": f"{split}/{split_key}*" if split else "",
        "Weights": f"{weights}/{weights_key}" if weights else "",
        "QueryBytes": str(settings.data.query_gigabytes * 10**9),
    }


def _access(settings: Settings) -> dict[str, str]:
    account, network, tracking = settings.account, settings.network, settings.tracking
    # A shared VPC's subnets belong to another account.
    subnets = [f"arn:aws:ec2:{account.region}:*:subnet/{one}" for one in network.subnets]
    groups = [f"arn:aws:ec2:{account.region}:*:security-group/{one}" for one in network.security_groups]
    interfaces = [f"arn:aws:ec2:{account.region}:{account.id}:network-interface/*"]
    secret = tracking.wandb_secret if tracking.kind == "wandb" else ""
    if secret and not secret.startswith("arn:"):
        # Secrets Manager adds a hyphen and six characters to a secret's name.
        secret = f"arn:aws:secretsmanager:{account.region}:{account.id}:secret:{secret}-??????"
    server = tracking.mlflow_server if tracking.kind == "mlflow" else ""
    return {
        "SubnetArns": ",".join(subnets),
        "InterfaceArns": ",".join([*interfaces, *subnets, *groups]),
        "EncryptTraffic": str(network.encrypt_traffic).lower(),
        "Isolation": str(network.isolation).lower(),
        "BaseRepositories": ",".join(_base_repositories(settings)),
        "GithubRepository": settings.ci.github_repository,
        "GithubBranch": settings.ci.branch,
        "MakeGithubProvider": str(settings.ci.make_provider).lower(),
        "WandbSecret": secret,
        "MlflowServer": server if server.startswith("arn:") else "",
    }


def _deployed(endpoint: str) -> str:
    """A pattern of the models and endpoint configurations that the deploy function makes for an endpoint."""
    return f"{endpoint}-v*" if len(endpoint) <= _WHOLE_NAME else f"*{endpoint[_KEPT].strip('-')}*"


def _base_repositories(settings: Settings) -> list[str]:
    """ARNs of the ECR repositories that images are built on; public registries want no permission.

    AWS's own training images lie in another account for each region:
    https://docs.aws.amazon.com/sagemaker/latest/dg-ecr-paths/sagemaker-algo-docker-registry-paths.html
    """
    found = [f"arn:aws:ecr:{settings.account.region}:*:repository/pytorch-*"]
    for image in (settings.images.python_base, settings.images.training_base):
        if match := _ECR_IMAGE.match(image):
            found.append(f"arn:aws:ecr:{match['region']}:{match['account']}:repository/{match['name']}")
    return found


def _place(uri: str) -> tuple[str, str]:
    """The ARN of a URI's bucket, and its key; empty for none."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return f"arn:aws:s3:::{bucket}" if bucket else "", key.rstrip("/")
