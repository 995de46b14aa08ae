"""The metrics of a registered version, from its evaluation in S3 (`steps.contracts.evaluation`).

Reading is lenient: versions stay in the registry for years, and a figure that an evaluation lacks is left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.aws.objects import fetch
from steps.contracts.errors import StepError


@dataclass(frozen=True)
class Difference:
    """A metric of one version less another's, with the 95% interval of the paired bootstrap."""

    value: float
    lower: float
    upper: float

    @property
    def certain(self) -> bool:
        """Whether the interval excludes zero."""
        return not self.lower <= 0 <= self.upper


@dataclass(frozen=True)
class Champion:
    """The version that was approved at the time of the evaluation, and the evaluated version's metrics less its."""

    version: int
    accuracy: Difference
    rmse: Difference


@dataclass(frozen=True)
class ClassMetrics:
    """The photos of one true quantity: their number, the share counted right, and the RMSE in objects."""

    photos: int
    accuracy: float
    rmse: float


@dataclass(frozen=True)
class SureCounts:
    """The counts that a model calls sure: share of the photos, accuracy (None without any), and the wanted one."""

    share: float
    accuracy: float | None
    wanted: float
    confidence: float | None
    """The least of a sure count; None where no confidence promises that accuracy."""

    @property
    def sentence(self) -> str:
        """What the model counts by itself."""
        if self.confidence is None:
            return f"calls no count sure: no confidence promises {self.wanted:.0%} right"
        if self.accuracy is None:
            return (
                f"calls no count sure: no photo has the confidence of {self.confidence:.2f} that promises"
                f" {self.wanted:.0%} right"
            )
        return (
            f"counts {self.share:.1%} of the photos by itself at {self.accuracy:.1%} right (wanted: {self.wanted:.0%})"
        )


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a version on its test split of `photos` photos; None for a missing figure.

    `within_one` is the share of photos off by one at most. Figures of two versions compare where `dataset_sha256` and
    `split` are equal. `problem` is why an existing file has no figures, or empty.
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
    accuracy_loss: float | None = None
    """What the gate compares with its limit: the loss against the champion, 0 without one."""
    sure_accuracy: float | None = None
    """What the gate compares: the accuracy of the `sure_coverage` of the photos with the highest confidence."""
    sure_coverage: float | None = None
    sure: SureCounts | None = None
    """None for a model without a calibration."""
    deviations: Mapping[str, float] = field(default_factory=dict)
    """Standard deviations of the metrics over five random samples of 80% of the photos, by field."""
    per_class: Mapping[str, ClassMetrics] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Photos that the run left out, by `STEP: reason`."""
    problem: str = ""


def read(s3: Any, uri: str, sha256: str = "") -> Evaluation:
    """The evaluation at `uri`; an empty one where it is damaged or no longer exists, or `uri` is empty.

    `sha256` is the digest that the version notes; empty where it notes none. Damage and a change are reported in
    `problem` and not raised: other versions are still listed, and this one can be rejected.
    """
    try:
        content = fetch(s3, uri) if uri else None
    except StepError as error:
        return Evaluation(problem=f"{error}; reject the version")
    # Old runs are deleted; their versions stay in the registry.
    if content is None:
        return Evaluation()
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        return Evaluation(problem=f"{uri} was changed after the registration of the version; reject the version")
    try:
        return _parsed(json.loads(content))
    except json.JSONDecodeError as error:
        reason = f"not JSON ({error})"
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"not an evaluation ({error!r})"
    return Evaluation(problem=f"{uri}: {reason}; restore the file, or reject the version")


def _parsed(document: Mapping[str, Any]) -> Evaluation:
    classification = document.get("multiclass_classification_metrics", {})
    regression = document.get("regression_metrics", {})
    dataset, champion = document.get("dataset", {}), document.get("champion")
    photos = dataset.get("item_count")
    metrics = {
        "accuracy": classification.get("accuracy"),
        "rmse": regression.get("rmse"),
        "mae": regression.get("mae"),
        "within_one": document.get("within_one"),
    }
    gate = document.get("gate", {})
    loss = gate.get("accuracy_loss")
    return Evaluation(
        accuracy=_value(metrics["accuracy"]),
        rmse=_value(metrics["rmse"]),
        mae=_value(metrics["mae"]),
        within_one=_value(metrics["within_one"]),
        photos=None if photos is None else int(photos),
        dataset_sha256=dataset.get("sha256", ""),
        split=dataset.get("split", ""),
        decision=document.get("decision", ""),
        champion=_champion(champion) if champion else None,
        accuracy_loss=_optional(loss),
        sure_accuracy=_optional(gate.get("sure_accuracy")),
        sure_coverage=_optional(gate.get("sure_coverage")),
        sure=sure_counts(document),
        deviations={
            name: float(metric["standard_deviation"])
            for name, metric in metrics.items()
            if metric is not None and "standard_deviation" in metric
        },
        left_out={f"{each['step']}: {each['reason']}": int(each["photos"]) for each in dataset.get("left_out", [])},
        per_class={
            quantity: ClassMetrics(int(figures["photos"]), float(figures["accuracy"]), float(figures["rmse"]))
            for quantity, figures in sorted(document.get("per_class", {}).items(), key=lambda item: int(item[0]))
        },
    )


def sure_counts(evaluation: Mapping[str, Any]) -> SureCounts | None:
    """The sure counts in `evaluation.json`; None for a model without a calibration."""
    sure = evaluation.get("selective", {}).get("sure")
    if sure is None:
        return None
    return SureCounts(
        float(sure["share"]), _optional(sure["accuracy"]), float(sure["wanted"]), _optional(sure["confidence"])
    )


def _optional(value: Any) -> float | None:
    return None if value is None else float(value)


def _champion(document: Mapping[str, Any]) -> Champion:
    accuracy, rmse = (
        Difference(*(float(document[metric][name]) for name in ("value", "lower", "upper")))
        for metric in ("accuracy", "rmse")
    )
    return Champion(int(document["version"]), accuracy, rmse)


def _value(metric: Mapping[str, Any] | None) -> float | None:
    return None if metric is None else float(metric["value"])
