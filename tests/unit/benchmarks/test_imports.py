"""Contenders import what they measure in their functions, so that a name that is gone is found by a long run only."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import benchmarks

FOLDER = Path(benchmarks.__file__).parent
OURS = ("steps", "pipeline", "benchmarks")


def imported(path: Path) -> list[tuple[str, str]]:
    """The modules and names of ours that a file imports from, at any depth."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in nodes if node.module and node.module.partition(".")[0] in OURS]
    return [(str(node.module), alias.name) for node in ours for alias in node.names]


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: str(path.relative_to(FOLDER)))
def test_every_name_that_a_benchmark_imports_exists(path: Path) -> None:
    for module, name in imported(path):
        loaded = importlib.import_module(module)
        if not hasattr(loaded, name):
            importlib.import_module(f"{module}.{name}")
