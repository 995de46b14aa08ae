"""Other clients at the S3 door: obstore, awswrangler, the AWS CLI; and credentials that end while they work."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import obstore
import pandas as pd
import pytest
from obstore.exceptions import PermissionDeniedError
from obstore.store import S3Store

from pipeline import ROOT
from pipeline.local.identity.sessions import Credentials
from tests.unit.pipeline.local.s3.conftest import Gate, allow

LIFE_SECONDS = 3


def arn(bucket: str, key: str = "*") -> str:
    return f"arn:aws:s3:::{bucket}/{key}"


def environment(gate: Gate, credentials: Credentials | None) -> dict[str, str]:
    """The variables of a client's process: a session's static credentials, or those of a container."""
    base = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **base,
        "AWS_ENDPOINT_URL_S3": gate.door.endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        **(credentials.environment() if credentials else {}),
    }


@pytest.fixture(autouse=True)
def own_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """obstore prefers the endpoint of the environment, of another test's server, to its argument."""
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)


def store(gate: Gate, bucket: str, credentials: Credentials, **options) -> S3Store:
    return S3Store(
        bucket,
        endpoint=gate.door.endpoint,
        region="us-east-1",
        access_key_id=credentials.access_key,
        secret_access_key=credentials.secret_key,
        session_token=credentials.token,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
        **options,
    )


