"""The checker of words."""

import json
from pathlib import Path

import pytest

from tests.words import faults, files


def words_of(folder: Path, name: str, text: str) -> list[tuple[int, str]]:
    path = folder / name
    path.write_text(text)
    return [(fault.line, fault.word) for fault in faults(path)]


@pytest.mark.parametrize(
    ("text", "faulty"),
    [
        ("It is made\nof files.\n", [(1, "made of")]),
        ("A folder\n\na step.\n", []),
        ("Photos a second, and one tag a step.\n", [(1, "Photos a second"), (1, "one tag a step")]),
        ("`made of` and https://example.com/anew are no prose.\n", []),
        ("Photos per second; there is a file; it exists.\n", []),
        ("The log tells it.\n", [(1, "tells")]),
    ],
)
def test_prose(tmp_path: Path, text: str, faulty: list[tuple[int, str]]) -> None:
    assert words_of(tmp_path, "page.md", text) == faulty


@pytest.mark.parametrize(
    ("code", "faulty"),
    [
        ("for one in things:\n    pass\n", [(1, "one")]),
        ("found = [said for said in things]\n", [(1, "found"), (1, "said")]),
        ("class Held:\n    pass\n", [(1, "Held")]),
        ("def act(known):\n    pass\n", [(1, "known")]),
        ("x = 1\n# It comes\n# for ever.\n", [(3, "for ever")]),
        ('\n"""Of a photo; default 57."""\n', [(2, "Of a photo; default 57.")]),
        ('x = f"{1} of a photo; default"\n', []),
        ("trial = trials[0]\n", []),
    ],
)
def test_code(tmp_path: Path, code: str, faulty: list[tuple[int, str]]) -> None:
    assert words_of(tmp_path, "module.py", code) == faulty


def test_pages_and_their_scripts_are_read(tmp_path: Path) -> None:
    assert words_of(tmp_path, "page.html", "{% set said = 1 %}\n<p>It is told here.\n") == [(1, "said"), (2, "told")]
    assert words_of(tmp_path, "page.js", "// Asked anew.\n") == [(1, "anew")]
    assert [path.name for path in files([tmp_path])] == ["page.html", "page.js"]


def test_a_notebook_has_the_texts_and_the_code_of_its_cells(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Begun anew\n", "\n", "Made of files."]},
        {"cell_type": "code", "source": ["a = 1\n", "found = 2  # photos a second"]},
    ]
    text = json.dumps({"cells": cells}, indent=1)
    lines = text.splitlines()
    faulty = words_of(tmp_path, "page.ipynb", text)
    assert [word for _, word in faulty] == ["anew", "Made of", "found", "photos a second"]
    assert [lines[line - 1].strip()[1:8] for line, _ in faulty] == ["# Begun", "Made of", "found =", "found ="]
