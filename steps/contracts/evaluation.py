"""The evaluation contract: `evaluation.json` in the Model Registry's format, and `predictions.parquet` next to it.

The groups `multiclass_classification_metrics` and `regression_metrics` have the form of SageMaker Model Monitor, which
Studio draws for a version:
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-metrics.html
The monitor has a standard deviation from 200 samples on and the text "NaN" below; here it is a number for any split.
AWS documents neither which of two groups Studio draws nor what it does with further keys.
The whole file's JSON schema is `docs/evaluation.schema.json`.
"""

from __future__ import annotations

import math
from typing import Literal

import pyarrow as pa
from pydantic import Field

from steps.contracts.artifact import Decision
from steps.contracts.names import DIGESTS_FILE, EVALUATION_FILE, GOLDEN_FILE, MODEL_CARD_FILE
from steps.contracts.parsing import Contract

FILE = EVALUATION_FILE
PREDICTIONS = "predictions.parquet"
REPORT = "report.html"
CARD = MODEL_CARD_FILE
GOLDEN = GOLDEN_FILE
DIGESTS = DIGESTS_FILE

SHA256 = r"^[0-9a-f]{64}$"

# quantity is the true count, predicted the count by the decision of the settings, expected the expected count, and
# probabilities those of the model's classes in their order. confidence is the probability of the predicted count; sure
# and prediction_set are null for a model without a calibration.
PREDICTIONS_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("quantity", pa.int32(), nullable=False),
        pa.field("predicted", pa.int32(), nullable=False),
        pa.field("expected", pa.float64(), nullable=False),
        pa.field("probabilities", pa.list_(pa.float32()), nullable=False),
        pa.field("confidence", pa.float32(), nullable=False),
        pa.field("sure", pa.bool_()),
        pa.field("prediction_set", pa.list_(pa.int32())),
    ]
)


# A value that is not finite is an error of the evaluation and must not reach the gate.
class _Contract(Contract, allow_inf_nan=False, protected_namespaces=()):
    pass


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
    weighted_f0_5: Metric
    weighted_f1: Metric
    weighted_f2: Metric
    accuracy_best_constant_classifier: Metric
    weighted_recall_best_constant_classifier: Metric
    weighted_precision_best_constant_classifier: Metric
    weighted_f0_5_best_constant_classifier: Metric
    weighted_f1_best_constant_classifier: Metric
    weighted_f2_best_constant_classifier: Metric


class RegressionMetrics(_Contract):
    """The count as a number."""

    mae: Metric
    mse: Metric
    rmse: Metric
    r2: Metric


class ClassReport(_Contract):
    """One true quantity: its photos, the share counted correctly, and the RMSE."""

    photos: int
    accuracy: float
    rmse: float


class Score(_Contract):
    """Metrics of one way to count: share counted correctly, RMSE, MAE, share off by at most one."""

    accuracy: float
    rmse: float
    mae: float
    within_one: float


class ReliabilityBin(_Contract):
    """The photos whose likeliest count has a probability in one interval: its mean, and the share counted correctly."""

    photos: int
    confidence: float
    accuracy: float


class Calibration(_Contract):
    """Calibration of the probabilities: the expected calibration error (ECE) is the mean gap over the photos."""

    expected_calibration_error: float
    bins: list[ReliabilityBin]


class Covered(_Contract):
    """The photos whose counts have the highest confidence: their share of all, the lowest confidence, their errors."""

    coverage: float
    confidence: float
    accuracy: float
    rmse: float


class SureCounts(_Contract):
    """The counts that the model calls sure: their share of the photos, and their errors; None where there are none.

    `wanted` is the accuracy for which the model's confidence was calibrated, and `confidence` the least of a sure
    count; None where no confidence reaches that accuracy.
    """

    share: float
    confidence: float | None
    accuracy: float | None
    rmse: float | None
    wanted: float


class PredictionSets(_Contract):
    """The sets of counts that contain the truth in a share `level` of the bins: how often they do on the test split.

    `coverage` counts photos: where bins have several, it may differ from the level for that reason alone.
    """

    level: float
    coverage: float
    mean_size: float
    coverage_by_quantity: dict[str, float]
    sizes: dict[str, int] = Field(description="photos by the number of counts in their set")