@pytest.fixture
def container(gate: Gate) -> Iterator[tuple[dict[str, str], list[str], str]]:
    """Credentials of three seconds, as ECS and SageMaker hand them out: variables, the sessions issued, the role."""
    role, issued = gate.role(allow("s3:*")), []

    class Endpoint(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            credentials = gate.sessions.issue(role, f"session-{len(issued)}", LIFE_SECONDS)
            issued.append(credentials.session.name)
            body = json.dumps(
                {
                    "AccessKeyId": credentials.access_key,
                    "SecretAccessKey": credentials.secret_key,
                    "Token": credentials.token,
                    "Expiration": credentials.expiration,
                }
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    uri = f"http://127.0.0.1:{server.server_port}/v2/credentials/abc"
    yield {"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "token"}, issued, role
    server.shutdown()
    server.server_close()


def test_obstore_reads_writes_lists_and_deletes_within_its_rights(gate: Gate):
    bucket = gate.bucket()
    credentials = gate.credentials(
        allow("s3:GetObject", "s3:PutObject", "s3:DeleteObject", on=arn(bucket, "open/*")),
        allow("s3:ListBucket", on=f"arn:aws:s3:::{bucket}", Condition={"StringLike": {"s3:prefix": "open/*"}}),
    )
    for options in ({}, {"unsigned_payload": True}):
        s3 = store(gate, bucket, credentials, **options)
        large = os.urandom(12_000_000)
        obstore.put(s3, "open/large", large, chunk_size=5 * 1024 * 1024)
        obstore.put(s3, "open/a b*ü", b"1")
        assert bytes(obstore.get(s3, "open/large").bytes()) == large
        assert {item["path"] for page in obstore.list(s3, "open") for item in page} == {"open/large", "open/a b*ü"}
        obstore.delete(s3, ["open/large", "open/a b*ü"])
        assert [item for page in obstore.list(s3, "open") for item in page] == []


@pytest.mark.parametrize("size", [1, 3_000_000, 12_000_000])
def test_obstore_sees_the_refusal_of_an_upload(gate: Gate, size: int):
    bucket = gate.bucket()
    s3 = store(gate, bucket, gate.credentials(allow("s3:GetObject")))
    with pytest.raises(PermissionDeniedError, match="is not authorized to perform: s3:PutObject"):
        obstore.put(s3, "x", os.urandom(size))
    with pytest.raises(PermissionDeniedError, match="s3:ListBucket"):
        obstore.get(s3, "none")


def test_obstore_with_many_requests_in_flight(gate: Gate):
    bucket = gate.bucket()
    s3 = store(gate, bucket, gate.credentials(allow("s3:*")))
    bodies = {f"{number:03d}": os.urandom(20_000) for number in range(100)}

    async def both_ways() -> dict[str, bytes]:
        await asyncio.gather(*(obstore.put_async(s3, key, body) for key, body in bodies.items()))

        async def fetch(key: str) -> bytes:
            return bytes(await (await obstore.get_async(s3, key)).bytes_async())

        return dict(zip(bodies, await asyncio.gather(*map(fetch, bodies)), strict=True))

    assert asyncio.run(both_ways()) == bodies


# A writer that is refused tries again when it is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_awswrangler_writes_and_reads_tables(gate: Gate, monkeypatch: pytest.MonkeyPatch):
    import awswrangler
    import boto3

    bucket = gate.bucket()
    credentials = gate.credentials(
        allow("s3:GetObject", "s3:PutObject", "s3:DeleteObject", on=arn(bucket, "table/*")),
        allow("s3:ListBucket", on=f"arn:aws:s3:::{bucket}"),
    )
    for name, value in environment(gate, credentials).items():
        monkeypatch.setenv(name, value)
    session = boto3.Session(credentials.access_key, credentials.secret_key, credentials.token, region_name="us-east-1")
    monkeypatch.setattr(awswrangler.config, "s3_endpoint_url", gate.door.endpoint)
    frame = pd.DataFrame({"a": range(1000)})
    awswrangler.s3.to_parquet(frame, f"s3://{bucket}/table/", dataset=True, mode="overwrite", boto3_session=session)
    assert (
        awswrangler.s3.read_parquet(f"s3://{bucket}/table/", dataset=True, boto3_session=session)["a"].sum() == 499500
    )
    with pytest.raises(Exception, match="s3:PutObject"):
        awswrangler.s3.to_parquet(frame, f"s3://{bucket}/other/x.parquet", boto3_session=session)


def test_the_aws_cli_copies_lists_removes_and_shows_the_refusal(gate: Gate, tmp_path: Path):
    bucket = gate.bucket()
    credentials = gate.credentials(
        allow("s3:GetObject", "s3:PutObject", "s3:DeleteObject", on=arn(bucket, "open/*")),
        allow("s3:ListBucket", on=f"arn:aws:s3:::{bucket}"),
    )
    (tmp_path / "large").write_bytes(os.urandom(9_000_000))

    def aws(*arguments: str) -> tuple[int, str]:
        command = [str(Path(sys.executable).with_name("aws")), "s3", *arguments]
        result = subprocess.run(
            command, env=environment(gate, credentials), capture_output=True, text=True, check=False
        )
        return result.returncode, result.stdout + result.stderr

    assert aws("cp", str(tmp_path / "large"), f"s3://{bucket}/open/large")[0] == 0
    assert "large" in aws("ls", f"s3://{bucket}/open/")[1]
    assert aws("cp", f"s3://{bucket}/open/large", str(tmp_path / "back"))[0] == 0
    assert (tmp_path / "back").read_bytes() == (tmp_path / "large").read_bytes()
    code, output = aws("cp", str(tmp_path / "large"), f"s3://{bucket}/closed/large")
    assert (code, "(AccessDenied)" in output, "s3:PutObject" in output) == (1, True, True)
    code, output = aws("rm", f"s3://{bucket}/closed/large")
    assert (code, "s3:DeleteObject" in output) == (1, True)
    assert aws("rm", "--recursive", f"s3://{bucket}/open/")[0] == 0


def test_boto3_and_obstore_outlive_many_short_sessions(gate: Gate, container):
    variables, issued, _ = container
    bucket = gate.bucket()
    gate.client().put_object(Bucket=bucket, Key="k", Body=b"1")
    seconds = LIFE_SECONDS * 3 + 1
    program = f"""
import time, boto3, obstore
from steps.runtime.s3 import open_store
s3 = boto3.client("s3")
store = open_store({bucket!r})
end = time.monotonic() + {seconds}
while time.monotonic() < end:
    assert s3.get_object(Bucket={bucket!r}, Key="k")["Body"].read() == b"1"
    assert bytes(obstore.get(store, "k").bytes()) == b"1"
    time.sleep(0.2)
"""
    started = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**environment(gate, None), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert time.monotonic() - started > seconds
    assert len(issued) > 3
