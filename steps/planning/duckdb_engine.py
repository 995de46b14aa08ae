"""The rule's SQL on DuckDB: in one process, in little memory, with what does not fit on the disk."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa

from steps.contracts.dataset import SPLITS
from steps.contracts.errors import StepError
from steps.planning.assigning import Integers, shuffle_keys
from steps.planning.dialect import Dialect
from steps.runtime.machine import machine

if TYPE_CHECKING:
    import duckdb

log = logging.getLogger(__name__)

_TYPES = {
    pa.string(): "VARCHAR",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.list_(pa.string()): "VARCHAR[]",
}
# Rows that DuckDB passes to Python at a time.
_ROWS = 100_000


class DuckDialect:
    """DuckDB's expressions (steps.planning.dialect.Dialect). A hash has 63 bits, as numbers are signed."""

    def number(self) -> str:
        """See Dialect."""
        return "row_number() OVER ()"

    def matches(self, column: str, pattern: str) -> str:
        """See Dialect."""
        return f"regexp_matches({column}, '{pattern}')"

    def shuffle_key(self, column: str) -> str:
        """See Dialect."""
        return f"shuffle_key({column})"

    def codes(self, column: str, without: Sequence[int] = ()) -> str:
        """See Dialect."""
        texts = f"list_filter({column}, lambda item: item IS NOT NULL)"
        codes = f"list_sort(list_distinct(list_transform({texts}, lambda item: {self.hash('item')})))"
        if not without:
            return codes
        return f"list_filter({codes}, lambda code: NOT list_contains([{', '.join(map(str, without))}], code))"

    def length(self, column: str) -> str:
        """See Dialect."""
        return f"coalesce(len({column}), 0)"

    def element(self, column: str, place: int) -> str:
        """See Dialect."""
        return f"{column}[{place}]"

    def hash(self, expression: str) -> str:
        """See Dialect."""
        return f"(hash({expression}) >> 1)::BIGINT"

    def xor(self, expressions: Sequence[str]) -> str:
        """See Dialect."""
        return reduce(lambda left, right: f"xor({left}, {right})", expressions)

    def xor_of(self, column: str) -> str:
        """See Dialect."""
        return f"coalesce(list_aggregate({column}, 'bit_xor'), 0)"

    def hashes(self, column: str) -> str:
        """See Dialect."""
        return f"list_transform({column}, lambda item: {self.hash('item')})"

    def exploded(self, table: str, columns: Sequence[str], column: str, name: str) -> str:
        """See Dialect."""
        return f"SELECT {', '.join(columns)}, unnest({column}) AS {name} FROM {table}"

    def subsets(
        self, table: str, columns: Sequence[str], lists: Mapping[str, str], tag: int, subsets: Sequence[Sequence[int]]
    ) -> str:
        """See Dialect. A scan per subset, without lists."""

        def hashed(column: str, places: Sequence[int]) -> str:
            return self.xor([str(tag), *(self.element(column, place) for place in places)])

        return " UNION ALL ".join(
            f"SELECT {', '.join(f'{hashed(column, places)} AS {name}' for name, column in lists.items())},"
            f" {', '.join(columns)} FROM {table}"
            for places in subsets
        )

    def unit(self, key: str) -> str:
        """See Dialect."""
        return f"(({key} + 9223372036854775808.0) / 18446744073709551616.0)"


