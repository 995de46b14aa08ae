"""What an AWS account gets from its bootstrap, made in the local cloud: the same stack, of the same template.

What an account has by other means comes with it: the bucket with the raw photos, which in AWS is somebody else's, and
the images.
"""

from __future__ import annotations

from pathlib import Path

from pipeline import ROOT
from pipeline.clients import client
from pipeline.compiling import step_images as images
from pipeline.connection import local_directory
from pipeline.local import cloud
from pipeline.local.machine.image_store import ImageRegistry
from pipeline.operations.account import bootstrap
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

# A change of a local stack takes milliseconds a resource.
POLL_SECONDS = 0.05


def start(settings: Settings, *, api_port: int = 0, s3_port: int = 0) -> cloud.Cloud:
    """Start the local cloud of the settings' account, or return the running one. Port 0 is the last, else the default.

    Raises PipelineError where it cannot start.
    """
    account = settings.account
    return cloud.up(local_directory(), account.id, account.region, api_port=api_port, s3_port=s3_port)


def prepare(settings: Settings) -> None:
    """Make what is missing, and bring up to date what is there. The environment points at the cloud.

    Raises PipelineError where the stack cannot be made.
    """
    try:
        bootstrap.bring_up_to_date(settings, POLL_SECONDS)
    except PipelineError as error:
        raise PipelineError(f"{error}. To start anew: python -m pipeline local reset") from error
    _raw_bucket(settings)
    publish_images(settings, local_directory())


def publish_images(settings: Settings, directory: Path) -> list[str]:
    """Publish the image of every step as its source stands now; gives the URIs."""
    store = ImageRegistry(directory / "images")
    published = images.step_images(settings)
    for image in published:
        store.publish(image.repository_name, image.tag, ROOT, images.source_files(image.step))
    return [image.uri for image in published]


def _raw_bucket(settings: Settings) -> None:
    s3 = client(settings, "s3")
    raw = settings.data.image_location.removeprefix("s3://").split("/")[0]
    if raw not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=raw)
