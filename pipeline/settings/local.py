"""The local cloud: how strict it is, and what fails in it on purpose."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from pipeline.settings.fields import Group, field, form

_QUOTA = form(
    r"^ml\.[a-z0-9-]+\.[a-z0-9-]+ for ((spot training|training|processing|transform) job|endpoint) usage$",
    "a quota's name such as `ml.g5.2xlarge for spot training job usage`",
)
Quota = Annotated[str, Field(pattern=_QUOTA)]


class Faults(Group):
    """Faults that the local cloud injects, all off by default; `python -m pipeline local chaos` changes them too."""

    seed: int = field("Seed of the choice of calls, jobs and requests that are hit", 0, ge=0)
    throttled: float = field("Share of API calls that are throttled", 0.0, ge=0, le=0.5)
    capacity_errors: int = field(
        "Number of jobs whose instances EC2 cannot provide; trials on spot instances wait instead", 0, ge=0
    )
    spot_interruptions: int = field("Interruptions per trial on spot instances", 0, ge=0, le=10)
    slow_downs: int = field("Requests that S3 refuses with 503 SlowDown, in one burst", 0, ge=0)
    spot_after_lines: PositiveInt = field(
        "Mean number of log lines with metrics, one per epoch, before an interruption", 4
    )
    spot_after_seconds: PositiveFloat = field(
        "Mean time of training to an interruption, if it comes sooner", 600.0, unit="seconds"
    )
    notice_seconds: PositiveFloat = field("Time from SIGTERM to SIGKILL of an interruption", 120.0, unit="seconds")


class Local(Group):
    """The local cloud (`account.target: local`). An AWS account is not changed by these."""

    credential_seconds: int = field(
        "Life of the temporary credentials of jobs and functions, until the next renewal",
        3600,
        unit="seconds",
        ge=10,
        le=43_200,
    )
    quotas: dict[Quota, NonNegativeInt] = field(
        "Instances that the account may have, by the quota's name in Service Quotas. Without one 15 for training, 10"
        " for spot training, 4 for other uses, and none of a GPU type",
        {},
        unit="instances",
        example={"ml.g5.2xlarge for spot training job usage": 3},
    )
    faults: Faults = Faults()
