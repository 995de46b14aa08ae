"""Which account a process speaks to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline import clients, connection
from pipeline.local import cloud
from pipeline.local.identity.sessions import Sessions
from pipeline.settings.file import load_settings
from steps.contracts.errors import PipelineError


@pytest.fixture
def running(project: Path, monkeypatch: pytest.MonkeyPatch) -> cloud.Cloud:
    found = cloud.Cloud(
        directory=project / "cloud",
        api_port=1,
        s3_port=2,
        access_key="LOCALKEY",
        secret_key="secret",
        region="us-east-1",
        account_id="123456789012",
        pid=3,
    )
    monkeypatch.setattr(cloud, "find", lambda directory: found if directory == project / "cloud" else None)
    # So that what `connect` sets is undone.
    for name in cloud.environment(found):
        monkeypatch.setenv(name, "before")
    return found


def test_an_account_gets_its_region_and_nothing_else(project: Path) -> None:
    before = dict(os.environ)
    connection.connect(load_settings(project / "pipeline.yaml", "aws"))
    changed = {name: value for name, value in os.environ.items() if before.get(name) != value}
    assert changed == {"AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1"}


def test_without_a_local_cloud_the_local_profile_says_how_to_start_it(project: Path) -> None:
    with pytest.raises(PipelineError, match="not running; start it: python -m pipeline local up"):
        connection.connect(load_settings(project / "pipeline.yaml", "local"))


def test_a_local_cloud_gets_every_client(running: cloud.Cloud, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(project / "pipeline.yaml", "local")
    connection.connect(settings)
    assert clients.client(settings, "sagemaker").meta.endpoint_url == "http://127.0.0.1:1"
    assert clients.client(settings, "s3").meta.endpoint_url == "http://127.0.0.1:2"
    assert os.environ["AWS_ACCESS_KEY_ID"] == "LOCALKEY"


def sign_in(monkeypatch: pytest.MonkeyPatch, directory: Path, seconds: float) -> dict[str, str]:
    issued = Sessions(directory).issue("arn:aws:iam::123456789012:role/operator", "operator", seconds).environment()
    for name, value in issued.items():
        monkeypatch.setenv(name, value)
    return issued


def test_a_person_of_the_local_cloud_stays_that_person(
    running: cloud.Cloud, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = sign_in(monkeypatch, running.directory, 600)
    settings = load_settings(project / "pipeline.yaml", "local")
    connection.connect(settings)
    assert issued.items() <= os.environ.items()
    with connection.as_administrator():
        assert (os.environ["AWS_ACCESS_KEY_ID"], "AWS_SESSION_TOKEN" in os.environ) == ("LOCALKEY", False)
    assert issued.items() <= os.environ.items()


@pytest.mark.parametrize(("folder", "seconds"), [("cloud", -1), ("a-cloud-that-was-reset", 600)])
def test_a_session_that_has_ended_is_never_the_root_users(
    running: cloud.Cloud, project: Path, monkeypatch: pytest.MonkeyPatch, folder: str, seconds: float
) -> None:
    sign_in(monkeypatch, project / folder, seconds)
    with pytest.raises(PipelineError, match="has ended; sign in again"):
        connection.connect(load_settings(project / "pipeline.yaml", "local"))


def test_what_is_set_for_another_account_does_not_reach_the_local_cloud(
    running: cloud.Cloud, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kind: variables and files of a person's shell that reach this project's clients."""
    foreign = (
        "AWS_PROFILE",
        "AWS_SESSION_TOKEN",
        "AWS_ENDPOINT_URL_SAGEMAKER",
        "AWS_USE_FIPS_ENDPOINT",
        "AWS_USE_DUALSTACK_ENDPOINT",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    )
    for name in foreign:
        monkeypatch.setenv(name, "http://elsewhere")
    broken = project / "config"
    broken.write_text("[profile torn\n")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(broken))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "7")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "example.com")
    settings = load_settings(project / "pipeline.yaml", "local")
    connection.connect(settings)
    assert set(foreign) & set(os.environ) == set()
    assert clients.client(settings, "s3").meta.endpoint_url == "http://127.0.0.1:2"
    assert (os.environ["NO_PROXY"], os.environ["AWS_MAX_ATTEMPTS"]) == ("example.com,127.0.0.1", "7")


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://localhost.localstack.cloud:4566",
            "https://s3.localhost.localstack.cloud:4566",
            "http://127.0.0.2:80",
        ),
        *(
            "http://0.0.0.0:5000",
            "http://[::1]:9000",
            "http://minio.localhost:9000",
            "http://host.docker.internal:4566",
        ),
        *("http://LOCALHOST:4566", "http://app.localtest.me"),
    ],
)
def test_a_name_that_leads_to_this_machine_is_no_aws_account(
    project: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """Kind: another cloud on this machine that passes for AWS."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", url)
    with pytest.raises(PipelineError, match="leads to this machine"):
        connection.connect(load_settings(project / "pipeline.yaml", "aws"))


@pytest.mark.parametrize("url", ["https://vpce-0a1b.api.sagemaker.us-east-1.vpce.amazonaws.com", "http://10.0.0.7:443"])
def test_an_endpoint_elsewhere_is_the_users(project: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", url)
    settings = load_settings(project / "pipeline.yaml", "aws")
    connection.connect(settings)
    assert clients.client(settings, "sagemaker").meta.endpoint_url == url
