"""What the raw location holds: the ids of its photos and of its metadata files, from two listings."""

from __future__ import annotations

import io
from dataclasses import dataclass

import boto3
import pyarrow as pa
import pyarrow.parquet as pq

from steps.common.errors import StepError
from steps.common.s3 import S3Uri, list_objects
from steps.query.execution import service_errors

IMAGES = "bin-images"
METADATA = "metadata"
SCHEMA = pa.schema([("image_id", pa.string()), ("has_image", pa.bool_()), ("has_metadata", pa.bool_())])


@dataclass(frozen=True)
class Inventory:
    """Ids by folder. Half a million ids take about 50 MB a set."""

    images: frozenset[str]
    metadata: frozenset[str]

    def table(self) -> pa.Table:
        """Every id once, in order, with where it occurs."""
        ids = sorted(self.images | self.metadata)
        has_image = [image_id in self.images for image_id in ids]
        has_metadata = [image_id in self.metadata for image_id in ids]
        return pa.table([ids, has_image, has_metadata], schema=SCHEMA)


def take(location: S3Uri) -> Inventory:
    """List `bin-images/{id}.jpg` and `metadata/{id}.json` below the location.

    Raises StepError where the bucket cannot be listed or one of the folders holds nothing of the kind.
    """
    return Inventory(
        images=_ids(location, IMAGES, ".jpg"),
        metadata=_ids(location, METADATA, ".json"),
    )


def _ids(location: S3Uri, folder: str, suffix: str) -> frozenset[str]:
    inside = location.join(folder)
    prefix = f"{inside.key}/"
    with service_errors(f"listing {inside}/"):
        names = (key[len(prefix) :] for key, _ in list_objects(S3Uri(inside.bucket, prefix)))
        # Only files directly in the folder: what lies deeper is another layout, not another id.
        ids = frozenset(name[: -len(suffix)] for name in names if name.endswith(suffix) and "/" not in name)
    if not ids:
        raise StepError(f"no {folder}/*{suffix} below {location}; give the folder that holds {folder}/ as the location")
    return ids


def write(inventory: Inventory, folder: S3Uri) -> None:
    """The inventory as one Parquet file in `folder`, for joins."""
    buffer = io.BytesIO()
    pq.write_table(inventory.table(), buffer, compression="snappy")
    put(folder.join("inventory.parquet"), buffer.getvalue())


def put(uri: S3Uri, data: bytes) -> None:
    """Write one object."""
    with service_errors(f"writing {uri}"):
        boto3.client("s3").put_object(Bucket=uri.bucket, Key=uri.key, Body=data)
