"""The consolidated metadata contract: Parquet files, one row per metadata file, written by `steps/query`.

`steps/explore` reads them. An item's measures are as in its metadata file, value and unit: a value that is no finite
number and a unit that is no text are null, and so are both where the item has no such measure.
"""

from __future__ import annotations

import pyarrow as pa

from steps.contracts.exploration import MEASURES

MEASURE = pa.struct([("unit", pa.string()), ("value", pa.float64())])
ITEM = pa.struct(
    [("asin", pa.string()), ("name", pa.string()), ("quantity", pa.int32()), *((name, MEASURE) for name in MEASURES)]
)
# image_id is the file's name without .json. quantity_kind is the type of EXPECTED_QUANTITY, and quantity its value if
# it is `number`. items are null where the file has none, otherwise by their keys in the file; bin_group is the `group`
# of own metadata; path is the URI of the file.
SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string()),
        pa.field("quantity", pa.float64()),
        pa.field("quantity_kind", pa.string()),
        pa.field("items", pa.map_(pa.string(), ITEM)),
        pa.field("bin_group", pa.string()),
        pa.field("path", pa.string()),
    ]
)
