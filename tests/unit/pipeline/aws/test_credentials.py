"""Credentials that cannot be loaded: each way of it is one line with one remedy, and never shows a secret.

The profiles are run by botocore itself, with programs and files as others have them.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest

from pipeline import connection
from pipeline.aws.credentials import load
from pipeline.settings.file import load_settings
from steps.contracts.errors import PipelineError

KEYS = {"Version": 1, "AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "a-secret-key", "SessionToken": "a-token"}


def ending(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def config(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = project / "config"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    monkeypatch.setenv("AWS_PROFILE", "work")
    monkeypatch.setenv("HOME", str(project))
    return path


def with_process(config: Path, command: str) -> None:
    config.write_text(f"[profile work]\ncredential_process = {command}\n")


def printing(config: Path, text: str, status: int = 0, stderr: str = "") -> None:
    program = config.parent / "program.py"
    program.write_text(f"import sys\nprint({text!r})\nsys.stderr.write({stderr!r})\nsys.exit({status})\n")
    with_process(config, f"{sys.executable} {program}")


def message() -> str:
    with pytest.raises(PipelineError) as caught:
        load(boto3.Session())
    text = str(caught.value)
    assert "\n" not in text
    assert "a-secret-key" not in text
    return text


def test_a_program_that_prints_good_keys_is_believed(config: Path) -> None:
    printing(config, json.dumps({**KEYS, "Expiration": ending(1)}))
    assert load(boto3.Session())


def test_nobody_signed_in_is_no_error_before_a_request(project: Path) -> None:
    assert not load(boto3.Session())


def test_a_program_that_is_missing(config: Path) -> None:
    with_process(config, "/opt/no/such-program --json")
    text = "the AWS credentials cannot be loaded by credential_process of the profile work: there is no program"
    assert message() == f"{text} '/opt/no/such-program'; install it, or correct the path"


def test_a_program_that_may_not_be_executed(config: Path) -> None:
    (config.parent / "tool").write_text("#!/bin/sh\n")
    with_process(config, str(config.parent / "tool"))
    assert message().endswith("may not be executed; allow it: chmod +x")


@pytest.mark.parametrize(
    "text",
    [
        f"Welcome!\n{json.dumps(KEYS)}",
        f"{json.dumps(KEYS)}\nA new version is available.",
        "",
        "[]",
        json.dumps("a-secret-key"),
        "\ufeff" + json.dumps(KEYS),
    ],
)
def test_a_program_that_prints_something_else_or_more(config: Path, text: str) -> None:
    printing(config, text)
    assert "of the profile work: it must print JSON alone, with Version 1" in message()


def test_a_program_whose_credentials_have_expired(config: Path) -> None:
    printing(config, json.dumps({**KEYS, "Expiration": ending(-1)}))
    assert "of the profile work: it prints credentials that have expired; sign in with it again" in message()


@pytest.mark.parametrize("keys", [{**KEYS, "Version": 2}, {"Version": 1, "AccessKeyId": "AKIDEXAMPLE"}])
def test_a_program_that_prints_another_form(config: Path, keys: dict[str, object]) -> None:
    printing(config, json.dumps(keys))
    assert "of the profile work: it fails (" in message()


def test_a_program_that_fails_is_quoted_on_one_line(config: Path) -> None:
    printing(config, "", status=3, stderr="cannot reach the broker\ntry the VPN\n")
    assert "it fails (cannot reach the broker try the VPN); run it in a shell" in message()


def test_a_command_without_its_closing_quote(config: Path) -> None:
    with_process(config, "tool 'unclosed")
    assert "it must print JSON alone, with Version 1 (ValueError)" in message()


SSO = """[profile work]
sso_session = company
sso_account_id = 111122223333
sso_role_name = admin
[sso-session company]
sso_start_url = https://example.awsapps.com/start
sso_region = us-east-1
"""


def test_sso_without_a_token_names_the_sign_in_of_the_profile(config: Path) -> None:
    config.write_text(SSO)
    assert message() == "nobody is signed in to SSO, or no longer; sign in: aws sso login --profile work"


def test_sso_without_its_session_is_a_mistake_in_the_file(config: Path) -> None:
    config.write_text(SSO.split("[sso-session", maxsplit=1)[0])
    assert message().startswith("AWS's own config file is not valid: ")


def test_half_of_the_keys(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    assert message() == "half of the AWS credentials is missing (AWS_SECRET_ACCESS_KEY); set both parts, or neither"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[profile other]\n", "(work) could not be found; see: aws configure list-profiles"),
        ("[profile work", "not valid"),
    ],
)
def test_a_command_ends_with_that_line(config: Path, text: str, words: str) -> None:
    """Every command of an account connects first, and so loads the credentials there."""
    config.write_text(text)
    with pytest.raises(PipelineError) as caught:
        connection.connect(load_settings(config.parent / "pipeline.yaml", "aws"))
    assert words in str(caught.value)
