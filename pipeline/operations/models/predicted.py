"""What a version counted in each photo of its test split: `predictions.parquet` next to its evaluation."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.aws.objects import fetch
from pipeline.clients import client
from pipeline.operations.models.registry import Version
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

if TYPE_CHECKING:
    import pyarrow as pa


def read(settings: Settings, version: Version, columns: Sequence[str] = ()) -> pa.Table | None:
    """A row per photo, with these columns of `PREDICTIONS_SCHEMA`, or all of them; None where they no longer exist.

    Raises PipelineError where the file is damaged, or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from steps.contracts.evaluation import PREDICTIONS, PREDICTIONS_SCHEMA

    uri = f"{version.evaluation_uri.rpartition('/')[0]}/{PREDICTIONS}"
    content = fetch(client(settings, "s3"), uri) if version.evaluation_uri else None
    if content is None:
        return None
    schema = pa.schema([PREDICTIONS_SCHEMA.field(name) for name in columns or PREDICTIONS_SCHEMA.names])
    try:
        return pq.read_table(io.BytesIO(content), columns=schema.names).select(schema.names).cast(schema)
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        first = str(error).splitlines()[0]
        raise PipelineError(f"{uri}: not the predictions of an evaluation ({first}); restore the file") from error
