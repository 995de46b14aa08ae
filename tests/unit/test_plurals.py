"""The kind: "1 golden photos", "5 file that is": a number and a noun that do not agree.

Every f-string of the commands and steps is walked: a counted noun comes from `count_of`, and from no place of its own.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import ROOT
from steps.contracts.wording import count_of

FOLDERS = ("pipeline/cli", "pipeline/operations", "pipeline/account", "pipeline/samples", "pipeline/compiling", "steps")
# Nouns that are counted somewhere. Units such as bytes and seconds are not: "1 bytes" is never said of a file.
NOUNS = [
    "answers",
    "bins",
    "captures",
    "classes",
    "epochs",
    "errors",
    "executions",
    "files",
    "folders",
    "images",
    "indexes",
    "instances",
    "keys",
    "items",
    "labels",
    "metadata",
    "models",
    "objects",
    "packages",
    "photos",
    "processes",
    "queries",
    "requests",
    "resources",
    "rows",
    "runs",
    "schedules",
    "shards",
    "steps",
    "trials",
    "versions",
]
# Sentences whose number is never one: raised above a limit, a range, or all of several hundred.
EXEMPT = {
    "pipeline/cli/monitor.py": "photos at least are needed",
    "pipeline/operations/account/teardown.py": "versions before it are deleted",
    "pipeline/operations/cost/estimate.py": "scales to {most} instances",
    "pipeline/operations/inventory.py": "to {target['MaxCapacity']} instances",
    "pipeline/operations/preflight/quotas.py": "and as many again",
    "steps/contracts/shard_summary.py": "not known for",
    "steps/deploy/smoke_test.py": "no time is left after",
    "steps/evaluate/artifact.py": "expected one",
    "steps/serve/admission.py": "this server accepts at most",
    "steps/serve/payload.py": "per request",
    # Ranges, as text.
    "pipeline/cli/views/dataset.py": "facts.",
    "steps/plan/engines.py": "photos",
    "steps/planning/rule.py": "photos",
    "steps/train/assignment.py": "training photos for",
    "steps/train/diagnostics.py": "the gradient was not finite",
}


def counted(path: Path) -> Iterator[tuple[int, str]]:
    """(line, noun) of each number in an f-string that is followed by a noun, and each plural that is made there."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, after in zip(node.values, node.values[1:], strict=False):
            if not isinstance(value, ast.FormattedValue) or not isinstance(after, ast.Constant):
                continue
            words = str(after.value)
            first = words[1:].split(" ", maxsplit=1)[0].strip(".,:;()") if words.startswith(" ") else ""
            if first in NOUNS and is_number(value):
                yield node.lineno, first
        for value in node.values:
            if isinstance(value, ast.FormattedValue) and isinstance(value.value, ast.IfExp):
                ends = {getattr(end, "value", None) for end in (value.value.body, value.value.orelse)}
                if ends in ({"", "s"}, {"", "es"}, {"y", "ies"}):
                    yield node.lineno, "a plural of its own"


def is_number(value: ast.FormattedValue) -> bool:
    """Whether the formatted value can be a number: not a constant of the module, nor a text."""
    expression = value.value
    if isinstance(expression, ast.Call):
        return isinstance(expression.func, ast.Name) and expression.func.id in ("len", "sum", "int")
    if isinstance(expression, ast.Attribute):
        return expression.attr not in ("name", "kind", "id", "bucket", "uri", "step")
    texts = ("name", "kind", "what", "noun", "text", "command", "served")
    return not (isinstance(expression, ast.Name) and (expression.id.isupper() or expression.id in texts))


MODULES = sorted(
    str(path.relative_to(ROOT))
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*.py")
    if path.name != "wording.py"
)


@pytest.mark.parametrize("module", MODULES)
def test_a_counted_noun_is_that_of_the_helper(module: str) -> None:
    lines = (ROOT / module).read_text().splitlines()
    wrong = [
        f"{module}:{line}: {noun}"
        for line, noun in counted(ROOT / module)
        if module not in EXEMPT or EXEMPT[module] not in "".join(lines[line - 1 : line + 3])
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("number", "noun", "plural", "text"),
    [
        (0, "photo", "", "0 photos"),
        (1, "golden photo", "", "1 golden photo"),
        (2, "photo", "", "2 photos"),
        (1200, "shard", "", "1,200 shards"),
        (1, "query", "queries", "1 query"),
        (3, "query", "queries", "3 queries"),
    ],
)
def test_a_number_and_its_noun_agree(number: int, noun: str, plural: str, text: str) -> None:
    assert count_of(number, noun, plural) == text
