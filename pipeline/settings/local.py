"""The local cloud: how strict it is, and what fails in it on purpose."""

from __future__ import annotations

from pipeline.settings.fields import Group, field


class Local(Group):
    """The local cloud (`account.target: local`). An AWS account is not changed by these."""

    credential_seconds: int = field(
        "Life of the temporary credentials of jobs and functions, until the next renewal",
        3600,
        unit="seconds",
        ge=10,
        le=43_200,
    )
