"""One set of rules for a value, wherever it comes from: pipeline.yaml, `start -p`, `schedule`, Studio, EventBridge.

The rules are declared with a setting. Each value here is given to every door, and all doors must say the same.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import ROOT
from pipeline.aws import expressions
from pipeline.aws.parameter_values import typed
from pipeline.compiling.context import Parameters
from pipeline.definition import compile_definition
from pipeline.local.sagemaker.steps import holds
from pipeline.operations.runs.parameters import checked
from pipeline.settings import Settings
from pipeline.settings.file import load_settings
from pipeline.settings.parameters import declarations, problems
from steps.contracts.errors import PipelineError


@functools.cache
def settings_of(profile: str = "prod") -> Settings:
    return load_settings(ROOT / "pipeline.yaml", profile)


@functools.cache
def definition() -> dict[str, Any]:
    return json.loads(compile_definition(settings_of()))


def first_condition(name: str, text: str, compiled: dict[str, Any] | None = None) -> tuple[bool, str]:
    """The outcome of CheckParameters in a run with the value, and the message of a run that it ends."""
    document = compiled or definition()
    values = {parameter["Name"]: parameter["DefaultValue"] for parameter in document["Parameters"]}
    values[name] = typed(declarations()[name].kind, text)
    arguments = next(step for step in document["Steps"] if step["Name"] == "CheckParameters")["Arguments"]
    known = expressions.Values(values, {}, lambda step: {}, lambda step, file: {}, lambda uri: {})
    resolved = expressions.resolve(arguments, known)
    message = resolved["ElseSteps"][0]["Arguments"]["ErrorMessage"]
    return all(map(holds, resolved["Conditions"])), message


def refusal(call: Callable[[], object]) -> str:
    """The error of a call; empty without one."""
    try:
        call()
    except PipelineError as error:
        return str(error)
    return ""


def loading(folder: Path, name: str, text: str) -> str:
    """The refusal of a settings file with the value."""
    document = yaml.safe_load((ROOT / "pipeline.yaml").read_text())
    parameter = declarations()[name]
    value = typed(parameter.kind, text)
    document.setdefault(parameter.group, {})[parameter.key] = value
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    return refusal(lambda: load_settings(folder / "pipeline.yaml", "prod"))


def starting(name: str, text: str) -> str:
    """The refusal of a start with the value."""
    return refusal(lambda: checked(settings_of(), definition(), {name: text}))


NUMBERS = [
    *(("Epochs", "0"), ("Epochs", "1"), ("Epochs", "1000"), ("Epochs", "1001"), ("Epochs", str(10**29))),
    *(("MinimumAccuracy", "70"), ("MinimumAccuracy", "-0.01"), ("MinimumAccuracy", "1"), ("MinimumAccuracy", "0.0")),
    *(("MaximumRmse", "-1"), ("MaximumRmse", "0"), ("MaximumRmse", "1e-9")),
    *(("MaximumAccuracyLoss", "2"), ("MaximumAccuracyLoss", "-1.0")),
    *(("ShardInstanceCount", "0"), ("ShardInstanceCount", "100"), ("ShardInstanceCount", "1000")),
    *(("TrainingInstanceCount", "0"), ("TrainingInstanceCount", "65"), ("TrainingInstanceCount", "64")),
    *(("MaximumQuantity", "0"), ("MaximumQuantity", "1001"), ("MaximumQuantity", "1000")),
]


@pytest.mark.parametrize(("name", "text"), NUMBERS)
def test_every_door_says_the_same_of_a_number(tmp_path: Path, name: str, text: str) -> None:
    passes, message = first_condition(name, text)
    loaded, started = loading(tmp_path, name, text), starting(name, text)
    assert (not loaded, not started) == (passes, passes)
    limits = declarations()[name].limits(settings_of())
    if not passes:
        assert f"{declarations()[name].place}: must be {limits} (it is" in loaded
        assert started == f"{name} is '{text}': it must be {limits}"
    assert f" {name} {typed(declarations()[name].kind, text)} ({limits})" in message


def test_the_doors_say_no_to_what_was_paid_for_and_failed() -> None:
    """So that the comparison above cannot pass because all doors are open."""
    outcomes = {(name, text): first_condition(name, text)[0] for name, text in NUMBERS}
    assert not any(outcomes[pair] for pair in [("MinimumAccuracy", "70"), ("Epochs", "0"), ("MaximumRmse", "-1")])
    assert not any(outcomes[pair] for pair in [("ShardInstanceCount", "0"), ("TrainingInstanceCount", "65")])
    assert sum(outcomes.values()) == 9


def test_the_first_condition_ends_a_run_before_a_job_and_is_never_cached() -> None:
    first = definition()["Steps"][0]
    assert (first["Name"], first["Type"], first["Arguments"]["IfSteps"]) == ("CheckParameters", "Condition", [])
    assert "CacheConfig" not in first
    assert [step["Type"] for step in first["Arguments"]["ElseSteps"]] == ["Fail"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("DataVersion", "v(2)", "contains '('"),
        ("ShardVersion", " 1", "begins or ends with a blank"),
        ("DataVersion", "-x", "begins with '-', which steps read as an option"),
        ("TrainingVersion", "x" * 257, "257 characters"),
        ("ImageLocation", "s3://bins-raw/../x", "has a folder '..'"),
        ("ImageLocation", "s3://bins..raw/x", "has two periods in a row"),
        ("ImageLocation", "s3://192.168.5.4/x", "is an IP address"),
        ("ImageLocation", "s3://bins-raw/größe", "contains 'ö'"),
        ("ImageLocation", "s3://bins-111122223333/bin-counting", "runs write below"),
    ],
)
def test_text_is_refused_by_start_as_by_the_file(tmp_path: Path, name: str, text: str, words: str) -> None:
    assert words in loading(tmp_path, name, text)
    assert words in starting(name, text)
    assert re.fullmatch(rf"{name}(:| is) [^\n]*", starting(name, text))


def test_a_value_is_refused_with_the_settings_that_it_contradicts() -> None:
    """Hyperband's least epochs are in the compiled request; SageMaker would refuse fewer after the sharding."""
    tuning = settings_of().tuning.model_copy(update={"strategy": "Hyperband", "early_stopping": None})
    hyperband = Settings.model_validate({**settings_of().model_dump(), "tuning": tuning.model_dump()})
    assert hyperband.hyperband_minimum() == 3
    assert list(problems(hyperband, {"Epochs": "2"})) == ["Epochs is '2': it must be 3 to 1000"]
    assert list(problems(hyperband, {"Epochs": "3"})) == []
    compiled = json.loads(compile_definition(hyperband))
    assert [first_condition("Epochs", text, compiled)[0] for text in ("2", "3")] == [False, True]


