"""What an AWS account gets from its bootstrap, made in the local cloud: the same stack, of the same template.

What an account has by other means comes with it: the bucket with the raw photos, which in AWS is somebody else's, and
the images.
"""

from __future__ import annotations

from pathlib import Path

from pipeline import images
from pipeline.errors import PipelineError
from pipeline.local import cloud
from pipeline.local.images import ImageRegistry
from pipeline.operations import bootstrap
from pipeline.session import client
from pipeline.settings import Settings

# A change of a local stack takes milliseconds a resource.
POLL_SECONDS = 0.05


def prepare(settings: Settings) -> None:
    """Make what is missing, and bring up to date what is there. The environment points at the cloud.

    Raises PipelineError where the stack cannot be made.
    """
    try:
        bootstrap.bring_up_to_date(settings, POLL_SECONDS)
    except PipelineError as error:
        raise PipelineError(f"{error}. To start anew: python -m pipeline local reset") from error
    _raw_bucket(settings)
    publish_images(settings, cloud.default_directory())


def publish_images(settings: Settings, directory: Path) -> list[str]:
    """Publish the image of every step as its source stands now; gives the URIs."""
    registry = ImageRegistry(directory / "images")
    return [registry.publish(image) for image in images.step_images(settings)]


def _raw_bucket(settings: Settings) -> None:
    s3 = client(settings, "s3")
    raw = settings.data.image_location.removeprefix("s3://").split("/")[0]
    if raw not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=raw)
