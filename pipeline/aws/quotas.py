"""Default quotas of SageMaker: instances per type and use, and the sizes of tuning jobs.

Names as in Service Quotas: "ml.m5.large for spot training job usage". AWS's own defaults differ by type, and new
accounts have less: https://docs.aws.amazon.com/general/latest/gr/sagemaker.html#limits_sagemaker. INSTANCES is assumed,
from what others report of their accounts: for CPU types 15 instances for training, 10 for spot training, 4 for
processing and endpoints, in accounts that had any; for GPU types none until they are requested.
"""

from __future__ import annotations

from pipeline.aws import instances

TRAINING, SPOT, PROCESSING = "training job usage", "spot training job usage", "processing job usage"
TRANSFORM, ENDPOINT = "transform job usage", "endpoint usage"
INSTANCES = {TRAINING: 15, SPOT: 10, PROCESSING: 4, TRANSFORM: 4, ENDPOINT: 4}

# https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-limits.html: default limits.
# Of a training job, unless AWS has raised them: instances, and seconds of run time.
# https://docs.aws.amazon.com/sagemaker/latest/dg/feature-store-feature-processor-quotas.html
INSTANCES_PER_JOB, SECONDS_PER_JOB = 20, 432_000
PARALLEL_TRIALS, TRIALS, TUNING_JOBS = 10, 750, 100
RANGES, METRICS = 30, 20


def default(quota: str) -> int:
    """Instances that a quota of this name allows by default."""
    instance_type, _, use = quota.partition(" for ")
    return 0 if instances.has_gpus(instance_type) else INSTANCES[use]
