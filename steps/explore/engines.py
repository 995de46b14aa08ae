"""The engines that aggregate, and the choice of one."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from steps.aggregates.dialects import DUCKDB, SPARK, Dialect
from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.contracts.wording import count_of
from steps.explore.settings import EngineName
from steps.runtime import container

if TYPE_CHECKING:
    import pyarrow as pa

Result = TypeVar("Result")


class Engine(Protocol):
    """Runs the SQL of `steps.aggregates` and of this step, in a dialect of its own, over Parquet files."""

    def table(self, name: str, location: str) -> None:
        """Make the Parquet files below a folder the table `name`. Raises StepError where there is none."""

    def sql(self, text: str) -> pa.Table:
        """The rows of a SELECT. Raises StepError in one line."""


@dataclass(frozen=True)
class Choice:
    """An engine, and the reason in words that follow `since`."""

    engine: Literal["local", "spark"]
    reason: str

    @property
    def name(self) -> str:
        """The engine's own name."""
        return {"local": "DuckDB", "spark": "Spark"}[self.engine]

    @property
    def dialect(self) -> Dialect:
        """The engine's SQL."""
        return {"local": DUCKDB, "spark": SPARK}[self.engine]


def choose(engine: EngineName, instances: int) -> Choice:
    """The engine on a number of instances; every instance of a job chooses the same.

    Raises StepError for DuckDB on several instances: each of them has a part of the files only.
    """
    if engine == "local" and instances > 1:
        raise StepError(
            f"--engine local explores on one instance, and the job has {instances:,}: set explore.instance_count to 1"
        )
    if engine != "auto":
        return Choice(engine, f"--engine is {engine}")
    return Choice("spark" if instances > 1 else "local", f"the job has {count_of(instances, 'instance')}")


def has_spark() -> bool:
    """Whether Spark is installed."""
    return importlib.util.find_spec("pyspark") is not None


def work_with(choice: Choice, output: str, work: Callable[[Engine], Result]) -> Result | None:
    """What `work` returns for the engine; None on the instances of a Spark cluster but the first, when it is done.

    `output` is the name of an output of the job, next to which the instances meet. Raises StepError in an image without
    Spark, and where a part of its cluster fails.
    """
    if choice.engine == "local":
        from steps.explore.local import DuckDB

        # On the job's volume, as the inputs are: the disk of the container itself may be small.
        volume = container.base() / "processing"
        volume.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=volume) as scratch, DuckDB(Path(scratch)) as engine:
            return work(engine)
    if not has_spark():
        raise StepError(
            "this image has no Spark, which explores on several instances and for --engine spark; set explore.engine:"
            " local and explore.instance_count: 1, or build the image again: python -m pipeline images push explore"
        )
    from steps.explore import spark

    return spark.run(S3Uri.parse(container.processing_output_uri(output)), work)
