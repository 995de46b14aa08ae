"""Contenders import what they measure in their functions, so that a name that is gone is found by a long run only."""

from __future__ import annotations

import ast
import importlib
from importlib.util import find_spec
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
def exists(module: str, name: str) -> bool:
    """Whether a module has the name, or is a package with a module of that name."""
    loaded = importlib.import_module(module)
    return hasattr(loaded, name) or (hasattr(loaded, "__path__") and find_spec(f"{module}.{name}") is not None)


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: str(path.relative_to(FOLDER)))
def test_every_name_that_a_benchmark_imports_exists(path: Path) -> None:
    assert [f"{module}:{name}" for module, name in imported(path) if not exists(module, name)] == []


def test_a_name_that_is_gone_is_seen(tmp_path: Path) -> None:
    code = ["def work():", "    from steps.train import gone, profiling", "    from steps.train.profiling import away"]
    (tmp_path / "a.py").write_text("\n".join([*code, "    import os"]))
    names = imported(tmp_path / "a.py")
    assert names == [("steps.train", "gone"), ("steps.train", "profiling"), ("steps.train.profiling", "away")]
    assert [exists(*each) for each in names] == [False, True, False]