def test_an_instance_type_that_the_backend_does_not_run_on_is_refused() -> None:
    training = {**settings_of().training.model_dump(), "backend": "nccl"}
    nccl = Settings.model_validate({**settings_of().model_dump(), "training": training})
    [line] = problems(nccl, {"TrainingInstanceType": "ml.m5.large"})
    assert line.startswith("TrainingInstanceType is 'ml.m5.large': backend nccl requires GPUs")


def test_every_declared_parameter_is_compiled_with_its_type_and_default() -> None:
    compiled = {parameter["Name"]: parameter for parameter in definition()["Parameters"]}
    assert set(compiled) == set(declarations())
    assert len(dataclasses.fields(Parameters)) == len(compiled)
    for name, parameter in declarations().items():
        assert compiled[name]["Type"] == parameter.kind
        assert compiled[name]["DefaultValue"] == parameter.default(settings_of())


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *(("Integer", "1_000"), ("Integer", "1.0"), ("Integer", "1e3"), ("Integer", "١٢"), ("Integer", " 1")),
        *(("Integer", "9" * 5000), ("Float", "nan"), ("Float", "inf"), ("Float", "1_0.5"), ("Float", "1e999")),
        *(("Float", "0x10"), ("Float", ""), ("Boolean", "yes"), ("String", "")),
    ],
)
def test_python_reads_more_than_a_parameter_is(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"number|true or false|not empty"):
        typed(kind, text)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("Integer", "+07", 7),
        ("Float", "-.5", -0.5),
        ("Float", "1e-3", 0.001),
        ("Float", "3", 3.0),
        ("Boolean", "TRUE", True),
    ],
)
def test_a_value_has_the_parameters_type(kind: str, text: str, value: object) -> None:
    assert typed(kind, text) == value
