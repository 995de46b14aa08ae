"""The tree of errors in the module's text is that of the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from pipeline import ROOT
from steps.contracts import errors


def classes() -> Iterator[tuple[str, str, set[str]]]:
    """Name, module and base classes of every class of the code."""
    files: list[Path] = [path for package in ("pipeline", "steps") for path in (ROOT / package).rglob("*.py")]
    for path in files:
        module = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                bases = {base.attr if isinstance(base, ast.Attribute) else ast.unparse(base) for base in node.bases}
                yield node.name, module, bases


def test_the_drawing_has_every_error_that_is_shown_as_one_line() -> None:
    everything = list(classes())
    tree = {("StepError", "steps.contracts.errors"), ("PipelineError", "steps.contracts.errors")}
    size = 0
    while len(tree) > size:
        size = len(tree)
        names = {name for name, _ in tree}
        tree |= {(name, module) for name, module, bases in everything if bases & names}
    assert errors.__doc__ is not None
    drawn = re.findall(r"── (\w+) +([\w.]+) +\w", errors.__doc__)
    assert sorted(drawn) == sorted(tree)
