"""Objects that this step writes straight to S3, and what it says when S3 refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.runtime.s3 import open_store

_CODE = re.compile(r"<Code>([^<]+)</Code>(?:\s*<Message>([^<]*)</Message>)?")


@contextmanager
def store_errors(doing: str) -> Iterator[None]:
    """Turn what obstore raises, after its own retries, into one line."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, OSError) as error:
        raise StepError(f"{doing}: {reason(error)}") from error


def reason(error: Exception) -> str:
    """S3's own code and message where obstore's text quotes them, else the text's first line."""
    quoted = _CODE.search(str(error))
    if quoted:
        return ": ".join(part for part in quoted.groups() if part)
    return str(error).strip().partition("\n")[0]


def upload(file: Path, uri: S3Uri) -> None:
    """Put a local file, in parts where it is large. It is there as a whole or not at all."""
    import obstore

    with store_errors(f"writing {uri}"):
        obstore.put(open_store(uri.bucket), uri.key, file)


class ParquetFile:
    """A Parquet file that is written a row group at a time to local disk: only one group is in memory."""

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
