"""Quotas of the chosen instance types: the instances that a run or a deployment needs at once, and those allowed.

SageMaker's quotas have one name per instance type and use: "ml.g5.2xlarge for spot training job usage".
https://docs.aws.amazon.com/general/latest/gr/sagemaker.html#limits_sagemaker
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.aws.pages import items
from pipeline.aws.quotas import (
    ENDPOINT,
    INSTANCES_PER_JOB,
    PARALLEL_TRIALS,
    PROCESSING,
    SECONDS_PER_JOB,
    SPOT,
    TRAINING,
    TRANSFORM,
    default,
)
from pipeline.operations.preflight.findings import Account, Finding, failed, not_checked, ok, warning
from pipeline.settings import Settings, seconds

SERVICE = "sagemaker"


@dataclass(frozen=True)
class Need:
    """Instances of one quota. With fewer than `least` nothing runs; with fewer than `wanted` it waits or fails later.

    `reason` is the source of the numbers, `remedy` the setting to change.
    """

    quota: str
    least: int
    wanted: int
    reason: str
    remedy: str


@dataclass(frozen=True)
class Quota:
    """A quota as Service Quotas lists it."""

    code: str
    value: float


def needs(settings: Settings) -> list[Need]:
    """The instances that the settings need at once.

    The steps of a run follow each other, so the largest counts; only the exploration runs at the same time as others.
    """
    return [*_processing(settings), _training(settings), *_serving(settings)]


def _processing(settings: Settings) -> Iterator[Need]:
    shard, explore = settings.shard, settings.explore
    steps = [("data.instance_type", settings.data.instance_type, 1)]
    if shard.plan_image is not None:
        key = "shard.plan_instance_type" if shard.plan_instance_type else "shard.instance_type"
        steps.append((key, shard.plan_type, shard.plan_instance_count))
    steps += [
        ("shard.instance_type", shard.instance_type, shard.instance_count),
        ("evaluation.instance_type", settings.evaluation.instance_type, 1),
        ("monitoring.instance_type", settings.monitoring.instance_type, 1),
    ]
    by_type: dict[str, tuple[str, int]] = {}
    for key, instance_type, count in steps:
        if count > by_type.get(instance_type, ("", 0))[1]:
            by_type[instance_type] = (key, count)
    explored = explore.instance_count if explore.image is not None else 0
    if explored:
        by_type.setdefault(explore.instance_type, ("explore.instance_type", 0))
    for instance_type, (key, count) in by_type.items():
        quota, remedy = f"{instance_type} for {PROCESSING}", f"set another {key}"
        if not explored or instance_type != explore.instance_type:
            yield Need(quota, count, count, key, remedy)
        else:
            # With fewer than both need, one of them waits for the other: its step is retried.
            reason = "explore.instance_type" if not count else f"{key}, and {explored} of ExploreData at the same time"
            yield Need(quota, max(count, explored), count + explored, reason, remedy)


def _training(settings: Settings) -> Need:
    training, tuning = settings.training, settings.tuning
    # SageMaker refuses a tuning job whose parallel trials together exceed the quota.
    count = training.instance_count * tuning.parallel
    return Need(
        f"{training.instance_type} for {SPOT if training.spot else TRAINING}",
        least=count,
        wanted=count,
        reason=f"training.instance_count {training.instance_count} x tuning.parallel {tuning.parallel}",
        remedy="set a smaller tuning.parallel, or another training.instance_type",
    )


def _serving(settings: Settings) -> Iterator[Need]:
    endpoint = settings.endpoint
    if endpoint.mode == "real-time":
        count = endpoint.instance_count
        most = max(count, endpoint.maximum_instance_count)
        yield Need(
            f"{endpoint.instance_type} for {ENDPOINT}",
            least=count,
            wanted=2 * most,
            reason=f"{most} instances, and as many again while a new version replaces the present one",
            remedy="set a smaller endpoint.instance_count, or another endpoint.instance_type",
        )
    kind = endpoint.batch_instance_type
    yield Need(f"{kind} for {TRANSFORM}", 0, 1, "`batch` needs one", "set another endpoint.batch_instance_type")


def check(account: Account) -> Iterator[Finding]:
    """Every need against the account's quota."""
    yield from _trials(account.settings)
    wanted = needs(account.settings)
    if account.is_local:
        for need in wanted:
            yield compare_local(need, account.settings.local.quotas.get(need.quota, default(need.quota)))
        return
    quotas = named_quotas(account.client("service-quotas"), {need.quota for need in wanted})
    for need in wanted:
        yield compare(need, quotas.get(need.quota), account.settings.account.region)
    if account.settings.endpoint.mode == "serverless":
        yield not_checked("a serverless endpoint's concurrency: see Service Quotas")


def _trials(settings: Settings) -> Iterator[Finding]:
    """Warnings above the default limits of jobs, which are those of no instance type."""
    training = settings.training
    if training.instance_count > INSTANCES_PER_JOB:
        yield warning(
            f"training.instance_count is {training.instance_count}; a training job has {INSTANCES_PER_JOB} instances"
            " unless AWS has raised your limit; set fewer, or request more"
        )
    if seconds(training.run_time) > SECONDS_PER_JOB:
        yield warning(
            f"training.run_time is {training.run_time}; a training job runs for {SECONDS_PER_JOB // 86_400}d unless AWS"
            " has raised your limit; set less, or request more"
        )
    if settings.tuning.parallel > PARALLEL_TRIALS:
        yield warning(
            f"tuning.parallel is {settings.tuning.parallel}; a tuning job has {PARALLEL_TRIALS} parallel training jobs"
            " unless AWS has raised your limit; set a smaller one, or request more"
        )


def compare(need: Need, quota: Quota | None, region: str) -> Finding:
    """One need against its quota, which is None where the region lists none of its name."""
    if quota is None:
        return warning(
            f"{need.quota}: {region} lists no such quota and may not have the type; if a job is refused, {need.remedy}"
        )
    have = int(quota.value)
    if have >= need.wanted:
        return ok(f"{need.quota}: {have}, {need.wanted} needed")
    url = f"https://{region}.console.aws.amazon.com/servicequotas/home/services/{SERVICE}/quotas/{quota.code}"
    line = f"{need.quota} is {have}, {need.wanted} needed ({need.reason}); request more at {url}, or {need.remedy}"
    return failed(line) if have < need.least else warning(line)


def compare_local(need: Need, have: int) -> Finding:
    """One need against the local cloud's quota, which a setting raises."""
    if have >= need.wanted:
        return ok(f"{need.quota}: {have}, {need.wanted} needed")
    line = f"{need.quota} is {have}, {need.wanted} needed ({need.reason}); raise it in local.quotas, or {need.remedy}"
    return failed(line) if have < need.least else warning(line)


def named_quotas(service_quotas: Any, names: Iterable[str]) -> dict[str, Quota]:
    """The named quotas: the account's own, or else AWS's defaults. SageMaker has thousands, in pages of a hundred."""
    missing, quotas = set(names), {}
    for operation in ("list_service_quotas", "list_aws_default_service_quotas"):
        for quota in items(service_quotas.get_paginator(operation), "Quotas", ServiceCode=SERVICE):
            if quota["QuotaName"] in missing and "Value" in quota:
                missing.remove(quota["QuotaName"])
                quotas[quota["QuotaName"]] = Quota(quota["QuotaCode"], quota["Value"])
            if not missing:
                return quotas
    return quotas
