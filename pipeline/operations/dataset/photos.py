"""A raw photo by its id, for a person to look at or to send to the endpoint."""

from __future__ import annotations

from pipeline.aws.responses import exists
from pipeline.clients import client
from pipeline.settings import Settings
from steps.contracts import photo_files
from steps.contracts.errors import PipelineError
from steps.contracts.s3_uri import S3Uri

FOLDER = "bin-images"
JPEG_START = b"\xff\xd8\xff"


def find(settings: Settings, location: str, image_id: str) -> bytes | None:
    """The photo with this id below a run's image location; None where there is none (any more), or it is no id.

    Raises PipelineError for a file that is no JPEG, or larger than a photo of a run may be. Whether it can be decoded
    is for the viewer to see.
    """
    if not location or not photo_files.is_usable_id(image_id):
        return None
    folder = S3Uri.parse(location.rstrip("/")).join(FOLDER)
    s3 = client(settings, "s3")
    for name in photo_files.names(image_id):
        place = folder.join(name)
        answer = exists(s3.get_object, Bucket=place.bucket, Key=place.key)
        if answer is None:
            continue
        with answer["Body"] as body:
            if answer["ContentLength"] > photo_files.MAX_BYTES:
                raise PipelineError(f"{place} has more than {photo_files.MAX_BYTES:,} bytes, and is not shown")
            content = bytes(body.read())
        if not content.startswith(JPEG_START):
            raise PipelineError(f"{place} is no JPEG, and is not shown")
        return content
    return None
