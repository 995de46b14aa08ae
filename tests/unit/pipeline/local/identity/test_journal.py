"""The record of decisions: each kind once, across threads, restarts and files."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from pipeline.local.identity.journal import Journal, JournalError, read
from pipeline.local.identity.policies import Decision, Principal, Request

ROLE = "arn:aws:iam::1:role/job"
ALLOWED = Decision(True, "", ("steps/Read",))
REFUSED = Decision(False, "because no identity-based policy allows the s3:GetObject action")


def request(key: str = "k", role: str = ROLE, action: str = "s3:GetObject") -> Request:
    principal = Principal("arn:aws:sts::1:assumed-role/job/SageMaker", role)
    return Request(principal, action, f"arn:aws:s3:::b/{key}", {"aws:sourceip": "127.0.0.1", "aws:tagkeys": ["a"]})


def record(journal: Journal, asked: Request, decision: Decision) -> None:
    journal.record(asked, decision, service="s3", operation="GetObject")


def test_a_kind_of_decision_is_recorded_once_with_its_first_example(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "decisions" / "api.jsonl")
    for key in ("first", "second"):
        record(journal, request(key), ALLOWED)
    (entry,) = read(tmp_path / "decisions")
    assert (entry.role, entry.action, entry.statements, entry.allowed) == (ROLE, "s3:GetObject", ("steps/Read",), True)
    assert entry.resource == "arn:aws:s3:::b/first"
    assert entry.principal == "arn:aws:sts::1:assumed-role/job/SageMaker"
    assert entry.context == {"aws:sourceip": "127.0.0.1", "aws:tagkeys": ["a"]}
    assert (entry.service, entry.operation, entry.reason) == ("s3", "GetObject", "")
    assert entry.time > 1_700_000_000


def test_role_action_statements_and_answer_make_a_kind(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "api.jsonl")
    record(journal, request(), ALLOWED)
    record(journal, request(), REFUSED)
    record(journal, request(), Decision(True, "", ("steps/Read", "steps/All")))
    record(journal, request(role="arn:aws:iam::1:role/other"), ALLOWED)
    record(journal, request(action="s3:PutObject"), ALLOWED)
    entries = read(tmp_path)
    assert len({entry.kind for entry in entries}) == len(entries) == 5
    assert [entry.reason for entry in entries if not entry.allowed] == [REFUSED.reason]


def test_a_service_and_the_root_user_stand_for_the_role_that_they_lack(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "api.jsonl")
    for principal in (Principal("", service="events.amazonaws.com"), Principal("arn:aws:iam::1:root")):
        record(journal, Request(principal, "lambda:InvokeFunction", "*", {}), ALLOWED)
    assert [entry.role for entry in read(tmp_path)] == ["events.amazonaws.com", "arn:aws:iam::1:root"]


def test_a_restart_goes_on_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "api.jsonl"
    record(Journal(path), request(), ALLOWED)
    again = Journal(path)
    record(again, request(), ALLOWED)
    record(again, request(), REFUSED)
    assert len(path.read_text().splitlines()) == 2


def test_a_line_that_was_not_finished_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "api.jsonl"
    record(Journal(path), request(), ALLOWED)
    with path.open("a") as file:
        file.write('{"role": "arn:aws')
    assert len(read(tmp_path)) == 1
    record(Journal(path), request(), REFUSED)
    assert [entry.allowed for entry in read(tmp_path)] == [True, False]


def test_the_files_of_all_processes_are_merged(tmp_path: Path) -> None:
    record(Journal(tmp_path / "api.jsonl"), request(), ALLOWED)
    objects = Journal(tmp_path / "s3.jsonl")
    record(objects, request(), ALLOWED)
    record(objects, request(), REFUSED)
    assert [entry.allowed for entry in read(tmp_path)] == [True, False]
    assert read(tmp_path / "none") == []


def test_another_file_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "api.jsonl"
    record(Journal(path), request(), ALLOWED)
    with path.open("a") as file:
        file.write(json.dumps({"role": ROLE}) + "\n")
    with pytest.raises(JournalError, match=r"api\.jsonl:2: no decision"):
        read(tmp_path)


def test_threads_record_a_kind_once(tmp_path: Path) -> None:
    journal, ready = Journal(tmp_path / "api.jsonl"), threading.Barrier(8)

    def work() -> None:
        ready.wait()
        for number in range(50):
            record(journal, request(action=f"s3:Action{number}"), ALLOWED)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len((tmp_path / "api.jsonl").read_text().splitlines()) == 50
