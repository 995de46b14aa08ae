"""Faults on purpose: which requests they hit, by the seed, and what is left of them after a restart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.local import faults
from pipeline.local.faults import Faults, Plan
from steps.contracts.errors import PipelineError


def refused(faults_: Faults, calls: int = 2000) -> list[int]:
    """The numbers of the calls that are throttled."""
    return [number for number in range(calls) if faults_.refusal("sagemaker", "DescribeTrainingJob")]


def test_a_cloud_without_a_plan_has_no_faults(tmp_path: Path) -> None:
    cloud = Faults(tmp_path)
    assert refused(cloud) == []
    assert not cloud.lacks_capacity("job")
    assert cloud.interruption("job") is None
    assert all(cloud.fault("GET", "bucket", "key") is None for _ in range(1000))
    assert not (tmp_path / faults.LOG).exists()


def test_the_share_of_throttled_calls_is_the_plans_and_the_same_for_a_seed(tmp_path: Path) -> None:
    numbers = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        faults.write(tmp_path / name, Plan(seed=seed, throttled=0.05))
        numbers[name] = refused(Faults(tmp_path / name))
    assert numbers["a"] == numbers["b"] != numbers["c"]
    assert 60 <= len(numbers["a"]) <= 140  # 5% of 2,000
    assert faults.counts(tmp_path / "a") == {faults.THROTTLED: len(numbers["a"])}


@pytest.mark.parametrize(
    ("service", "code", "status"),
    [
        ("sagemaker", "ThrottlingException", 400),
        ("athena", "TooManyRequestsException", 400),
        ("lambda", "TooManyRequestsException", 429),
        ("cloudformation", "Throttling", 400),
    ],
)
def test_a_throttled_call_has_its_services_own_error(tmp_path: Path, service: str, code: str, status: int) -> None:
    faults.write(tmp_path, Plan(throttled=1.0))
    error = Faults(tmp_path).refusal(service, "Anything")
    assert error is not None
    assert (error.code, error.message, error.status) == (code, "Rate exceeded", status)


def test_credentials_are_never_throttled(tmp_path: Path) -> None:
    faults.write(tmp_path, Plan(throttled=1.0))
    assert Faults(tmp_path).refusal("sts", "AssumeRole") is None


def test_so_many_jobs_lack_capacity_and_not_again_after_a_restart(tmp_path: Path) -> None:
    faults.write(tmp_path, Plan(seed=3, capacity_errors=2))
    jobs = [f"job-{number}" for number in range(20)]
    cloud = Faults(tmp_path)
    hit = [job for job in jobs if cloud.lacks_capacity(job)]
    assert len(hit) == 2
    assert [json.loads(line)["place"] for line in (tmp_path / faults.LOG).read_text().splitlines()] == hit
    assert not any(Faults(tmp_path).lacks_capacity(job) for job in jobs)


def test_each_spot_job_is_interrupted_as_often_as_planned(tmp_path: Path) -> None:
    faults.write(tmp_path, Plan(spot_interruptions=1, spot_after_lines=4, spot_after_seconds=10, notice_seconds=3))
    cloud = Faults(tmp_path)
    for job in ("a", "b"):
        interruption = cloud.interruption(job)
        assert interruption is not None
        assert 2 <= interruption.lines <= 6
        assert 5 <= interruption.seconds <= 15
        assert interruption.notice == 3
        cloud.interrupted(job)
        assert cloud.interruption(job) is None
    assert faults.counts(tmp_path) == {faults.INTERRUPTED: 2}


def test_a_burst_refuses_so_many_requests_of_s3_next_to_each_other(tmp_path: Path) -> None:
    faults.write(tmp_path, Plan(seed=4, slow_downs=20))
    cloud = Faults(tmp_path)
    answers = [cloud.fault("GET", "bucket", f"photo-{number}") for number in range(2000)]
    hit = [number for number, answer in enumerate(answers) if answer]
    assert {answers[number] for number in hit} == {(503, "SlowDown", "Please reduce your request rate.")}
    assert len(hit) == 20
    assert hit[-1] - hit[0] < 120
    assert hit[0] < 420


def test_a_new_plan_takes_effect_in_a_running_process(tmp_path: Path) -> None:
    cloud = Faults(tmp_path)
    assert cloud.refusal("sagemaker", "ListModels") is None
    faults.write(tmp_path, Plan(throttled=1.0))
    assert cloud.refusal("sagemaker", "ListModels") is not None
    faults.write(tmp_path, Plan())
    assert cloud.refusal("sagemaker", "ListModels") is None
    assert faults.current(tmp_path) is None


def test_settings_without_faults_leave_those_of_the_command(tmp_path: Path) -> None:
    faults.follow_settings(tmp_path, Plan(throttled=0.5))
    before = (tmp_path / faults.FILE).read_text()
    faults.follow_settings(tmp_path, Plan(throttled=0.5))
    assert (tmp_path / faults.FILE).read_text() == before  # its counts go on
    faults.follow_settings(tmp_path, Plan())
    assert faults.current(tmp_path) is None
    faults.write(tmp_path, Plan(slow_downs=3))
    faults.follow_settings(tmp_path, Plan())
    assert faults.current(tmp_path) == Plan(slow_downs=3)


def test_a_damaged_plan_is_named_with_its_remedy(tmp_path: Path) -> None:
    cloud = Faults(tmp_path)
    (tmp_path / faults.FILE).write_text('{"id": "x", "origin": "command", "storms": 3}')
    for _ in range(2):  # each call, not the first one alone
        with pytest.raises(PipelineError, match=r"faults\.json.*storms.*chaos --off"):
            cloud.refusal("sagemaker", "ListModels")
    (tmp_path / faults.FILE).unlink()
    assert cloud.refusal("sagemaker", "ListModels") is None
