"""The base of all groups of settings, and the types that several groups use."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

InstanceType = Annotated[str, Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9-]+$")]
S3Prefix = Annotated[str, Field(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._=/-]*)?$")]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Version = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
_DURATION = re.compile(r"([1-9][0-9]*)(m|h|d)")
_ISO_UNITS = {"m": "PT{}M", "h": "PT{}H", "d": "P{}D"}
_REQUIRED: Any = ...


def field(meaning: str, default: Any = _REQUIRED, *, unit: str = "", example: Any = None, **limits: Any) -> Any:
    """A field of a group, with what docs/settings.md prints of it; `limits` are pydantic's (ge, lt, pattern...).

    `example` is left out where the default is one.
    """
    return Field(
        default=default,
        description=meaning,
        examples=None if example is None else [example],
        json_schema_extra={"unit": unit},
        **limits,
    )


def _duration(value: object) -> str:
    if not isinstance(value, str) or _DURATION.fullmatch(value) is None:
        raise ValueError("write a number and a unit: 90m, 12h or 30d")
    return value


Duration = Annotated[str, BeforeValidator(_duration)]


def iso_duration(value: str) -> str:
    """`12h` as ISO 8601: `PT12H`."""
    match = _DURATION.fullmatch(value)
    assert match is not None
    return _ISO_UNITS[match[2]].format(match[1])


def seconds(duration: str) -> int:
    """A duration like `12h` in seconds."""
    match = _DURATION.fullmatch(duration)
    assert match is not None
    return int(match[1]) * {"m": 60, "h": 3600, "d": 86400}[match[2]]


class ConflictError(ValueError):
    """Settings that contradict each other. `places` are their dotted keys; a key that the file lacks is a default."""

    def __init__(self, message: str, *places: str) -> None:
        super().__init__(message)
        self.places = places


class Group(BaseModel):
    """A group of settings: unknown keys and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
