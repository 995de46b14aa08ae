"""Compare what the endpoint saw lately with the baseline of its version: report, metrics, and a run if asked for."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steps.contracts.drift import FILE, REPORT, Drift, Feature
from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.monitor import alert, captures, serving
from steps.monitor.comparison import compare
from steps.monitor.report import write_report
from steps.monitor.serving import Served
from steps.monitor.settings import Settings
from steps.photos.jpeg import ImageError
from steps.photos.statistics import measure, read_baseline
from steps.runtime import container
from steps.runtime.s3 import open_store

log = logging.getLogger(__name__)

SEED = 1
# No earlier reason for a photo not to be used.
UNDECODABLE = "photo cannot be decoded"

Columns = dict[str, NDArray[Any]]


@dataclass
class Window:
    """What was seen: a sample of the photos as columns, and how many there were of which kind."""

    columns: Columns
    photos: int
    other_versions: int
    refused: Counter[str]


def run(settings: Settings) -> Drift:
    """Watch the window of the settings, into the output `report`.

    Raises StepError when there is no endpoint or baseline, and, once the report is written, when the metrics or the
    run that a drift starts cannot be sent off.
    """
    import boto3

    if settings.hours < 1 or not 0 < settings.level < 1 or settings.cooldown_days < 0:
        raise StepError(
            f"--hours is {settings.hours}, --level {settings.level} and --cooldown-days {settings.cooldown_days};"
            " want 1 or more, 0 to 1, and 0 or more"
        )
    sagemaker, cloudwatch = boto3.client("sagemaker"), boto3.client("cloudwatch")
    served = serving.find(sagemaker, settings.endpoint, settings.baseline)
    baseline = _fetch_baseline(served.baseline)
    window = look(settings, served.version)
    drift = judge(settings, served, baseline, window)
    output = container.processing_output("report")
    write_report(output / REPORT, drift, baseline, window.columns)
    (output / FILE).write_text(drift.model_dump_json(indent=1))
    log.info("%s: %s photos in %s hours; drifted: %s", drift.verdict, drift.photos, settings.hours, drift.drifted)
    try:
        alert.put_metrics(cloudwatch, settings.namespace, drift)
    finally:
        # An account that refuses metrics is no reason not to train.
        if drift.verdict == "drift" and settings.retrain:
            alert.retrain(sagemaker, settings.retrain, drift, settings.cooldown_days)
    return drift


def _fetch_baseline(uri: str) -> Columns:
    import obstore

    place = S3Uri.parse(uri)
    try:
        content = bytes(obstore.get(open_store(place.bucket), place.key).bytes())
    except FileNotFoundError:
        raise StepError(f"{uri}: the baseline is gone; give another one by --baseline") from None
    return read_baseline(content, uri)


def look(settings: Settings, version: str) -> Window:
    """Read the window: a random sample of at most `maximum_photos` is measured, whatever their number."""
    place = S3Uri.parse(settings.captures).join(settings.endpoint, settings.variant)
    chance = random.Random(SEED)  # noqa: S311
    refused: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    photos = other = 0
    for one in captures.read(place, settings.until, settings.hours, refused):
        if one.model_version != version:
            other += 1
            continue
        photos += 1
        # Vitter's algorithm R; a photo that does not fall into the sample is not decoded.
        spot = len(rows) if len(rows) < settings.maximum_photos else chance.randrange(photos)
        if spot >= settings.maximum_photos:
            continue
        try:
            measured = vars(measure(one.jpeg))
        except ImageError:
            refused[UNDECODABLE] += 1
            continue
        rows[spot : spot + 1] = [{"predicted": one.count, "confidence": one.confidence, **measured}]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}
    return Window(columns, photos, other, refused)


def judge(settings: Settings, served: Served, baseline: Mapping[str, NDArray[Any]], window: Window) -> Drift:
    """The verdict on a window."""
    compared = len(window.columns["predicted"]) if window.columns else 0
    features: list[Feature] = []
    if min(compared, len(baseline["predicted"])) >= settings.minimum_photos:
        found = compare(baseline, window.columns, level=settings.level, minimum_psi=settings.minimum_psi)
        features = [
            Feature(
                **asdict(one),
                baseline_mean=float(np.mean(baseline[one.name])),
                window_mean=float(np.mean(window.columns[one.name])),
            )
            for one in found
        ]
    drifted = any(one.drifted for one in features)
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
        minimum_photos=settings.minimum_photos,
        features=features,
    )
