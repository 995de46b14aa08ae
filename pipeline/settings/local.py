"""The local cloud: how strict it is, and what fails in it on purpose."""

from __future__ import annotations

from pydantic import PositiveFloat

from pipeline.settings.fields import Group, field


class Faults(Group):
    """Faults that the local cloud injects, all off by default; `python -m pipeline local chaos` changes them too."""

    seed: int = field("Seed of the choice of calls, jobs and requests that are hit", 0, ge=0)
    throttled: float = field("Share of API calls that are throttled", 0.0, ge=0, le=0.5)
    capacity_errors: int = field(
        "Number of jobs whose instances EC2 cannot provide; trials on spot instances wait instead", 0, ge=0
    )
    spot_interruptions: int = field("Interruptions per trial on spot instances", 0, ge=0, le=10)
    slow_downs: int = field("Requests that S3 refuses with 503 SlowDown, in one burst", 0, ge=0)
    spot_after_seconds: PositiveFloat = field(
        "Mean time from the start of training to an interruption", 30.0, unit="seconds"
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
    faults: Faults = Faults()
