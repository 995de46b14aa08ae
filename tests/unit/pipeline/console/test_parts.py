"""Parts of a page: one that fails leaves the others, and an error of the console is no part."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from pipeline.cli.errors import explained
from pipeline.console.console import Console
from pipeline.console.pages import model_reads
from pipeline.console.parts import Part, part, parts
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError, StepError


@pytest.fixture
def console(settings: Settings) -> Console:
    return Console(settings, "python -m pipeline", explained, lambda text: text.replace("python -m", "python3 -m"))


def fails(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("error", [PipelineError("see: python -m pipeline runs"), StepError("see: python -m x")])
def test_a_part_that_fails_has_the_reason_with_a_command_to_paste(console: Console, error: Exception) -> None:
    read = parts(console, {"good": lambda: 7, "bad": lambda: fails(error)})
    assert read["good"] == Part(7)
    assert read["bad"].problem.startswith("see: python3 -m ")


def test_what_aws_refuses_is_explained(console: Console) -> None:
    error = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DescribeEndpoint")
    assert "these credentials may not DescribeEndpoint" in part(console, lambda: fails(error)).problem


@pytest.mark.parametrize(("code", "seconds"), [("AccessDenied", 300), ("ThrottlingException", 30), ("", 600)])
def test_a_problem_is_kept_as_long_as_it_is_likely_to_last(console: Console, code: str, seconds: float) -> None:
    error = ClientError({"Error": {"Code": code, "Message": "no"}}, "DescribeAlarms")
    read = part(console, lambda: fails(error) if code else 7)
    assert model_reads.lasting(read, 600) == seconds


def test_an_error_of_the_console_is_raised(console: Console) -> None:
    with pytest.raises(ZeroDivisionError):
        parts(console, {"bad": lambda: 1 / 0})