class Selective(_Contract):
    """What the model can count by itself, if a person counts the other bins.

    `curve` is by descending confidence, at coverages up to 1. `sure` and `sets` are None for a model without a
    calibration.
    """

    curve: list[Covered]
    sure: SureCounts | None
    sets: PredictionSets | None

    def at(self, coverage: float) -> Covered:
        """The point of the curve at this coverage, which it has. Raises StopIteration."""
        return next(point for point in self.curve if math.isclose(point.coverage, coverage))


class Agreement(_Contract):
    """Comparison of ONNX Runtime, which serves, with PyTorch, which trained, on photos of the test split."""

    photos: int
    same_counts: int
    largest_difference: float = Field(description="largest difference between two probabilities")


class Difference(_Contract):
    """This model's metric less the champion's, with the 95% interval of 2,000 paired bootstrap samples."""

    value: float
    lower: float
    upper: float


class Champion(_Contract):
    """The latest approved version of the model, evaluated on the same photos."""

    version: int
    package_arn: str
    this_model: bool = Field(description="whether it is the evaluated model itself, approved earlier")
    score: Score
    accuracy: Difference
    rmse: Difference


class Shown(_Contract):
    """The values that the gate compares, rounded for messages."""

    accuracy: str
    rmse: str
    accuracy_loss: str
    sure_accuracy: str = Field(description="also the share of the photos, and the threshold where there is one")


class Gate(_Contract):
    """The values that the gate compares besides the metrics; they exist with and without a champion."""

    accuracy_loss: float = Field(
        description="loss of accuracy against the champion; 0 without a champion; if the champion is the same model,"
        " 0 or the allowed loss, whichever is less"
    )
    champion: str = Field(description="name of the champion, or a note that there is none")
    sure_coverage: float = Field(description="share of the photos, those with the highest confidence")
    sure_accuracy: float = Field(description="accuracy of these photos' counts")
    shown: Shown


class Registration(_Contract):
    """Whether a run that passes its gate registers this model, and the existing version that is the same.

    Versions are the same if they have the same model artifact, data, decision, evaluation image and serving image.
    """

    wanted: Literal[0, 1] = Field(description="1: register; a number, because the pipeline's condition compares it")
    version: int | None = Field(description="the newest version that is the same; None: no such version")
    package_arn: str = Field(description="ARN of this version; empty without one")
    status: str = Field(description="approval status of this version at the time of the evaluation")
    reason: str


class Refused(_Contract):
    """The photos that a step of the run left out for one reason."""

    step: str
    reason: str
    photos: int


class Dataset(_Contract):
    """The evaluated data. `item_count` is SageMaker's name for the number of photos."""

    item_count: int
    sha256: str
    split: str
    same_bin: int | None = Field(description="held-out photos of a bin that is in training too; None: unknown")
    rejected: int = Field(description="photos that are in no shard: refused by the query, or left out by the shards")
    left_out: list[Refused] = Field(default=[], description="these photos by step and reason")


class Provenance(_Contract):
    """The origin of the model: names, ids and locations; empty where unknown."""

    run: str = ""
    tuning_job: str = ""
    training_job: str = ""
    query_execution: str = Field(default="none", description="id of the query that wrote the labels")
    image_location: str = ""
    data_version: str = ""
    model: str = ""
    index: str = ""
    training_image: str = ""


class Evaluation(_Contract):
    """`evaluation.json`."""

    version: Literal[1] = 1
    dataset: Dataset
    multiclass_classification_metrics: ClassificationMetrics
    regression_metrics: RegressionMetrics
    within_one: Metric = Field(description="share of photos off by at most one")
    per_class: dict[str, ClassReport]
    calibration: Calibration
    selective: Selective
    baselines: dict[Literal["largest_class", "random", "median"], Score]
    decisions: dict[Decision, Score] = Field(description="metrics of the model by each decision")
    decision: Decision = Field(description="decision of the settings, which the gate uses")
    champion: Champion | None
    gate: Gate
    registration: Registration
    agreement: Agreement
    model: dict[str, str | int]
    provenance: Provenance


class Digests(_Contract):
    """`digests.json`: SHA-256, in hexadecimal, of the objects that a version refers to; the version notes them."""

    version: Literal[1] = 1
    model: str = Field(description="digest of model.tar.gz, as evaluated", pattern=SHA256)
    golden: str = Field(description="digest of golden.json", pattern=SHA256)
    evaluation: str = Field(description="digest of evaluation.json", pattern=SHA256)
