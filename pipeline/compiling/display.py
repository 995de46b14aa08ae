"""What Studio shows of the pipeline, its steps and its parameters, besides their names.

Members, and their longest texts, of the definition:
https://aws-sagemaker-mlops.github.io/sagemaker-model-building-pipeline-definition-JSON-schema/ (Description of a
parameter, 4,096 characters; DisplayName and Description of a step), and botocore's StepDisplayName (256) and
StepDescription (3,072). A parameter has no display name. The step cache compares none of them
(https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-default-keys.html).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.settings import Settings
from pipeline.settings.parameters import declarations

_DESCRIPTION = (
    "Photos of warehouse bins to an approved model that counts their objects: labels by Athena, WebDataset shards,"
    " tuning over distributed training, evaluation, a quality gate, registration and deployment"
)
# Display name and description by step.
_STEPS: Mapping[str, tuple[str, str]] = {
    "CheckParameters": ("Check parameters", "The parameters of this run are within their limits"),
    "CheckParametersFailed": ("Parameters refused", "Ends the run with every number and its limits"),
    "QueryMetadata": (
        "Query metadata",
        "Athena over the metadata: consolidated Parquet, the label of each photo, and a page about the data",
    ),
    "ExploreData": (
        "Explore data",
        "Quantities, items and their sizes and weights at any number of photos: Parquet of each, and a page with plots",
    ),
    "PlanShards": (
        "Plan shards",
        "Photos of the same bin in one split, shares per quantity, and the order of photos, once for all instances",
    ),
    "ShardImages": (
        "Shard images",
        "Photos into WebDataset shards of a training, a validation and a test split, and an index with class weights",
    ),
    "TuneModel": (
        "Tune model",
        "Trials of distributed training, ranked by their best validation accuracy",
    ),
    "EvaluateModel": (
        "Evaluate model",
        "The best model on the test split: accuracy, RMSE and calibration, per class and against the champion",
    ),
    "QualityGate": ("Quality gate", "Accuracy, RMSE and the loss against the champion are within the thresholds"),
    "QualityGateFailed": ("Gate not passed", "Ends the run with the reached and the required numbers"),
    "NewVersion": ("New version?", "The gate is passed, and no registered version is this model already"),
    "RegisterModel": (
        "Register model",
        "A version in the Model Registry with its metrics, model card and lineage, waiting for approval",
    ),
    "DeployModel": (
        "Deploy model",
        "Asks the deploy function, which an approval also invokes; it waits for an approval",
    ),
}


def pipeline_display(settings: Settings) -> dict[str, str]:
    """CreatePipeline's members for the pipeline's own: botocore's pattern of a display name has no blanks."""
    return {"PipelineDisplayName": f"bin-counting-{settings.name}", "PipelineDescription": _DESCRIPTION}


def display(step: str) -> dict[str, str]:
    """The SDK's arguments for a step's display name and description."""
    name, description = _STEPS[step]
    return {"display_name": name, "description": description}


def described_parameters(parameters: list[dict[str, Any]], settings: Settings) -> list[dict[str, Any]]:
    """The parameters of a definition with their descriptions, which the SDK's classes lack."""
    return [{**parameter, "Description": _description(parameter["Name"], settings)} for parameter in parameters]


def _description(name: str, settings: Settings) -> str:
    """The meaning of a parameter's setting, with the unit and the limits of a number."""
    declared = declarations()[name]
    extra = declared.field.json_schema_extra
    unit = str(extra.get("unit", "")) if isinstance(extra, dict) else ""
    limits = str(declared.limits(settings)) if declared.kind != "String" else ""
    details = "; ".join(filter(None, (f"in {unit}" if unit else "", limits)))
    return f"{declared.field.description}{f' ({details})' if details else ''}"
