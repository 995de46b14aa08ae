"""The checker of words."""

from pathlib import Path

import pytest

from tests.words import faults


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
