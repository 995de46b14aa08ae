"""A given split, read from S3: a published list, or another data set's."""

from __future__ import annotations

import pyarrow as pa

from steps.contracts import split_table
from steps.contracts.s3_uri import S3Uri
from steps.runtime.s3 import list_objects, read_object


def read_split_file(location: S3Uri) -> pa.Table:
    """Columns image_id and split, each id once, from one object or from every `.parquet` and `.csv` below a prefix.

    Raises StepError as `steps.contracts.split_table` does.
    """
    uris = split_table.files(location, list_objects(location))
    return split_table.combined([split_table.parse(read_object(uri), str(uri)) for uri in uris], str(location))
