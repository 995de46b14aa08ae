"""The query step's summary, `query.json`: labels, refused photos with reasons, and the executed queries."""

from __future__ import annotations

from typing import Literal

from steps.contracts.parsing import Contract, parse
from steps.contracts.s3_inventory import ListedBy

VERSION: Literal[1] = 1
NAME = "query.json"
# The statement that wrote the labels.
LABELS = "write labels"
# Number of example ids per reason.
EXAMPLES = 20


class Execution(Contract):
    """A finished query, for the summary."""

    statement: str
    id: str
    state: str
    data_scanned_bytes: int
    engine_milliseconds: int


class Refusal(Contract):
    """Photos without a label, or files that are none by their names, for one reason: their number, and the first ids.

    A file without an id has its name, `FOLDER/NAME`.
    """

    photos: int
    examples: list[str]


class Summary(Contract):
    """The summary of one run.

    `reader` is the reader of the metadata files: `athena`, or `direct` with the reason of Athena's failure. `labels`
    maps a quantity to its number of photos. `refused` maps a reason to photos without a label; a photo has one reason,
    the first that applies. `labels_location` is the folder of the labels' Parquet files. `listed_by` is the list of S3
    Inventory that named the photos and metadata files, None where the bucket was listed.
    """

    version: Literal[1] = VERSION
    image_location: str
    data_version: str
    maximum_quantity: int
    reader: Literal["athena", "direct"]
    reader_reason: str = ""
    metadata_files: int
    images: int
    listed_by: ListedBy | None = None
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
        """Id of the query that wrote the labels; empty if there was none."""
        return next((execution.id for execution in self.executions if execution.statement == LABELS), "")


def parse_summary(content: bytes, name: str) -> Summary:
    """A summary from its JSON. Raises StepError with `name` when it is not valid."""
    return parse(Summary, content, name, f"query summary of version {VERSION}")
