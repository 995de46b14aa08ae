"""The order of the tests: another one each time, and repeatable by what a run prints."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pipeline import ROOT
from tests.conftest import LONG

# Options of whoever runs these tests would change what is printed.
PLAIN = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
SMALL = "tests/unit/pipeline/local/machine/test_ports.py"


@pytest.mark.parametrize("processes", [(), ("--numprocesses", "1")], ids=["here", "in a process of pytest-xdist"])
def test_a_run_says_at_its_head_how_its_order_is_repeated(processes: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--randomly-seed=7", *processes]
    command += ["-m", "not long", SMALL]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=True, env=PLAIN)
    assert done.stdout.splitlines()[0] == "in this order again: make test SEED=7"
    assert done.stdout.count("SEED=") == 1


def test_the_long_modules_come_first_and_the_others_in_the_seeds_order() -> None:
    def order(seed: int) -> list[str]:
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-vq"]
        places = ["tests/unit/steps/query", "tests/unit/steps/shard"]
        command += [f"--randomly-seed={seed}", *places]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=True, env=PLAIN)
        return list(dict.fromkeys(line.split("::")[0] for line in done.stdout.splitlines() if "::" in line))

    first, second = order(1), order(2)
    assert first[0] == second[0] == "tests/unit/steps/query/test_run.py"
    assert sorted(first) == sorted(second)
    assert first != second
    assert len(first) > 10


@pytest.mark.parametrize("expression", ["long", "not long"])
def test_the_long_tests_are_chosen_by_their_mark(expression: str) -> None:
    target = "test-long" if expression == "long" else "test"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-vq", "--randomly-seed=7"]
    command += ["-m", expression, *{place.split("::")[0] for place in LONG}]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=True, env=PLAIN)
    lines = done.stdout.splitlines()
    assert lines[0] == f"in this order again: make {target} SEED=7"
    chosen = [line for line in lines if "::" in line]
    assert {line.startswith(LONG) for line in chosen} == {expression == "long"}
    if expression == "long":
        # A test of another name would be in `make test` without a word.
        assert {place for place in LONG if not any(line.startswith(place) for line in chosen)} == set()


@pytest.mark.parametrize("target", ["test", "test-long"])
@pytest.mark.parametrize(("given", "asked"), [([], False), (["SEED=7"], True)])
def test_the_command_that_is_printed_takes_the_seed(given: list[str], asked: bool, target: str) -> None:
    # Not what the make around this run was given.
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "SEED")}
    command = ["make", "--dry-run", target, *given]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert ("--randomly-seed" in done.stdout, "--randomly-seed=7" in done.stdout) == (asked, asked)
