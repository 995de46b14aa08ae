"""Checks a value by a shape of botocore's model: members, types, enumerations, patterns, ranges."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import regex

Shape = Any
# A check of the placeholders in a definition: returns the problems of a placeholder, or None for another value.
Placeholder = Callable[[Any, Shape, str], "list[Problem] | None"]

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "blob": (str, bytes),
    # Seconds since the epoch, ISO 8601, or boto3's value for both.
    "timestamp": (int, float, str, datetime.datetime),
}
_NUMBERS = ("integer", "long", "float", "double")
# The service's patterns are Java's. The regex library has Unicode classes such as \p{L}, but not these.
_JAVA = {
    # A surrogate pair, two characters in Java.
    r"\uD800\uDC00-\uDBFF\uDFFF": r"\U00010000-\U0010FFFF",
    # Java permits a repeated anchor, and a literal hyphen after a class.
    "${1,256}": "$",
    r"\w-_": r"\w\-_",
}


@dataclass(frozen=True)
class Problem:
    """A mistake, and its path."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


@functools.cache
def service_model(service: str) -> Any:
    """botocore's model of a service."""
    import botocore.session

    return botocore.session.Session().get_service_model(service)


def validate_request(service: str, operation: str, request: dict[str, Any]) -> list[Problem]:
    """The problems of a request. The operation must exist in the service's model."""
    shape = service_model(service).operation_model(operation).input_shape
    return list(check(request, shape, operation)) if shape is not None else []


def validate_response(service: str, operation: str, response: dict[str, Any]) -> list[Problem]:
    """The problems of an answer's members, types and enumerations, which are all that clients check."""
    shape = service_model(service).operation_model(operation).output_shape
    if shape is None:
        return []
    return list(check(response, shape, operation, lenient=True))


def check(
    value: Any, shape: Shape, path: str, *, placeholder: Placeholder | None = None, lenient: bool = False
) -> Iterator[Problem]:
    """The problems of `value` as a `shape`. `lenient` omits patterns, lengths and ranges."""
    if placeholder is not None and (problems := placeholder(value, shape, path)) is not None:
        yield from problems
        return
    kind = shape.type_name
    if getattr(shape, "is_document_type", False):
        return  # any JSON
    inner = functools.partial(check, placeholder=placeholder, lenient=lenient)
    if kind == "structure":
        yield from _structure(value, shape, path, inner)
    elif kind == "list":
        if not isinstance(value, list):
            yield Problem(path, f"must be a list, not {_shown(value)}")
            return
        for number, item in enumerate(value):
            yield from inner(item, shape.member, f"{path}[{number}]")
    elif kind == "map":
        if not isinstance(value, dict):
            yield Problem(path, f"must be a mapping, not {_shown(value)}")
            return
        for key, item in value.items():
            yield from inner(key, shape.key, f"{path} key {key!r}")
            yield from inner(item, shape.value, _member(path, key))
    else:
        yield from _scalar(value, shape, path, lenient=lenient)
        return
    if not lenient and kind != "structure":
        yield from _range(len(value), shape, path, "entries")


def _structure(value: Any, shape: Shape, path: str, inner: Callable[..., Iterator[Problem]]) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield Problem(path or shape.name, f"must be an object, not {_shown(value)}")
        return
    for name in shape.required_members:
        if name not in value:
            yield Problem(path or shape.name, f"{name} is missing")
    if getattr(shape, "is_tagged_union", False) and len(value) != 1:
        yield Problem(path, f"must have exactly one of {', '.join(shape.members)}")
    for name, item in value.items():
        if name not in shape.members:
            yield Problem(_member(path, name), f"unknown; {shape.name} has {_listed(list(shape.members))}")
        else:
            yield from inner(item, shape.members[name], _member(path, name))


def _scalar(value: Any, shape: Shape, path: str, *, lenient: bool) -> Iterator[Problem]:
    kind = shape.type_name
    if not _fits(value, kind):
        yield Problem(path, f"must be {_article(kind)}, not {_shown(value)}")
        return
    if kind in ("string", "blob"):
        if (enum := getattr(shape, "enum", None)) and value not in enum:
            yield Problem(path, f"{value!r} is none of {_listed(enum)}")
            return
        if not lenient and isinstance(value, str):
            yield from _range(len(value), shape, path, "characters")
            yield from _pattern(value, shape, path)
    elif kind in _NUMBERS and not lenient:
        yield from _range(value, shape, path, "")


def _fits(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    types = _PYTHON_TYPES.get(kind)
    return types is None or isinstance(value, types)


def _range(number: float, shape: Shape, path: str, unit: str) -> Iterator[Problem]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and number < low:
        yield Problem(path, f"{number} {unit}".strip() + f", at least {low} wanted")
    if high is not None and number > high:
        yield Problem(path, f"{number} {unit}".strip() + f", at most {high} allowed")


def _pattern(value: str, shape: Shape, path: str) -> Iterator[Problem]:
    pattern = shape.metadata.get("pattern")
    if pattern and not _compiled(pattern).fullmatch(value):
        yield Problem(path, f"{_shown(value)} does not match {pattern}")


@functools.cache
def _compiled(pattern: str) -> regex.Pattern[str]:
    for java, python in _JAVA.items():
        pattern = pattern.replace(java, python)
    return regex.compile(pattern)


def _member(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)


def _article(kind: str) -> str:
    names = {"integer": "a whole number", "long": "a whole number", "string": "text", "boolean": "true or false"}
    return names.get(kind, f"a {kind}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _listed(names: list[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
