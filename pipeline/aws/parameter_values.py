"""A value of a Pipeline Parameter, which every API passes as text, as a value of the parameter's type.

https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-parameters.html names the types. That a number has the
form of a JSON number, with leading zeros and a sign, is assumed: the page has no other.
"""

from __future__ import annotations

import math
import re

_INTEGER = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
# Digits of an integer that is read; SageMaker's own limit is assumed to be that of 64 bits, and no setting is near.
_DIGITS = 30


def typed(kind: str, text: str) -> str | int | float | bool:
    """`text` as a value of a parameter's type. Raises ValueError with words for what it has to be."""
    match kind:
        case "Integer":
            # Python alone would accept 1_000, and digits of other scripts.
            if not _INTEGER.fullmatch(text):
                raise ValueError("a whole number")
            if len(text) > _DIGITS:
                raise ValueError(f"a whole number of at most {_DIGITS} digits")
            return int(text)
        case "Float":
            # Python alone would accept nan, inf and 1_0.0.
            if not _FLOAT.fullmatch(text) or not math.isfinite(float(text)):
                raise ValueError("a number")
            return float(text)
        case "Boolean":
            if text.lower() not in ("true", "false"):
                raise ValueError("true or false")
            return text.lower() == "true"
        case _:
            if not text:
                raise ValueError("text that is not empty")
            return text
