"""Arguments of every step: what is wrong with one is the job's failure reason, in one line that names the flag."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, FiniteFloat

from pipeline import ROOT
from steps.contracts.errors import StepError
from steps.monitor.settings import Settings as MonitorSettings
from steps.runtime.arguments import parse
from tests.unit.steps import arguments as values

# Per step: its arguments, and two that are wrong: one of another type and one out of its limits.
STEPS: dict[str, tuple[dict[str, Any], tuple[str, str], tuple[str, str]]] = {
    "query": (values.QUERY, ("--timeout-minutes", "soon"), ("--maximum-quantity", "0")),
    "shard": (values.SHARD, ("--seed", "many"), ("--quality", "101")),
    "train": (values.TRAIN, ("--epochs", "1.5"), ("--label-smoothing", "1")),
    "evaluate": (values.EVALUATE, ("--decision", "mode"), ("--batch-size", "0")),
    "monitor": (values.MONITOR, ("--until", "noon"), ("--level", "1")),
}


def failure(step: str, arguments: list[str], folder: Path) -> str:
    """The failure reason of the step as a process, read where SageMaker reads it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SAGEMAKER_BASE_DIR": str(folder)}
    command = [sys.executable, "-m", f"steps.{step}", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    reason = (folder / "output" / "message").read_text()
    assert (folder / "output" / "failure").read_text() == reason
    assert reason.startswith(f"python3 -m steps.{step}: ")
    assert len(reason.splitlines()) == 1
    return reason


@pytest.mark.parametrize("step", STEPS)
def test_a_wrong_argument_is_the_failure_reason(step: str, tmp_path: Path) -> None:
    arguments, wrong_type, out_of_limits = STEPS[step]
    given = values.flags_of(arguments)
    assert "unrecognized arguments: --verbose" in failure(step, [*given, "--verbose"], tmp_path)
    assert f"required: {given[0]}" in failure(step, given[2:], tmp_path)
    for flag, value in (wrong_type, out_of_limits):
        assert f"{flag} is {value!r}: " in failure(step, [*given, flag, value], tmp_path)


@pytest.mark.parametrize(("flag", "value"), [("--hours", "0"), ("--level", "1.0"), ("--cooldown-days", "-1")])
def test_a_limit_of_the_monitor_is_named(flag: str, value: str) -> None:
    with pytest.raises(StepError, match=f"{flag} is '{value}': input should be"):
        parse(MonitorSettings, [*values.flags_of(values.MONITOR), flag, value])


@pytest.mark.parametrize("arguments", [["--verbose"], ["serve", "--port", "80"], ["train"]])
def test_the_server_takes_no_argument_but_serve(arguments: list[str], tmp_path: Path) -> None:
    reason = failure("serve", arguments, tmp_path)
    assert f"unrecognized arguments: {' '.join(arguments).removeprefix('serve ')}" in reason


@dataclass(frozen=True, kw_only=True)
class Example:
    """An example."""

    size: Annotated[int, Field(ge=0, le=9, description="size in % of the whole")]
    shape: Annotated[Literal["round", "square"], Field(description="shape")] = "round"
    weight: Annotated[FiniteFloat | None, Field(description="weight")] = None
    is_new: Annotated[bool, Field(description="whether it is new")] = False


def test_arguments_come_as_text_and_leave_with_their_types() -> None:
    assert parse(Example, ["--size", "3", "--weight=-0.5", "--is-new", "True"]) == Example(
        size=3, weight=-0.5, is_new=True
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "10"], "--size is '10': input should be less than or equal to 9"),
        (["--size", "1", "--shape", "oval"], "--shape is 'oval': input should be 'round' or 'square'"),
        (["--size", "1", "--weight", "nan"], "--weight is 'nan': input should be a finite number"),
        (["--size", "1", "--is-new", "perhaps"], "--is-new is 'perhaps': "),
        (["--size"], "argument --size: expected one argument"),
        (["--si", "1"], "the following arguments are required: --size"),
        (["--size", "1", "2"], "unrecognized arguments: 2"),
    ],
)
def test_what_is_wrong_is_named_with_its_flag(arguments: list[str], message: str) -> None:
    with pytest.raises(StepError) as error:
        parse(Example, arguments)
    assert message in str(error.value)


def test_the_help_has_every_argument_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(Example, ["--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--size SIZE size in % of the whole" in text
    assert "--shape {round,square} shape (default round)" in text
