"""Whether a run registered its model, or which version is the same model, from the run's evaluation in S3."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pipeline.aws.objects import fetch
from pipeline.aws.responses import reason_unavailable
from pipeline.clients import client
from pipeline.operations.runs.executions import Execution
from pipeline.parallel import parallel_map
from pipeline.settings import Settings


@dataclass(frozen=True)
class Registration:
    """EvaluateModel's decision on registration (`registration` of `steps.contracts.evaluation`).

    `version` and its approval `status` at that time belong to the version that is the same model; None and empty where
    there was none. `problem` is why the decision is unknown, or empty.
    """

    wanted: bool
    version: int | None = None
    status: str = ""
    reason: str = ""
    problem: str = ""

    @property
    def withheld(self) -> bool:
        """Whether a run that passed its gate registered nothing, because a version is the same model."""
        return not self.wanted and not self.problem


def evaluation_uri(settings: Settings, run: str) -> str:
    """URI of the evaluation of the run with the id `run`; a test compares it with the definition."""
    return f"{settings.root_uri}/runs/{run}/evaluate/evaluation/evaluation.json"


def of_run(settings: Settings, execution: Execution) -> Registration | None:
    """The registration of a run that has succeeded.

    None for a run that has not succeeded, whose evaluation no longer exists, or whose release recorded none.
    """
    return of_runs(settings, [execution]).get(execution.id)


def of_runs(settings: Settings, executions: Iterable[Execution]) -> dict[str, Registration]:
    """The registrations of several runs, by a run's id, without those that are None."""
    executions = list(executions)
    s3 = client(settings, "s3")
    registrations = parallel_map(lambda execution: _read(settings, s3, execution), executions)
    pairs = zip(executions, registrations, strict=True)
    return {execution.id: registration for execution, registration in pairs if registration is not None}


def _read(settings: Settings, s3: Any, execution: Execution) -> Registration | None:
    from botocore.exceptions import BotoCoreError, ClientError

    if execution.status != "Succeeded":
        return None
    uri = evaluation_uri(settings, execution.id)
    try:
        content = fetch(s3, uri)
        recorded = None if content is None else json.loads(content).get("registration")
        if recorded is None:
            return None
        version = None if recorded["version"] is None else int(recorded["version"])
        return Registration(bool(recorded["wanted"]), version, str(recorded["status"]), str(recorded["reason"]))
    except (ClientError, BotoCoreError) as error:
        # The run itself is shown without its evaluation.
        return Registration(wanted=True, problem=reason_unavailable(error))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return Registration(wanted=True, problem=f"{uri} is damaged ({error!r})")
