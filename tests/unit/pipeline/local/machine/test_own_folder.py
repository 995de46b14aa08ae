"""The kinds: a folder that is not ours, and two commands that change one folder at once."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.local import cloud
from pipeline.local.machine import own_folder
from steps.contracts.errors import PipelineError

REFUSED = {
    "a file": lambda folder: (folder / "thesis.txt").write_text("three years"),
    "a hidden file": lambda folder: (folder / ".netrc").write_text("secret"),
    "folders named as ours": lambda folder: [(folder / name).mkdir() for name in ("images", "objects", "jobs")],
    "a broken link": lambda folder: (folder / "link").symlink_to(folder / "gone"),
}


@pytest.mark.parametrize("fill", REFUSED.values(), ids=REFUSED)
def test_a_folder_with_files_of_others_is_refused_and_left_as_it_is(tmp_path: Path, fill):
    fill(tmp_path)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(PipelineError, match=r"has files that are not the local cloud's \(.*PIPELINE_LOCAL_DIR"):
        cloud.up(tmp_path, "123456789012", "us-east-1")
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
    "names", [(), ("lost+found",), (".DS_Store",), ("cloud.lock", "cloud.partial"), ("cloud.json", "mine.txt")]
)
def test_a_folder_that_is_empty_or_ours_is_taken(tmp_path: Path, names: tuple[str, ...]):
    for name in names:
        (tmp_path / name).touch()
    own_folder.claim(tmp_path)
    own_folder.claim(tmp_path / "new" / "folder")
    assert (tmp_path / "new" / "folder").stat().st_mode & 0o077 == 0


def test_a_path_that_can_be_no_folder_is_named_with_the_remedy(tmp_path: Path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        with pytest.raises(PipelineError, match=r"cannot be the folder of the local cloud.*PIPELINE_LOCAL_DIR"):
            own_folder.claim(path)


def ours(folder: Path) -> Path:
    folder.mkdir()
    for name in ("cloud.json", "cloud.log", "cloud.sqlite-wal", "sts.key", "faults.jsonl", "health.json"):
        (folder / name).touch()
    (folder / "jobs" / "training" / "a").mkdir(parents=True)
    return folder


def test_a_removal_takes_what_is_ours_and_names_the_rest(tmp_path: Path):
    folder, elsewhere = ours(tmp_path / "cloud"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "photo.jpg").touch()
    (folder / "images").symlink_to(elsewhere)
    (folder / "notes.md").touch()
    (folder / "my-jobs").mkdir()
    assert own_folder.remove(folder) == ["my-jobs", "notes.md"]
    assert (elsewhere / "photo.jpg").exists()
    assert own_folder.remove(ours(tmp_path / "whole")) == []
    assert not (tmp_path / "whole").exists()


@pytest.mark.parametrize("name", ["images", "jobs", "s3-door"])
def test_a_removal_that_is_interrupted_is_still_ours_and_has_the_lock(tmp_path: Path, monkeypatch, name: str):
    folder = ours(tmp_path / "cloud")
    for other in ("images", "s3-door"):
        (folder / other).mkdir()
    remove = shutil.rmtree

    def interrupted(path: Path) -> None:
        if path.name == name:
            with pytest.raises(PipelineError, match="has been starting"), own_folder.locked(folder, 0):
                pass
            raise KeyboardInterrupt
        remove(path)

    with own_folder.locked(folder, 1):
        monkeypatch.setattr(shutil, "rmtree", interrupted)
        with pytest.raises(KeyboardInterrupt):
            own_folder.remove(folder)
    monkeypatch.undo()
    own_folder.claim(folder)
    assert own_folder.remove(folder) == []
    assert not folder.exists()


def test_the_lock_of_a_cloud_on_a_full_disk_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with own_folder.locked(tmp_path, 1):
            assert own_folder.holder(tmp_path) == 0


def test_of_two_commands_one_waits_for_the_other(tmp_path: Path):
    events: list[str] = []
    entered = threading.Event()

    def second() -> None:
        entered.set()
        with own_folder.locked(tmp_path, 60):
            events.append("second")

    with own_folder.locked(tmp_path, 1):
        assert own_folder.holder(tmp_path) == os.getpid()
        thread = threading.Thread(target=second)
        thread.start()
        entered.wait()
        events.append("first")
    thread.join()
    assert events == ["first", "second"]
    assert own_folder.holder(tmp_path) is None


def test_a_lock_that_is_not_free_in_time_names_its_process(tmp_path: Path):
    with (
        own_folder.locked(tmp_path, 1),
        pytest.raises(PipelineError, match=f"process {os.getpid()} has been starting"),
        own_folder.locked(tmp_path, 0),
    ):
        pass


def test_a_process_that_inherits_the_lock_has_it_until_it_ends(tmp_path: Path):
    with own_folder.locked(tmp_path, 1) as lock:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock,))
    assert own_folder.holder(tmp_path) is not None
    child.communicate(b"\n")
    assert own_folder.holder(tmp_path) is None


def test_a_lock_outlives_a_removal_of_its_folder(tmp_path: Path):
    folder = ours(tmp_path / "cloud")
    with own_folder.locked(folder, 1):
        own_folder.remove(folder)
        with own_folder.locked(folder, 1):
            assert own_folder.holder(folder) == os.getpid()
