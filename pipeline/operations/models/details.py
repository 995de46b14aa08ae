"""What a version records for the person who decides on it: the limits of its gate, and its model card."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.clients import client
from pipeline.operations.models.registry import Version
from pipeline.settings import Settings
from steps.contracts.names import GOLDEN_PHOTOS, GOLDEN_SHA256

PARAMETER = "parameter_"


@dataclass(frozen=True)
class GateCheck:
    """A comparison of the gate: a figure of the version with the limit of its run."""

    figure: str
    value: str
    required: str
    passed: bool


@dataclass(frozen=True)
class Details:
    """What a version's package has besides its evaluation.

    `parameters` are those of its run by name, `gate` is empty where the run's limits or the figures are not recorded.
    `card` has the model card's texts by heading, `hyperparameters` those of the training. `golden_uri` is the place of
    the golden photos, `golden_sha256` their digest at the registration; both are empty where there are none.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    gate: tuple[GateCheck, ...] = ()
    card: Mapping[str, str] = field(default_factory=dict)
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    card_problem: str = ""
    golden_uri: str = ""
    golden_sha256: str = ""


def read(settings: Settings, version: Version) -> Details:
    """The details of a version. A model card of another form is a `card_problem`: the rest is still shown."""
    package = client(settings, "sagemaker").describe_model_package(ModelPackageName=version.arn)
    properties = package.get("CustomerMetadataProperties", {})
    parameters = {
        name.removeprefix(PARAMETER): value for name, value in properties.items() if name.startswith(PARAMETER)
    }
    card: Mapping[str, str] = {}
    hyperparameters: Mapping[str, str] = {}
    problem = ""
    try:
        content = json.loads(package.get("ModelCard", {}).get("ModelCardContent") or "{}")
        card, hyperparameters = dict(_texts(content)), _hyperparameters(content)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        problem = f"the model card of {version.name} cannot be read ({error!r})"
    return Details(
        parameters=parameters,
        gate=tuple(_gate(version, parameters)),
        card=card,
        hyperparameters=hyperparameters,
        card_problem=problem,
        golden_uri=properties.get(GOLDEN_PHOTOS, ""),
        golden_sha256=properties.get(GOLDEN_SHA256, ""),
    )


def _gate(version: Version, parameters: Mapping[str, str]) -> Iterator[GateCheck]:
    evaluation = version.evaluation
    if evaluation.accuracy is not None and (least := _number(parameters, "MinimumAccuracy")) is not None:
        passed = evaluation.accuracy >= least
        yield GateCheck("accuracy", f"{evaluation.accuracy:.4f}", f"at least {least:g}", passed)
    if evaluation.rmse is not None and (most := _number(parameters, "MaximumRmse")) is not None:
        yield GateCheck("RMSE", f"{evaluation.rmse:.4f}", f"at most {most:g}", evaluation.rmse <= most)
    if evaluation.accuracy_loss is not None and (most := _number(parameters, "MaximumAccuracyLoss")) is not None:
        champion = evaluation.champion
        against = f"loss of accuracy against version {champion.version}" if champion else "loss without a champion"
        loss = evaluation.accuracy_loss
        yield GateCheck(against, f"{loss:z.4f}", f"at most {most:g}", loss <= most)
    sure, coverage = evaluation.sure_accuracy, evaluation.sure_coverage
    if sure is not None and coverage is not None and (least := _number(parameters, "MinimumSureAccuracy")):
        yield GateCheck(f"accuracy of the surest {coverage:.0%}", f"{sure:.4f}", f"at least {least:g}", sure >= least)


def _number(parameters: Mapping[str, str], name: str) -> float | None:
    try:
        return float(parameters[name])
    except (KeyError, ValueError):
        return None


def _texts(card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The texts of a model card (`steps.evaluate.card`) by heading, without those that are empty.

    https://docs.aws.amazon.com/sagemaker/latest/dg/model-registry-details.html#model-card-schema
    """
    uses, training = card.get("intended_uses", {}), card.get("training_details", {})
    more = card.get("additional_information", {})
    texts = {
        "purpose": uses.get("purpose_of_model", ""),
        "intended uses": uses.get("intended_uses", ""),
        "what makes it worse": uses.get("factors_affecting_model_efficiency", ""),
        "training": training.get("training_observations", ""),
        "caveats": more.get("caveats_and_recommendations", ""),
        "ethics": more.get("ethical_considerations", ""),
    }
    for number, evaluation in enumerate(card.get("evaluation_details", []), 1):
        name = evaluation.get("name") or f"evaluation {number}"
        texts[f"evaluation on the {name}"] = evaluation.get("evaluation_observation", "")
    return ((heading, str(text)) for heading, text in texts.items() if text)


def _hyperparameters(card: Mapping[str, Any]) -> dict[str, str]:
    job = card.get("training_details", {}).get("training_job_details", {})
    return {str(each["name"]): str(each["value"]) for each in job.get("hyper_parameters", [])}
