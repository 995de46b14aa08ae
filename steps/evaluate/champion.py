"""The champion: the latest approved version of the model. The new model, its challenger, counts the same photos."""

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
from steps.evaluate.artifact import ARCHIVE, unpack
from steps.evaluate.trials import sagemaker_client
from steps.evaluate.versions import same_artifact
from steps.model.predictor import Predictor
from steps.runtime.s3 import open_store, send

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChampionModel:
    """A registered version, loaded; `artifact` is the URI that it was registered with."""

    version: int
    package_arn: str
    predictor: Predictor
    artifact: str


def load_champion(group: str, folder: Path) -> ChampionModel | None:
    """The approved version with the highest number, its artifact below `folder`; None where none is approved.

    Raises StepError when the registry or the version's artifact cannot be read: the gate must not pass without the
    comparison that was asked for.
    """
    problem = f"the model package group {group} cannot be read for its champion"
    with sagemaker_client(problem, "ListModelPackages", "DescribeModelPackage") as sagemaker:
        package = _latest_approved(sagemaker, group)
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
    return ChampionModel(version, package["ModelPackageArn"], predictor, uri)


def _latest_approved(sagemaker: Any, group: str) -> dict[str, Any] | None:
    pages = sagemaker.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group, ModelApprovalStatus="Approved"
    )
    approved = [summary for page in pages for summary in page["ModelPackageSummaryList"]]
    if not approved:
        return None
    newest = max(approved, key=lambda summary: int(summary["ModelPackageVersion"]))
    package: dict[str, Any] = sagemaker.describe_model_package(ModelPackageName=newest["ModelPackageArn"])
    return package


def _fetch(uri: S3Uri, path: Path) -> None:
    """Stream an object to a file."""
    import obstore
    from obstore.exceptions import BaseError

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("wb") as file:
            store = open_store(uri.bucket)
            for chunk in send(lambda: obstore.get(store, uri.key)):
                file.write(chunk)
    except (BaseError, OSError) as error:
        raise StepError(f"{uri}: {str(error).splitlines()[0]}") from error


def compare(champion: ChampionModel, pairs: Tally, challenger: str) -> evaluation.Champion:
    """Paired comparison of the challenger, given by its artifact's URI, with the champion.

    `pairs` contains the challenger's counts as the first answers, then the champion's.
    """
    accuracy, rmse = bootstrap.differences(pairs)
    return evaluation.Champion(
        version=champion.version,
        package_arn=champion.package_arn,
        this_model=same_artifact(champion.artifact, challenger),
        score=metrics.score(pairs.confusion(1)),
        accuracy=accuracy,
        rmse=rmse,
    )
