"""Jobs of two instances with two processes each, from the first process of their containers to the last."""

from __future__ import annotations

import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from steps.contracts.artifact import read_description
from steps.train.artifact import check_complete
from steps.train.recipe import read_recipe

from ..unit.steps.train.photos import store_dataset
from .definition import Request, settings_of, training_job
from .jobs import HOSTS, JOB, TIME_LIMIT, Job, create

# A network that is quick to take a step and to export, and enough steps that an epoch can be interrupted in its midst.
RECIPE = {
    "architecture": "squeezenet1_1",
    "image_size": 32,
    "progressive_resizing": 0,
    "epochs": 2,
    "batch_size": 2,
}
STEPS = 40
# Between SIGTERM and SIGKILL a spot instance has 120 seconds; the upload of the checkpoints wants some of them.
NOTICE = 110.0


@pytest.fixture(scope="module")
def asked() -> Request:
    """What the definition asks for, with a checkpoint every 0.3 seconds."""
    return training_job(settings_of("demo", instance_count=2, checkpoint_minutes=0.005, **RECIPE))


@pytest.fixture(scope="module")
def finished(dataset: Path, asked: Request, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job that ran to its end."""
    return create(tmp_path_factory.mktemp("finished"), asked, dataset).run()


def positions(job: Job) -> list[tuple[int, int]]:
    """Epoch and step, both from 0, of each checkpoint that lies there."""
    found = [re.match(r"epoch-(\d+)-step-(\d+)-", path.name) for path in job.checkpoints]
    return sorted((int(match[1]), int(match[2])) for match in found if match)


def wait_for_the_midst_of_the_second_epoch(job: Job) -> None:
    deadline = time.monotonic() + TIME_LIMIT
    while not any((1, 2) <= position <= (1, STEPS // 2) for position in positions(job)):
        assert all(host.process is not None and host.process.poll() is None for host in job.hosts), job.log
        assert time.monotonic() < deadline, job.log
        time.sleep(0.02)


@dataclass(frozen=True)
class Interrupted:
    """A job that got SIGTERM, and what was so when all its containers waited for SIGKILL, `seconds` later."""

    job: Job
    seconds: float
    processes: int
    statuses: list[int | None]


@pytest.fixture(scope="module")
def interrupted(dataset: Path, asked: Request, tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    """A job whose instances got SIGTERM in mid-epoch."""
    job = create(tmp_path_factory.mktemp("interrupted"), asked, dataset)
    with job.running():
        wait_for_the_midst_of_the_second_epoch(job)
        began = time.monotonic()
        job.interrupt()
        job.wait_for_sigkill()
        seconds, processes, statuses = time.monotonic() - began, len(job.processes()), job.statuses
        job.kill()
        return Interrupted(job, seconds, processes, statuses)


@pytest.fixture(scope="module")
def resumed(dataset: Path, asked: Request, interrupted: Interrupted, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """The interrupted job on new instances, which have its checkpoints from S3."""
    return create(tmp_path_factory.mktemp("resumed"), asked, dataset, checkpoints=interrupted.job).run()


def test_four_processes_on_two_hosts_train_to_the_end(finished: Job) -> None:
    assert finished.statuses == [0, 0], finished.log
    assert "4 processes on cpu" in finished.hosts[0].log
    assert "backend gloo: no GPU here" in finished.hosts[0].log
    assert f"320 training photos in 4 shards, {STEPS} steps per epoch" in finished.hosts[0].log
    assert [host.failure for host in finished.hosts] == ["", ""]


def test_the_first_host_leaves_a_whole_model_and_the_other_nothing(finished: Job) -> None:
    first, second = (host.opt_ml / "model" for host in finished.hosts)
    check_complete(first)
    assert list(second.iterdir()) == []
    assert read_description(first).image_uri == finished.request["Environment"]["IMAGE_URI"]


def test_every_hyperparameter_of_the_definition_but_the_toolkits_own_arrives_as_a_flag(finished: Job) -> None:
    own = {name: value for name, value in finished.request["HyperParameters"].items() if not name.startswith(TOOLKITS)}
    # The version of the step is the cache's business; the trainer takes the flag and keeps it nowhere.
    assert own["version"] == "1"
    # A flag that got lost would have ended the job: all of these are required.
    assert {"architecture", "image-size", "epochs", "batch-size", "learning-rate", "workers"} <= set(own)
    expected = read_recipe([part for name, value in own.items() for part in (f"--{name}", value)])
    assert read_description(finished.hosts[0].opt_ml / "model").hyperparameters == expected.as_text()


# The toolkit keeps these to itself; `_tuning_objective_metric` is the service's.
TOOLKITS = ("sagemaker_", "_")


def test_the_toolkit_starts_torchrun_because_the_definition_asks_for_it(finished: Job) -> None:
    commands = [line for host in finished.hosts for line in host.log.splitlines() if line.startswith("torchrun ")]
    assert [line.partition(" steps/train/__main__.py ")[0] for line in commands] == [
        f"torchrun --nnodes 2 --nproc_per_node 2 --master_addr 127.0.0.1 --master_port 7777 --node_rank {rank}"
        for rank in (0, 1)
    ]


def test_the_definitions_expressions_find_every_metric_once_an_epoch_in_the_first_hosts_log(finished: Job) -> None:
    first, second = (host.log for host in finished.hosts)
    last: dict[str, float] = {}
    for metric in finished.request["AlgorithmSpecification"]["MetricDefinitions"]:
        found = re.findall(metric["Regex"], first)
        assert len(found) == 2, metric
        assert re.search(metric["Regex"], second) is None, metric
        last[metric["Name"]] = float(found[-1])
    objective = finished.request["HyperParameters"]["_tuning_objective_metric"]
    accuracy = read_description(finished.hosts[0].opt_ml / "model").metrics["validation:accuracy"]
    assert last[objective] == pytest.approx(accuracy, abs=1e-6)


def test_sigterm_ends_all_training_within_the_notice_and_leaves_the_containers_to_sagemaker(
    interrupted: Interrupted,
) -> None:
    assert interrupted.seconds < NOTICE
    # The first process of each container alone, which has no exit status: SageMaker would take one for a failure.
    assert interrupted.processes == len(HOSTS)
    assert interrupted.statuses == [None, None]
    assert interrupted.job.statuses == [-signal.SIGKILL, -signal.SIGKILL]


def test_sigterm_stops_every_rank_at_one_step_of_the_epoch_and_saves_it(interrupted: Interrupted) -> None:
    job = interrupted.job
    saved = [re.findall(r"SIGTERM: saved epoch (\d+), step (\d+)", host.log) for host in job.hosts]
    assert [len(lines) for lines in saved] == [2, 2], job.log
    ((epoch, step),) = {position for lines in saved for position in lines}
    assert int(epoch) == 2
    assert 0 < int(step) < STEPS
    assert positions(job)[-1] == (int(epoch) - 1, int(step))
    check_complete(job.hosts[0].opt_ml / "checkpoints" / JOB / "best")


def test_the_job_on_new_instances_goes_on_at_that_step_as_if_nothing_had_happened(
    interrupted: Interrupted, resumed: Job, finished: Job
) -> None:
    assert resumed.statuses == [0, 0], resumed.log
    epoch, step = positions(interrupted.job)[-1]
    assert f"resumed at epoch {epoch + 1}, step {step}" in resumed.hosts[0].log
    assert without_times(resumed.epochs) == without_times(finished.epochs)
    check_complete(resumed.hosts[0].opt_ml / "model")


def without_times(epochs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    times = {"seconds", "images_per_second", "data_wait_share"}
    return [{name: value for name, value in epoch.items() if name not in times} for epoch in epochs]


def test_a_damaged_shard_is_the_failure_reason_of_every_host(s3: Any, bucket: str, asked: Request, tmp_path: Path):
    store_dataset(s3, bucket, tmp_path / "index", train=40, validation=9, shards=2)
    key = s3.list_objects_v2(Bucket=bucket, Prefix="train/")["Contents"][1]["Key"]
    s3.put_object(Bucket=bucket, Key=key, Body=s3.get_object(Bucket=bucket, Key=key)["Body"].read()[:-5000])
    job = create(tmp_path, asked, tmp_path / "index").run()
    assert job.statuses == [1, 1], job.log
    first, second = (host.failure for host in job.hosts)
    assert first == second
    assert first.startswith(f"s3://{bucket}/{key}")
    assert len(first.splitlines()) == 1
