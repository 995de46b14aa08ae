"""The evaluation contract: `evaluation.json` and `predictions.parquet`, written by `steps/evaluate`.

The two metric groups and their names are the Model Registry's, so that Studio draws them:
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-metrics.html
The quality gate reads `multiclass_classification_metrics.accuracy.value` and `regression_metrics.rmse.value`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeInt, PositiveInt, ValidationError

from steps.common.errors import StepError

VERSION: Literal[1] = 1
EVALUATION = "evaluation.json"
PREDICTIONS = "predictions.parquet"
REPORT = "report.html"

DecisionName = Literal["argmax", "expected"]


class _Contract(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Metric(_Contract):
    """A metric of all test photos, and its standard deviation over random samples of them."""

    value: FiniteFloat
    standard_deviation: FiniteFloat


class ClassificationMetrics(_Contract):
    """Counts as classes. `confusion_matrix[true][predicted]` is a number of photos; both keys are quantities.

    The best constant classifier answers every photo with the test split's most frequent quantity.
    """

    confusion_matrix: dict[str, dict[str, NonNegativeInt]]
    accuracy: Metric
    weighted_precision: Metric
    weighted_recall: Metric
    weighted_f1: Metric
    accuracy_best_constant_classifier: Metric
    weighted_precision_best_constant_classifier: Metric
    weighted_recall_best_constant_classifier: Metric
    weighted_f1_best_constant_classifier: Metric


class RegressionMetrics(_Contract):
    """Counts as numbers: errors in objects a photo."""

    mae: Metric
    mse: Metric
    rmse: Metric
    r2: Metric


class Scores(_Contract):
    """One way of counting, in short. `within_one` is the share of photos that is off by one object at most."""

    accuracy: FiniteFloat
    within_one: FiniteFloat
    mae: FiniteFloat
    rmse: FiniteFloat


class ClassScores(_Contract):
    """The photos of one true quantity: how many, the share counted right, and the error in objects."""

    support: PositiveInt
    accuracy: FiniteFloat
    rmse: FiniteFloat


class Baselines(_Contract):
    """What takes no photo to reach. The quantities answered are learned from the training split.

    `largest_class` answers its most frequent quantity, `median` its median; `random` draws each of the classes with
    the same probability (scores in expectation).
    """

    largest_class: Scores
    median: Scores
    random: Scores


class EvaluatedData(_Contract):
    """The test split: the hash of the dataset index, and the photos judged."""

    sha256: str
    samples: PositiveInt


class EvaluatedModel(_Contract):
    """Which model was judged: the hash is that of its weights as evaluated, `model.onnx`."""

    architecture: str
    onnx_sha256: str
    image_uri: str = Field(description="training image, with its content hash as the tag")


class Evaluation(_Contract):
    """`evaluation.json`. The metric groups are those of `decision`, the one in force; `decisions` has both."""

    version: Literal[1] = VERSION
    decision: DecisionName
    multiclass_classification_metrics: ClassificationMetrics
    regression_metrics: RegressionMetrics
    decisions: dict[DecisionName, Scores]
    per_class: dict[int, ClassScores]
    baselines: Baselines
    dataset: EvaluatedData
    model: EvaluatedModel


def read_evaluation(folder: Path) -> Evaluation:
    """`evaluation.json` in `folder`. Raises StepError that names the file and the key when it is not valid."""
    path = folder / EVALUATION
    try:
        return Evaluation.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise StepError(f"{path}: missing; the evaluate step writes it") from error
    except ValidationError as error:
        raise StepError(f"{path}: not an evaluation of version {VERSION}: {first_mistake(error)}") from error


def first_mistake(error: ValidationError) -> str:
    """The key of the first mistake in a contract, and what is wrong there."""
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
