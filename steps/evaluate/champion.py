"""The champion: the latest approved version of the model, which a new one has to stand up to on the same photos."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steps.common import evaluation
from steps.common.errors import StepError
from steps.common.evaluation import Difference
from steps.common.predictor import Predictor
from steps.common.s3 import S3Uri, open_store
from steps.evaluate import metrics
from steps.evaluate.archive import ARCHIVE, unpack
from steps.evaluate.tally import Tally

log = logging.getLogger(__name__)

RESAMPLES = 2000
# Numbers drawn at a time, so that many classes do not take much memory.
DRAWN = 2_000_000
INTERVAL = (2.5, 97.5)  # percent


@dataclass(frozen=True)
class Champion:
    """A version of the model, ready to predict."""

    version: int
    package_arn: str
    predictor: Predictor


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
    return Champion(version, package["ModelPackageArn"], predictor)


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


def compare(champion: Champion, pairs: Tally) -> evaluation.Champion:
    """The champion beside this model, whose counts are the first answers in `pairs` as the champion's are the second.

    The difference is bootstrapped over photos, paired: each sample holds the same photos for both models.
    """
    rows, photos = pairs.cells()
    truth, ours, theirs = (rows[:, column].astype(np.float64) for column in range(3))
    terms = np.stack([truth == ours, truth == theirs, (truth - ours) ** 2, (truth - theirs) ** 2], axis=1).astype(float)
    drawn = _resample(photos, terms)
    whole = _differences((photos @ terms / photos.sum())[None, :])
    accuracy, rmse = (
        Difference(value=float(value), lower=float(lower), upper=float(upper))
        for value, (lower, upper) in zip(whole[0], np.percentile(drawn, INTERVAL, axis=0).T, strict=True)
    )
    return evaluation.Champion(
        version=champion.version,
        package_arn=champion.package_arn,
        score=metrics.score(pairs.confusion(1)),
        accuracy=accuracy,
        rmse=rmse,
    )


def _resample(photos: NDArray[np.int64], terms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Differences (RESAMPLES, 2) of samples with replacement, as many photos in each as there are.

    To draw photos and count their combinations is to draw the counts of the combinations: a multinomial.
    """
    rng = np.random.default_rng(0)
    total, at_a_time = int(photos.sum()), max(1, DRAWN // len(photos))
    results = []
    for start in range(0, RESAMPLES, at_a_time):
        drawn = rng.multinomial(total, photos / total, size=min(at_a_time, RESAMPLES - start))
        results.append(_differences(drawn @ terms / total))
    return np.concatenate(results)


def _differences(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Accuracy and RMSE, ours less theirs, (N, 2) from the means of `terms` (N, 4)."""
    return np.stack([means[:, 0] - means[:, 1], np.sqrt(means[:, 2]) - np.sqrt(means[:, 3])], axis=1)
