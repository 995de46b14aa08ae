"""The SQL of this step. Names and locations are validated before they are put into a statement, and quoted there.

Metadata files are pretty-printed, so the table over them needs the Ion SerDe: Ion is a superset of JSON, and its SerDe
is the only one of Athena's that does not expect one document per line.
https://docs.aws.amazon.com/athena/latest/ug/ion-serde.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from steps.aggregates.statements import Relations, capped
from steps.contracts.errors import StepError
from steps.contracts.exploration import MEASURES
from steps.contracts.photo_files import SEVERAL_PHOTOS, UNUSABLE_ID
from steps.contracts.s3_uri import S3Uri

ABOVE_MAXIMUM = "above-maximum"
_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,127}")
_WORKGROUP = re.compile(r"[A-Za-z0-9._-]{1,128}")
# The characters that are allowed between the quotes of a LOCATION.
_LOCATION = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*()=+,@:$&-]+)*/")

# Rows per Parquet file, and files per table: Athena opens at most 100 writers.
# https://docs.aws.amazon.com/athena/latest/ug/ctas-partitioning-and-bucketing-what-is-bucketing.html
ROWS_PER_FILE = 250_000
MOST_FILES = 100

# Numbers with a point are read as decimals, not as doubles: 2.5 is a decimal in Ion, and its SerDe fails the query if
# the column has another type. So a measure with an exponent (5e-05, a float in Ion) ends in the direct reader:
# docs/decisions/0043. Python writes a double below 1e-4 with an exponent, so that there are at most 20 digits after the
# point.
# https://github.com/amazon-ion/ion-hive-serde/blob/master/docs/type-mapping.md
_DECIMAL_MEASURES = ",".join(f"{name}:struct<unit:string,value:decimal(38,20)>" for name in MEASURES)
_RAW_COLUMNS = f"""bin_fcsku_data map<string,struct<asin:string,name:string,quantity:int,{_DECIMAL_MEASURES}>>,
  expected_quantity decimal(20,10),
  `group` string"""
_INVENTORY_COLUMNS = """image_id string,
  has_image boolean,
  has_metadata boolean,
  image_name string,
  usable_id boolean,
  image_etag string,
  image_bytes bigint"""
_MEASURES = ",".join(f"{name}:struct<unit:string,value:double>" for name in MEASURES)
_METADATA_COLUMNS = f"""image_id string,
  quantity double,
  quantity_kind string,
  items map<string,struct<asin:string,name:string,quantity:int,{_MEASURES}>>,
  bin_group string,
  path string"""


def database_name(value: str) -> str:
    """The Glue database's name, validated. Raises StepError."""
    if _IDENTIFIER.fullmatch(value) is None:
        raise StepError(f"--database {value!r}: use at most 128 lower-case letters, digits and underscores")
    return value


def workgroup_name(value: str) -> str:
    """The Athena work group's name, validated. Raises StepError."""
    if _WORKGROUP.fullmatch(value) is None:
        raise StepError(f"--workgroup {value!r}: use at most 128 letters, digits, '.', '_' and '-'")
    return value


def folder(uri: S3Uri) -> str:
    """The location of the objects below `uri`, as written in DDL. Raises StepError."""
    location = str(uri).rstrip("/") + "/"
    if _LOCATION.fullmatch(location) is None:
        raise StepError(
            f"{location!r} cannot be an Athena location: remove quotes, blanks, backslashes and empty folders"
        )
    return location


