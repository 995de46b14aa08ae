"""The champion: the latest approved version of the model, which a new one has to stand up to on the same photos."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steps.contracts import evaluation
from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.contracts.statistics import paired_bootstrap as bootstrap
from steps.contracts.statistics.tally import Tally
from steps.evaluate import metrics
from steps.evaluate.archive import ARCHIVE, unpack
from steps.evaluate.versions import same_artifact
from steps.model.predictor import Predictor
from steps.runtime.s3 import open_store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Champion:
    """A version of the model, ready to predict; `artifact` is the URI that it was registered with."""

    version: int
    package_arn: str
    predictor: Predictor
    artifact: str


def find(group: str, folder: Path) -> Champion | None:
    """The approved version with the highest number, its artifact below `folder`; None where none is approved.

    Raises StepError when the registry does not answer, or the version's artifact cannot be had or used: a gate that
    should compare must not pass because it could not.
    """
    from boto3 import client
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        package = _latest_approved(client("sagemaker"), group)
    except (BotoCoreError, ClientError) as error:
        raise StepError(
            f"the model package group {group} cannot be read for its champion: {error}; "
            "allow the job's role sagemaker:ListModelPackages and sagemaker:DescribeModelPackage"
        ) from error
    if package is None:
        return None
    version = int(package["ModelPackageVersion"])
    log.info("champion: version %s of %s", version, group)
    uri = package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"]
    try:
        _fetch(S3Uri.parse(uri), folder / ARCHIVE)
        predictor = Predictor.load(unpack(folder))
    except StepError as error:
        raise StepError(
            f"the champion, version {version} of {group}, cannot be evaluated: {error}; restore {uri} or reject that "
            "version"
        ) from error
    return Champion(version, package["ModelPackageArn"], predictor, uri)


def _latest_approved(sagemaker: Any, group: str) -> dict[str, Any] | None:
    pages = sagemaker.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group, ModelApprovalStatus="Approved"
    )
    found = [one for page in pages for one in page["ModelPackageSummaryList"]]
    if not found:
        return None
    newest = max(found, key=lambda one: int(one["ModelPackageVersion"]))
    package: dict[str, Any] = sagemaker.describe_model_package(ModelPackageName=newest["ModelPackageArn"])
    return package


def _fetch(uri: S3Uri, path: Path) -> None:
    """Stream an object to a file."""
    from obstore.exceptions import BaseError

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("wb") as file:
            for chunk in open_store(uri.bucket).get(uri.key):
                file.write(chunk)
    except (BaseError, OSError) as error:
        raise StepError(f"{uri}: {str(error).splitlines()[0]}") from error


def compare(champion: Champion, pairs: Tally, model: str) -> evaluation.Champion:
    """The champion beside this model, whose artifact's URI is `model`.

    `pairs` holds this model's counts as the first answers, then the champion's.
    """
    accuracy, rmse = bootstrap.differences(pairs)
    return evaluation.Champion(
        version=champion.version,
        package_arn=champion.package_arn,
        this_model=same_artifact(champion.artifact, model),
        score=metrics.score(pairs.confusion(1)),
        accuracy=accuracy,
        rmse=rmse,
    )
