"""Objects that this step writes to S3 itself, and the errors of S3 as StepErrors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.runtime.s3 import open_store, send

_CODE = re.compile(r"<Code>([^<]+)</Code>(?:\s*<Message>([^<]*)</Message>)?")


@contextmanager
def store_errors(doing: str) -> Iterator[None]:
    """Turn the errors of obstore, after its own retries, into a StepError."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, OSError) as error:
        raise StepError(f"{doing}: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """S3's error code and message if obstore's text contains them, otherwise the text's first line."""
    quoted = _CODE.search(str(error))
    if quoted:
        return ": ".join(part for part in quoted.groups() if part)
    return str(error).strip().partition("\n")[0]


def upload(file: Path, uri: S3Uri) -> None:
    """Upload a local file; a large one as a multipart upload. An interrupted upload leaves no object."""
    import obstore

    with store_errors(f"writing {uri}"):
        store = open_store(uri.bucket)
        send(lambda: obstore.put(store, uri.key, file))


class ParquetFile:
    """A local Parquet file that is written by row group: one group is in memory."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path = path
        self.rows = 0
        self._writer = pq.ParquetWriter(path, schema, compression="snappy")

    def write(self, batch: pa.RecordBatch) -> None:
        """Append one row group."""
        self._writer.write_batch(batch, row_group_size=max(1, batch.num_rows))
        self.rows += batch.num_rows

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()
