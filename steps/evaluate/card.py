"""The model card that goes into the registry with the model: what it is for, what it was made of, what it reaches.

Its schema: https://docs.aws.amazon.com/sagemaker/latest/dg/model-registry-details.html#model-card-schema
"""

from __future__ import annotations

import json
from typing import Any

from steps.contracts.artifact import ModelDescription
from steps.contracts.dataset import DatasetIndex
from steps.contracts.evaluation import Evaluation, Metric

# CreateModelPackage takes this many characters.
LIMIT = 100_000
PURPOSE = "Count the objects in a photo of a warehouse bin."
INTENDED = (
    "Finding bins whose count differs from the inventory's, for a person or a second system to look at. "
    "Not for settling a difference by itself: see the share of photos counted right."
)
FACTORS = (
    "Objects that hide each other, reflecting packaging, dark or blurred photos, and counts that are rare in the "
    "training data. A count above the largest it was trained on cannot be answered."
)
ETHICS = "The photos show bins and objects, no people. Errors cost an inspection or leave a wrong inventory standing."


def write_card(evaluation: Evaluation, model: ModelDescription, index: DatasetIndex) -> str:
    """`model_card.json`: the card as one string under `content`, as a pipeline's registration step takes it."""
    content = json.dumps(
        {
            "model_overview": {"model_artifact": _known(evaluation.provenance.model)},
            "intended_uses": {
                "purpose_of_model": PURPOSE,
                "intended_uses": INTENDED,
                "factors_affecting_model_efficiency": FACTORS,
            },
            "training_details": _training(evaluation, model, index),
            "evaluation_details": [_evaluation(evaluation)],
            "additional_information": {
                "ethical_considerations": ETHICS,
                "caveats_and_recommendations": _caveats(evaluation, index),
                "custom_details": _details(evaluation),
            },
        },
        allow_nan=False,
    )
    if len(content) > LIMIT:
        raise ValueError(f"the model card has {len(content):,} characters; the registry takes {LIMIT:,}")
    return json.dumps({"content": content})


def _training(evaluation: Evaluation, model: ModelDescription, index: DatasetIndex) -> dict[str, Any]:
    train, validation = index.splits["train"], index.splits["validation"]
    return {
        "objective_function": {"function": {"function": "Maximize", "facet": "Accuracy"}},
        "training_observations": (
            f"{model.architecture} on {train.samples:,} photos, chosen by accuracy on {validation.samples:,} others; "
            f"split {index.sharding.split}, seed {index.sharding.seed}."
        ),
        "training_job_details": {
            "training_datasets": _known(evaluation.provenance.index),
            "training_environment": {"container_image": _known(evaluation.provenance.training_image)},
            "training_metrics": [{"name": name, "value": value} for name, value in sorted(model.metrics.items())],
            "hyper_parameters": [
                {"name": name, "value": value} for name, value in sorted(model.hyperparameters.items()) if value
            ],
        },
    }


def _evaluation(evaluation: Evaluation) -> dict[str, Any]:
    numbers, regression = evaluation.multiclass_classification_metrics, evaluation.regression_metrics
    metrics = {
        "accuracy": numbers.accuracy,
        "off by one at most": evaluation.within_one,
        "RMSE": regression.rmse,
        "MAE": regression.mae,
    }
    baseline = evaluation.baselines["largest_class"]
    numbers_group = [_number(name, metric) for name, metric in metrics.items()] + [
        {"name": "accuracy of always answering the most frequent count", "type": "number", "value": baseline.accuracy},
        {
            "name": "expected calibration error",
            "type": "number",
            "value": evaluation.calibration.expected_calibration_error,
        },
    ]
    classes = list(numbers.confusion_matrix)
    return {
        "name": "test split",
        "evaluation_observation": (
            f"{evaluation.dataset.item_count:,} photos that were not trained on; decision {evaluation.decision}; "
            f"champion: {evaluation.gate.champion}."
        ),
        "datasets": _known(evaluation.provenance.index),
        "metric_groups": [
            {"name": "summary", "metric_data": numbers_group},
            {
                "name": "by count",
                "metric_data": [
                    {
                        "name": "accuracy by true count",
                        "type": "bar_chart",
                        "value": [report.accuracy for report in evaluation.per_class.values()],
                        "x_axis_name": list(evaluation.per_class),
                        "y_axis_name": "accuracy",
                    },
                    {
                        "name": "photos by true count (rows) and predicted count",
                        "type": "matrix",
                        "value": [list(row.values()) for row in numbers.confusion_matrix.values()],
                        "x_axis_name": classes,
                        "y_axis_name": classes,
                    },
                ],
            },
        ],
    }


def _number(name: str, metric: Metric) -> dict[str, Any]:
    note = f"standard deviation {metric.standard_deviation:.4f} over five random samples of 80%"
    return {"name": name, "type": "number", "value": metric.value, "notes": note}


def _caveats(evaluation: Evaluation, index: DatasetIndex) -> str:
    left_out = evaluation.dataset.rejected
    caveats = [f"Judged on a {index.sharding.split} split: figures of another kind of split do not compare."]
    if evaluation.dataset.same_bin:
        caveats.append(
            f"{evaluation.dataset.same_bin:,} held-out photos show a bin that was trained on, which flatters the model."
        )
    if left_out:
        caveats.append(f"{left_out:,} photos could not be used and are in no figure.")
    return " ".join(caveats)


def _details(evaluation: Evaluation) -> dict[str, str]:
    provenance = evaluation.provenance
    details = {
        "pipeline_run": provenance.run,
        "tuning_job": provenance.tuning_job,
        "training_job": provenance.training_job,
        "image_location": provenance.image_location,
        "data_version": provenance.data_version,
        "dataset_sha256": evaluation.dataset.sha256,
    }
    return {name: value for name, value in details.items() if value}


def _known(*values: str) -> list[str]:
    return [value for value in values if value]
