"""Nothing that a tracker does or fails to do is felt by the training."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from steps.train import tracking, tracking_process
from steps.train.history import History
from steps.train.run import run

from .photos import ROOT
from .trackers import FLAGS, history, opened, recipe, tracked, warnings

pytestmark = pytest.mark.usefixtures("job")


@pytest.mark.parametrize("port", ["closed_port", "silent_port"])
def test_a_trial_whose_tracking_server_is_away_trains_to_its_end_with_one_warning(port, trial, caplog, request):
    caplog.set_level("INFO")
    server = request.getfixturevalue(port)
    begin = time.monotonic()
    run(recipe(*FLAGS, tracking_server=server))
    taken = time.monotonic() - begin
    (line,) = warnings(caplog)
    assert line.startswith("tracker mlflow is off: ")
    assert line.endswith("; the training goes on without it")
    kept = History.model_validate_json((trial / "model" / "history.json").read_text())
    assert len(kept.epochs) == 2
    # The training itself, the model's export with it, takes the rest; the tracker's part is bounded.
    assert taken < sum(epoch.seconds for epoch in kept.epochs) + tracking.FINISH_SECONDS + 300


def test_epochs_are_handed_over_at_once_and_the_end_waits_no_longer_than_it_says(silent_port, monkeypatch, caplog):
    monkeypatch.setattr(tracking, "FINISH_SECONDS", 1.0)
    begin = time.monotonic()
    with opened(recipe(tracking_server=silent_port)) as tracker:
        for _ in range(50):
            tracker.epoch(history(0.5))
        handed_over = time.monotonic() - begin
    ended = time.monotonic() - begin
    # An epoch that waited for the server would never end; starting the process takes a busy machine its time.
    assert handed_over < 10
    assert ended < 20
    assert warnings(caplog) == [
        "tracker mlflow is off: it did not accept the last figures within 1 seconds; the training goes on without it"
    ]


def test_a_tracker_that_hangs_in_mid_training_is_off_long_before_its_queue_is_full(stand_in, monkeypatch, caplog):
    stand_in("mlflow", "import time\ntime.sleep(600)")
    monkeypatch.setattr(tracking_process, "BEGIN_SECONDS", 1.0)
    with opened(recipe(tracking_server="http://127.0.0.1:1")) as tracker:
        deadline = time.monotonic() + 60
        while not warnings(caplog) and time.monotonic() < deadline:
            time.sleep(0.05)
        begin = time.monotonic()
        for _ in range(500):
            tracker.epoch(history(0.5))
    assert time.monotonic() - begin < tracking.FINISH_SECONDS
    assert warnings(caplog) == [
        "tracker mlflow is off: it did not answer within 1 seconds; the training goes on without it"
    ]


def test_a_tracker_that_is_too_far_behind_is_off(stand_in, monkeypatch, caplog):
    stand_in("mlflow", "import time\ntime.sleep(600)")
    monkeypatch.setattr(tracking, "QUEUE_LENGTH", 3)
    assert tracked(recipe(tracking_server="http://127.0.0.1:1"), *[0.5] * 10) < tracking.FINISH_SECONDS
    assert warnings(caplog) == ["tracker mlflow is off: it is 3 epochs behind; the training goes on without it"]


def test_a_tracking_process_that_dies_is_one_warning(stand_in, patient, caplog):
    stand_in("mlflow", "import os\nos._exit(3)")
    tracked(recipe(tracking_server="http://127.0.0.1:1"), 0.5, 0.6)
    assert warnings(caplog) == ["tracker mlflow is off: its process ended; the training goes on without it"]


@pytest.mark.parametrize("package", ["mlflow", "wandb"])
def test_a_package_that_is_not_installed_is_one_warning_that_names_it(package, stand_in, patient, caplog):
    stand_in(package, f"raise ModuleNotFoundError(\"No module named '{package}'\")")
    tracked(recipe(tracker=package, tracking_server="http://127.0.0.1:1"), 0.5, 0.6)
    (line,) = warnings(caplog)
    assert f"No module named '{package}'" in line


def test_nothing_is_left_of_a_tracker_that_was_given_up(stand_in, tmp_path, monkeypatch):
    """Neither the process nor what its library started."""
    pids = tmp_path / "pids"
    source = f"""
        import os, pathlib, subprocess, time
        child = subprocess.Popen(["sleep", "600"])
        pathlib.Path({str(pids)!r}).write_text(f"{{os.getpid()}} {{child.pid}}")
        time.sleep(600)
    """
    stand_in("mlflow", "\n".join(line.strip() for line in source.splitlines()))
    monkeypatch.setattr(tracking, "FINISH_SECONDS", 0.1)
    with opened(recipe(tracking_server="http://127.0.0.1:1")):
        deadline = time.monotonic() + 60
        while not (pids.exists() and len(pids.read_text().split()) == 2):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    deadline = time.monotonic() + 60
    while (left := [pid for pid in pids.read_text().split() if runs(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def test_a_tracker_whose_training_was_killed_ends_by_itself():
    source = "from steps.train.tracking_process import *; import time\nwith TrackingClient() as client:"
    source += "\n    print(client._process.pid, flush=True); time.sleep(600)"
    training = subprocess.Popen([sys.executable, "-c", source], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert training.stdout is not None
    pid = training.stdout.readline().strip()
    assert runs(pid)
    training.kill()
    training.wait()
    deadline = time.monotonic() + 60
    while runs(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def runs(pid: str) -> bool:
    """Whether the process is there, and more than an entry that nobody has collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(("is_leader", "kind"), [(False, "mlflow"), (True, "none")])
def test_other_ranks_and_trainings_without_a_tracker_start_nothing(is_leader, kind, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    with tracking.open_tracker(recipe(tracker=kind), is_leader=is_leader, dataset_sha256="", processes=1) as tracker:
        tracker.epoch(history(0.5))
    assert not isinstance(tracker, tracking.BackgroundTracker)
