"""A local cloud of its own for the integration tests, and small images whose steps are a few lines each."""

from __future__ import annotations

import json
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from pipeline.local import cloud
from pipeline.local.sagemaker import quotas
from pipeline.settings import Account
from tests.conftest import FOREIGN, NOWHERE, free_port, without

ACCOUNT = Account(target="local", id="123456789012", region="us-east-1")
REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
ROLE = "arn:aws:iam::123456789012:role/test"
# The tests of a module share a cloud, and leave endpoints in it.
QUOTAS = {f"ml.c5.{size} for endpoint usage": 100 for size in ("large", "xlarge")}
CREDENTIAL_SECONDS = 20
TERMINAL = ("Completed", "Failed", "Stopped", "Succeeded", "InService")


@dataclass(frozen=True)
class LocalCloud:
    """A running local cloud, and what tests do with it again and again."""

    settings: cloud.Cloud

    def client(self, service: str) -> Any:
        return boto3.client(service)

    def bucket(self) -> str:
        name = f"test-{uuid.uuid4().hex[:20]}"
        self.client("s3").create_bucket(Bucket=name)
        return name

    def image(self, source: str, program: str = "program.py", repository: str = "test") -> str:
        """Publish an image that holds one program. Returns its URI."""
        tag = uuid.uuid4().hex[:12]
        folder = self.settings.directory / "images" / repository / tag
        (folder / "containers" / "test").mkdir(parents=True)
        (folder / program).write_text(textwrap.dedent(source))
        (folder / "containers" / "test" / "Dockerfile").write_text(f'FROM x\nENTRYPOINT ["python3", "{program}"]\n')
        return f"{REGISTRY}/{repository}:{tag}"


@contextmanager
def running(directory: Path) -> Iterator[LocalCloud]:
    """A local cloud in this folder, on free ports; the environment points at it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIPELINE_LOCAL_DIR", str(directory))
        ports = {"api_port": free_port(), "s3_port": free_port()}
        # Short lives, so that whatever does not renew its credentials fails.
        started = cloud.up(directory, ACCOUNT.id, ACCOUNT.region, **ports, credential_seconds=CREDENTIAL_SECONDS)
        quotas.write(directory, QUOTAS)
        try:
            without(patch, *FOREIGN, "AWS_ENDPOINT_URL_S3")
            # The commands set NO_PROXY for their process, which is this one.
            proxies = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
            for name, value in {**NOWHERE, **cloud.environment(started), **proxies}.items():
                patch.setenv(name, value)
            boto3.DEFAULT_SESSION = None
            create_role()
            yield LocalCloud(started)
        finally:
            cloud.down(directory)
            boto3.DEFAULT_SESSION = None


def create_role() -> None:
    """The role of the small jobs and functions, which are not about permissions: it may do everything."""
    services = [f"{name}.amazonaws.com" for name in ("sagemaker", "lambda", "scheduler")]
    trust = {"Effect": "Allow", "Principal": {"Service": services}, "Action": "sts:AssumeRole"}
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    iam, name = boto3.client("iam"), ROLE.rsplit("/", 1)[-1]
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy(trust))
    iam.put_role_policy(RoleName=name, PolicyName="everything", PolicyDocument=_policy(everything))


def _policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture(scope="module")
def local_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A local cloud for a module's tests alone: what another module leaves, and when, is nothing to them."""
    with running(tmp_path_factory.mktemp("local") / "cloud") as started:
        yield started


@pytest.fixture
def empty_cloud(tmp_path: Path) -> Iterator[LocalCloud]:
    """A local cloud in which no other test has made anything."""
    with running(tmp_path / "cloud") as started:
        yield started


@pytest.fixture
def sagemaker(local_cloud: LocalCloud) -> Any:
    return local_cloud.client("sagemaker")


def wait_until(done: Callable[[], Any], seconds: float = 300) -> Any:
    """The first true value of `done`; a busy machine gets the time that it needs."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := done():
            return value
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} seconds")


def read(s3: Any, uri: str) -> bytes:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())


def keys(s3: Any, bucket: str, prefix: str = "") -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]
