"""Parts of a page that are read side by side: each has its value, or the reason why it has none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.aws import errors as aws_errors
from pipeline.console.console import Console
from pipeline.operations.cost.measured import unanswered
from pipeline.parallel import parallel_map
from steps.contracts.errors import StepError


@dataclass(frozen=True)
class Part:
    """What was read. `problem` is why there is no value, with a remedy; empty where there is one.

    `is_passing`: the problem may be over at the next look, as that of a throttled request or of a network is.
    """

    value: Any = None
    problem: str = ""
    is_passing: bool = False


def part(console: Console, read: Callable[[], Any]) -> Part:
    """The value of `read`, or the reason where AWS, or the pipeline's own data there, has no answer.

    Other exceptions are raised: they are errors of the console.
    """
    no_answer: tuple[type[Exception], ...] = (*unanswered(), StepError)
    try:
        return Part(read())
    except no_answer as error:
        is_passing = aws_errors.has_code(error, aws_errors.THROTTLED) or aws_errors.is_unreachable(error)
        return Part(problem=console.pasted(console.explain(error) or str(error)), is_passing=is_passing)


def parts(console: Console, reads: Mapping[str, Callable[[], Any]]) -> dict[str, Part]:
    """The parts by name, read at the same time."""
    answers = parallel_map(lambda read: part(console, read), reads.values())
    return dict(zip(reads, answers, strict=True))
