"""A second evaluator of policies, to compare the first with: for tests only, slow, and different in method.

Patterns are compared character by character, by dynamic programming over both texts, without regular expressions;
policies are read as they are at each question, without preparation; and a decision is made of sets of effects. It knows
what the project's policies use, and raises for anything else. https://docs.aws.amazon.com/IAM/latest/UserGuide/
reference_policies_evaluation-logic_policy-eval-denyallow.html and reference_policies_elements_condition_operators.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


class UnsupportedError(Exception):
    """An element of a policy that the oracle does not know."""


def allows(documents: Iterable[Mapping[str, Any]], action: str, resource: str, context: Mapping[str, Any]) -> bool:
    """Whether identity policies allow a request; keys of the context in any letters."""
    values = {key.lower(): value for key, value in context.items()}
    effects = set()
    for document in documents:
        for statement in document["Statement"]:
            if set(statement) - {"Sid", "Effect", "Action", "Resource", "Condition"}:
                raise UnsupportedError(statement)
            about_action = any(like(text.lower(), action.lower()) for text in _many(statement["Action"]))
            about_resource = any(arn_like(text, resource) for text in _many(statement["Resource"]))
            if about_action and about_resource and _met(statement.get("Condition", {}), values):
                effects.add(statement["Effect"])
    return effects == {"Allow"}


def like(pattern: str, text: str) -> bool:
    """Whether a pattern with * and ? describes a text: row by row, which prefixes of the text match."""
    reached = {0}
    for character in pattern:
        if character == "*":
            reached = set(range(min(reached), len(text) + 1)) if reached else set()
        else:
            reached = {at + 1 for at in reached if at < len(text) and character in ("?", text[at])}
    return len(text) in reached


def arn_like(pattern: str, text: str) -> bool:
    """Part by part: five parts that end at a colon, and the rest."""
    if pattern == "*":
        return True
    ours, theirs = pattern.split(":"), text.split(":")
    if len(ours) < 6:
        raise UnsupportedError(pattern)
    if len(theirs) < 6:
        return False
    ours, theirs = [*ours[:5], ":".join(ours[5:])], [*theirs[:5], ":".join(theirs[5:])]
    return all(like(our, their) for our, their in zip(ours, theirs, strict=True))


def _met(condition: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    lines = [(operator, key, wanted) for operator, keys in condition.items() for key, wanted in keys.items()]
    return all(_line(operator, values.get(key.lower()), _many(wanted)) for operator, key, wanted in lines)


def _line(operator: str, given: Any, wanted: list[str]) -> bool:  # one return per operator
    there = _many(given) if given is not None else []
    equal = [value for value in there if value in wanted]
    match operator:
        case "Null":
            return ("true" if given is None else "false") in wanted
        case "StringEquals" | "Bool":
            return bool(equal)
        case "BoolIfExists" | "StringEqualsIfExists":
            return given is None or bool(equal)
        case "StringNotEquals" | "ForAllValues:StringNotEquals":
            return not equal
        case "StringLike":
            return any(like(text, value) for text in wanted for value in there)
        case "StringNotLike":
            return not any(like(text, value) for text in wanted for value in there)
        case "ArnLike" | "ArnEquals":
            return any(arn_like(text, value) for text in wanted for value in there)
        case "ArnNotEquals" | "ArnNotLike":
            return not any(arn_like(text, value) for text in wanted for value in there)
        case "ForAnyValue:StringEquals":
            return bool(equal)
        case "ForAnyValue:StringNotEquals":
            return len(equal) < len(there)
        case "ForAllValues:StringEquals":
            return len(equal) == len(there)
        case "ForAllValues:StringLike":
            return all(any(like(text, value) for text in wanted) for value in there)
    raise UnsupportedError(operator)


def _many(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [str(item).lower() if isinstance(item, bool) else str(item) for item in items]
