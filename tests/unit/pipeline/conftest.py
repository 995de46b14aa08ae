"""What the tests of the command line share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from typer.testing import CliRunner

from tests.conftest import without

SETTINGS = """\
name: bins
account: {id: "123456789012", region: us-east-1}
data: {bucket: bins-123456789012, image_location: s3://photos}
profiles:
  local: {account: {target: local}}
  aws: {}
"""


class Outcome:
    """What a call of the command line left."""

    def __init__(self, code: int, out: str, error: str) -> None:
        self.code, self.out, self.error = code, out, error


Call = Callable[..., Outcome]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a pipeline.yaml, which is the working directory; no credentials, and no local cloud."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name == "PIPELINE_PROFILE"]:
        monkeypatch.delenv(name)
    without(monkeypatch, "AWS_REGION", "NO_PROXY", "no_proxy")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # Somebody's own region, which is not that of the settings.
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("PIPELINE_LOCAL_DIR", str(tmp_path / "cloud"))
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "pipeline.yaml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    # What `connect` sets is undone with the rest.
    for name in ("AWS_REGION", "NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def call(project: Path) -> Call:
    """Calls the command line as a shell would."""

    def run(*arguments: str, stdin: str | None = None) -> Outcome:
        from pipeline.cli import app

        result = CliRunner().invoke(app, list(arguments), input=stdin, prog_name="python -m pipeline")
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets commands print as in a terminal of this number of columns; `plain` is what they print without colours."""

    def arrange(columns: int) -> None:
        monkeypatch.setenv("TTY_COMPATIBLE", "1")
        monkeypatch.setenv("COLUMNS", str(columns))

    return arrange


def plain(text: str) -> str:
    """Text without the escape sequences of colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
