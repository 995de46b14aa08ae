"""The values that a run may change: Pipeline Parameters, each with the type, the limits and the rules of a setting.

A parameter is declared with its setting (`field(..., parameter="Epochs")`) and nowhere else. Compiling, `start`,
`schedule`, the help and the pipeline's own first condition read the declaration: one set of rules, wherever a value
comes from. Studio and EventBridge check a type and a list of values alone (docs/decisions/0026).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from pipeline.aws.parameter_values import typed
from pipeline.settings.fields import ConflictError
from pipeline.settings.limits import Limits
from pipeline.settings.problems import problem_of
from pipeline.settings.whole import Settings

Kind = Literal["String", "Integer", "Float"]
_KINDS: dict[type, Kind] = {int: "Integer", float: "Float"}


@dataclass(frozen=True)
class Declaration:
    """A parameter and its setting: the group's and the field's name, and the field."""

    name: str
    group: str
    key: str
    field: FieldInfo

    @property
    def kind(self) -> Kind:
        """The type that SageMaker knows. A yes or no is text with two values."""
        return _KINDS.get(self.field.annotation, "String") if isinstance(self.field.annotation, type) else "String"

    @property
    def place(self) -> str:
        """The dotted key of the setting."""
        return f"{self.group}.{self.key}"

    def default(self, settings: Settings) -> Any:
        """The setting, as the parameter's default."""
        value = getattr(getattr(settings, self.group), self.key)
        return ("yes" if value else "no") if isinstance(value, bool) else value

    def limits(self, settings: Settings) -> Limits:
        """The limits of a number, those that follow from other settings included."""
        limits = Limits.of(self.field)
        # Hyperband's bounds are part of the compiled request, and SageMaker refuses one with less than its minimum.
        if self.name == "Epochs" and settings.tuning.strategy == "Hyperband":
            bounds = (settings.hyperband_minimum(), settings.tuning.hyperband.maximum_epochs or 0)
            limits = replace(limits, low=max(limits.low or 0, *bounds))
        return limits


@functools.cache
def declarations() -> Mapping[str, Declaration]:
    """All parameters by name, in the order of the settings."""
    return {
        name: Declaration(name, group, key, field)
        for group, outer in Settings.model_fields.items()
        if isinstance(outer.annotation, type) and issubclass(outer.annotation, BaseModel)
        for key, field in outer.annotation.model_fields.items()
        if isinstance(extra := field.json_schema_extra, dict) and (name := str(extra.get("parameter", "")))
    }


def replaced(settings: Settings, values: Mapping[str, str]) -> Settings:
    """The settings with values of parameters in their places, not validated. Raises ValueError for another type.

    Parameters of another pipeline are left out.
    """
    for name, text in values.items():
        if (parameter := declarations().get(name)) is not None:
            value = text == "yes" if parameter.field.annotation is bool else typed(parameter.kind, text)
            group = getattr(settings, parameter.group).model_copy(update={parameter.key: value})
            settings = settings.model_copy(update={parameter.group: group})
    return settings


def problems(settings: Settings, values: Mapping[str, str]) -> Iterator[str]:
    """A line per value that the settings would refuse in its setting's place, other settings being equal.

    The values must be of their types (`typed`). Parameters of another pipeline are not looked at.
    """
    chosen = {name: declarations()[name] for name in values if name in declarations()}
    wrong = set()
    for name, parameter in chosen.items():
        if parameter.kind in ("Integer", "Float"):
            limits = parameter.limits(settings)
            if not limits.contain(float(typed(parameter.kind, values[name]))):
                wrong.add(name)
                yield f"{name} is {_shown(values[name])}: it must be {limits}"
    rest = {name: parameter for name, parameter in chosen.items() if name not in wrong}
    try:
        Settings.model_validate(replaced(settings, {name: values[name] for name in rest}).model_dump())
    except ValidationError as error:
        yield from dict.fromkeys(_problem(rest, values, mistake) for mistake in error.errors())


def _problem(chosen: Mapping[str, Declaration], values: Mapping[str, str], mistake: ErrorDetails) -> str:
    """The mistake, after the parameter that it is in or that it comes from."""
    reason = mistake["ctx"]["error"] if mistake["type"] == "value_error" else None
    places = list(reason.places) if isinstance(reason, ConflictError) else []
    places.append(".".join(map(str, mistake["loc"])))
    name = next(
        (
            name
            for name, parameter in chosen.items()
            if any(place in (parameter.place, parameter.group, "") for place in places)
        ),
        "",
    )
    text = str(reason) if reason is not None else problem_of(mistake, chosen[name].field if name else None)
    if not name or text.startswith(("'", '"')):  # the value is in it
        return f"{name}: {text}" if name else text
    return f"{name} is {_shown(values[name])}: {text}"


def _shown(value: str, characters: int = 80) -> str:
    return repr(value if len(value) <= characters else f"{value[:characters]}...")


def described() -> str:
    """The names of all parameters, with the limits of numbers."""
    return ", ".join(
        f"{name} ({limits})" if str(limits := Limits.of(parameter.field)) else name
        for name, parameter in declarations().items()
    )
