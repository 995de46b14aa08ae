"""Compare the latest photos and answers of an endpoint with its version's baseline: report, metrics, retraining."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steps.contracts.drift import FILE, REPORT, Drift, Feature, Truth
from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.monitor import alert, captures, serving, truth
from steps.monitor.comparison import FeatureComparison, binned, compare
from steps.monitor.report import write_report
from steps.monitor.serving import ServedVersion
from steps.monitor.settings import Settings
from steps.photos.jpeg import ImageError
from steps.photos.statistics import SURE, Levels, measure, read_baseline, read_levels
from steps.runtime import container
from steps.runtime.s3 import open_store, send

log = logging.getLogger(__name__)

SEED = 1
UNDECODABLE = "photo cannot be decoded"

Columns = dict[str, NDArray[Any]]


@dataclass
class Window:
    """The photos of the window: a sample as columns, the number of all, and of those that are not compared.

    `sure_share` is the share of sure answers among all photos; None where answers are without `sure`.
    """

    columns: Columns
    photos: int
    other_versions: int
    refused: Counter[str]
    sure_share: float | None = None


def run(settings: Settings) -> Drift:
    """Compare the window of the settings with the baseline, and an earlier one with true counts, into `report`.

    Raises StepError if the endpoint or the baseline is missing and, after the report is written, if the pipeline cannot
    be started or the true counts cannot be read; ClientError if CloudWatch refuses the metrics.
    """
    import boto3

    sagemaker, cloudwatch = boto3.client("sagemaker"), boto3.client("cloudwatch")
    served = serving.find(sagemaker, settings.endpoint, settings.baseline)
    baseline, levels = _fetch_baseline(served.baseline)
    window = read_window(settings, served.version)
    true_counts, unreadable = _true_counts(settings, served.version, levels)
    drift = evaluate(settings, served, baseline, window, true_counts)
    output = container.processing_output("report")
    write_report(output / REPORT, drift, baseline, window.columns, str(unreadable or ""))
    (output / FILE).write_text(drift.model_dump_json(indent=1))
    drifted = ", ".join(drift.drifted) or "none"
    log.info("%s: %s photos in %s hours; drifted: %s", drift.verdict, drift.photos, settings.hours, drifted)
    try:
        alert.put_metrics(cloudwatch, settings.namespace, drift)
    finally:
        # The retraining does not depend on the metrics.
        if drift.verdict == "drift" and settings.retrain:
            alert.retrain(sagemaker, settings.retrain, drift, settings.cooldown_days)
    if unreadable:
        raise unreadable
    return drift


def _true_counts(settings: Settings, version: str, levels: Levels | None) -> tuple[Truth | None, StepError | None]:
    """The comparison with true counts, or the error in it: a wrong table must not hide a drift."""
    if not settings.truth:
        return None, None
    try:
        return truth.measure(settings, version, levels), None
    except StepError as error:
        return None, error


def _fetch_baseline(uri: str) -> tuple[Columns, Levels | None]:
    import obstore

    place = S3Uri.parse(uri)
    try:
        store = open_store(place.bucket)
        content = bytes(send(lambda: obstore.get(store, place.key).bytes()))
    except FileNotFoundError:
        raise StepError(f"{uri}: the baseline is missing; set --baseline to another one") from None
    return read_baseline(content, uri), read_levels(content, uri)


def read_window(settings: Settings, version: str) -> Window:
    """Read the captures of the window, and measure a random sample of at most `maximum_photos`."""
    folder = S3Uri.parse(settings.captures).join(settings.endpoint, settings.variant)
    generator = random.Random(SEED)  # noqa: S311
    refused: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    photos = other_versions = 0
    sure: Counter[bool | None] = Counter()
    for photo in captures.read(folder, settings.until, settings.hours, refused):
        answer = photo.answer
        if answer.model_version != version:
            other_versions += 1
            continue
        photos += 1
        sure[answer.sure] += 1
        # Vitter's algorithm R; a photo outside the sample is not decoded.
        place = len(rows) if len(rows) < settings.maximum_photos else generator.randrange(photos)
        if place >= settings.maximum_photos:
            continue
        try:
            measured = vars(measure(photo.jpeg))
        except ImageError:
            refused[UNDECODABLE] += 1
            continue
        answered = {"predicted": answer.count, "confidence": answer.confidence, SURE: answer.sure}
        rows[place : place + 1] = [{**answered, **measured}]
    return Window(_columns(rows), photos, other_versions, refused, _sure_share(sure))


def _columns(rows: Sequence[Mapping[str, Any]]) -> Columns:
    """The rows as columns; without `sure` where an answer is."""
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}
    if columns and any(row[SURE] is None for row in rows):
        del columns[SURE]
    elif columns:
        columns[SURE] = columns[SURE].astype(np.int8)
    return columns


def _sure_share(sure: Mapping[bool | None, int]) -> float | None:
    """The share of sure answers, by the numbers of answers; None without answers, and where one is without `sure`."""
    answers = sure.get(True, 0) + sure.get(False, 0)
    return sure.get(True, 0) / answers if answers and not sure.get(None, 0) else None


def evaluate(
    settings: Settings,
    served: ServedVersion,
    baseline: Mapping[str, NDArray[Any]],
    window: Window,
    true_counts: Truth | None = None,
) -> Drift:
    """The comparison of a window with the baseline, with that of an earlier one with true counts."""
    compared = len(window.columns["predicted"]) if window.columns else 0
    features: list[Feature] = []
    if min(compared, len(baseline["predicted"])) >= settings.minimum_photos:
        features = [
            _feature(feature, baseline[feature.name], window.columns[feature.name])
            for feature in compare(
                baseline,
                window.columns,
                level=settings.level,
                minimum_psi=settings.minimum_psi,
                minimum_tail=settings.minimum_tail,
            )
        ]
    drifted = any(feature.drifted for feature in features)
    return Drift(
        verdict="too-few" if not features else "drift" if drifted else "ok",
        endpoint=settings.endpoint,
        model_version=served.version,
        since=settings.until - timedelta(hours=settings.hours),
        until=settings.until,
        photos=window.photos,
        compared=compared,
        baseline_photos=len(baseline["predicted"]),
        baseline=served.baseline,
        other_versions=window.other_versions,
        refused=dict(window.refused),
        level=settings.level,
        minimum_psi=settings.minimum_psi,
        minimum_tail=settings.minimum_tail,
        minimum_photos=settings.minimum_photos,
        features=features,
        sure_share=window.sure_share,
        truth=true_counts,
    )


def _feature(compared: FeatureComparison, baseline: NDArray[Any], window: NDArray[Any]) -> Feature:
    bins = binned(compared.name, baseline, window)
    return Feature.model_validate({**asdict(compared), **_spans(baseline, window), "bins": bins})


def _spans(baseline: NDArray[Any], window: NDArray[Any]) -> dict[str, float]:
    """Mean, smallest and largest value of both samples, by the names of the contract."""
    return {
        f"{sample}_{value}": float(function(numbers))
        for sample, numbers in (("baseline", baseline), ("window", window))
        for value, function in (("mean", np.mean), ("smallest", np.min), ("largest", np.max))
    }
