"""The query step's summary, `query.json`: what it found, what it left out and why, and which queries it ran."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

VERSION: Literal[1] = 1
NAME = "query.json"
# The statement that made the labels.
LABELS = "write labels"
# How many ids stand for a reason.
EXAMPLES = 20


class Execution(BaseModel):
    """A finished query, for the summary."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    statement: str
    id: str
    state: str
    data_scanned_bytes: int
    engine_milliseconds: int


class Refusal(BaseModel):
    """Ids that are no label for one reason: how many, and the first of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    photos: int
    examples: list[str]


class Summary(BaseModel):
    """The summary of one run.

    `reader` is what read the metadata files: `athena`, or `direct` with the reason of Athena's failure beside it.
    `labels` maps a quantity to its number of photos. `refused` maps a reason to the ids that are no label for it; an
    id has one reason, the first that holds. `labels_location` is the folder of the labels' Parquet files.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = VERSION
    image_location: str
    data_version: str
    maximum_quantity: int
    reader: Literal["athena", "direct"]
    reader_reason: str = ""
    metadata_files: int
    images: int
    labels_location: str = ""
    labels: dict[int, int]
    refused: dict[str, Refusal]
    executions: list[Execution]

    @property
    def labelled(self) -> int:
        """Photos with a label."""
        return sum(self.labels.values())

    @property
    def labels_execution(self) -> str:
        """Id of the query that made the labels; empty where there was none."""
        return next((one.id for one in self.executions if one.statement == LABELS), "")
