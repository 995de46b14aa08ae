"""Which engine plans, and the reason in the log."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest

from steps.plan.engines import SPARK_PHOTOS, Choice, Room, choose

ENOUGH = Room(memory=1 << 50, disk=1 << 50)


@pytest.mark.parametrize("planner", ["local", "spark"])
@pytest.mark.parametrize(("instances", "photos"), [(1, 0), (1, 10 * SPARK_PHOTOS), (8, 0), (8, 10 * SPARK_PHOTOS)])
def test_an_engine_that_is_asked_for_is_taken(planner: Literal["local", "spark"], instances: int, photos: int) -> None:
    assert choose(planner, instances, photos, ENOUGH) == Choice(planner, f"--planner is {planner}")


def test_one_instance_plans_with_duckdb_however_many_photos_there_are() -> None:
    choice = choose("auto", 1, 10 * SPARK_PHOTOS, ENOUGH)
    assert (choice.engine, choice.name, choice.reason) == ("local", "DuckDB", "the job has one instance")


def test_several_instances_plan_with_spark_from_the_crossover_on() -> None:
    below, above = (choose("auto", 4, photos, ENOUGH) for photos in (SPARK_PHOTOS - 1, SPARK_PHOTOS))
    assert (below.engine, above.engine, above.name) == ("local", "spark", "Spark")
    assert below.reason == "999,999,999 photos are fewer than 1,000,000,000, so one instance plans sooner"
    assert above.reason == "1,000,000,000 photos are at least 1,000,000,000, and the job has 4 instances"


@pytest.mark.parametrize(
    ("room", "reason"),
    [
        (Room(memory=1 << 50, disk=30 * 10**9), "100,000,000 photos need 34 GB of disk, and the volume has 30"),
        (
            Room(memory=8 * 10**9, disk=1 << 50),
            "the arrays of 100,000,000 photos do not fit into 8 GB of memory besides DuckDB",
        ),
    ],
)
def test_several_instances_plan_with_spark_where_one_has_no_room(room: Room, reason: str) -> None:
    choice = choose("auto", 4, 10**8, room)
    assert (choice.engine, choice.reason) == ("spark", f"{reason}, and the job has 4 instances")
    assert choose("auto", 1, 10**8, room).engine == "local"


def test_the_room_of_an_instance_does_not_depend_on_what_is_on_its_volume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    free = iter([10**12, 10**11])
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(total=10**12, free=next(free)))
    assert Room.here() == Room.here()
