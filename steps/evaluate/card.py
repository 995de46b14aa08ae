"""The model card that is registered with the model: intended use, training, evaluation.

Schema: https://docs.aws.amazon.com/sagemaker/latest/dg/model-registry-details.html#model-card-schema
"""

from __future__ import annotations

import json
from typing import Any

from steps.contracts import imagenet_weights
from steps.contracts.artifact import ModelDescription
from steps.contracts.dataset import DatasetIndex
from steps.contracts.evaluation import Evaluation, Metric
from steps.contracts.wording import count_of

# Characters that CreateModelPackage accepts.
LIMIT = 100_000
# Bars of a chart, rows and columns of a matrix. Charts of more counts are in the report alone.
CHART_ITEMS = 20
# Characters of a hyperparameter's value; SageMaker itself accepts 2,500.
HYPERPARAMETER_LENGTH = 255
# Characters of a custom detail.
DETAIL_LENGTH = 1024
PURPOSE = "Count the objects in a photo of a warehouse bin."
INTENDED = (
    "Finding bins whose count differs from the inventory's, for review by a person or a second system. "
    "Not for correcting the inventory without a review: see the accuracy."
)
FACTORS = (
    "Objects that hide each other, reflecting packaging, dark or blurred photos, and counts that are rare in the "
    "training data. The model cannot predict a count above the largest in the training data."
)
ETHICS = "The photos show bins and objects, no people. An error costs an inspection or leaves the inventory wrong."


def write_card(evaluation: Evaluation, model: ModelDescription, index: DatasetIndex) -> str:
    """`model_card.json`: the card as one string under `content`, as a pipeline's registration step reads it."""
    content = json.dumps(
        {
            "model_overview": {"model_artifact": _present(evaluation.provenance.model)},
            "intended_uses": {
                "purpose_of_model": PURPOSE,
                "intended_uses": INTENDED,
                "factors_affecting_model_efficiency": FACTORS,
            },
            "training_details": _training(evaluation, model, index),
            "evaluation_details": [_evaluation(evaluation)],
            "additional_information": {
                "ethical_considerations": ETHICS,
                "caveats_and_recommendations": _caveats(evaluation, model, index),
                "custom_details": _details(evaluation, model),
            },
        },
        allow_nan=False,
    )
    if len(content) > LIMIT:
        raise ValueError(f"the model card has {len(content):,} characters; the registry accepts {LIMIT:,}")
    return json.dumps({"content": content})


def _training(evaluation: Evaluation, model: ModelDescription, index: DatasetIndex) -> dict[str, Any]:
    train, validation = index.splits["train"], index.splits["validation"]
    return {
        "objective_function": {"function": {"function": "Maximize", "facet": "Accuracy"}},
        "training_observations": (
            f"{model.architecture} trained on {count_of(train.samples, 'photo')}, selected by accuracy on "
            f"{validation.samples:,} others; split {index.sharding.split}, seed {index.sharding.seed}."
        ),
        "training_job_details": {
            "training_datasets": _present(evaluation.provenance.index),
            "training_environment": {"container_image": _present(evaluation.provenance.training_image)},
            "training_metrics": [{"name": name, "value": value} for name, value in sorted(model.metrics.items())],
            "hyper_parameters": [
                {"name": name, "value": _cut(value, HYPERPARAMETER_LENGTH)}
                for name, value in sorted(model.hyperparameters.items())
                if value
            ],
        },
    }


