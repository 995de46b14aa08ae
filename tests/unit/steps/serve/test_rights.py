"""The server's rights: root reads the model, and another user answers the requests."""

import os
from pathlib import Path

import pytest

from steps.serve import rights
from steps.serve.rights import drop_rights

from .container import photo, serve, write_model

UID = 10001
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")


def identities(pid):
    """The user ids, group ids and other groups of all threads of a process (proc_pid_status(5))."""
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        found.add((status["Uid"], status["Gid"], status["Groups"].strip(), status["CapEff"].strip("0")))
    return found


@as_root
def test_a_server_reads_the_model_as_root_and_answers_as_another_user_in_all_its_threads(tmp_path):
    write_model(tmp_path / "model")
    for path in (tmp_path / "model").iterdir():
        path.chmod(0o600)
    (tmp_path / "model").chmod(0o700)
    server = serve(tmp_path, SERVING_UID=str(UID), OMP_NUM_THREADS="2")
    try:
        # Photos start the threads that decode.
        answers = [server.send(photo(red)) for red in (0, 128, 250)]
        assert [(status, answer["count"]) for status, answer, _ in answers] == [(200, 0), (200, 1), (200, 2)]
        number = "\t".join([str(UID)] * 4)
        assert identities(server.process.pid) == {(number, number, "", "")}
    finally:
        assert server.stop() == 0
    messages = [line.get("message", "") for line in server.lines()]
    assert messages.count(f"serving as user {UID}: without root's rights") == 1


@as_root
def test_without_the_setting_a_server_stays_who_it_is(tmp_path):
    write_model(tmp_path / "model")
    server = serve(tmp_path)
    try:
        assert {users for users, *_ in identities(server.process.pid)} == {"0\t0\t0\t0"}
    finally:
        server.stop()


def test_a_container_that_may_not_become_another_user_goes_on_with_a_warning(monkeypatch, caplog):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    for name in ("setgroups", "setgid", "setuid"):
        monkeypatch.setattr(rights.os, name, refuse)
    drop_rights(UID if os.getuid() != UID else UID + 1)
    assert "of SERVING_UID: [Errno 1] Operation not permitted" in caplog.text


@pytest.mark.parametrize("uid", [0, os.getuid()])
def test_nothing_changes_for_no_user_and_for_the_present_one(uid, monkeypatch):
    for name in ("setgroups", "setgid", "setuid"):
        monkeypatch.setattr(rights.os, name, lambda *_: pytest.fail("changed"))
    drop_rights(uid)
