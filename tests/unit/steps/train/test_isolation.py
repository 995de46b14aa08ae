"""A trial in a container without a network: shards and index come through channels, and nobody outside is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from steps.contracts.dataset import read_index
from steps.train.artifact import check_complete

from ....conftest import free_port
from .photos import ROOT, launch

FLAGS = (
    *("--architecture", "resnet18", "--image-size", "32", "--epochs", "1", "--batch-size", "8"),
    *("--workers", "1", "--checkpoint-minutes", "0.000001"),
)
TIME_LIMIT = 480
# Python loads it at its start, in torchrun, in each rank and in each loader process. What goes beyond this machine is
# noted and refused. Python does not see the sockets of obstore, but a store's region is asked for by boto3 first.
SITE = """
import ipaddress, os, socket, sys
OURS = {socket.gethostname(), "localhost", "", None}
NAMES = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
SENDS = ("socket.connect", "socket.sendto", "socket.sendmsg")
def here(host):
    try:
        return host in OURS or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
def watch(event, arguments):
    if event in NAMES:
        wanted = arguments[0]
    elif event in SENDS and isinstance(arguments[1], tuple):
        wanted = arguments[1][0]
    else:
        return
    if not here(wanted):
        with open(os.environ["REFUSED"], "a") as file:
            file.write(f"{event} {wanted}\\n")
        raise OSError(101, f"Network is unreachable: {wanted}")
sys.addaudithook(watch)
"""


@pytest.fixture
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Processes that start from here on reach this machine alone, and have no credentials; gives the list of what they
    were refused.
    """
    folder, refused = tmp_path / "site", tmp_path / "refused"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SITE)
    refused.write_text("")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("REFUSED", str(refused))
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return refused


def fill_channel(s3: Any, base: Path) -> str:
    """Copy the shards into the channel and delete them in S3; gives the place that the channel shows."""
    index = read_index(base / "input" / "data" / "index")
    bucket = ""
    for split in index.splits.values():
        for shard in split.shards:
            bucket, key = shard.uri.removeprefix("s3://").split("/", 1)
            target = base / "input" / "data" / "shards" / key
            target.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(bucket, key, str(target))
            s3.delete_object(Bucket=bucket, Key=key)
    return f"s3://{bucket}"


def finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    log, _ = process.communicate(timeout=TIME_LIMIT)
    return process.returncode, log


def test_two_ranks_train_and_ask_nobody_outside(s3: Any, base: Path, no_network: Path) -> None:
    location = fill_channel(s3, base)
    status, log = finished(launch(base, free_port(), *FLAGS, "--shards-location", location))
    assert no_network.read_text() == ""
    assert status == 0, log
    check_complete(base / "model")
    assert len(json.loads((base / "model" / "history.json").read_text())["epochs"]) == 1
    # The service moves checkpoints and the model itself.
    assert list((base / "checkpoints" / "job-1").glob("epoch-*.pt"))


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)


def test_what_opens_s3_or_looks_a_name_up_is_refused_here(no_network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without = run("from steps.shards.reading import open_stream; open_stream('s3://photos/train-000.tar').read()")
    assert "credentials" in without.stderr
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "some")
    run("from steps.runtime.s3 import open_store; open_store('photos')")
    for program in (
        "import socket; socket.create_connection(('s3.us-east-1.amazonaws.com', 443))",
        "import socket; socket.socket().connect(('192.0.2.1', 443))",
    ):
        assert "Network is unreachable" in run(program).stderr
    assert list(dict.fromkeys(no_network.read_text().splitlines())) == [
        "socket.getaddrinfo 169.254.169.254",  # an instance's credentials
        "socket.getaddrinfo photos.s3.amazonaws.com",
        "socket.getaddrinfo s3.us-east-1.amazonaws.com",
        "socket.connect 192.0.2.1",
    ]
