"""The packages of an image: Spark's are those of its own set-up, and a machine without that says so."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from pipeline.local.machine import interpreters, layer
from pipeline.local.machine.interpreters import NotInstalledError, environment_of


def image(folder: Path, container: str) -> Path:
    (folder / "containers" / container).mkdir(parents=True)
    return folder


def test_an_image_without_spark_has_the_packages_of_the_local_cloud(tmp_path: Path) -> None:
    assert environment_of(image(tmp_path, "processing")) is None


def test_an_image_of_spark_needs_its_set_up_to_be_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spark = image(tmp_path / "image", "spark")
    monkeypatch.setattr(interpreters, "SPARK", tmp_path / "venv")
    line = "this step starts Spark, which is not installed on this machine; run: make setup-spark"
    with pytest.raises(NotInstalledError, match=f"^{line}$"):
        environment_of(spark)
    (tmp_path / "venv").mkdir()  # begun, and not ended
    with pytest.raises(NotInstalledError):
        environment_of(spark)
    (tmp_path / "venv" / ".installed").touch()
    assert environment_of(spark) == tmp_path / "venv"


def test_a_layer_over_another_environment_has_its_packages_and_not_those_of_the_local_cloud(tmp_path: Path) -> None:
    below = tmp_path / "below"
    venv.EnvBuilder(symlinks=True, with_pip=False).create(below)
    (packages,) = below.glob("lib/python*/site-packages")
    (packages / "only_below.py").write_text("VALUE = 42\n")
    commands = layer.create(tmp_path / "layer", below)
    program = (
        "import importlib.util as u, only_below, sys; print(only_below.VALUE, u.find_spec('pydantic'), sys.prefix)"
    )
    environment = {"PATH": f"{commands}:{Path(sys.executable).parent}"}
    done = subprocess.run(["python3", "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["42", "None", str(tmp_path / "layer")]
