"""DuckDB out of core: what does not fit into its share of the memory lies in a folder on the disk meanwhile."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from steps.contracts.errors import StepError
from steps.contracts.full_disk import is_disk_full
from steps.runtime.machine import machine

if TYPE_CHECKING:
    import pyarrow as pa

# DuckDB's limit is for its buffers: results, Parquet's decoders and Python itself need the rest.
# https://duckdb.org/docs/stable/guides/performance/how_to_tune_workloads
MEMORY_SHARE = 0.5
LEAST_MEGABYTES = 256


def memory_megabytes() -> int:
    """The limit of DuckDB's memory in 10^6 bytes: a share of what this process may use."""
    return max(LEAST_MEGABYTES, int(machine().memory * MEMORY_SHARE / 1_000_000))


class DuckDB:
    """An in-memory database over Parquet files on this instance's disk."""

    def __init__(self, scratch: Path, megabytes: int | None = None) -> None:
        import duckdb

        self._connection = duckdb.connect(":memory:")
        for name, value in {
            "memory_limit": f"{megabytes or memory_megabytes()}MB",
            "temp_directory": str(scratch),
            "preserve_insertion_order": False,
            "TimeZone": "UTC",
            "autoinstall_known_extensions": False,
            "python_enable_replacements": False,
            "enable_progress_bar": False,
        }.items():
            self._connection.execute(f"SET {name} = ?", [value])

    def __enter__(self) -> DuckDB:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def table(self, name: str, location: str) -> None:
        """Make the Parquet files below a local folder the table `name`. Athena's files have no suffix."""
        folder = Path(location)
        files = sorted(
            str(path)
            for path in folder.rglob("*")
            if path.is_file() and path.suffix in ("", ".parquet") and path.stat().st_size
        )
        if not files:
            raise StepError(f"{folder}: no Parquet file of the {name} there; the query step writes them")
        listed = ", ".join(_text(file) for file in files)
        self._run(f"CREATE VIEW {name} AS SELECT * FROM read_parquet([{listed}], union_by_name = true)")  # noqa: S608

    def sql(self, text: str) -> pa.Table:
        """The rows of a SELECT."""
        return self._run(text)

    def _run(self, text: str) -> pa.Table:
        import duckdb

        try:
            return self._connection.execute(text).to_arrow_table()
        except duckdb.OutOfMemoryException as error:
            if is_disk_full(error):
                raise
            raise StepError(
                f"DuckDB needs more memory ({_line(error)}): take a larger instance for the exploration"
            ) from error
        except duckdb.Error as error:
            if is_disk_full(error):
                raise
            raise StepError(f"DuckDB: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split("\n\n")[0].split())


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
