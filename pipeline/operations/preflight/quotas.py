"""The quotas of the chosen instance types: how many a run and a deployment want at once, and how many there may be.

SageMaker's quotas have one name an instance type and use: "ml.g5.2xlarge for spot training job usage".
https://docs.aws.amazon.com/general/latest/gr/sagemaker.html#limits_sagemaker
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.operations.preflight.account import Account
from pipeline.operations.preflight.results import Finding, failed, not_checked, ok, warning
from pipeline.settings import Settings

SERVICE = "sagemaker"
PROCESSING, TRAINING, SPOT = "processing job usage", "training job usage", "spot training job usage"
ENDPOINT, TRANSFORM = "endpoint usage", "transform job usage"


@dataclass(frozen=True)
class Need:
    """Instances of one quota. With fewer than `least` nothing runs; with fewer than `wanted` it waits or fails later.

    `reason` says where the numbers come from, `remedy` what else could be set.
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
    """What the settings want at once. The steps of a run come one after the other, so the largest counts."""
    return [*_processing(settings), _training(settings), *_serving(settings)]


def _processing(settings: Settings) -> Iterator[Need]:
    steps = (
        ("data.instance_type", settings.data.instance_type, 1),
        ("shard.instance_type", settings.shard.instance_type, settings.shard.instance_count),
        ("evaluation.instance_type", settings.evaluation.instance_type, 1),
        ("monitoring.instance_type", settings.monitoring.instance_type, 1),
    )
    by_type: dict[str, tuple[str, int]] = {}
    for key, instance_type, count in steps:
        if count > by_type.get(instance_type, ("", 0))[1]:
            by_type[instance_type] = (key, count)
    for instance_type, (key, count) in by_type.items():
        yield Need(f"{instance_type} for {PROCESSING}", count, count, key, f"set another {key}")


def _training(settings: Settings) -> Need:
    training, tuning = settings.training, settings.tuning
    # The service refuses a tuning job whose trials together, as many as run at once, do not fit.
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
            reason=f"{most} instances, and as many beside them while a version takes the place of another",
            remedy="set a smaller endpoint.instance_count, or another endpoint.instance_type",
        )
    kind = endpoint.batch_instance_type
    yield Need(f"{kind} for {TRANSFORM}", 0, 1, "`batch` wants one", "set another endpoint.batch_instance_type")


def check(account: Account) -> Iterator[Finding]:
    """Every need against the account's quota."""
    if account.is_local:
        yield not_checked("the local cloud has no quotas")
        return
    wanted = needs(account.settings)
    found = listed(account.client("service-quotas"), {one.quota for one in wanted})
    for need in wanted:
        yield judged(need, found.get(need.quota), account.settings.account.region)
    if account.settings.endpoint.mode == "serverless":
        yield not_checked("a serverless endpoint's concurrency: look at it in Service Quotas")


def judged(need: Need, quota: Quota | None, region: str) -> Finding:
    """One need against its quota; None where the region lists none of its name."""
    if quota is None:
        return warning(
            f"{need.quota}: {region} lists no such quota and may not have the type; if a job is refused, {need.remedy}"
        )
    have = int(quota.value)
    if have >= need.wanted:
        return ok(f"{need.quota}: {have}, {need.wanted} wanted")
    url = f"https://{region}.console.aws.amazon.com/servicequotas/home/services/{SERVICE}/quotas/{quota.code}"
    line = f"{need.quota} is {have}, {need.wanted} wanted ({need.reason}); ask for more at {url}, or {need.remedy}"
    return failed(line) if have < need.least else warning(line)


def listed(service_quotas: Any, names: Iterable[str]) -> dict[str, Quota]:
    """The named quotas: what applies to the account, else AWS's default. There are thousands, listed by the hundred."""
    missing, found = set(names), {}
    for operation in ("list_service_quotas", "list_aws_default_service_quotas"):
        for page in service_quotas.get_paginator(operation).paginate(ServiceCode=SERVICE):
            for quota in page["Quotas"]:
                if quota["QuotaName"] in missing and "Value" in quota:
                    missing.remove(quota["QuotaName"])
                    found[quota["QuotaName"]] = Quota(quota["QuotaCode"], quota["Value"])
            if not missing:
                return found
    return found
