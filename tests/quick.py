"""Run the unit tests of the files that differ from the last commit: `python -m tests.quick [COMMIT]`.

A module's tests are `tests/unit/PATH/test_NAME.py`, else those of its folder that name it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from pipeline import ROOT

UNIT = "tests/unit"
# Tests that start clouds and servers, by which a minute passes; other targets run them.
LONG = ("integration", "faults", "toolkit", "images", "bases", "browser", "spark")


def main(commit: str = "HEAD") -> int:
    """Run the tests. Returns pytest's exit status, 0 where nothing has changed."""
    chosen = sorted({test for path in changed(commit) for test in mirrors(path)})
    if not chosen:
        print("no test belongs to the changed files; make test and make test-long run all")
        return 0
    print("\n".join(chosen))
    status = pytest.main(["-q", "-x", "-m", "not long", "--numprocesses", "logical", "--dist", "loadscope", *chosen])
    return 0 if status == pytest.ExitCode.NO_TESTS_COLLECTED else int(status)


def changed(commit: str) -> list[str]:
    """Files that differ from `commit`, new files included, relative to the project's folder."""
    listed: list[str] = []
    for command in (["diff", "--name-only", "--diff-filter=d", commit], ["ls-files", "--others", "--exclude-standard"]):
        done = subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True, check=True)
        listed += done.stdout.splitlines()
    return listed


def mirrors(path: str) -> Iterator[str]:
    """The unit tests of one file."""
    place = PurePosixPath(path)
    if place.suffix != ".py":
        return
    if place.parts[0] == "tests":
        if place.name.startswith("test_") and place.parts[1] not in LONG:
            yield path
        return
    folder = Path(UNIT, *place.parts[:-1])
    mirrored = folder / f"test_{place.stem}.py"
    if (ROOT / mirrored).exists():
        yield mirrored.as_posix()
        return
    name = re.compile(rf"\b{re.escape(place.stem)}\b")
    for test in sorted((ROOT / folder).glob("test_*.py")):
        if name.search(test.read_text()):
            yield test.relative_to(ROOT).as_posix()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
