"""IAM policies as IAM reads them: whether they allow an action on a resource.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html, for identity policies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

Context = Mapping[str, str | list[str]]


@dataclass(frozen=True)
class Statement:
    """A statement with lists where a policy may have single values."""

    sid: str
    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    condition: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Statement:
        assert set(raw) <= {"Sid", "Effect", "Action", "Resource", "Condition"}, raw
        return cls(
            raw["Sid"],
            raw["Effect"],
            tuple(_listed(raw["Action"])),
            tuple(_listed(raw["Resource"])),
            raw.get("Condition", {}),
        )

    def applies(self, action: str, resource: str, context: Context) -> bool:
        return (
            any(_matches(pattern, action) for pattern in self.actions)
            and any(_matches(pattern, resource) for pattern in self.resources)
            and all(
                _holds(operator, context.get(key), _listed(wanted))
                for operator, keys in self.condition.items()
                for key, wanted in keys.items()
            )
        )


@dataclass(frozen=True)
class Policies:
    """All statements of a principal's policies."""

    statements: tuple[Statement, ...]

    @classmethod
    def of(cls, *documents: Mapping[str, Any]) -> Policies:
        return cls(tuple(Statement.of(one) for document in documents for one in document["Statement"]))

    def allow(self, action: str, resource: str = "*", context: Context | None = None) -> bool:
        effects = {one.effect for one in self.statements if one.applies(action, resource, context or {})}
        return effects == {"Allow"}

    def allowed(self) -> Iterator[tuple[str, str]]:
        """Every action with every pattern of resources that it is allowed on."""
        for one in self.statements:
            if one.effect == "Allow":
                yield from ((action, resource) for action in one.actions for resource in one.resources)


def _listed(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _matches(pattern: str, text: str) -> bool:
    return _expression(pattern).fullmatch(text) is not None


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."))


def _holds(operator: str, found: str | list[str] | None, wanted: list[str]) -> bool:
    values = [] if found is None else _listed(found)
    match operator:
        case "Null":
            return wanted == [str(found is None).lower()]
        case "ForAllValues:StringEquals":
            return all(value in wanted for value in values)
        case "StringEquals" | "Bool":
            return found is not None and all(value in wanted for value in values)
        case "BoolIfExists":
            return found is None or all(value in wanted for value in values)
        case "StringLike" | "ArnLike" | "ArnEquals":
            return found is not None and all(any(_matches(one, value) for one in wanted) for value in values)
        case "ArnNotEquals":
            return not any(_matches(one, value) for one in wanted for value in values)
        case "StringNotEquals":
            return not any(value in wanted for value in values)
        case "ForAllValues:StringNotEquals":
            return all(value not in wanted for value in values)
        case "ForAnyValue:StringNotEquals":
            return any(value not in wanted for value in values)
    raise AssertionError(f"teach this test the operator {operator}")
