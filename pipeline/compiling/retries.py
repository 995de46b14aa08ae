"""Retry policies of steps and jobs."""

from __future__ import annotations

from pipeline.compiling.offline import offline_sdk

with offline_sdk():
    from sagemaker.mlops.workflow.retry import (
        RetryPolicy,
        SageMakerJobExceptionTypeEnum,
        SageMakerJobStepRetryPolicy,
        StepExceptionTypeEnum,
        StepRetryPolicy,
    )


def service_retry() -> StepRetryPolicy:
    """The policy for faults and throttling of the service."""
    return StepRetryPolicy(
        exception_types=[StepExceptionTypeEnum.SERVICE_FAULT, StepExceptionTypeEnum.THROTTLING],
        interval_seconds=10,
        backoff_rate=2.0,
        max_attempts=5,
    )


def step_retries() -> list[RetryPolicy]:
    """The policies of a step whose jobs may lack capacity."""
    capacity = [SageMakerJobExceptionTypeEnum.CAPACITY_ERROR, SageMakerJobExceptionTypeEnum.RESOURCE_LIMIT]
    return [
        service_retry(),
        SageMakerJobStepRetryPolicy(exception_types=capacity, interval_seconds=60, backoff_rate=2.0, max_attempts=10),
    ]


def job_retries() -> list[RetryPolicy]:
    """The policies of a step that is one job: also for internal errors, which a tuning step never retries."""
    internal = SageMakerJobStepRetryPolicy(
        exception_types=[SageMakerJobExceptionTypeEnum.INTERNAL_ERROR],
        interval_seconds=30,
        backoff_rate=2.0,
        max_attempts=3,
    )
    return [*step_retries(), internal]
