"""The kind: an environment that leaks out: what a job installs reaches the local cloud and other jobs."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import pytest

from pipeline.local.machine import layer
from pipeline.local.machine.containers import Container


def wheel(folder: Path, name: str, version: str, value: str) -> Path:
    """A package of one module, which has `VALUE` and a command."""
    info = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"VALUE = {value!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path


def run(commands: Path, *words: str) -> str:
    environment = {"PATH": f"{commands}:{Path(sys.executable).parent}:/usr/bin:/bin", "PIP_NO_INDEX": "1"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


FROM_A_PROGRAM = """
import subprocess, sys
sys.exit(subprocess.call([sys.executable, "-m", "pip", *sys.argv[1:]]))
"""
INSTALLERS = {
    "pip": ("pip",),
    "python3 -m pip": ("python3", "-m", "pip"),
    "from a program": ("python3", "-c", FROM_A_PROGRAM),
}


@pytest.mark.parametrize("installer", INSTALLERS.values(), ids=INSTALLERS)
def test_what_a_container_installs_is_its_own_alone(tmp_path: Path, installer: tuple[str, ...]):
    before = {distribution.name for distribution in distributions()}
    commands, other = layer.create(tmp_path / "a job's Python"), layer.create(tmp_path / "other")
    run(commands, *installer, "install", "--quiet", str(wheel(tmp_path, "kind_of_leak", "1.0", "installed")))
    assert run(commands, "python3", "-c", "import kind_of_leak as k; print(k.VALUE)") == "installed"
    look = "import importlib.util; print(importlib.util.find_spec('kind_of_leak'))"
    assert run(other, "python3", "-c", look) == "None"
    assert {distribution.name for distribution in distributions()} == before
    assert not list(Path(sysconfig.get_path("purelib")).glob("kind_of_leak*"))


def test_a_package_of_the_cloud_is_seen_and_can_be_replaced_for_one_container(tmp_path: Path):
    commands = layer.create(tmp_path / "layer")
    version = "import markupsafe; print(getattr(markupsafe, 'VALUE', 'own'))"
    assert run(commands, "python3", "-c", version) == "own"
    run(commands, "pip", "install", "--quiet", str(wheel(tmp_path, "markupsafe", "99.0", "replaced")))
    assert run(commands, "python3", "-c", version) == "replaced"
    assert run(layer.create(tmp_path / "next"), "python3", "-c", version) == "own"


def test_the_commands_of_packages_run_with_the_containers_python(tmp_path: Path):
    commands = layer.create(tmp_path / "with blanks, ü and 'quotes'")
    assert {"pip", "torchrun", "python", "python3"} <= {path.name for path in commands.iterdir()}
    assert str(commands.parent) in run(commands, "python3", "-c", "import sys; print(sys.prefix)")
    for name in ("pip", "torchrun", "pytest"):
        assert (commands / name).read_text().startswith("#!/bin/sh\n'''exec' \"$(dirname")
    assert str(tmp_path) not in run(commands, "pip", "--version")  # pip itself is the cloud's


@pytest.mark.parametrize(
    ("text", "program"),
    [
        (b"#!/venv/bin/python3.11\nimport sys\n", b"import sys\n"),
        (b"#!/usr/bin/env python\nimport sys\n", b"import sys\n"),
        (b"#!/bin/sh\n'''exec' \"/long path/python\" \"$0\" \"$@\"\n' '''\nimport sys\n", b"import sys\n"),
        (b"#!/bin/sh\nexec /usr/bin/weed\n", None),
        (b"\x7fELF", None),
        (b"", None),
    ],
)
def test_a_command_is_python_by_its_first_lines(tmp_path: Path, text: bytes, program: bytes | None):
    path = tmp_path / "command"
    path.write_bytes(text)
    assert layer._python_script(path) is None  # it may not be executed
    path.chmod(0o755)
    assert layer._python_script(path) == program


def test_a_layer_that_was_not_completed_is_created_again(tmp_path: Path):
    (tmp_path / "layer" / "bin").mkdir(parents=True)
    commands = layer.create(tmp_path / "layer")
    (commands.parent / "mark").touch()
    assert layer.create(tmp_path / "layer") == commands
    assert (commands.parent / "mark").exists()


def test_each_start_of_a_container_has_a_new_environment_that_ends_with_it(tmp_path: Path):
    class Account:
        def child_environment(self, commands: Path) -> dict[str, str]:
            return {"PATH": f"{commands}:/usr/bin:/bin", "PIP_NO_INDEX": "1"}

    package = wheel(tmp_path, "kind_of_leak", "1.0", "installed")
    program = (
        "import importlib.util as u, subprocess as s, sys; print(u.find_spec('kind_of_leak'));"
        f" sys.exit(s.call(['pip', 'install', '-q', {str(package)!r}]))"
    )
    lines: list[str] = []
    for _ in range(2):
        container = Container(Account(), tmp_path / "algo-1", tmp_path, ["python3", "-c", program], lines.append)
        container.start()
        assert container.wait(120) == 0, lines
    assert [line for line in lines if line.startswith("None")] == ["None", "None"]
    assert not (tmp_path / "algo-1.python").exists()
