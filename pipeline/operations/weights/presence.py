"""Whether the initial weights of a run exist, before the run begins: a trial would be the first to miss them.

Published weights have their published size, too: trials compare the digest, but only after query and shards are paid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from pipeline.aws import errors as aws_errors
from pipeline.aws.responses import says_missing
from pipeline.clients import client
from pipeline.operations.weights.download import has_size
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from steps.contracts.imagenet_files import PublishedFile
from steps.contracts.imagenet_weights import architecture_of, file_for, published_at
from steps.contracts.s3_uri import S3Uri
from steps.contracts.wording import count_of


def files(definition: Mapping[str, Any]) -> Iterator[str]:
    """URIs of the initial weights that the trials of a definition read; none for random weights."""
    for step in definition.get("Steps", []):
        trial = step.get("Arguments", {}).get("TrainingJobDefinition", {})
        if uri := trial.get("StaticHyperParameters", {}).get("weights"):
            yield from sorted({file_for(uri, name) for name in _architectures(step["Arguments"])})


def _architectures(request: Mapping[str, Any]) -> list[str]:
    trial = request["TrainingJobDefinition"]
    ranges = [request.get("HyperParameterTuningJobConfig", {}).get("ParameterRanges", {})]
    ranges.append(trial.get("HyperParameterRanges", {}))
    for each in ranges:
        for choices in each.get("CategoricalParameterRanges", []):
            if choices["Name"] == "architecture":
                # The SDK writes the values of a category as JSON.
                return [str(value).strip('"') for value in choices["Values"]]
    return [str(trial["StaticHyperParameters"]["architecture"])]


def refuse_missing(settings: Settings, definition: Mapping[str, Any]) -> None:
    """Raise PipelineError where the trials of a definition would miss their initial weights or read other ones.

    The error has a line per file. With credentials that may not list the bucket of the weights nothing is refused;
    `check` reports that.
    """
    s3, problems = None, []
    for uri in files(definition):
        s3 = s3 or client(settings, "s3")
        try:
            reason = problem(s3, settings, uri)
        except ClientError as error:
            if not aws_errors.has_code(error, aws_errors.DENIED):
                raise
            continue
        if reason:
            problems.append(f"{reason}; without them each training fails")
    if problems:
        raise PipelineError("\n".join(problems))


def problem(s3: Any, settings: Settings, uri: str) -> str:
    """Why trials cannot read initial weights, with the remedy; empty where they can. Raises as `size_of`."""
    size, published = size_of(s3, S3Uri.parse(uri)), published_at(uri)
    if size is None:
        return _missing(settings, uri)
    return _of_another_size(settings, uri, published, size) if published and not has_size(published, size) else ""


def size_of(s3: Any, place: S3Uri) -> int | None:
    """The bytes of an object by s3:ListBucket alone; None where it, or its bucket, does not exist.

    Raises ClientError for other refusals.
    """
    try:
        listing = s3.list_objects_v2(Bucket=place.bucket, Prefix=place.key, MaxKeys=1)
    except ClientError as error:
        if says_missing(error):
            return None
        raise
    return next((entry["Size"] for entry in listing.get("Contents", []) if entry["Key"] == place.key), None)


def _missing(settings: Settings, uri: str) -> str:
    command = _command(settings, uri)
    remedy = f"put it there: {command}" if command else "upload it, or set another one"
    return f"training.weights: there is no object {uri}; {remedy}"


def _of_another_size(settings: Settings, uri: str, published: PublishedFile, size: int) -> str:
    """The sentence for an object that is not the published file, by its size."""
    command = _command(settings, uri)
    remedy = f"replace it: {command}" if command else "upload the published file there, or set another one"
    return (
        f"training.weights: {uri} has {count_of(size, 'byte')}, and torchvision's file about"
        f" {published.mebibytes * 2**20 / 1e6:,.1f} MB; {remedy}"
    )


def _command(settings: Settings, uri: str) -> str:
    """The command that puts an object there; empty for a place that it does not write to."""
    if not uri.startswith(f"{settings.published_weights_uri}/") or not (architecture := architecture_of(uri)):
        return ""
    options = "" if uri in settings.imagenet_uris.values() else f" --architecture {architecture}"
    return f"python -m pipeline weights{options}"
