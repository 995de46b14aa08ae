"""What a process may use of its machine, from the files of control groups."""

import os
from pathlib import Path

import pytest

from steps.runtime.machine import Machine, machine

GIGABYTE = 1 << 30
WHOLE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
CORES = len(os.sched_getaffinity(0))


def write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(f"{text}\n")


def of(tmp_path: Path, membership: str) -> Machine:
    (tmp_path / "membership").write_text(membership)
    return machine(tmp_path / "groups", tmp_path / "membership")


@pytest.mark.parametrize("limit", ["max", str(WHOLE * 2)])
def test_without_a_limit_it_is_the_whole_machine(tmp_path: Path, limit: str) -> None:
    write(tmp_path / "groups", {"memory.max": limit, "cpu.max": "max 100000"})
    assert of(tmp_path, "0::/\n") == Machine(CORES, WHOLE)


def test_the_narrowest_group_around_the_process_counts(tmp_path: Path) -> None:
    write(tmp_path / "groups/pod", {"memory.max": str(GIGABYTE), "cpu.max": "max 100000"})
    write(tmp_path / "groups/pod/container", {"memory.max": str(2 * GIGABYTE), "cpu.max": "150000 100000"})
    assert of(tmp_path, "0::/pod/container\n") == Machine(1, GIGABYTE)


def test_less_than_a_core_is_a_core(tmp_path: Path) -> None:
    write(tmp_path / "groups", {"cpu.max": "50000 100000"})
    assert of(tmp_path, "0::/\n").cores == 1


def test_groups_of_version_1_have_a_tree_per_controller(tmp_path: Path) -> None:
    write(tmp_path / "groups/memory", {"memory.limit_in_bytes": str(GIGABYTE)})
    write(tmp_path / "groups/cpu", {"cpu.cfs_quota_us": "100000", "cpu.cfs_period_us": "100000"})
    # The paths are the host's, which a container does not see.
    assert of(tmp_path, "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n") == Machine(1, GIGABYTE)


def test_a_quota_of_version_1_without_limit_is_none(tmp_path: Path) -> None:
    write(tmp_path / "groups/cpu", {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"})
    assert of(tmp_path, "4:cpu,cpuacct:/\n").cores == CORES


def test_a_system_without_control_groups_has_no_limits(tmp_path: Path) -> None:
    assert machine(tmp_path / "none", tmp_path / "neither") == Machine(CORES, WHOLE)


def test_parts_are_equal_and_have_a_core_each() -> None:
    assert Machine(16, 64 * GIGABYTE).part(4) == Machine(4, 16 * GIGABYTE)
    assert Machine(2, 8 * GIGABYTE).part(4) == Machine(1, 2 * GIGABYTE)
