"""An instance that writes by several processes: the same objects, one account of rejects, one end for all."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from steps.contracts.errors import StepError
from steps.shard import dealing, processes
from steps.shard.dealing import number_of_processes
from tests.unit.steps.arguments import SHARD, flags_of
from tests.unit.steps.shard.conftest import Job, jpeg, samples, splits_of, tars

SMALL = ("--image-size", "64", "--shard-megabytes", "0.05")


def use_cores(patch: pytest.MonkeyPatch, cores: int) -> None:
    """Let instances have so many cores, and start processes for few photos."""
    patch.setattr(dealing, "available_cores", lambda: cores)
    patch.setattr(dealing, "PHOTOS_PER_PROCESS", 10)


def is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("cores", "buckets", "photos", "expected"),
    [
        (16, 64, 10**6, 16),
        (16, 4, 10**6, 4),
        (2, 4, 20_000, 2),
        (2, 4, 19_999, 1),
        (1, 4, 10**6, 1),
        (16, 64, 50_000, 5),
        (16, 0, 0, 1),
    ],
)
def test_processes_are_as_many_as_cores_buckets_and_photos_allow(
    cores: int, buckets: int, photos: int, expected: int
) -> None:
    assert number_of_processes(cores, buckets, photos) == expected


def test_the_objects_do_not_depend_on_instances_and_processes(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.add_bins(130)
    job.add("truncated", 1, ["X1"], jpeg(1)[:-300])
    plan = job.plan(*SMALL)
    results = []
    for name, instances, cores in (("a", 1, 1), ("b", 2, 1), ("c", 3, 2)):
        with monkeypatch.context() as patch:
            use_cores(patch, cores)
            started = count_starts(patch)
            index = job.run(*SMALL, instances=instances, output=name, plan=plan)
            shards = {key.removeprefix(f"{name}/"): content for key, content in job.objects(f"{name}/shards").items()}
            text = index.model_dump_json().replace(f"s3://{job.bucket}/{name}/", "s3://")
            results.append((shards, text, splits_of(index), job.summary.rejects, started))

    assert all(result[:4] == results[0][:4] for result in results)
    assert [len(result[4]) for result in results] == [0, 0, 2]  # one of the three instances has two buckets
    assert results[0][3] == {"truncated": ["truncated"]}


def count_starts(patch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    start = processes.SpawnProcess.start

    def counted(process) -> None:
        names.append(process.name)
        start(process)

    patch.setattr(processes.SpawnProcess, "start", counted)
    return names


def test_rejects_of_all_processes_count_together(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    use_cores(monkeypatch, 4)
    job.add_bins(120)
    for number in range(8):
        job.add(f"broken-{number}", 1, [f"X{number}"], jpeg(number)[:-300])

    with pytest.raises(StepError, match=r"^8 of 128 photos cannot be used so far.*: truncated 8 \("):
        job.run(*SMALL, "--maximum-rejects", "0.06")
    job.run(*SMALL, "--maximum-rejects", "0.07")
    assert job.summary.rejects == {"truncated": [f"broken-{number}" for number in range(8)]}


def test_a_process_that_fails_ends_the_job_with_its_reason(job: Job, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    use_cores(monkeypatch, 2)
    job.add_bins(120)
    plan = job.plan(*SMALL)
    started = count_starts(monkeypatch)
    job.run(*SMALL, plan=plan)
    assert len(started) == 2
    # Each bucket has a shard that is not what its record says; a worker opens it.
    monkeypatch.setattr(dealing, "OPENED", 0)
    for key in tars(job, "out"):
        job.s3.put_object(Bucket=job.bucket, Key=f"out/shards/{key}", Body=b"short")

    with pytest.raises(StepError, match=r"^s3://.*\.tar has another size than in its record; remove both"):
        job.run(*SMALL, plan=plan)
    assert "Traceback" not in capfd.readouterr().out


def test_a_process_that_is_killed_ends_the_job(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    use_cores(monkeypatch, 2)
    job.add_bins(120)
    start = processes.SpawnProcess.start
    children: list[int] = []

    def start_and_kill(process) -> None:
        start(process)
        children.append(process.pid)
        if len(children) == 2:
            os.kill(process.pid, signal.SIGKILL)

    monkeypatch.setattr(processes.SpawnProcess, "start", start_and_kill)
    with pytest.raises(StepError, match=r"^process 2, which writes shards, was ended by SIGKILL; if memory was short"):
        job.run(*SMALL)
    assert not any(map(is_alive, children))
    monkeypatch.setattr(processes.SpawnProcess, "start", start)
    assert len(splits_of(job.run(*SMALL))) == 120


# A job as SageMaker starts it, but for its planner and the photos for which processes pay.
PROGRAM = """
import sys
from steps.runtime.errors import run_as_job
from steps.shard import dealing
from steps.shard.__main__ import main

if __name__ == "__main__":  # and not in its workers, which import this file
    dealing.available_cores = lambda: 2
    dealing.PHOTOS_PER_PROCESS = 10
    run_as_job(lambda: main(sys.argv[1:]))
"""


@contextlib.contextmanager
def running(job: Job, tmp_path: Path):
    """A job that writes by two processes."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    job.add_bins(120)
    plan = job.plan(*SMALL)
    job.runs += 1
    base = job.prepare_instance(0, 1, plan=plan)
    flags = flags_of({**SHARD, "image_location": f"s3://{job.bucket}/raw"})
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(base), "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen(
        [sys.executable, str(program), *flags, *SMALL], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process, base
        finally:
            if process.poll() is None:
                process.kill()


def children_of(process: int) -> list[int]:
    """The workers of a process; the resource tracker of multiprocessing is no worker."""
    listed = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(each) for each in listed if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]


def test_a_job_of_several_processes_ends_well_and_its_log_names_them(job: Job, tmp_path: Path) -> None:
    with running(job, tmp_path) as (process, _):
        lines, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert sum(len(split) for split in samples(job.index).values()) == 120
    for name in ("process 1", "process 2"):
        assert any(f"steps.shard.writing [{name}]: s3://" in line for line in lines.splitlines())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_job(job: Job, tmp_path: Path, how: signal.Signals) -> None:
    with running(job, tmp_path) as (process, _):
        wait_until(lambda: len(children_of(process.pid)) == 2)
        workers = children_of(process.pid)
        process.send_signal(how)
        status = process.wait(60)
        wait_until(lambda: not any(map(is_alive, workers)))
    assert status == (143 if how == signal.SIGTERM else -9)
