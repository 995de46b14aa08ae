"""The release of a version: copies of its model and golden photos that nobody but these functions can write.

The job role writes models, and the author of a definition chooses what its jobs execute; SageMaker reads a model
whenever it starts an instance. So an approved model could be replaced behind its approval. The version notes the
SHA-256 digests of the objects that were evaluated; here the objects are read, compared with these, and copied in the
very version that was read. The endpoint serves the copies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steps.contracts.names import GOLDEN_FILE, GOLDEN_PHOTOS, GOLDEN_SHA256, MODEL_SHA256, PACKAGE_VARIABLE
from steps.deploy.events import Version
from steps.deploy.settings import Clients, Settings

ARCHIVE = "model.tar.gz"
CHUNK_BYTES = 1024 * 1024
# "You create a copy of your object up to 5 GB in size in a single atomic action using this API":
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
LARGEST_COPY = 5 * 1024**3


class ReleaseError(Exception):
    """The version cannot be released; the message names the object and what to do."""


class ChangedError(ReleaseError):
    """An object of the version has been changed or deleted since its registration."""


@dataclass(frozen=True)
class Release:
    """What a version serves: its image, the copy of its model, and the container's variables.

    `golden` is the URI of the copied golden photos; empty where the version has none.
    """

    image: str
    model: str
    environment: Mapping[str, str]
    golden: str


@dataclass(frozen=True)
class _Registered:
    """An object that a version names, the digest that it notes, and the place of the copy."""

    source: str
    sha256: str
    target: str


def describe(aws: Clients, settings: Settings, version: Version) -> Release:
    """The release of a version, by its registration. Raises ReleaseError where that notes no digest."""
    release, _ = _read(aws, settings, version)
    return release


def ensure(aws: Clients, settings: Settings, version: Version) -> Release:
    """Copy the version's objects unless they are copied already.

    Raises ChangedError where an object is not the registered one, and ReleaseError where the version notes no digest
    or an object is too large for a copy.
    """
    release, objects = _read(aws, settings, version)
    for registered in objects:
        if not _exists(aws.s3, registered.target):
            _copy(aws.s3, registered, version)
    return release


def _read(aws: Clients, settings: Settings, version: Version) -> tuple[Release, list[_Registered]]:
    package = aws.sagemaker.describe_model_package(ModelPackageName=version.arn)
    container = package["InferenceSpecification"]["Containers"][0]
    properties = package.get("CustomerMetadataProperties", {})
    model = _noted(properties, MODEL_SHA256, version)
    golden_uri = properties.get(GOLDEN_PHOTOS, "")
    golden = _noted(properties, GOLDEN_SHA256, version) if golden_uri else ""
    # By content: a group that is deleted and created again counts its versions from 1.
    identity = hashlib.sha256(f"{model}{golden}".encode()).hexdigest()[:16]
    folder = f"{settings.released_uri}/{version.number}-{identity}"
    objects = [_Registered(container["ModelDataUrl"], model, f"{folder}/{ARCHIVE}")]
    if golden_uri:
        objects.append(_Registered(golden_uri, golden, f"{folder}/{GOLDEN_FILE}"))
    own = {"MODEL_VERSION": str(version.number), PACKAGE_VARIABLE: version.arn}
    environment = {**container.get("Environment", {}), **own}
    golden_copy = objects[-1].target if golden_uri else ""
    return Release(container["Image"], objects[0].target, environment, golden_copy), objects


def _noted(properties: Mapping[str, str], name: str, version: Version) -> str:
    digest = properties.get(name, "")
    if len(digest) != hashlib.sha256().digest_size * 2:
        raise ReleaseError(
            f"version {version.number} notes no {name}, so that its objects cannot be compared with those that were"
            " evaluated; register the model again: python -m pipeline start -p RegisterAgain=yes"
        )
    return digest


def _exists(s3: Any, uri: str) -> bool:
    bucket, key = _place(uri)
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", [])
    return any(entry["Key"] == key for entry in listed)


def _copy(s3: Any, registered: _Registered, version: Version) -> None:
    """Read the object, compare its digest, and copy the version of it that was read."""
    from botocore.exceptions import ClientError

    bucket, key = _place(registered.source)
    try:
        answer = s3.get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("NoSuchKey", "NoSuchBucket"):
            raise
        raise ChangedError(f"{registered.source} of version {version.number} does not exist any more") from error
    if answer["ContentLength"] > LARGEST_COPY:
        answer["Body"].close()
        raise ReleaseError(
            f"{registered.source} of version {version.number} has {answer['ContentLength']:,} bytes, and S3 copies at"
            f" most {LARGEST_COPY:,} in one request; register a smaller model"
        )
    digest = hashlib.sha256()
    for chunk in answer["Body"].iter_chunks(CHUNK_BYTES):
        digest.update(chunk)
    if digest.hexdigest() != registered.sha256:
        raise ChangedError(
            f"{registered.source} was changed after the registration of version {version.number}: its SHA-256 is"
            f" {digest.hexdigest()}, and the version notes {registered.sha256}"
        )
    source = {"Bucket": bucket, "Key": key}
    if number := answer.get("VersionId"):
        source["VersionId"] = number
    target_bucket, target_key = _place(registered.target)
    s3.copy_object(Bucket=target_bucket, Key=target_key, CopySource=source, CopySourceIfMatch=answer["ETag"])


def _place(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
