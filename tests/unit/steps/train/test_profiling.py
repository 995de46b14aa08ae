import gzip
import json
from pathlib import Path

import pytest
import torch

from steps.train.history import History
from steps.train.profiling import SKIPPED_STEPS, TABLE, TRACE, StepProfiler, step_profiler
from steps.train.run import run
from tests.unit.steps.arguments import recipe

from .trackers import FLAGS

CPU = torch.device("cpu")


def steps_of(profiler, count: int) -> None:
    """`count` training steps whose operators tell which step it was."""
    weights = torch.zeros(8, 8)
    with profiler:
        for number in range(count):
            with torch.profiler.record_function(f"training step {number}"):
                weights = weights @ weights
            profiler.step()


def recorded(folder: Path) -> set[str]:
    """Names of the training steps in the trace."""
    trace = json.loads(gzip.decompress((folder / TRACE).read_bytes()))
    return {event["name"] for event in trace["traceEvents"] if event.get("name", "").startswith("training step")}


def names(first: int, count: int) -> set[str]:
    return {f"training step {number}" for number in range(first, first + count)}


def test_a_trace_and_a_table_hold_exactly_the_steps_after_the_first_few(tmp_path, caplog):
    caplog.set_level("INFO")
    steps_of(StepProfiler(2, tmp_path, CPU), 20)
    assert recorded(tmp_path) == names(SKIPPED_STEPS, 2)
    assert "aten::mm" in (tmp_path / TABLE).read_text()
    assert f"profile of 2 steps in {tmp_path}" in caplog.text


def test_a_training_that_ends_earlier_leaves_what_was_recorded(tmp_path):
    steps_of(StepProfiler(50, tmp_path, CPU), SKIPPED_STEPS + 3)
    assert recorded(tmp_path) >= names(SKIPPED_STEPS, 3)


@pytest.mark.parametrize("count", range(SKIPPED_STEPS + 1))
def test_a_training_of_fewer_steps_than_are_skipped_says_why_there_is_no_profile(tmp_path, caplog, count):
    steps_of(StepProfiler(2, tmp_path, CPU), count)
    assert list(tmp_path.iterdir()) == []
    assert "no profile: the training ended within its first" in caplog.text


def test_a_training_that_fails_keeps_its_error_and_its_profile(tmp_path):
    def fail() -> None:
        with StepProfiler(50, tmp_path, CPU) as profiler:
            for _ in range(SKIPPED_STEPS + 1):
                profiler.step()
            raise ValueError("loss")

    with pytest.raises(ValueError, match="loss"):
        fail()
    assert (tmp_path / TRACE).exists()


def test_a_profile_that_cannot_be_written_does_not_end_the_training(tmp_path, caplog):
    (tmp_path / "profile").write_text("a file where the folder should be")
    steps_of(StepProfiler(1, tmp_path / "profile", CPU), 10)
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert line.startswith("no profile: ")
    assert str(tmp_path / "profile") in line


def test_the_profile_goes_where_the_job_keeps_its_output(tmp_path, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    steps_of(step_profiler(1, CPU, is_leader=True), 10)
    assert sorted(path.name for path in (tmp_path / "output" / "data" / "profile").iterdir()) == [TABLE, TRACE]


@pytest.mark.parametrize(("steps", "is_leader"), [(0, True), (5, False)])
def test_nothing_is_profiled_unless_asked_and_on_other_ranks(steps, is_leader, tmp_path, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    steps_of(step_profiler(steps, CPU, is_leader=is_leader), 10)
    assert list(tmp_path.iterdir()) == []


def test_a_trial_leaves_its_profile_and_the_norms_of_its_gradients(trial):
    run(recipe(*FLAGS, "--epochs", "1", "--profile-steps", "2"))
    table = (trial / "output" / "data" / "profile" / TABLE).read_text()
    assert "aten::convolution_backward" in table
    (epoch,) = History.model_validate_json((trial / "model" / "history.json").read_text()).epochs
    assert epoch.gradient_norm is not None
    assert epoch.gradient_norm_max is not None
    assert 0 < epoch.gradient_norm <= epoch.gradient_norm_max
    assert epoch.gpu_utilisation is None