def bucket_count(rows: int) -> int:
    """Number of files of a table with `rows` rows."""
    return min(max(1, -(-rows // ROWS_PER_FILE)), MOST_FILES)


@dataclass(frozen=True)
class Table:
    """A table's name, validated; in double quotes for Trino's SQL, in backticks for Hive's DDL."""

    database: str
    name: str

    def __str__(self) -> str:
        return f'"{self.database}"."{self.name}"'

    @property
    def ddl(self) -> str:
        """The name in Hive's DDL."""
        return f"`{self.database}`.`{self.name}`"


class Tables(NamedTuple):
    """The tables of one run."""

    raw: Table
    """The metadata files."""
    inventory: Table
    """The ids in the listings of the two folders."""
    metadata: Table
    """The consolidated metadata."""
    labels: Table
    """The labelled photos."""

    @property
    def relations(self) -> Relations:
        """The tables of the aggregates."""
        return Relations(str(self.metadata), str(self.labels))


def tables_of(database: str, suffix: str) -> Tables:
    """The tables of the run in a database; `suffix` distinguishes runs that share it."""
    return Tables(*(Table(database, f"{kind}_{suffix}") for kind in Tables._fields))


def create_raw(tables: Tables, metadata: S3Uri) -> str:
    """The external table over the JSON files."""
    return _external(tables.raw, _RAW_COLUMNS, "ION", metadata)


def create_inventory(tables: Tables, location: S3Uri) -> str:
    """The external table over the inventory."""
    return _external(tables.inventory, _INVENTORY_COLUMNS, "PARQUET", location)


def create_metadata(tables: Tables, location: S3Uri) -> str:
    """The external table over consolidated metadata that this step wrote instead of Athena."""
    return _external(tables.metadata, _METADATA_COLUMNS, "PARQUET", location)


def _external(table: Table, columns: str, storage: str, location: S3Uri) -> str:
    return f"CREATE EXTERNAL TABLE {table.ddl} (\n  {columns}\n)\nSTORED AS {storage}\nLOCATION '{folder(location)}'"


def _parquet(location: S3Uri, files: int) -> str:
    """The properties of a CTAS with this number of files.

    With buckets, not partitions, the number of files does not depend on the workers: see docs/decisions/0005.
    """
    return (
        f"WITH (format = 'PARQUET', write_compression = 'SNAPPY', external_location = '{folder(location)}',\n"
        f"  bucketed_by = ARRAY['image_id'], bucket_count = {files:d})"
    )


def consolidate(tables: Tables, metadata: S3Uri, location: S3Uri, files: int) -> str:
    """Write the metadata files as `files` Parquet files at `location`.

    A file with several documents is left out: it is not one bin's metadata. Files in folders below `metadata` are left
    out too, because `1.json` and `more/1.json` would have the same id.
    """
    return f"""CREATE TABLE {tables.metadata}
{_parquet(location, files)} AS
SELECT image_id, quantity, quantity_kind, items, bin_group, path
FROM (
  SELECT
    regexp_extract("$path", '([^/]+)\\.json$', 1) AS image_id,
    CAST(expected_quantity AS double) AS quantity,
    CASE WHEN expected_quantity IS NULL THEN 'null' ELSE 'number' END AS quantity_kind,
    {_items()} AS items,
    nullif(trim("group"), '') AS bin_group,
    "$path" AS path,
    count(*) OVER (PARTITION BY "$path") AS documents
  FROM {tables.raw}
)
WHERE documents = 1 AND path = concat('{folder(metadata)}', image_id, '.json')"""  # noqa: S608


def _items() -> str:
    """The items with their measures as doubles: by way of text, which is the double that is next to the decimal."""
    values = [f"ROW(item.{name}.unit, CAST(CAST(item.{name}.value AS varchar) AS double))" for name in MEASURES]
    types = [f"{name} ROW(unit varchar, value double)" for name in MEASURES]
    item = f"ROW(item.asin, item.name, item.quantity, {', '.join(values)})"
    kind = f"ROW(asin varchar, name varchar, quantity integer, {', '.join(types)})"
    return f"""map(
      map_keys(bin_fcsku_data),
      transform(map_values(bin_fcsku_data), item -> CAST({item} AS {kind}))
    )"""


def _evaluated(tables: Tables) -> str:
    """Every listed id with its quantity, its items and, if it cannot be a label, the first reason that applies."""
    return f"""(
  SELECT
    listed.image_id AS image_id,
    document.quantity AS quantity,
    document.items AS items,
    document.bin_group AS bin_group,
    listed.image_name AS image_name,
    listed.image_etag AS image_etag,
    listed.image_bytes AS image_bytes,
    CASE
      WHEN NOT listed.usable_id THEN '{UNUSABLE_ID}'
      WHEN listed.has_image AND listed.image_name IS NULL THEN '{SEVERAL_PHOTOS}'
      WHEN NOT listed.has_metadata THEN 'image-without-metadata'
      WHEN NOT listed.has_image THEN 'metadata-without-image'
      WHEN document.image_id IS NULL THEN 'malformed-metadata'
      WHEN document.quantity_kind <> 'number' THEN concat(document.quantity_kind, '-quantity')
      WHEN document.quantity < 0 THEN 'negative-quantity'
      WHEN document.quantity <> floor(document.quantity) THEN 'fractional-quantity'
    END AS reason
  FROM {tables.inventory} AS listed
  LEFT JOIN {tables.metadata} AS document ON document.image_id = listed.image_id
)"""  # noqa: S608


def refused(tables: Tables, examples: int, maximum: int) -> str:
    """Per reason the number of ids that it refuses (`total`), and the first few of them.

    Photos of more than `maximum` objects could be labels, and are refused for that alone.
    """
    return f"""SELECT reason, image_id, total
FROM (
  SELECT
    reason,
    image_id,
    count(*) OVER (PARTITION BY reason) AS total,
    row_number() OVER (PARTITION BY reason ORDER BY image_id) AS place
  FROM (
    SELECT
      image_id,
      coalesce(reason, CASE WHEN quantity > {maximum:d} THEN '{ABOVE_MAXIMUM}' END) AS reason
    FROM {_evaluated(tables)} AS evaluated
  ) AS judged
  WHERE reason IS NOT NULL
) AS refused
WHERE place <= {examples:d}
ORDER BY reason, place"""  # noqa: S608


def null_quantities(tables: Tables) -> str:
    """The ids without a quantity: a SerDe reads a missing key and a null alike."""
    return f"SELECT image_id FROM {_evaluated(tables)} AS evaluated WHERE reason = 'null-quantity' ORDER BY 1"  # noqa: S608


def distribution(tables: Tables, largest: int) -> str:
    """Number of usable ids by quantity, also above the maximum.

    All quantities from `largest` on are one row, which limits the rows of the result.
    """
    quantity = capped("quantity", largest)
    return f"""SELECT CAST({quantity} AS bigint) AS quantity, count(*) AS photos
FROM {_evaluated(tables)} AS evaluated
WHERE reason IS NULL
GROUP BY {quantity}
ORDER BY 1"""  # noqa: S608


def write_labels(tables: Tables, location: S3Uri, files: int) -> str:
    """Write the labels (contract: steps/contracts/labels.py) at `location`; the parameter is the maximum quantity."""
    return f"""CREATE TABLE {tables.labels}
{_parquet(location, files)} AS
SELECT
  image_id,
  CAST(quantity AS integer) AS quantity,
  coalesce(
    array_sort(array_distinct(filter(transform(map_values(items), item -> item.asin), asin -> asin IS NOT NULL))),
    CAST(ARRAY[] AS array(varchar))
  ) AS asins,
  concat('bin-images/', image_name) AS image_key,
  image_etag,
  image_bytes,
  bin_group
FROM {_evaluated(tables)} AS evaluated
WHERE reason IS NULL AND quantity <= ?"""  # noqa: S608
