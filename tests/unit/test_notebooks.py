"""Notebooks are committed without outputs, and with names of cells that do not change by themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from pipeline import ROOT

NOTEBOOKS = sorted(path for path in (ROOT / "docs").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)


def cells(path: Path) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = json.loads(path.read_text())["cells"]
    return content


@every_notebook
def test_a_notebook_is_valid(path: Path) -> None:
    nbformat.validate(json.loads(path.read_text()))


@every_notebook
def test_a_notebook_has_no_outputs(path: Path) -> None:
    """They would have the paths, accounts and photos of whoever ran it."""
    code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
    assert [cell["id"] for cell in code if cell["outputs"] or cell["execution_count"] is not None] == []


@every_notebook
def test_a_notebook_names_no_kernel_of_one_machine(path: Path) -> None:
    metadata = json.loads(path.read_text())["metadata"]
    assert metadata["kernelspec"] == {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert metadata["language_info"] == {"name": "python"}
