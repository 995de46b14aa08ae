"""Versions in a registry with the evaluation and the predictions that the evaluate step would leave for them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.settings import Settings
from steps.contracts import evaluation
from steps.contracts.evaluation import FILE, PREDICTIONS, PREDICTIONS_SCHEMA
from steps.contracts.statistics import paired_bootstrap as bootstrap
from steps.contracts.statistics.tally import Confusion, Tally
from steps.evaluate import metrics

CLASSES = range(6)
NEW = evaluation.Registration(wanted=1, version=None, package_arn="", status="", reason="no version is the same")


def judged(
    truth: Sequence[int],
    counts: Sequence[int],
    *,
    sha256: str = "a" * 64,
    split: str = "grouped",
    champion: tuple[int, Sequence[int]] | None = None,
    registration: evaluation.Registration = NEW,
) -> evaluation.Evaluation:
    """The evaluation of a model that made these counts; `champion` is a version and what it counted."""
    confusion = Confusion.of(np.array(truth), np.array(counts))
    score = metrics.score(confusion)
    beside = None
    if champion is not None:
        version, theirs = champion
        pairs = Tally()
        pairs.add(np.array(truth), np.array(counts), np.array(theirs))
        accuracy, rmse = bootstrap.differences(pairs)
        their_score = metrics.score(pairs.confusion(1))
        beside = evaluation.Champion(
            version=version,
            package_arn="arn",
            this_model=False,
            score=their_score,
            accuracy=accuracy,
            rmse=rmse,
        )
    return evaluation.Evaluation(
        dataset=evaluation.Dataset(item_count=len(truth), sha256=sha256, split=split, same_bin=0, rejected=0),
        multiclass_classification_metrics=metrics.classification(confusion),
        regression_metrics=metrics.regression(confusion),
        within_one=metrics.spread(metrics.accuracy_within_one, confusion),
        per_class=metrics.per_class(confusion),
        calibration=evaluation.Calibration(expected_calibration_error=0, bins=[]),
        baselines={"largest_class": score, "random": score, "median": score},
        decisions={"argmax": score, "expected": score},
        decision="argmax",
        champion=beside,
        selective=evaluation.Selective(
            curve=[],
            sure=evaluation.SureCounts(share=0.25, confidence=0.8, accuracy=0.75, rmse=0.5, wanted=0.9),
            sets=None,
        ),
        gate=evaluation.Gate(
            accuracy_loss=0,
            champion="none",
            sure_coverage=0.5,
            sure_accuracy=0.75,
            shown=evaluation.Shown(accuracy="0", rmse="0", accuracy_loss="0", sure_accuracy="0.7500"),
        ),
        registration=registration,
        agreement=evaluation.Agreement(photos=1, same_counts=1, largest_difference=0),
        model={},
        provenance=evaluation.Provenance(),
    )


def predictions(ids: Sequence[str], truth: Sequence[int], counts: Sequence[int]) -> bytes:
    """`predictions.parquet`."""
    columns = {
        "image_id": list(ids),
        "quantity": list(truth),
        "predicted": list(counts),
        "expected": [float(count) for count in counts],
        "probabilities": [[1.0]] * len(counts),
        "confidence": [1.0] * len(counts),
        "sure": [None] * len(counts),
        "prediction_set": [None] * len(counts),
    }
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns, schema=PREDICTIONS_SCHEMA), buffer)
    return buffer.getvalue()


def package(settings: Settings, evaluation_uri: str, **more: Any) -> dict[str, Any]:
    """What CreateModelPackage is asked for a version that is evaluated at `evaluation_uri`."""
    return {
        "ModelPackageGroupName": settings.registry.group,
        "ModelApprovalStatus": "PendingManualApproval",
        "InferenceSpecification": {
            "Containers": [{"Image": "image", "ModelDataUrl": f"s3://{settings.data.bucket}/model.tar.gz"}],
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        "ModelMetrics": {"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": evaluation_uri}}},
        **more,
    }


def register(
    settings: Settings,
    run: str,
    truth: Sequence[int],
    counts: Sequence[int],
    *,
    ids: Sequence[str] = (),
    metadata: Mapping[str, str] | None = None,
    **judgement: Any,
) -> str:
    """A version that made these counts, its evaluation below `runs/RUN`; gives its ARN."""
    s3 = boto3.client("s3", region_name=settings.account.region)
    folder, bucket = f"runs/{run}", settings.data.bucket
    body = judged(truth, counts, **judgement).model_dump_json().encode()
    s3.put_object(Bucket=bucket, Key=f"{folder}/{FILE}", Body=body)
    names = ids or [f"{number:05d}" for number in range(len(truth))]
    s3.put_object(Bucket=bucket, Key=f"{folder}/{PREDICTIONS}", Body=predictions(names, truth, counts))
    more = {"CustomerMetadataProperties": dict(metadata)} if metadata else {}
    request = package(settings, f"s3://{bucket}/{folder}/{FILE}", **more)
    sagemaker = boto3.client("sagemaker", region_name=settings.account.region)
    arn: str = sagemaker.create_model_package(**request)["ModelPackageArn"]
    return arn
