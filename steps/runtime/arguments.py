"""The arguments of a step: a frozen dataclass describes them, and `parse` reads them from the command line.

    @dataclass(frozen=True, kw_only=True)
    class Settings:
        hours: Annotated[int, Field(ge=1, description="length of the window")]

A field is the argument `--hours`, required unless the field has a default. pydantic checks the type and the limits, as
for the settings of the pipeline.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from steps.contracts.errors import StepError

Settings = TypeVar("Settings")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise StepError, where argparse would print the usage and exit before the failure file is written."""
        raise StepError(f"{self.prog}: {message}; `{self.prog} --help` lists the arguments")


def parse(
    settings: type[Settings], arguments: Sequence[str] | None = None, ignored: Mapping[str, Any] | None = None
) -> Settings:
    """The arguments (default: the process's own) as an instance of the dataclass `settings`.

    `ignored` maps the names of arguments that are checked and dropped to their annotated types. Raises StepError, which
    names the flag, for an argument that is unknown, missing, of another type or out of its limits, and what the
    dataclass raises.
    """
    program = f"python3 -m {settings.__module__.rpartition('.')[0]}"
    parser = _Parser(prog=program, description=settings.__doc__, allow_abbrev=False)
    for name, kind in (ignored or {}).items():
        parser.add_argument(_flag(name), help=_help(kind, None), default=argparse.SUPPRESS)
    types = {**get_type_hints(settings, include_extras=True), **(ignored or {})}
    fields = {field.name: field for field in dataclasses.fields(settings)}  # type: ignore[arg-type]
    for name, field in fields.items():
        is_required = field.default is field.default_factory is dataclasses.MISSING
        default = None if field.default is dataclasses.MISSING else field.default
        parser.add_argument(
            _flag(name),
            required=is_required,
            default=argparse.SUPPRESS,
            metavar=_metavar(types[name]),
            help=_help(types[name], default),
        )
    texts = vars(parser.parse_args(arguments))
    values = {name: _value(program, name, text, types[name]) for name, text in texts.items()}
    return settings(**{name: value for name, value in values.items() if name in fields})


def _value(program: str, name: str, text: str, kind: Any) -> Any:
    try:
        return TypeAdapter(kind).validate_strings(text)
    except StepError as error:
        raise StepError(f"{program}: {_flag(name)}: {error}") from error
    except ValidationError as error:
        reason = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise StepError(f"{program}: {_flag(name)} is {text!r}: {reason[:1].lower()}{reason[1:]}") from error


def _metavar(kind: Any) -> str | None:
    """The values to choose from, as `{A,B}`; None where the type is not a Literal."""
    plain = get_args(kind)[0]
    return f"{{{','.join(get_args(plain))}}}" if get_origin(plain) is Literal else None


def _help(kind: Any, default: object) -> str:
    """The description in the field's annotation, with its default; `kind` is `Annotated[type, Field(...)]`."""
    description = next(str(part.description) for part in get_args(kind)[1:] if isinstance(part, FieldInfo))
    text = description if default in (None, "") else f"{description} (default {default})"
    return text.replace("%", "%%")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
