"""Metadata read without Athena: for when its SerDe gives up on a file, which fails the query over all of them.

The consolidated Parquet is the same, but for what the SerDe cannot say: which file is malformed, and what a quantity
is that is not a number.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from steps.common.errors import StepError
from steps.common.s3 import S3Uri, open_store
from steps.query.inventory import put

log = logging.getLogger(__name__)

# Small files are a matter of requests in flight: 64 is where the rate stops to grow.
IN_FLIGHT = 64
# Files held in memory at once, and rows of one Parquet file.
CHUNK = 2_048
ROWS_A_FILE = 65_536

SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string()),
        pa.field("quantity", pa.float64()),
        pa.field("quantity_kind", pa.string()),
        pa.field(
            "items",
            pa.map_(
                pa.string(),
                pa.struct([("asin", pa.string()), ("name", pa.string()), ("quantity", pa.int32())]),
            ),
        ),
        pa.field("path", pa.string()),
    ]
)


class MalformedError(Exception):
    """Not a metadata document."""


@dataclass(frozen=True)
class Metadata:
    """One bin's metadata. `kind` says what EXPECTED_QUANTITY is: `number`, or why it is none."""

    quantity: float | None
    kind: str
    items: list[tuple[str, dict[str, Any]]] | None


def parse(data: bytes) -> Metadata:
    """Read one metadata file. Keys match without regard to case, as in the SerDe. Raises MalformedError."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedError(str(error)) from error
    if not isinstance(document, dict):
        raise MalformedError("not a JSON object")
    fields = {key.lower(): value for key, value in document.items()}
    kind = quantity_kind(fields["expected_quantity"]) if "expected_quantity" in fields else "missing"
    quantity = float(fields["expected_quantity"]) if kind == "number" else None
    return Metadata(quantity, kind, _items(fields.get("bin_fcsku_data")))


def quantity_kind(value: object) -> str:
    """`number` for a finite number, else what the value is instead."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case int() | float():
            try:
                return "number" if math.isfinite(value) else "nan"
            except OverflowError:
                return "nan"
    return "composite"


def _items(value: object) -> list[tuple[str, dict[str, Any]]] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not all(isinstance(item, dict | None) for item in value.values()):
        raise MalformedError("BIN_FCSKU_DATA is not an object of objects")
    return [(key, _item(item or {})) for key, item in value.items()]


def _item(item: dict[str, Any]) -> dict[str, Any]:
    fields = {key.lower(): value for key, value in item.items()}
    quantity = fields.get("quantity")
    return {
        "asin": fields["asin"] if isinstance(fields.get("asin"), str) else None,
        "name": fields["name"] if isinstance(fields.get("name"), str) else None,
        "quantity": quantity if type(quantity) is int and abs(quantity) < 2**31 else None,
    }


def read(folder: S3Uri, ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """(id, bytes) of `folder`/{id}.json, in the order given, CHUNK files in memory at a time.

    Raises StepError where a file cannot be read (after the client's own retries).
    """
    remaining = iter(ids)
    while chunk := list(itertools.islice(remaining, CHUNK)):
        yield from zip(chunk, asyncio.run(_fetch(folder, chunk)), strict=True)


async def _fetch(folder: S3Uri, ids: list[str]) -> list[bytes]:
    import obstore

    store = open_store(folder.bucket)
    in_flight = asyncio.Semaphore(IN_FLIGHT)

    async def fetch(image_id: str) -> bytes:
        uri = folder.join(f"{image_id}.json")
        async with in_flight:
            try:
                response = await obstore.get_async(store, uri.key)
                return bytes(await response.bytes_async())
            except Exception as error:
                raise StepError(f"{uri} cannot be read: {error}") from error

    return list(await asyncio.gather(*[fetch(image_id) for image_id in ids]))


def consolidate(folder: S3Uri, ids: Iterable[str], output: S3Uri) -> list[str]:
    """Write all that can be read as Parquet files below `output`; gives the ids of malformed files.

    A malformed file is named in the log.
    """
    malformed: list[str] = []
    rows = _rows(folder, ids, malformed)
    for number in itertools.count():
        batch = list(itertools.islice(rows, ROWS_A_FILE))
        if not batch and number:
            break
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(batch, schema=SCHEMA), buffer, compression="snappy")
        put(output.join(f"part-{number:05d}.parquet"), buffer.getvalue())
        if len(batch) < ROWS_A_FILE:
            break
    return malformed


def _rows(folder: S3Uri, ids: Iterable[str], malformed: list[str]) -> Iterator[dict[str, Any]]:
    for image_id, data in read(folder, ids):
        try:
            metadata = parse(data)
        except MalformedError as error:
            log.warning("%s is malformed: %s", folder.join(f"{image_id}.json"), error)
            malformed.append(image_id)
            continue
        yield {
            "image_id": image_id,
            "quantity": metadata.quantity,
            "quantity_kind": metadata.kind,
            "items": metadata.items,
            "path": str(folder.join(f"{image_id}.json")),
        }
