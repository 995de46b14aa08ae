import ast
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline import images

ROOT = images.ROOT
FORWARDER = ROOT / "containers" / "training" / "forward_signals.py"
# Import names that differ from the package's.
PACKAGES = {"cv2": "opencv-python-headless", "botocore": "boto3", "yaml": "PyYAML"}
BASE_IMAGE = {"torch", "torchvision", "smdistributed"}


def pins(path):
    lines = [line.strip() for line in path.read_text().splitlines()]
    return dict(line.split("==") for line in lines if line and not line.startswith(("#", "-")))


@pytest.mark.parametrize("image", ["processing", "training", "inference"])
def test_an_images_pins_are_the_constraints(image):
    constraints = pins(ROOT / "requirements" / "constraints.txt")
    for package, version in pins(ROOT / "containers" / image / "requirements.txt").items():
        assert constraints.get(package) == version, package


@pytest.mark.parametrize("step", images.STEPS)
def test_an_image_installs_what_its_step_imports(step):
    wanted = set()
    for path in images.source_files(step):
        if path.suffix == ".py" and path.parts[:2] == ("steps", step):
            for node in ast.walk(ast.parse((ROOT / path).read_text())):
                if isinstance(node, ast.Import):
                    wanted |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    wanted.add(node.module.split(".")[0])
    third_party = wanted - set(sys.stdlib_module_names) - {"steps", "_typeshed"} - BASE_IMAGE
    installed = pins(ROOT / "containers" / images.STEPS[step] / "requirements.txt")
    assert {PACKAGES.get(name, name) for name in third_party} <= set(installed)


def test_the_training_image_never_installs_torch():
    assert not BASE_IMAGE & set(pins(ROOT / "containers" / "training" / "requirements.txt"))


@pytest.mark.parametrize("image", ["processing", "training", "inference"])
def test_a_dockerfile_copies_only_what_the_tag_is_the_hash_of(image):
    text = (ROOT / "containers" / image / "Dockerfile").read_text()
    for source in re.findall(r"^COPY (\S+) ", text, re.MULTILINE):
        assert source.startswith(("steps/", f"containers/{image}/")), source


def run(code, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(code)
    return subprocess.Popen(
        [sys.executable, FORWARDER, "sh", "-c", f"{sys.executable} {program}; exit $?"],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_sigterm_reaches_the_process_behind_a_shell_that_passes_nothing_on(tmp_path):
    saved = tmp_path / "saved"
    process = run(
        "import pathlib, signal, sys, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({str(saved)!r}).write_text('x'), sys.exit(0)))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n",
        tmp_path,
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    deadline = time.monotonic() + 10
    while not saved.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert saved.exists()


def test_the_exit_status_is_the_commands(tmp_path):
    assert run("raise SystemExit(7)", tmp_path).wait(20) == 7


def test_without_a_command_it_says_what_it_wants():
    done = subprocess.run([sys.executable, FORWARDER], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "usage" in done.stderr


def test_the_build_context_holds_no_more_than_it_needs():
    assert Path(ROOT / ".dockerignore").read_text().splitlines()[0] == "*"
