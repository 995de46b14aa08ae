"""The base of all groups of settings, and the types that several groups use."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from steps.contracts.errors import StepError
from steps.contracts.package_properties import recordable
from steps.contracts.s3_uri import location

# What a pattern stands for, in words: a regular expression is not for people.
FORMS: dict[str, str] = {}


def form(pattern: str, words: str) -> str:
    """`pattern`; a value that does not match it is refused with the words."""
    FORMS[pattern] = words
    return pattern


def contract(check: Callable[[str], str]) -> AfterValidator:
    """A contract of the steps as a rule of a setting."""

    def validated(value: str) -> str:
        try:
            return check(value)
        except StepError as error:
            raise ValueError(str(error)) from None

    return AfterValidator(validated)


def _written(value: str) -> str:
    """Refuse what argparse, EventBridge and AWS's pages would take for an option, or for no value."""
    if value != value.strip():
        raise StepError(f"{value!r} begins or ends with a blank; leave it out")
    if value.startswith("-"):
        raise StepError(f"{value!r} begins with '-', which steps read as an option; begin with another character")
    return recordable(value)


# Types of every use, for which the service's model, which takes long to load, need not be read; a test compares both.
_COMMON = frozenset(
    {
        *("ml.m5.large", "ml.m5.xlarge", "ml.m5.2xlarge", "ml.m5.4xlarge"),
        *("ml.c5.xlarge", "ml.c5.2xlarge", "ml.c5.4xlarge", "ml.g4dn.xlarge", "ml.g5.xlarge", "ml.g5.2xlarge"),
    }
)


def _instance_type(shape: str) -> Callable[[str], str]:
    def validated(value: str) -> str:
        if value in _COMMON:
            return value
        names = _names(shape)
        if value not in names:
            close = difflib.get_close_matches(value, names, n=1)
            meant = f"did you mean {close[0]}?" if close else "the types begin with ml., as in ml.m5.xlarge"
            raise ValueError(f"{value!r} is no instance type of SageMaker for this; {meant}")
        return value

    return validated


@functools.cache
def _names(shape: str) -> tuple[str, ...]:
    """The values that botocore's model of SageMaker lists for a member of a request."""
    from pipeline.aws.validation.shapes import service_model

    return tuple(service_model("sagemaker").shape_for(shape).enum)


ProcessingType = Annotated[str, AfterValidator(_instance_type("ProcessingInstanceType"))]
TrainingType = Annotated[str, AfterValidator(_instance_type("TrainingInstanceType"))]
EndpointType = Annotated[str, AfterValidator(_instance_type("ProductionVariantInstanceType"))]
TransformType = Annotated[str, AfterValidator(_instance_type("TransformInstanceType"))]
# Where photos or a split file are; the steps that read them check it by the same function.
S3Prefix = Annotated[str, contract(location)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Version = Annotated[str, contract(_written)]
_DURATION = re.compile(r"([1-9][0-9]{0,6})(m|h|d)")
LONGEST_DAYS = 3650
# Gigabytes of the volume that the SDK's Processor asks for, unless it is given another size.
PROCESSING_GIGABYTES = 30
_ISO_UNITS = {"m": "PT{}M", "h": "PT{}H", "d": "P{}D"}
_REQUIRED: Any = ...


def field(
    meaning: str,
    default: Any = _REQUIRED,
    *,
    unit: str = "",
    example: Any = None,
    parameter: str = "",
    **limits: Any,
) -> Any:
    """A field of a group, with what docs/settings.md prints of it; `limits` are pydantic's (ge, lt, pattern...).

    `example` is left out where the default is one. `parameter` is the name of the Pipeline Parameter that overrides the
    field in a run: the field's type and limits are the parameter's.
    """
    return Field(
        default=default,
        description=meaning,
        examples=None if example is None else [example],
        json_schema_extra={"unit": unit, **({"parameter": parameter} if parameter else {})},
        **limits,
    )


def _duration(value: object) -> str:
    if not isinstance(value, str) or _DURATION.fullmatch(value) is None:
        raise ValueError(f"write a number and a unit: 90m, 12h or 30d (it is {value!r})")
    if seconds(value) > LONGEST_DAYS * 86_400:
        raise ValueError(f"is longer than {LONGEST_DAYS}d (it is {value!r})")
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

    # JSON has neither infinity nor NaN, and every step refuses them.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
