"""The SQL of this step. Names and locations are matched before they are put into a statement, and quoted there.

Metadata files are pretty-printed, so the table over them wants the Ion SerDe: Ion is a superset of JSON, and its SerDe
is the only one of Athena's that does not expect a document a line.
https://docs.aws.amazon.com/athena/latest/ug/ion-serde.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri

_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,127}")
_WORKGROUP = re.compile(r"[A-Za-z0-9._-]{1,128}")
# What may stand between the quotes of a LOCATION.
_LOCATION = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*()=+,@:$&-]+)*/")

# Rows of one Parquet file, and files of one table: Athena opens no more than 100 writers.
# https://docs.aws.amazon.com/athena/latest/ug/ctas-partitioning-and-bucketing-what-is-bucketing.html
ROWS_A_FILE = 250_000
MOST_FILES = 100

# Reads numbers with a point as decimals, not as doubles: to Ion, 2.5 is a decimal, and its SerDe fails the query where
# a column asks for another type. So the items' measures (mostly decimals, some, like 5e-05, floats) stay out.
# https://github.com/amazon-ion/ion-hive-serde/blob/master/docs/type-mapping.md
_RAW_COLUMNS = """bin_fcsku_data map<string,struct<asin:string,name:string,quantity:int>>,
  expected_quantity decimal(20,10)"""
_METADATA_COLUMNS = """image_id string,
  quantity double,
  quantity_kind string,
  items map<string,struct<asin:string,name:string,quantity:int>>,
  path string"""


def database_name(value: str) -> str:
    """The Glue database's name, matched. Raises StepError."""
    if _IDENTIFIER.fullmatch(value) is None:
        raise StepError(f"--database {value!r}: write lower-case letters, digits and underscores, 128 at most")
    return value


def workgroup_name(value: str) -> str:
    """The Athena work group's name, matched. Raises StepError."""
    if _WORKGROUP.fullmatch(value) is None:
        raise StepError(f"--workgroup {value!r}: write letters, digits, '.', '_' and '-', 128 at most")
    return value


def folder(uri: S3Uri) -> str:
    """The location of all that lies below `uri`, as it stands in DDL. Raises StepError."""
    location = str(uri).rstrip("/") + "/"
    if _LOCATION.fullmatch(location) is None:
        raise StepError(f"{location!r} cannot be an Athena location: no quotes, blanks, backslashes or empty folders")
    return location


