"""A value that pydantic refuses, in words for the person who wrote it."""

from __future__ import annotations

import difflib
import re
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from pipeline.settings.fields import FORMS
from pipeline.settings.limits import Limits

_RANGE = ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number")
# YAML 1.1 reads these as text, where a person means a number: https://yaml.org/type/float.html
_EXPONENT = re.compile(r"([+-]?)([0-9]+)(\.[0-9]*)?[eE]([+-]?)([0-9]+)")


def problem_of(  # noqa: PLR0911  # one case per kind of mistake
    error: ErrorDetails, field: FieldInfo | None, source: str | None = None
) -> str:
    """What is wrong with a value, and what to write; `source` is its text in the file: YAML may read another value."""
    value = error["input"]
    if value is None and error["type"] != "value_error":
        return "has no value; leave the key out for its default"
    match error["type"]:
        case "value_error":
            return str(error["ctx"]["error"])
        case "string_type" if isinstance(value, int | float) or (source is not None and not isinstance(value, str)):
            return f'must be text; put it in quotes: "{source if source is not None else value}"'
        case "string_pattern_mismatch":
            return f"must be {FORMS[error['ctx']['pattern']]}, not {_shown(value)}"
        case kind if kind in _RANGE:
            limits = str(Limits.of(field)) if field is not None else ""
            limits = limits or str(_broken_limit(error.get("ctx", {})))
            return f"must be {limits or 'a finite number'} (it is {_shown(value)})"
        case "literal_error":
            expected, written = error["ctx"]["expected"].replace("'", ""), value if source is None else source
            return f"must be {expected}, not {_shown(written)}{_meant(error)}"
        case "float_type" | "float_parsing" | "int_type" | "int_parsing" if isinstance(value, str):
            whole = error["type"].startswith("int")
            return f"must be a {'whole ' * whole}number, not {_shown(value)}{_number_hint(value)}"
        case _:
            message = error["msg"]
            return f"{message[0].lower()}{message[1:]} (it is {_shown(value)})"


def _broken_limit(context: dict[str, Any]) -> Limits:
    """The limit that a refused number is beyond, of the field or of an item in it."""
    low, high = context.get("ge", context.get("gt")), context.get("le", context.get("lt"))
    return Limits(low, high, excludes_low="gt" in context, excludes_high="lt" in context)


def close_to(value: str, names: Any) -> str:
    """`; did you mean NAME?` for the name that is nearest to a value; empty if none is near."""
    close = nearest(value, names)
    return f"; did you mean {close}?" if close else ""


def nearest(value: str, names: Any) -> str:
    """The name that is nearest to a value; empty if none is near. Letters in another order are the likeliest slip."""
    close = difflib.get_close_matches(value, list(names), n=5)
    return min(close, key=lambda name: sorted(name) != sorted(value), default="")


def _meant(error: ErrorDetails) -> str:
    value = error["input"]
    if isinstance(value, bool) and "'" in error["ctx"]["expected"]:
        return "; YAML reads yes, no, on and off as true and false: put the word in quotes"
    names = re.findall(r"'([^']*)'", error["ctx"]["expected"])
    return close_to(value, names) if isinstance(value, str) else ""


def _number_hint(value: str) -> str:
    """What YAML 1.1 wants in place of `1e-3`, `1e5` and `0.1e3`: a point, and a sign after the e."""
    if match := _EXPONENT.fullmatch(value):
        sign, digits, fraction, exponent_sign, exponent = match.groups()
        point = fraction if fraction and fraction != "." else ".0"
        return f"; YAML reads this as text, write {sign}{digits}{point}e{exponent_sign or '+'}{exponent}"
    return ""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
