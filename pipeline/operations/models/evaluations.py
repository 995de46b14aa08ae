"""What a registered version reached, from the evaluation that lies beside it in S3 (`steps.contracts.evaluation`).

Read leniently: versions stay in the registry for years, and one whose evaluation lacks a figure is listed without it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.aws.responses import says_missing


@dataclass(frozen=True)
class Difference:
    """A metric of one version less another's, with the 95% interval of the paired bootstrap."""

    value: float
    lower: float
    upper: float

    @property
    def certain(self) -> bool:
        """Whether the interval leaves out that there is no difference."""
        return not self.lower <= 0 <= self.upper


@dataclass(frozen=True)
class Champion:
    """The version that was approved when this one was judged, and this one's metrics less its."""

    version: int
    accuracy: Difference
    rmse: Difference


@dataclass(frozen=True)
class Class:
    """The photos of one true quantity: how many, the share counted right, and the RMSE in objects."""

    photos: int
    accuracy: float
    rmse: float


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a version on its test split of `photos` photos; None for what is not there.

    `within_one` is the share of photos off by one at most. `dataset_sha256` and `split` say on which data it was
    judged: figures of two versions compare where both are the same. `problem` is why a file that is there has no
    figures, empty where it has.
    """

    accuracy: float | None = None
    rmse: float | None = None
    mae: float | None = None
    within_one: float | None = None
    photos: int | None = None
    dataset_sha256: str = ""
    split: str = ""
    decision: str = ""
    champion: Champion | None = None
    per_class: Mapping[str, Class] = field(default_factory=dict)
    problem: str = ""


def read(s3: Any, uri: str) -> Evaluation:
    """The evaluation at `uri`; an empty one where it is damaged or no longer there, or `uri` is empty.

    Damage is told and not raised: it must not hide the other versions, nor keep a person from rejecting this one.
    """
    content = fetch(s3, uri) if uri else None
    # Old runs are cleaned away; their versions stay in the registry.
    if content is None:
        return Evaluation()
    try:
        return _parsed(json.loads(content))
    except json.JSONDecodeError as error:
        what = f"not JSON ({error})"
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        what = f"not an evaluation ({error!r})"
    return Evaluation(problem=f"{uri}: {what}; restore the file, or reject the version")


def fetch(s3: Any, uri: str) -> bytes | None:
    """The object at `uri`; None where it is not there."""
    from botocore.exceptions import ClientError

    bucket, _, key = uri.removeprefix("s3://").partition("/")
    try:
        content: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if says_missing(error):
            return None
        raise
    return content


def _parsed(document: Mapping[str, Any]) -> Evaluation:
    classification = document.get("multiclass_classification_metrics", {})
    regression = document.get("regression_metrics", {})
    dataset, champion = document.get("dataset", {}), document.get("champion")
    photos = dataset.get("item_count")
    return Evaluation(
        accuracy=_value(classification.get("accuracy")),
        rmse=_value(regression.get("rmse")),
        mae=_value(regression.get("mae")),
        within_one=_value(document.get("within_one")),
        photos=None if photos is None else int(photos),
        dataset_sha256=dataset.get("sha256", ""),
        split=dataset.get("split", ""),
        decision=document.get("decision", ""),
        champion=_champion(champion) if champion else None,
        per_class={
            quantity: Class(int(one["photos"]), float(one["accuracy"]), float(one["rmse"]))
            for quantity, one in sorted(document.get("per_class", {}).items(), key=lambda item: int(item[0]))
        },
    )


def _champion(document: Mapping[str, Any]) -> Champion:
    accuracy, rmse = (
        Difference(*(float(document[metric][name]) for name in ("value", "lower", "upper")))
        for metric in ("accuracy", "rmse")
    )
    return Champion(int(document["version"]), accuracy, rmse)


def _value(metric: Mapping[str, Any] | None) -> float | None:
    return None if metric is None else float(metric["value"])
