"""The calls of the two functions, and what comes of their answers."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline.operations.models import registry
from pipeline.operations.models.evaluations import Evaluation
from pipeline.operations.models.registry import Version
from pipeline.operations.serving import deployment
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

ARN = "arn:aws:sagemaker:us-east-1:111122223333:model-package/bins/3"


class Functions:
    """Lambda's Invoke: answers in their order, and the requests."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.requests = list(answers), list[tuple[str, dict[str, str]]]()

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:
        self.requests.append((FunctionName, json.loads(Payload)))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        error = {"FunctionError": "Unhandled"} if "errorMessage" in answer else {}
        return {"Payload": io.BytesIO(json.dumps(answer).encode()), **error}


def functions(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> Functions:
    made = Functions(*answers)
    monkeypatch.setattr(deployment, "patient_client", lambda *_: made)
    return made


def version(settings: Settings) -> Version:
    from datetime import UTC, datetime

    created = datetime.now(UTC)
    return Version(ARN, 3, "Approved", "Completed", created, "", "", "", Evaluation())


def approved(monkeypatch: pytest.MonkeyPatch, *answers: list[int]) -> None:
    remaining = list(answers)
    monkeypatch.setattr(registry, "approved", lambda _: remaining.pop(0) if len(remaining) > 1 else remaining[0])


def test_a_deployment_is_never_at_once(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    made = functions(monkeypatch, {"decision": "updating", "reason": "the endpoint moves to version 3"})
    done = deployment.deploy(settings, version(settings))
    assert (done.decision, done.version) == ("updating", 3)
    assert made.requests == [("bins-deploy", {"model_package_arn": ARN})]


def test_a_rollback_is_the_rollback_function_s_and_names_what_it_rejected(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    approved(monkeypatch, [5, 4, 3, 1], [3, 1])
    made = functions(monkeypatch, {"decision": "updating", "reason": "the endpoint moves to version 3"})
    done = deployment.roll_back(settings, version(settings), "dark photos")
    assert (done.decision, done.rejected) == ("updating", (5, 4))
    assert made.requests == [("bins-rollback", {"model_package_arn": ARN, "comment": "dark photos"})]


def test_a_rollback_that_fails_halfway_names_the_versions_that_are_rejected_already(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    approved(monkeypatch, [5, 4, 3], [5, 3])
    functions(monkeypatch, {"errorMessage": "endpoint bins is Updating; deploy version 3 again after that"})
    with pytest.raises(PipelineError) as failed:
        deployment.roll_back(settings, version(settings))
    assert str(failed.value) == (
        "endpoint bins is Updating; deploy version 3 again after that; rejected already: 4; then run this command again"
    )


def test_an_account_without_the_function_is_answered_with_bootstrap(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    missing = ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "Function not found"}}, "Invoke")
    functions(monkeypatch, missing)
    with pytest.raises(PipelineError, match=r"there is no function bins-deploy; create it: .* bootstrap"):
        deployment.deploy(settings, version(settings))
