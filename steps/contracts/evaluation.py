"""The evaluation contract: `evaluation.json` in the Model Registry's format, and `predictions.parquet` beside it.

SageMaker draws the metrics groups `multiclass_classification_metrics` and `regression_metrics` of this format:
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-metrics.html
The whole file's JSON schema is `docs/evaluation.schema.json`.
"""

from __future__ import annotations

from typing import Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

FILE = "evaluation.json"
PREDICTIONS = "predictions.parquet"
REPORT = "report.html"
CARD = "model_card.json"
GOLDEN = "golden.json"

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
    """One true quantity: how many photos, how many counted right, and how far off."""

    photos: int
    accuracy: float
    rmse: float


class Score(_Contract):
    """What counting in some way reaches: share counted right, RMSE, MAE, share off by one at most."""

    accuracy: float
    rmse: float
    mae: float
    within_one: float


class ReliabilityBin(_Contract):
    """The photos whose likeliest count has a probability in one interval: its mean, and the share that was right."""

    photos: int
    confidence: float
    accuracy: float


class Calibration(_Contract):
    """Whether the model is as often right as it says. The error is the mean gap over the photos (ECE)."""

    expected_calibration_error: float
    bins: list[ReliabilityBin]


class Agreement(_Contract):
    """ONNX Runtime, which serves, against PyTorch, which trained, on photos of the test split."""

    photos: int
    same_counts: int
    largest_difference: float = Field(description="between two probabilities")


class Difference(_Contract):
    """This model's metric less the champion's, and the 95% interval of 2,000 paired bootstrap samples of the photos."""

    value: float
    lower: float
    upper: float


class Champion(_Contract):
    """The latest approved version of the model, evaluated on the same photos."""

    version: int
    package_arn: str
    this_model: bool = Field(description="whether it is the very model that is judged here, approved earlier")
    score: Score
    accuracy: Difference
    rmse: Difference


class Shown(_Contract):
    """What the gate compares, rounded for messages."""

    accuracy: str
    rmse: str
    accuracy_loss: str


class Gate(_Contract):
    """What the gate compares beside the metrics: numbers that are there with a champion and without."""

    accuracy_loss: float = Field(
        description="accuracy that is lost against the champion; 0 where there is none; where it is this very model,"
        " 0 or the loss that is allowed, whichever is less"
    )
    champion: str = Field(description="its name, or that there is none")
    shown: Shown


class Registration(_Contract):
    """Whether a run that passes its gate registers this model, and the version that is the same as this one already.

    The same are versions of the same model artifact, data, decision, evaluation image and serving image.
    """

    wanted: Literal[0, 1] = Field(description="1: register; a number, as the pipeline's condition compares it")
    version: int | None = Field(description="the newest version that is the same; None: there is none")
    package_arn: str = Field(description="that version's; empty where there is none")
    status: str = Field(description="that version's approval status when the model was judged")
    reason: str


class Dataset(_Contract):
    """What was judged on. `item_count` is SageMaker's name for the number of photos."""

    item_count: int
    sha256: str
    split: str
    same_bin: int | None = Field(description="held-out photos that show a bin which is trained on; None: not known")
    rejected: int = Field(description="photos that are in no shard")


class Provenance(_Contract):
    """Where the model comes from, as far as the job was told: names, ids and places; empty where it was not."""

    run: str = ""
    tuning_job: str = ""
    training_job: str = ""
    query_execution: str = Field(default="none", description="id of the query that made the labels")
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
    within_one: Metric = Field(description="share of photos off by one at most")
    per_class: dict[str, ClassReport]
    calibration: Calibration
    baselines: dict[Literal["largest_class", "random", "median"], Score]
    decisions: dict[Literal["argmax", "expected"], Score] = Field(description="the model under each way to decide")
    decision: Literal["argmax", "expected"] = Field(description="the one in force: the gate's")
    champion: Champion | None
    gate: Gate
    registration: Registration
    agreement: Agreement
    model: dict[str, str | int]
    provenance: Provenance
