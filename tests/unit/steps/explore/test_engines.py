"""The choice of an engine, and DuckDB's limits."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steps.contracts.errors import StepError
from steps.explore.engines import Choice, choose
from steps.explore.local import DuckDB
from steps.explore.settings import EngineName, Settings
from steps.runtime.arguments import parse


@pytest.mark.parametrize(
    ("engine", "instances", "choice"),
    [
        ("auto", 1, Choice("local", "the job has 1 instance")),
        ("auto", 3, Choice("spark", "the job has 3 instances")),
        ("local", 1, Choice("local", "--engine is local")),
        ("spark", 1, Choice("spark", "--engine is spark")),
    ],
)
def test_the_choice_has_a_reason(engine: EngineName, instances: int, choice: Choice) -> None:
    assert choose(engine, instances) == choice


def test_duckdb_does_not_explore_the_parts_of_several_instances() -> None:
    with pytest.raises(StepError, match=r"one instance, and the job has 3: set explore.instance_count to 1"):
        choose("local", 3)


def test_the_arguments_are_those_of_the_step() -> None:
    assert parse(Settings, ["--maximum-quantity", "5"]) == Settings(maximum_quantity=5, engine="auto")
    with pytest.raises(StepError, match="--engine is 'duck'"):
        parse(Settings, ["--maximum-quantity", "5", "--engine", "duck"])
    with pytest.raises(StepError, match="--maximum-quantity is '0'"):
        parse(Settings, ["--maximum-quantity", "0"])


def large(folder: Path) -> str:
    """A million different texts: more than the limit of the tests when they are counted one by one."""
    folder.mkdir()
    for number in range(10):
        values = [f"{number}-{place:07d}-{'x' * 40}" for place in range(100_000)]
        pq.write_table(pa.table({"value": values}), folder / f"{number}.parquet")
    return str(folder)


GROUPS = "SELECT count(*) AS total FROM (SELECT value FROM numbers GROUP BY value) AS grouped"


def test_what_does_not_fit_into_memory_is_kept_on_disk(tmp_path: Path) -> None:
    with DuckDB(tmp_path / "scratch", megabytes=70) as engine:
        engine.table("numbers", large(tmp_path / "numbers"))
        assert engine.sql(GROUPS)["total"].to_pylist() == [1_000_000]


def test_too_little_memory_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    with DuckDB(tmp_path / "scratch", megabytes=8) as engine:
        engine.table("numbers", large(tmp_path / "numbers"))
        with pytest.raises(StepError) as refusal:
            engine.sql(GROUPS)
    assert str(refusal.value).startswith("DuckDB needs more memory (Out of Memory Error: ")
    assert str(refusal.value).endswith(": take a larger instance for the exploration")
    assert "\n" not in str(refusal.value)


def test_a_table_has_files_with_and_without_a_suffix_and_no_empty_ones(tmp_path: Path) -> None:
    folder = tmp_path / "it's a folder"
    (folder / "direct").mkdir(parents=True)
    for name in ("20261129_bucket-00000", "direct/part-00000.parquet"):
        pq.write_table(pa.table({"value": [1]}), folder / name)
    (folder / "_SUCCESS").touch()
    (folder / "notes.txt").write_text("no table")
    with DuckDB(tmp_path / "scratch") as engine:
        engine.table("numbers", str(folder))
        assert engine.sql("SELECT value FROM numbers").num_rows == 2
