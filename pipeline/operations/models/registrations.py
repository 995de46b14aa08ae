"""Whether a run registered its model, or which version it was already: from the evaluation that the run left in S3."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pipeline.aws.responses import reason_unavailable
from pipeline.clients import client
from pipeline.operations.models import evaluations
from pipeline.operations.runs.executions import Execution
from pipeline.settings import Settings

# Evaluations are fetched this many at a time.
THREADS = 8


@dataclass(frozen=True)
class Registration:
    """What EvaluateModel said of the registry (`registration` of `steps.contracts.evaluation`).

    `version` and its approval `status` then are those of the version that is the same model, None and empty where there
    was none. `problem` is why nothing can be said, empty where it can.
    """

    wanted: bool
    version: int | None = None
    status: str = ""
    reason: str = ""
    problem: str = ""

    @property
    def withheld(self) -> bool:
        """Whether a run that passed its gate registered nothing, for a version is the same."""
        return not self.wanted and not self.problem


def evaluation_uri(settings: Settings, run: str) -> str:
    """Where the run with the id `run` leaves its evaluation; the definition's own place, which a test compares."""
    return f"{settings.root_uri}/runs/{run}/evaluate/evaluation/evaluation.json"


def of_run(settings: Settings, execution: Execution) -> Registration | None:
    """What a run that has succeeded did about the registry.

    None for a run that has not succeeded, whose evaluation is gone, or whose release did not look for the same version.
    """
    return _read(settings, client(settings, "s3"), execution)


def of_runs(settings: Settings, executions: Iterable[Execution]) -> dict[str, Registration]:
    """The same for many, by a run's id, without those of which there is nothing to say."""
    executions = list(executions)
    s3 = client(settings, "s3")
    with ThreadPoolExecutor(THREADS) as pool:
        registrations = pool.map(lambda execution: _read(settings, s3, execution), executions)
        return {run.id: made for run, made in zip(executions, registrations, strict=True) if made is not None}


def _read(settings: Settings, s3: Any, execution: Execution) -> Registration | None:
    from botocore.exceptions import BotoCoreError, ClientError

    if execution.status != "Succeeded":
        return None
    uri = evaluation_uri(settings, execution.id)
    try:
        content = evaluations.fetch(s3, uri)
        return None if content is None else _parsed(json.loads(content))
    except (ClientError, BotoCoreError) as error:
        # The run is what was asked about: it is shown to whoever may not read what it left.
        return Registration(wanted=True, problem=reason_unavailable(error))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return Registration(wanted=True, problem=f"{uri} is damaged ({error!r})")


def _parsed(document: dict[str, Any]) -> Registration | None:
    registration = document.get("registration")
    if registration is None:
        return None
    version = registration["version"]
    return Registration(
        wanted=bool(registration["wanted"]),
        version=None if version is None else int(version),
        status=str(registration["status"]),
        reason=str(registration["reason"]),
    )
