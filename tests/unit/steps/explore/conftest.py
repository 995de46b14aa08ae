from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steps.contracts import consolidated, labels
from steps.contracts.exploration import MEASURES, WholeExploration
from steps.explore.run import run
from steps.explore.settings import Settings


def item(asin: str | None, units: int | None = 1, **measures: tuple[str | None, float | None]) -> dict[str, Any]:
    """An item of a bin; a measure is (unit, value)."""
    sizes = {name: dict(zip(("unit", "value"), measures.get(name, (None, None)), strict=True)) for name in MEASURES}
    return {"asin": asin, "name": asin, "quantity": units, **sizes}


@dataclass
class Bin:
    """A bin's metadata, and its photo if it is labelled: `etag` is that of other photos with the same bytes."""

    image_id: str
    quantity: float | None
    items: Sequence[dict[str, Any]] | None = ()
    kind: str = "number"
    labelled: bool = True
    etag: str = ""

    @property
    def asins(self) -> list[str]:
        return sorted({each["asin"] for each in self.items or () if each["asin"] is not None})


@dataclass
class Inputs:
    """The folders of the step's inputs, as SageMaker makes them."""

    base: Path
    bins: list[Bin] = field(default_factory=list)

    def folder(self, name: str) -> Path:
        path = self.base / "processing" / "input" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def output(self, name: str) -> Path:
        return self.base / "processing" / "output" / "exploration" / name

    def write(self, bins: Sequence[Bin]) -> Inputs:
        """Two files of metadata without a suffix, as Athena's, and one of labels."""
        self.bins = list(bins)
        rows = [
            {
                "image_id": each.image_id,
                "quantity": each.quantity,
                "quantity_kind": each.kind,
                "items": None if each.items is None else [(str(key), value) for key, value in enumerate(each.items)],
                "bin_group": None,
                "path": f"s3://bucket/raw/metadata/{each.image_id}.json",
            }
            for each in bins
        ]
        for number in range(2):
            table = pa.Table.from_pylist(rows[number::2], consolidated.SCHEMA)
            pq.write_table(table, self.folder("metadata") / f"20261129_bucket-0000{number}")
        written = [
            {
                "image_id": each.image_id,
                "quantity": int(each.quantity or 0),
                "asins": each.asins,
                "image_key": f"bin-images/{each.image_id}.jpg",
                "image_etag": hashlib.md5((each.etag or each.image_id).encode()).hexdigest(),
                "image_bytes": 1,
                "bin_group": None,
            }
            for each in bins
            if each.labelled
        ]
        pq.write_table(pa.Table.from_pylist(written, labels.SCHEMA), self.folder("labels") / "part-0.parquet")
        return self

    def run(self, **arguments: Any) -> WholeExploration | None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SAGEMAKER_BASE_DIR", str(self.base))
            return run(Settings(**{"maximum_quantity": 5, **arguments}))


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    return Inputs(tmp_path)
