"""What a model package's CustomerMetadataProperties accept: RegisterModel writes the run's parameters there.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateModelPackage.html
"""

from __future__ import annotations

import unicodedata

from steps.contracts.errors import StepError

LIMIT = 256
# The pattern is ([\p{L}\p{Z}\p{N}_.:\/=+\-@]*): letters, separators and numbers of any script, and these.
_CATEGORIES = ("L", "Z", "N")
_MARKS = frozenset("_.:/=+-@")
ACCEPTED = f"1 to {LIMIT} letters, digits, spaces and _ . : / = + - @"


def refusal(value: str) -> str:
    """Why a model package does not accept `value`, in words that follow a name; empty if it does."""
    if not 1 <= len(value) <= LIMIT:
        return f"has {len(value):,} characters; model packages, which record it, accept {ACCEPTED}"
    refused = next((c for c in value if c not in _MARKS and unicodedata.category(c)[0] not in _CATEGORIES), None)
    return f"contains {refused!r}; model packages, which record it, accept {ACCEPTED}" if refused else ""


def recordable(value: str) -> str:
    """`value`, if a model package accepts it. Raises StepError with the reason."""
    if reason := refusal(value):
        raise StepError(f"{value[: LIMIT // 2]!r} {reason}")
    return value
