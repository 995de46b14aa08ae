"""Whether the initial weights of a run exist, before the run begins: a trial would be the first to miss them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from pipeline.aws import errors as aws_errors
from pipeline.aws.responses import says_missing
from pipeline.clients import client
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from steps.contracts.imagenet_weights import architecture_of, file_for
from steps.contracts.s3_uri import S3Uri


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
    """Raise PipelineError where the trials of a definition would miss their initial weights, a line per file.

    With credentials that may not list the bucket of the weights nothing is refused; `check` reports that.
    """
    s3, problems = None, []
    for uri in files(definition):
        s3 = s3 or client(settings, "s3")
        try:
            is_there = exists(s3, S3Uri.parse(uri))
        except ClientError as error:
            if not aws_errors.has_code(error, aws_errors.DENIED):
                raise
            continue
        if not is_there:
            problems.append(f"{missing(settings, uri)}; without them each training fails")
    if problems:
        raise PipelineError("\n".join(problems))


def exists(s3: Any, place: S3Uri) -> bool:
    """Whether an object exists, by s3:ListBucket alone. Raises ClientError, but for a bucket that does not exist."""
    try:
        listing = s3.list_objects_v2(Bucket=place.bucket, Prefix=place.key, MaxKeys=1)
    except ClientError as error:
        if says_missing(error):
            return False
        raise
    return [entry["Key"] for entry in listing.get("Contents", [])] == [place.key]


def missing(settings: Settings, uri: str) -> str:
    """The sentence for initial weights that do not exist, with the remedy."""
    if not uri.startswith(f"{settings.published_weights_uri}/") or not (architecture := architecture_of(uri)):
        return f"training.weights: there is no object {uri}; upload it, or set another one"
    options = "" if uri in settings.imagenet_uris.values() else f" --architecture {architecture}"
    return f"training.weights: there is no object {uri}; put it there: python -m pipeline weights{options}"
