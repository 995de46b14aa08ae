"""The Athena workgroup and the Glue database."""

from __future__ import annotations

from typing import Any

import pytest

from tests.answers import Answers
from tests.unit.pipeline.operations.preflight.conftest import Look, client


def configured(**changes: Any) -> dict[str, Any]:
    location = {"OutputLocation": "s3://bins/athena/"}
    return {"EnforceWorkGroupConfiguration": False, "ResultConfiguration": location} | changes


def make_workgroup(**changes: Any) -> None:
    client("athena").create_work_group(Name="bins", Configuration=configured(**changes))


def test_a_workgroup_that_lets_a_ctas_choose_is_fine(look: Look) -> None:
    make_workgroup()
    assert look("workgroup") == [("ok", "bins")]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"EnforceWorkGroupConfiguration": True}, "enforces its configuration"),
        ({"ResultConfiguration": {}}, "has no location for results"),
    ],
)
def test_a_workgroup_that_the_query_fails_in_is_a_failure(look: Look, changes: dict[str, Any], said: str) -> None:
    make_workgroup(**changes)
    [(status, detail)] = look("workgroup")
    assert status == "failed"
    assert said in detail


def test_a_disabled_workgroup_is_a_failure(look: Look, answers: Answers) -> None:
    group = {"Name": "bins", "State": "DISABLED", "Configuration": configured()}
    answers.say("athena.GetWorkGroup", {"WorkGroup": group})
    [(status, detail)] = look("workgroup")
    assert (status, "enable it in Athena" in detail) == ("failed", True)


def test_a_workgroup_that_is_not_there_is_made_by_bootstrap(look: Look, answers: Answers) -> None:
    # moto answers with an empty workgroup.
    answers.error("athena.GetWorkGroup", "InvalidRequestException", "WorkGroup bins is not found.")
    assert look("workgroup") == [("failed", "there is no workgroup bins; create it: python -m pipeline bootstrap")]


def test_a_database_is_there_or_is_not(look: Look) -> None:
    assert look("database") == [("failed", "there is no Glue database bins; create it: python -m pipeline bootstrap")]
    client("glue").create_database(DatabaseInput={"Name": "bins"})
    assert look("database") == [("ok", "bins")]


def test_throttling_to_the_end_is_not_checked(look: Look, answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    answers.error("glue.GetDatabase", "ThrottlingException", "Rate exceeded")
    assert look("database") == [("not checked", "AWS throttled GetDatabase; wait a little and try again")]
    assert answers.asked["glue.GetDatabase"] == 3
