"""The evaluation contract: `evaluation.json` in the Model Registry's format, and `predictions.parquet` beside it.

SageMaker draws the metrics groups `multiclass_classification_metrics` and `regression_metrics` of this format:
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-metrics.html
"""

from __future__ import annotations

from typing import Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

FILE = "evaluation.json"
PREDICTIONS = "predictions.parquet"
REPORT = "report.html"

# quantity is the truth, predicted the count under the decision in force, expected the expected count, probabilities
# those of the model's classes in their order.
PREDICTIONS_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("quantity", pa.int32(), nullable=False),
        pa.field("predicted", pa.int32(), nullable=False),
        pa.field("expected", pa.float64(), nullable=False),
        pa.field("probabilities", pa.list_(pa.float32()), nullable=False),
    ]
)


class _Contract(BaseModel):
    # A value that is not finite is a mistake of the evaluation, never a number for a gate.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


class Metric(_Contract):
    """A metric of the whole test split, and its standard deviation over five random samples of 80%."""

    value: float
    standard_deviation: float


class ClassificationMetrics(_Contract):
    """The count as a class. `confusion_matrix[truth][predicted]` is a number of photos."""

    confusion_matrix: dict[str, dict[str, int]]
    accuracy: Metric
    weighted_recall: Metric
    weighted_precision: Metric
    weighted_f1: Metric
    accuracy_within_one: Metric
    accuracy_best_constant_classifier: Metric
    weighted_recall_best_constant_classifier: Metric


class RegressionMetrics(_Contract):
    """The count as a number."""

    mae: Metric
    mse: Metric
    rmse: Metric
    r2: Metric


class ClassReport(_Contract):
    """One true quantity: how many photos, how many counted right, and how far off."""

    photos: int
    accuracy: float
    rmse: float


class Score(_Contract):
    """What counting in some way reaches: share counted right, RMSE, share off by one at most."""

    accuracy: float
    rmse: float
    within_one: float


class Evaluation(_Contract):
    """`evaluation.json`."""

    version: Literal[1] = 1
    multiclass_classification_metrics: ClassificationMetrics
    regression_metrics: RegressionMetrics
    per_class: dict[str, ClassReport]
    baselines: dict[Literal["largest_class", "random", "median"], Score]
    decisions: dict[Literal["argmax", "expected"], Score] = Field(description="the model under each way to decide")
    decision: Literal["argmax", "expected"] = Field(description="the one in force: the gate's")
    dataset: dict[str, str | int]
    model: dict[str, str | int]