def _evaluation(evaluation: Evaluation) -> dict[str, Any]:
    classification, regression = evaluation.multiclass_classification_metrics, evaluation.regression_metrics
    metrics = {
        "accuracy": classification.accuracy,
        "accuracy within one": evaluation.within_one,
        "RMSE": regression.rmse,
        "MAE": regression.mae,
    }
    baseline = evaluation.baselines["largest_class"]
    numbers = {
        "accuracy of always predicting the most frequent count": baseline.accuracy,
        "expected calibration error": evaluation.calibration.expected_calibration_error,
        "accuracy of the surest half of the photos": evaluation.selective.at(0.5).accuracy,
    }
    if sure := evaluation.selective.sure:
        numbers["share of the photos that the model counts by itself"] = sure.share
        if sure.accuracy is not None:
            numbers["accuracy of these counts"] = sure.accuracy
    if sets := evaluation.selective.sets:
        numbers[f"share of prediction sets with the true count, at level {sets.level:g}"] = sets.coverage
    summary = [_number(name, metric) for name, metric in metrics.items()]
    summary += [{"name": name, "type": "number", "value": value} for name, value in numbers.items()]
    groups: list[dict[str, Any]] = [{"name": "summary", "metric_data": summary}]
    charts = _charts(evaluation)
    if charts:
        groups.append({"name": "by count", "metric_data": charts})
    observation = (
        f"{count_of(evaluation.dataset.item_count, 'photo')} that were not used for training; "
        f"decision {evaluation.decision}; champion: {evaluation.gate.champion}."
    )
    counts = len(classification.confusion_matrix)
    if counts > CHART_ITEMS:
        observation += (
            f" The confusion matrix of {counts:,} counts is in the report: a model card's has at most {CHART_ITEMS}."
        )
    return {
        "name": "test split",
        "evaluation_observation": observation,
        "datasets": _present(evaluation.provenance.index),
        "metric_groups": groups,
    }


def _charts(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The charts by count that a card may contain."""
    confusion = evaluation.multiclass_classification_metrics.confusion_matrix
    charts: list[dict[str, Any]] = [
        {
            "name": "accuracy by true count",
            "type": "bar_chart",
            "value": [report.accuracy for report in evaluation.per_class.values()],
            "x_axis_name": list(evaluation.per_class),
            "y_axis_name": "accuracy",
        },
        {
            "name": "confusion matrix: photos by true count (rows) and predicted count (columns)",
            "type": "matrix",
            "value": [list(row.values()) for row in confusion.values()],
            "x_axis_name": list(confusion),
            "y_axis_name": list(confusion),
        },
    ]
    return [chart for chart in charts if len(chart["value"]) <= CHART_ITEMS]


def _number(name: str, metric: Metric) -> dict[str, Any]:
    note = f"standard deviation {metric.standard_deviation:.4f} over five random samples of 80%"
    return {"name": name, "type": "number", "value": metric.value, "notes": note}


def _caveats(evaluation: Evaluation, model: ModelDescription, index: DatasetIndex) -> str:
    left_out = evaluation.dataset.rejected
    caveats = [f"Evaluated on a {index.sharding.split} split: do not compare with metrics on another kind of split."]
    if evaluation.dataset.same_bin:
        caveats.append(
            f"{evaluation.dataset.same_bin:,} held-out photos show a bin of the training photos: metrics are too good."
        )
    if left_out:
        caveats.append(f"{count_of(left_out, 'photo')} left out of all metrics.")
    if other := imagenet_weights.caveat(_initial_weights(model)):
        caveats.append(other)
    if imagenet_weights.published_at(_initial_weights(model)):
        caveats.append(f"Training began with weights of torchvision: {imagenet_weights.LICENCE}")
    return " ".join(caveats)


def _initial_weights(model: ModelDescription) -> str:
    """URI of the initial weights; empty for random ones."""
    return model.hyperparameters.get("weights", "")


def _details(evaluation: Evaluation, model: ModelDescription) -> dict[str, str]:
    provenance = evaluation.provenance
    details = {
        "pipeline_run": provenance.run,
        "tuning_job": provenance.tuning_job,
        "training_job": provenance.training_job,
        "image_location": provenance.image_location,
        "data_version": provenance.data_version,
        "dataset_sha256": evaluation.dataset.sha256,
        "initial_weights": imagenet_weights.origin_of(_initial_weights(model)),
    }
    return {name: _cut(value, DETAIL_LENGTH) for name, value in details.items() if value}


def _cut(value: str, longest: int) -> str:
    return value if len(value) <= longest else f"{value[: longest - 3]}..."


def _present(*values: str) -> list[str]:
    return [value for value in values if value]
