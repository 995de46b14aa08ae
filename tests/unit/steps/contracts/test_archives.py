"""The kind: a Python that is 3.11, but older than a function that is used."""

from __future__ import annotations

import io
import os
import re
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import ROOT
from steps.contracts.archives import unpack


@pytest.fixture(params=["filters", "no filters"])
def python(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """This Python, and one before 3.11.4, which knows no filters: there an argument `filter` is a TypeError."""
    if request.param == "filters":
        if not hasattr(tarfile, "data_filter"):
            pytest.skip("this Python has no filters")
        return
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    with_filters = tarfile.TarFile.extractall

    def without_filters(
        self: tarfile.TarFile, path: Path, members: list[tarfile.TarInfo] | None = None, *, numeric_owner: bool = False
    ) -> None:
        with_filters(self, path, members, numeric_owner=numeric_owner)

    monkeypatch.setattr(tarfile.TarFile, "extractall", without_filters)


def packed(*members: tuple[str, dict[str, object]]) -> tarfile.TarFile:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, values in members:
            info = tarfile.TarInfo(name)
            info.size = 4 if values.get("type", tarfile.REGTYPE) == tarfile.REGTYPE else 0
            for key, value in values.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(b"data"))
    file.seek(0)
    return tarfile.open(fileobj=file)


@pytest.mark.usefixtures("python")
@pytest.mark.parametrize("name", ["model.onnx", "code/inference.py", "/absolute/model.onnx", "./a/./b", "ü ß"])
def test_what_stays_inside_is_unpacked(tmp_path: Path, name: str) -> None:
    unpack(packed((name, {"mode": 0o777, "uid": 4711, "gid": 4711})), tmp_path / "into")
    path = tmp_path / "into" / name.lstrip("/")
    assert path.read_bytes() == b"data"
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert path.stat().st_uid == os.getuid()


@pytest.mark.usefixtures("python")
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("../evil", {}),
        ("a/../../evil", {}),
        ("/../evil", {}),
        ("device", {"type": tarfile.CHRTYPE}),
        ("pipe", {"type": tarfile.FIFOTYPE}),
        ("link", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
        ("link", {"type": tarfile.SYMTYPE, "linkname": "../../evil"}),
        ("hard", {"type": tarfile.LNKTYPE, "linkname": "../evil"}),
    ],
)
def test_what_leaves_the_folder_is_refused(tmp_path: Path, name: str, values: dict[str, object]) -> None:
    with pytest.raises(tarfile.TarError):
        unpack(packed(("good", {}), (name, values)), tmp_path / "a" / "into")
    assert not (tmp_path / "evil").exists()
    assert not (tmp_path / "a" / "evil").exists()


@pytest.mark.usefixtures("python")
def test_a_folder_that_may_not_be_written_can_be_unpacked_into(tmp_path: Path) -> None:
    folder = {"type": tarfile.DIRTYPE, "mode": 0o000}
    unpack(packed(("a", folder), ("a/b", {"mode": 0o000})), tmp_path)
    assert (tmp_path / "a" / "b").read_bytes() == b"data"


# Arguments and functions that came with a later 3.11: https://docs.python.org/3.11/whatsnew/changelog.html
LATER: dict[str, Callable[[str], list[str]]] = {
    "3.11.4": re.compile(r"extractall\([^)]*filter\s*=|unpack_archive\([^)]*filter\s*=").findall,
    "3.11.10": re.compile(r"\b(?:getaddresses|parseaddr)\([^)]*strict\s*=").findall,
}


def test_nothing_else_needs_a_later_python() -> None:
    """Only the function above asks first whether there are filters."""
    users = []
    for folder in ("pipeline", "steps", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if any(uses(path.read_text()) for uses in LATER.values()):
                users.append(path.relative_to(ROOT).as_posix())
    assert users == ["steps/contracts/archives.py"]