def bucket_count(rows: int) -> int:
    """How many files a table of `rows` rows gets."""
    return min(max(1, -(-rows // ROWS_A_FILE)), MOST_FILES)


@dataclass(frozen=True)
class Table:
    """A table's name, matched; Trino's SQL wants it in double quotes, Hive's DDL in backticks."""

    database: str
    name: str

    def __str__(self) -> str:
        return f'"{self.database}"."{self.name}"'

    @property
    def ddl(self) -> str:
        """The name in Hive's DDL."""
        return f"`{self.database}`.`{self.name}`"


@dataclass(frozen=True)
class Tables:
    """This run's tables: `suffix` keeps two runs apart that share a database."""

    database: str
    suffix: str

    @property
    def raw(self) -> Table:
        """The metadata files as they are."""
        return self._table("raw")

    @property
    def inventory(self) -> Table:
        """The ids that the two folders list."""
        return self._table("inventory")

    @property
    def metadata(self) -> Table:
        """The consolidated metadata."""
        return self._table("metadata")

    @property
    def labels(self) -> Table:
        """The labelled photos."""
        return self._table("labels")

    @property
    def all(self) -> tuple[Table, ...]:
        """Every table, for dropping."""
        return (self.raw, self.inventory, self.metadata, self.labels)

    def _table(self, kind: str) -> Table:
        return Table(self.database, f"{kind}_{self.suffix}")


def create_raw(tables: Tables, metadata: S3Uri) -> str:
    """The external table over the JSON files."""
    return (
        f"CREATE EXTERNAL TABLE {tables.raw.ddl} (\n  {_RAW_COLUMNS}\n)\nSTORED AS ION\nLOCATION '{folder(metadata)}'"
    )


def create_inventory(tables: Tables, location: S3Uri) -> str:
    """The external table over the listing of both folders."""
    return (
        f"CREATE EXTERNAL TABLE {tables.inventory.ddl} (\n"
        "  image_id string,\n  has_image boolean,\n  has_metadata boolean,\n"
        "  image_etag string,\n  image_bytes bigint\n)\n"
        f"STORED AS PARQUET\nLOCATION '{folder(location)}'"
    )


def create_metadata(tables: Tables, location: S3Uri) -> str:
    """The external table over consolidated metadata that was not written by Athena."""
    return (
        f"CREATE EXTERNAL TABLE {tables.metadata.ddl} (\n  {_METADATA_COLUMNS}\n)\n"
        f"STORED AS PARQUET\nLOCATION '{folder(location)}'"
    )


def _parquet(location: S3Uri, files: int) -> str:
    """The properties of a CTAS of so many files.

    Buckets, not partitions, make the number of files ours instead of the workers': see docs/decisions/0005.
    """
    return (
        f"WITH (format = 'PARQUET', write_compression = 'SNAPPY', external_location = '{folder(location)}',\n"
        f"  bucketed_by = ARRAY['image_id'], bucket_count = {files:d})"
    )


def consolidate(tables: Tables, metadata: S3Uri, location: S3Uri, files: int) -> str:
    """Many small JSON files -> `files` Parquet files at `location`.

    A file with several documents is left out: it is not one bin's metadata. So is what does not lie directly in the
    folder, as `1.json` and `more/1.json` would be one id.
    """
    return f"""CREATE TABLE {tables.metadata}
{_parquet(location, files)} AS
SELECT image_id, quantity, quantity_kind, items, path
FROM (
  SELECT
    regexp_extract("$path", '([^/]+)\\.json$', 1) AS image_id,
    CAST(expected_quantity AS double) AS quantity,
    CASE WHEN expected_quantity IS NULL THEN 'null' ELSE 'number' END AS quantity_kind,
    bin_fcsku_data AS items,
    "$path" AS path,
    count(*) OVER (PARTITION BY "$path") AS documents
  FROM {tables.raw}
)
WHERE documents = 1 AND path = concat('{folder(metadata)}', image_id, '.json')"""  # noqa: S608


def _judged(tables: Tables) -> str:
    """Every listed id with its quantity, its items and, where it cannot be a label, the first reason that holds.

    An id is a photo's file name and a WebDataset key, where a point would end the key.
    """
    return f"""(
  SELECT
    listed.image_id AS image_id,
    known.quantity AS quantity,
    known.items AS items,
    listed.image_etag AS image_etag,
    listed.image_bytes AS image_bytes,
    CASE
      WHEN NOT regexp_like(listed.image_id, '^[A-Za-z0-9_-]+$') THEN 'unusable-id'
      WHEN NOT listed.has_metadata THEN 'image-without-metadata'
      WHEN NOT listed.has_image THEN 'metadata-without-image'
      WHEN known.image_id IS NULL THEN 'malformed-metadata'
      WHEN known.quantity_kind <> 'number' THEN concat(known.quantity_kind, '-quantity')
      WHEN known.quantity < 0 THEN 'negative-quantity'
      WHEN known.quantity <> floor(known.quantity) THEN 'fractional-quantity'
    END AS reason
  FROM {tables.inventory} AS listed
  LEFT JOIN {tables.metadata} AS known ON known.image_id = listed.image_id
)"""  # noqa: S608


def refused(tables: Tables, examples: int) -> str:
    """For each reason how many ids it refuses (`total`), and the first few of them."""
    return f"""SELECT reason, image_id, total
FROM (
  SELECT
    reason,
    image_id,
    count(*) OVER (PARTITION BY reason) AS total,
    row_number() OVER (PARTITION BY reason ORDER BY image_id) AS place
  FROM {_judged(tables)} AS judged
  WHERE reason IS NOT NULL
) AS refused
WHERE place <= {examples:d}
ORDER BY reason, place"""  # noqa: S608


def null_quantities(tables: Tables) -> str:
    """The ids without a quantity: to a SerDe a key that is absent and a null are one."""
    return f"SELECT image_id FROM {_judged(tables)} AS judged WHERE reason = 'null-quantity' ORDER BY 1"  # noqa: S608


def distribution(tables: Tables, largest: int) -> str:
    """How many ids that can be labels there are of each quantity, above the maximum too.

    `largest` and all above is one, so that the answer has no more rows.
    """
    capped = _capped("quantity", largest)
    return f"""SELECT CAST({capped} AS bigint) AS quantity, count(*) AS photos
FROM {_judged(tables)} AS judged
WHERE reason IS NULL
GROUP BY {capped}
ORDER BY 1"""  # noqa: S608


def _capped(value: str, most: int) -> str:
    # Not least(): of a NULL and a number it is NULL to Trino and the number to other engines.
    return f"CASE WHEN {value} > {most:d} THEN {most:d} ELSE {value} END"


def write_labels(tables: Tables, location: S3Uri, files: int) -> str:
    """The labels (contract: steps/contracts/labels.py) at `location`; its one parameter is the maximum quantity."""
    return f"""CREATE TABLE {tables.labels}
{_parquet(location, files)} AS
SELECT
  image_id,
  CAST(quantity AS integer) AS quantity,
  coalesce(
    array_sort(array_distinct(filter(transform(map_values(items), item -> item.asin), asin -> asin IS NOT NULL))),
    CAST(ARRAY[] AS array(varchar))
  ) AS asins,
  concat('bin-images/', image_id, '.jpg') AS image_key,
  image_etag,
  image_bytes
FROM {_judged(tables)} AS judged
WHERE reason IS NULL AND quantity <= ?"""  # noqa: S608


def items_per_bin(tables: Tables, most: int) -> str:
    """How many labelled photos show so many different items; `most` and more is one."""
    capped = _capped("cardinality(asins)", most)
    return f"""SELECT {capped} AS number, count(*) AS total
FROM {tables.labels}
GROUP BY {capped}
ORDER BY 1"""  # noqa: S608


def units_per_item(tables: Tables, most: int) -> str:
    """How many times an item is in a labelled bin so many times; `most` and more is one, NULL is unknown."""
    capped = _capped("units", most)
    return f"""SELECT {capped} AS number, count(*) AS total
FROM (
  SELECT transform(map_values(known.items), item -> item.quantity) AS quantities
  FROM {tables.labels} AS labelled
  JOIN {tables.metadata} AS known ON known.image_id = labelled.image_id
) AS bins
CROSS JOIN UNNEST(quantities) AS item(units)
GROUP BY {capped}
ORDER BY 1"""  # noqa: S608


def photos_per_item(tables: Tables, most: int) -> str:
    """How many items are shown by so many labelled photos; `most` and more is one."""
    capped = _capped("photos", most)
    return f"""SELECT {capped} AS number, count(*) AS total
FROM (
  SELECT asin, count(*) AS photos
  FROM {tables.labels}
  CROSS JOIN UNNEST(asins) AS item(asin)
  GROUP BY asin
) AS shown
GROUP BY {capped}
ORDER BY 1"""  # noqa: S608
