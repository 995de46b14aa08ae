"""Clients of others call a local cloud that has runs in it: each answer is honoured, or refused as documented.

The kind: an answer that one client cannot read, or reads as a success that it is not. The tables have one row per call;
no row needs another one, and none is about what another one adds.
`make test-clients` also runs SDK v2 and PyAthena, in an environment of their own.
"""

from __future__ import annotations

import datetime
import json
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import jmespath
import pytest

from pipeline import ROOT
from tests.clients import aws_cli, other_environment, python_clients
from tests.clients.scene import Scene
from tests.integration.conftest import running, wait_until

# The Python of the environment with SDK v2: make test-clients.
OTHER_PYTHON = os.environ.get("TEST_CLIENTS", "")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with running(tmp_path_factory.mktemp("clients") / "cloud") as cloud:
        started = Scene(cloud)
        now = datetime.datetime.now(datetime.UTC)
        dimensions = [{"Name": "EndpointName", "Value": "clients"}, {"Name": "VariantName", "Value": "all"}]
        metric = {"Namespace": "AWS/SageMaker", "MetricName": "ModelLatency", "Dimensions": dimensions}
        latency = [{"Id": "q", "MetricStat": {"Metric": metric, "Period": 3600, "Stat": "p99"}}]
        started.values |= {
            "earlier": (now - datetime.timedelta(hours=2)).isoformat(timespec="seconds"),
            "later": (now + datetime.timedelta(hours=2)).isoformat(timespec="seconds"),
            "latency_p99": shlex.quote(json.dumps(latency)),
        }
        # The cloud sends its metrics every second.
        wait_until(lambda: python_clients.latency(started) > 0)
        yield started


@pytest.fixture
def aws(scene: Scene, capsys: pytest.CaptureFixture[str]) -> Callable[[str], tuple[int, str, str]]:
    """Run the aws CLI in this process. Returns its status, output and errors."""
    from awscli.clidriver import create_clidriver

    def run(command: str) -> tuple[int, str, str]:
        arguments = shlex.split(command.format(**scene.values))
        capsys.readouterr()
        status = create_clidriver().main([*arguments, "--output", "json"])
        written = capsys.readouterr()
        return status, written.out, written.err

    return run


def filled(value: Any, values: dict[str, str]) -> Any:
    if isinstance(value, str):
        return value.format(**values)
    return [filled(item, values) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("command", "expression", "expected"), aws_cli.ANSWERED, ids=lambda value: str(value)[:60])
def test_the_aws_cli_is_answered(
    aws: Callable[[str], tuple[int, str, str]], scene: Scene, command: str, expression: str, expected: Any
) -> None:
    status, out, err = aws(command)
    assert status == 0, err
    answer = json.loads(out) if out.strip() else None
    assert jmespath.search(expression.format(**scene.values), answer) == filled(expected, scene.values), answer


@pytest.mark.parametrize(("command", "code"), aws_cli.REFUSED, ids=lambda value: str(value)[:60])
def test_the_aws_cli_is_refused_by_name(aws: Callable[[str], tuple[int, str, str]], command: str, code: str) -> None:
    status, _, err = aws(command)
    assert status != 0
    assert f"({code}" in err, err
    assert "reached max retries" not in err


TABLES = {"awswrangler": python_clients.AWSWRANGLER, "SDK v3": python_clients.SDK_V3, "boto3": python_clients.BOTO3}


@pytest.mark.parametrize(
    ("table", "name"), [(table, name) for table, calls in TABLES.items() for name in calls], ids=str
)
def test_a_python_client_is_answered(scene: Scene, table: str, name: str) -> None:
    call, expected = TABLES[table][name]
    assert call(scene) == (expected(scene) if callable(expected) else expected)


# ------------------------------------------------------------------------------------------------- another environment


@pytest.fixture(scope="module")
def elsewhere(scene: Scene) -> dict[str, Any]:
    """What the calls of SDK v2 and PyAthena returned, by their names."""
    done = subprocess.run(
        [str(ROOT / OTHER_PYTHON), "-m", "tests.clients.other_environment", json.dumps(scene.values)],
        cwd=ROOT,
        env={**os.environ, "SAGEMAKER_SUPPRESS_V2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    answers: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answers


@pytest.mark.skipif(not OTHER_PYTHON, reason="make test-clients has SDK v2 and PyAthena")
@pytest.mark.parametrize("name", other_environment.CALLS)
def test_sdk_v2_and_pyathena_are_answered(elsewhere: dict[str, Any], name: str) -> None:
    _, expected = other_environment.CALLS[name]
    assert elsewhere[name] == expected
