"""The range of a number in the settings, for messages and for the conditions of a compiled pipeline."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo


@dataclass(frozen=True)
class Limits:
    """A range; None is an open end, and an excluded end is no value itself."""

    low: float | None = None
    high: float | None = None
    excludes_low: bool = False
    excludes_high: bool = False

    @classmethod
    def of(cls, field: FieldInfo) -> Limits:
        """The limits that a field of a group declares."""
        low: Any = None
        high: Any = None
        excludes_low = excludes_high = False
        for limit in field.metadata:
            match limit:
                case Ge(ge=value):
                    low, excludes_low = value, False
                case Gt(gt=value):
                    low, excludes_low = value, True
                case Le(le=value):
                    high, excludes_high = value, False
                case Lt(lt=value):
                    high, excludes_high = value, True
        return cls(low, high, excludes_low, excludes_high)

    def __str__(self) -> str:
        """The range in words that follow `must be`; empty without a limit."""
        low = "" if self.low is None else f"{'above' if self.excludes_low else 'at least'} {self.low}"
        high = "" if self.high is None else f"{'below' if self.excludes_high else 'at most'} {self.high}"
        if low and high and not self.excludes_low and not self.excludes_high:
            return f"{self.low} to {self.high}"
        return " and ".join(filter(None, (low, high)))

    def contain(self, number: float) -> bool:
        """Whether a number is in the range; NaN is in none."""
        return (
            not math.isnan(number)
            and (self.low is None or (number > self.low if self.excludes_low else number >= self.low))
            and (self.high is None or (number < self.high if self.excludes_high else number <= self.high))
        )
