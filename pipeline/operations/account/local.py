"""An account in the local cloud: the same stack as in AWS, from the same template.

The bucket with the raw photos, which in AWS belongs to another account, and the images are added.
"""

from __future__ import annotations

from pathlib import Path

from pipeline import ROOT
from pipeline.clients import client
from pipeline.compiling import step_images as images
from pipeline.connection import local_directory
from pipeline.local import cloud, faults
from pipeline.local.machine.image_store import ImageRegistry
from pipeline.local.sagemaker import quotas
from pipeline.operations.account import bootstrap, people
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from steps.contracts.s3_uri import S3Uri

# A change of a local stack takes milliseconds per resource.
POLL_SECONDS = 0.05


def start(settings: Settings, *, api_port: int = 0, s3_port: int = 0, audit: bool = False) -> cloud.Cloud:
    """Start the local cloud of the settings' account, or return the running one. Raises PipelineError where it cannot.

    Port 0 is the last port, or else the default one. With `audit` requests that policies refuse are recorded only.
    """
    account = settings.account
    running = cloud.up(
        local_directory(),
        account.id,
        account.region,
        api_port=api_port,
        s3_port=s3_port,
        credential_seconds=settings.local.credential_seconds,
        audit=audit,
    )
    quotas.write(running.directory, settings.local.quotas)
    faults.follow_settings(running.directory, faults.Plan(**settings.local.faults.model_dump()))
    return running


def prepare(settings: Settings) -> None:
    """Create what is missing and update what exists; the environment has to point at the cloud.

    Two commands that start at once prepare it in turn. Raises PipelineError where the stack cannot be created.
    """
    with cloud.preparing(local_directory()):
        _prepare(settings)


def _prepare(settings: Settings) -> None:
    try:
        bootstrap.bring_up_to_date(settings, POLL_SECONDS)
    except PipelineError as error:
        raise PipelineError(f"{error}. To start from an empty cloud: python -m pipeline local reset") from error
    s3 = client(settings, "s3")
    raw = S3Uri.parse(settings.data.image_location).bucket
    if raw not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
        region = settings.account.region
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=raw, **place)
    people.ensure(settings)
    publish_images(settings, local_directory())


def publish_images(settings: Settings, directory: Path) -> list[str]:
    """Publish the image of every step from its present source; returns the URIs."""
    store = ImageRegistry(directory / "images")
    published = images.step_images(settings)
    for image in published:
        store.publish(image.repository_name, image.tag, ROOT, images.source_files(image.step, ROOT, image.image))
    return [image.uri for image in published]
