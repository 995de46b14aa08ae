"""Names that several programs write and read. The deploy function contains this file: standard library only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# The endpoint's production variant. Deployment guardrails require that its name stays the same through all updates.
VARIANT = "AllTraffic"
# What Application Auto Scaling changes:
# https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling-add-code-register.html
SCALABLE_DIMENSION = "sagemaker:variant:DesiredInstanceCount"

# Instance families with NVMe disks of their own. The hardware encrypts these disks with its own keys, and SageMaker
# refuses a key of the account for them:
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ResourceConfig.html
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpointConfig.html
OWN_DISKS = re.compile(r"ml\.(g[4-9]|p[4-9]|trn|dl|i[0-9]|[a-z]+[0-9]+[a-z]*d)[a-z0-9-]*\.")

# Instance types of SageMaker's distributed data parallel library (SMDDP) in its newest release, 2.6.0:
# https://docs.aws.amazon.com/sagemaker/latest/dg/distributed-data-parallel-support.html
SMDDP_INSTANCES = ("ml.p3dn.24xlarge", "ml.p4d.24xlarge", "ml.p4de.24xlarge")

# Instance types with GPUs begin so, also in families that are newer than this file:
# https://aws.amazon.com/sagemaker/ai/pricing/
GPU_INSTANCES = re.compile(r"ml\.[gp][0-9]")

# The local cloud sets this variable of a job: a GPU instance is a process without a GPU there, which trains on the CPU.
LOCAL_CPU = "PIPELINE_LOCAL_CPU"

# The longest name of a model or an endpoint configuration.
NAME_LIMIT = 63

# Tags of the endpoint: the version of the last attempt, its configuration and the one before, the time of its approval,
# its verdict with the reason, and the configuration that the verdict is about.
VERSION_TAG = "model-package-version"
CONFIG_TAG = "endpoint-config"
PREVIOUS_CONFIG_TAG = "previous-endpoint-config"
APPROVED_AT_TAG = "tried-at"
VERDICT_TAG = "verdict"
REASON_TAG = "verdict-reason"
EVALUATED_CONFIG_TAG = "judged-config"
# Tag of the model package group: the version whose first deployment failed, so that its endpoint was deleted. Empty
# after another version has created the endpoint.
NEVER_SERVED_TAG = "never-served-version"
# Tag of the model package group: the version that served on an endpoint that has failed since, to be deployed again.
# Empty after that.
RESTORED_TAG = "version-to-restore"
# The tags of the endpoint, and all tags in which the deploy function keeps its state.
ENDPOINT_TAGS = (
    VERSION_TAG,
    CONFIG_TAG,
    PREVIOUS_CONFIG_TAG,
    APPROVED_AT_TAG,
    VERDICT_TAG,
    REASON_TAG,
    EVALUATED_CONFIG_TAG,
)
STATE_TAGS = frozenset({*ENDPOINT_TAGS, NEVER_SERVED_TAG, RESTORED_TAG})
# Verdicts. A version that was rolled back is deployed again only after another approval.
PENDING = "pending"
ACCEPTED = "accepted"
ROLLED_BACK = "rolled-back"

# Properties of a model package: the S3 URI of its golden photos, by which the deploy function tests the endpoint, and
# the SHA-256 digests of its model archive, its golden photos and its evaluation, as EvaluateModel read and wrote them.
# An approval approves these digests, and the deploy function deploys nothing else.
GOLDEN_PHOTOS = "golden_photos"
MODEL_SHA256, GOLDEN_SHA256, EVALUATION_SHA256 = "model_sha256", "golden_sha256", "evaluation_sha256"
# Variable of a serving container: the ARN of its model package. The deployed model is a copy, so that the model has no
# ModelPackageName.
PACKAGE_VARIABLE = "MODEL_PACKAGE_ARN"

# The project's metrics in CloudWatch, and the deploy function's metric for an endpoint that has failed.
METRICS_NAMESPACE = "BinCounting"
FAILURES_METRIC = "EndpointFailures"
# The monitor's metrics with an alarm, by true counts: accuracy of all and of sure counts, coverage of prediction sets.
ACCURACY_METRIC, SET_COVERAGE_METRIC, SURE_ACCURACY_METRIC = "Accuracy", "SetCoverage", "SureAccuracy"

# The Fail step that ends a run whose model is below the quality gate's limits.
GATE_FAILED = "QualityGateFailed"

# The event of a decision of the deploy function that calls for an alert; the alert function makes the message.
EVENT_SOURCE, DEPLOYMENT_EVENT = "bin-counting", "Bin Counting Deployment Decision"
# In a message, what stands before the command to look.
LOOK = "Look:"
# Result of the monitor, in its output.
DRIFT_FILE = "drift.json"

# Channels of a training job.
INDEX_CHANNEL = "index"
SHARDS_CHANNEL = "shards"

# Files in the output of the evaluation that a model package refers to.
EVALUATION_FILE = "evaluation.json"
MODEL_CARD_FILE = "model_card.json"
GOLDEN_FILE = "golden.json"
BASELINE_FILE = "baseline.parquet"
DIGESTS_FILE = "digests.json"

# A shard is a tar and, with the same stem, the records of its photos; the marker ends a complete set of shards.
TAR_SUFFIX = ".tar"
RECORD_SUFFIX = ".parquet"
COMPLETE_MARKER = "complete.json"


def package_of(model: Mapping[str, Any]) -> str:
    """ARN of the model package that a model, as DescribeModel returns it, serves; empty where it serves none."""
    container = (model.get("Containers") or [model.get("PrimaryContainer") or {}])[0]
    return str(container.get("ModelPackageName") or container.get("Environment", {}).get(PACKAGE_VARIABLE, ""))


def endpoint_config_name(endpoint: str, suffix: str) -> str:
    """The name of an endpoint configuration: the endpoint's name, cut off where it is too long, and the whole suffix.

    The suffix is `-vVERSION-DIGEST`.
    """
    return f"{endpoint[: NAME_LIMIT - len(suffix)].rstrip('-')}{suffix}"


def model_name(endpoint_config: str) -> str:
    """The name of the model of an endpoint configuration; one that would be too long loses its beginning."""
    return f"{endpoint_config}-model"[-NAME_LIMIT:].lstrip("-")
