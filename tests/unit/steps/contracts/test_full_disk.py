"""Kind: what was not written whole fails where it was written, with "no space left" and the folder."""

import sqlite3
from pathlib import Path

import pytest

from steps.contracts import full_disk
from steps.contracts.errors import StepError
from steps.contracts.full_disk import explained, is_disk_full, is_full

FULL = OSError(28, "No space left on device")


def caused(error, cause):
    try:
        raise error from cause
    except type(error) as raised:
        return raised


def in_the_course_of(error, first):
    try:
        try:
            raise first
        except type(first):
            raise error  # noqa: B904
    except type(error) as raised:
        return raised


@pytest.mark.parametrize(
    "error",
    [
        FULL,
        OSError(122, "Disk quota exceeded"),
        sqlite3.OperationalError("database or disk is full"),
        RuntimeError("Generic LocalFileSystem error: Unable to copy: No space left on device (os error 28)"),
        caused(StepError("a.tar.gz: not a usable model artifact"), FULL),
        in_the_course_of(ValueError("cannot close file"), FULL),
    ],
    ids=str,
)
def test_the_errors_of_a_full_disk_are_recognised(error, tmp_path):
    assert is_disk_full(error)
    assert explained(error, [tmp_path]).startswith(f"no space left on the disk of {tmp_path} (")


@pytest.mark.parametrize("error", [OSError(2, "No such file"), StepError("the shard is full of zeros"), MemoryError()])
def test_other_errors_are_not(error):
    assert not is_disk_full(error)


def test_the_file_of_the_error_comes_before_the_disks_that_are_full(tmp_path, monkeypatch):
    named = caused(StepError("half"), OSError(28, "No space left on device", str(tmp_path / "new" / "model.onnx")))
    assert f"the disk of {tmp_path}/new/model.onnx (" in explained(named, [Path("/")])
    monkeypatch.setattr(full_disk, "is_full", lambda folder: folder == tmp_path)
    assert f"the disk of {tmp_path} (" in explained(FULL, [Path("/"), tmp_path, tmp_path / "missing"])


def test_a_disk_is_full_for_what_needs_more(tmp_path):
    assert not is_full(tmp_path)
    assert is_full(tmp_path, 2**70)
