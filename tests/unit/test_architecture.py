"""docs/architecture.md against the files: its tree, and the modules that its tours name."""

import re
from collections.abc import Iterator
from pathlib import Path

from pipeline import ROOT

DOCUMENT = (ROOT / "docs" / "architecture.md").read_text()
# Folders whose packages the tree has to show.
SHOWN = ("pipeline", "steps", "containers", "benchmarks", "tests")


def tree() -> Iterator[str]:
    """The paths of the tree."""
    (block,) = re.findall(r"## The tree\n\n```\n(.*?)```", DOCUMENT, re.DOTALL)
    above: list[str] = []
    for line in block.splitlines():
        name, depth = line.split()[0], (len(line) - len(line.lstrip())) // 2
        above = [*above[:depth], name.rstrip("/")]
        yield "/".join(above) + ("/" if name.endswith("/") else "")


def packages() -> set[str]:
    """Folders with files that git would keep."""
    places = {path.parent for name in SHOWN for path in (ROOT / name).rglob("*") if path.is_file()}
    names = {f"{place.relative_to(ROOT).as_posix()}/" for place in places if not place.name.startswith((".", "__"))}
    return {name for name in names if "/." not in name and "__pycache__" not in name}


def test_the_tree_has_every_folder_and_no_other() -> None:
    listed = list(tree())
    # The mirror of the tree below tests/unit, and test data, are no rooms of their own.
    wanted = {
        name for name in packages() if not re.match(r"tests/(unit|integration|faults|toolkit|images|golden)/.", name)
    }
    assert wanted - set(listed) == set()
    assert [name for name in listed if not (ROOT / name).exists()] == []
    assert len(listed) == len(set(listed))


def test_every_module_of_the_tours_exists() -> None:
    named = set(re.findall(r"`((?:pipeline|steps|tests|containers)/[\w./-]*)`", DOCUMENT))
    assert len(named) > 25
    assert [name for name in sorted(named) if not Path(ROOT, name).exists()] == []


def test_functions_that_the_tours_name_are_in_their_modules() -> None:
    assert "def quality_gate_failed(" in (ROOT / "pipeline" / "definition.py").read_text()
    assert "class Application" in (ROOT / "pipeline" / "local" / "wire" / "protocol.py").read_text()
