"""The training job that a tuning job starts, as the compiled definition of a profile asks for it."""

from __future__ import annotations

import json
from typing import Any

from pipeline import ROOT
from pipeline.aws.expressions import Values, resolve
from pipeline.definition import compile_definition
from pipeline.settings import Settings
from pipeline.settings.file import load_settings

Request = dict[str, Any]


def settings_of(profile: str, **training: Any) -> Settings:
    """A profile of the project with values of its group `training` replaced."""
    values = load_settings(ROOT / "pipeline.yaml", profile).model_dump()
    values["training"] = {**values["training"], **training}
    return Settings.model_validate(values)


def training_job(settings: Settings) -> Request:
    """The first trial's CreateTrainingJob: ranges at their lower end, parameters at their defaults."""
    definition = json.loads(compile_definition(settings))
    (tuning,) = [step["Arguments"] for step in definition["Steps"] if step["Name"] == "TuneModel"]
    values = Values(
        parameters={one["Name"]: one["DefaultValue"] for one in definition["Parameters"]},
        execution={"PipelineExecutionId": "execution"},
        properties=lambda _: {},
        property_file=lambda step, file: {"uri": "s3://bucket/indexes/0"},
        json_file=lambda _: {},
    )
    job: Request = resolve(tuning["TrainingJobDefinition"], values)
    ranges = tuning["HyperParameterTuningJobConfig"]["ParameterRanges"]["ContinuousParameterRanges"]
    objective = tuning["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"]
    job["HyperParameters"] = {
        **job.pop("StaticHyperParameters"),
        **{one["Name"]: one["MinValue"] for one in ranges},
        # The service adds it to every trial.
        "_tuning_objective_metric": objective,
    }
    return job