class DuckSession:
    """A database in `folder`, which the session fills and removes (steps.planning.rule.Session).

    `memory` is DuckDB's share in bytes; the process needs some 200 MB besides, and in an assignment 30 bytes per group.
    """

    dialect: Dialect = DuckDialect()

    def __init__(self, folder: Path, *, seed: int, memory: int, threads: int) -> None:
        import duckdb

        self.folder = folder
        self._path = folder / "plan.duckdb"
        # Nothing is fetched or loaded from elsewhere, whatever a query names.
        config = {
            "memory_limit": f"{memory // 1_000_000}MB",
            "threads": threads,
            "temp_directory": str(folder / "spilled"),
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        self._base: duckdb.DuckDBPyConnection = duckdb.connect(str(self._path), config=config)
        self._base.create_function(
            "shuffle_key", partial(_keys, seed), ["VARCHAR"], "BIGINT", type="arrow", side_effects=False
        )

    def close(self) -> None:
        """Close the database and remove its files."""
        self._base.close()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def create(self, name: str, query: str) -> None:
        """See Session."""
        with self._disk():
            self._base.execute(f"CREATE OR REPLACE TABLE {name} AS {query}")
        log.debug("table %s", name)

    def insert(self, name: str, query: str, parts: list[str]) -> None:
        """See Session. A part at a time, so that no two need memory together."""
        first, *others = parts
        self.create(name, query.format(part=first))
        for part in others:
            with self._disk():
                self._base.execute(f"INSERT INTO {name} {query.format(part=part)}")

    def drop(self, *names: str) -> None:
        """See Session."""
        for name in names:
            self._base.execute(f"DROP TABLE {name}")

    def rows(self, query: str) -> pa.Table:
        """See Session."""
        with self._disk():
            return self._base.execute(query).to_arrow_table()

    def batches(self, query: str) -> Iterator[pa.RecordBatch]:
        """See Session."""
        with self._disk():
            yield from self._base.execute(query).to_arrow_reader(_ROWS)

    def register(self, name: str, table: pa.Table) -> None:
        """See Session."""
        self._base.register("registered", table)
        self.create(name, "SELECT * FROM registered")
        self._base.unregister("registered")

    def read_parquet(self, name: str, files: Sequence[Path], schema: pa.Schema) -> None:
        """Create a view of the columns of a schema in Parquet files, with its types."""
        columns = ", ".join(f"CAST({field.name} AS {_TYPES[field.type]}) AS {field.name}" for field in schema)
        self._base.execute(f"CREATE OR REPLACE VIEW {name} AS SELECT {columns} FROM {_files(files)}")

    def read_waves(self, files: Mapping[Path, int]) -> None:
        """The table `assigned` from files of assignments, with the wave of each."""
        waves = pa.table({"filename": [str(file) for file in files], "wave": list(files.values())})
        self.register("of_file", waves)
        places = " ".join(f"WHEN '{split}' THEN {place}" for place, split in enumerate(SPLITS))
        self.create(
            "assigned",
            f"""
            SELECT image_id, CAST(CASE split {places} END AS TINYINT) AS split, CAST(wave AS INTEGER) AS wave
            FROM read_parquet({_listed(files)}, filename = true) JOIN of_file USING (filename)
            """,
        )
        self.drop("of_file")

    def connect(self, name: str, edges: str) -> None:
        """See Session. In arrays: 8 bytes per node, and 16 per edge twice."""
        highest = self.rows(f"SELECT coalesce(max(greatest(u, v)), -1) AS node FROM {edges}")["node"][0].as_py()
        root = np.arange(highest + 1)
        ends: list[list[Integers]] = [[np.empty(0, np.int64)] for _ in "uv"]
        for batch in self.batches(f"SELECT u, v FROM {edges}"):
            for end, column in zip(ends, batch.columns, strict=True):
                end.append(np.asarray(column).astype(np.int64))
        first, second = (np.concatenate(end) for end in ends)
        del ends
        while not (root[first] == root[second]).all():
            lowest = np.minimum(root[first], root[second])
            np.minimum.at(root, root[first], lowest)
            np.minimum.at(root, root[second], lowest)
            while (root != root[root]).any():
                root = root[root]
        moved = np.flatnonzero(root != np.arange(len(root)))
        self.register(name, pa.table({"node": pa.array(moved), "root": pa.array(root[moved])}))

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        """Say in a line what to do where memory or disk do not suffice."""
        import duckdb

        try:
            yield
        except duckdb.OutOfMemoryException as error:
            raise StepError(
                f"planning needs more memory or disk than this instance has ({_first_line(error)}); use an instance"
                " type with more memory (shard.plan_instance_type), a larger volume, or shard.planner: spark"
            ) from error
        except duckdb.IOException as error:
            raise StepError(f"planning on the disk of this instance failed: {_first_line(error)}") from error


def _keys(seed: int, names: pa.ChunkedArray) -> pa.Array:
    return shuffle_keys(seed, names.combine_chunks() if isinstance(names, pa.ChunkedArray) else names)


def _listed(files: Iterable[Path]) -> str:
    return "[" + ", ".join("'" + str(file).replace("'", "''") + "'" for file in files) + "]"


def _files(files: Iterable[Path]) -> str:
    return f"read_parquet({_listed(files)})"


def _first_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error).splitlines()[0])


def memory_share(share: float = 0.6) -> int:
    """A share of the memory that this process may use, in bytes: of the container's limit, else of the machine's."""
    return int(share * machine().memory)
