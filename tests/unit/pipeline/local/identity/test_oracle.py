"""The evaluator against the oracle on the project's own policies, for thousands of random requests."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest

from pipeline.local.identity.policies import Principal, Request, decide, lowered, statements
from tests.unit.pipeline.account.stacks import VARIANTS, Stack
from tests.unit.pipeline.local.identity import oracle

REQUESTS = 1500
"""For each of the variants, of which there are at least four."""
FOREIGN = "arn:aws:s3:::another-bucket/key"


@cache
def principals(variant: str) -> dict[str, dict[str, Any]]:
    """Policy documents by name, of each role and of each managed policy by itself."""
    stack = Stack(VARIANTS[variant])
    named: dict[str, dict[str, Any]] = {}
    for name, properties in stack.resources.items():
        inline = {policy["PolicyName"]: policy["PolicyDocument"] for policy in properties.get("Policies", [])}
        if "AssumeRolePolicyDocument" in properties:
            attached = {
                other: document
                for other, document in managed(stack).items()
                if arn(stack, other) in properties.get("ManagedPolicyArns", [])
            }
            named[name] = {**inline, **attached}
        elif "PolicyDocument" in properties and "ManagedPolicyName" in properties:
            named[name] = {name: properties["PolicyDocument"]}
    return named


def managed(stack: Stack) -> dict[str, Any]:
    return {name: item["PolicyDocument"] for name, item in stack.resources.items() if "ManagedPolicyName" in item}


def arn(stack: Stack, name: str) -> str:
    return f"arn:aws:iam::{stack.settings.account.id}:policy/{stack.resources[name]['ManagedPolicyName']}"


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


class Requests:
    """Random requests near the edges of policies: what a statement names, and small changes of it."""

    def __init__(self, documents: Mapping[str, Any], seed: str) -> None:
        self._random = random.Random(seed)
        elements = [element for document in documents.values() for element in document["Statement"]]
        self._elements = elements
        self._actions = [action for element in elements for action in listed(element["Action"])]
        self._resources = [resource for element in elements for resource in listed(element["Resource"])]
        self._lines = [
            (key, listed(wanted))
            for element in elements
            for keys in element.get("Condition", {}).values()
            for key, wanted in keys.items()
        ]

    def __iter__(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        while True:
            element = self._random.choice(self._elements)
            action = self._random.choice(listed(element["Action"]))
            resource = self._random.choice(listed(element["Resource"]))
            if self._random.random() < 0.2:
                action = self._random.choice(self._actions)
            if self._random.random() < 0.2:
                resource = self._random.choice(self._resources)
            yield self._action(action), self._resource(resource), self._context(element)

    def _action(self, pattern: str) -> str:
        action = pattern.replace("*", self._random.choice(["", "Get", "Object"]))
        change = self._random.random()
        if change < 0.05:
            return action.swapcase()
        return action + "Tagging" if change < 0.15 else action

    def _resource(self, pattern: str) -> str:
        if pattern == "*":
            return self._random.choice(["*", FOREIGN, self._filled(self._random.choice(self._resources))])
        return self._filled(pattern)

    def _filled(self, pattern: str) -> str:
        text = "".join(
            self._random.choice(["", "a", "a/b", "a:b", "0", "*"]) if character == "*" else character
            for character in pattern
        )
        change = self._random.random()
        if change < 0.08:
            return text + self._random.choice(["x", "/x", ":x"])
        if change < 0.12 and text:
            at = self._random.randrange(len(text))
            return text[:at] + self._random.choice(["", "?", "Z"]) + text[at + 1 :]
        return text.replace("us-east-1", "eu-west-1") if change < 0.15 else text

    def _context(self, element: Mapping[str, Any]) -> dict[str, Any]:
        own = [(key, listed(wanted)) for keys in element.get("Condition", {}).values() for key, wanted in keys.items()]
        others = self._random.sample(self._lines, min(len(self._lines), 2)) if self._random.random() < 0.5 else []
        context: dict[str, Any] = {"aws:SecureTransport": self._random.choice(["true", "false"])}
        for key, wanted in own + others:
            fitting = [self._filled(str(value)) for value in wanted]
            values = [*map(str, wanted), *fitting, "true", "false", "another"]
            value = self._random.choice([*fitting, *map(str, wanted), self._random.choice(values)])
            match self._random.randrange(6):
                case 0:
                    context.pop(key, None)
                case _ if key.upper() in context:
                    pass
                case 1:
                    context[key] = self._random.sample(values, 2)
                case 2:
                    context = {other: item for other, item in context.items() if other.lower() != key.lower()}
                    context[key.upper()] = value
                case _:
                    context[key] = value
        return context


@pytest.mark.parametrize("variant", VARIANTS)
def test_both_evaluators_agree_on_the_projects_policies(variant: str) -> None:
    named = principals(variant)
    share = REQUESTS // len(named) + 1
    answers = []
    for name, documents in named.items():
        prepared = statements(documents)
        for _, (action, resource, context) in zip(range(share), Requests(documents, f"{variant} {name}"), strict=False):
            request = Request(
                Principal(f"arn:aws:sts::1:assumed-role/{name}/x"),
                action,
                resource,
                {**lowered(context), "aws:resourceaccount": "1"},
            )
            theirs = oracle.allows(documents.values(), action, resource, context)
            ours = decide(request, prepared)
            assert ours.allowed == theirs, json.dumps([name, action, resource, context, ours.statements], indent=1)
            answers.append(theirs)
    assert len(answers) >= REQUESTS
    # A comparison of refusals alone would show little.
    assert 0.2 < sum(answers) / len(answers) < 0.9


def test_the_requests_are_five_thousand_and_more_together() -> None:
    assert REQUESTS * len(VARIANTS) >= 5000


@pytest.mark.parametrize(
    ("pattern", "text", "alike"),
    [
        ("", "", True),
        ("*", "", True),
        ("a*c", "abbc", True),
        ("a*c", "abb", False),
        ("*a*", "bab", True),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("a.c", "abc", False),
        ("**", "x:y", True),
    ],
)
def test_the_oracle_compares_patterns(pattern: str, text: str, alike: bool) -> None:
    assert oracle.like(pattern, text) == alike
