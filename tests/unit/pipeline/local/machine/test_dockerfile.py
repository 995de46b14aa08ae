"""The user and the places of code that a Dockerfile names."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import ROOT
from pipeline.local.machine.dockerfile import read


def image(folder: Path, text: str) -> Path:
    (folder / "containers/test").mkdir(parents=True)
    (folder / "containers/test/Dockerfile").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("FROM x\n", True),
        ("FROM x\nUSER 10001\n", False),
        ("FROM x\nUSER 10001\nRUN a\nUSER root\n", True),
        ("FROM x\n# USER 10001\nUSER 0:0\n", True),
        ("FROM x\nUSER serving\n", False),
    ],
)
def test_the_last_user_counts(tmp_path: Path, text: str, root: bool) -> None:
    assert read(image(tmp_path, text)).runs_as_root is root


@pytest.mark.parametrize(
    ("text", "code", "hidden"),
    [
        ("FROM x\nENV A=1 \\\n    PYTHONPATH=/opt/ml/code\n", ("/opt/ml/code",), True),
        ("FROM x\nENV PYTHONPATH=/opt/program:/opt/ml/code\n", ("/opt/program", "/opt/ml/code"), False),
        ("FROM x\nWORKDIR /opt\nWORKDIR ml\n", ("/opt/ml",), True),
        ("FROM x\nWORKDIR /opt/mlops\n", ("/opt/mlops",), False),
        ('FROM x\nENTRYPOINT ["python3", "/opt/ml/run.py"]\n', ("/opt/ml",), True),
        ('FROM x\nENTRYPOINT ["python3", "program.py"]\n', (), False),
    ],
)
def test_code_below_opt_ml_is_hidden_by_a_processing_jobs_folders(
    tmp_path: Path, text: str, code: tuple[str, ...], hidden: bool
) -> None:
    found = read(image(tmp_path, text))
    assert (found.code, found.is_hidden_by_processing) == (code, hidden)


def test_the_processing_image_is_not_hidden(tmp_path: Path) -> None:
    text = (ROOT / "containers/processing/Dockerfile").read_text()
    dockerfile = read(image(tmp_path, text))
    assert dockerfile.code == ("/opt/program",)
    assert dockerfile.runs_as_root
