"""The run of MLflow that the trials of one execution share, on a real server."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from steps.train.mlflow_parent import EXECUTION, PARENT, ParentRun
from steps.train.tracking_services import GroupingError, MlflowRun, Run, Service

from .trackers import recipe, tracked, warnings

if TYPE_CHECKING:
    from mlflow import MlflowClient


@pytest.fixture
def execution() -> str:
    return f"arn:aws:sagemaker:us-east-1:111122223333:pipeline/bins/execution/{uuid.uuid4().hex[:12]}"


@pytest.fixture
def client(server: str) -> MlflowClient:
    # Its import takes seconds.
    from mlflow import MlflowClient

    return MlflowClient(server)


@pytest.fixture
def experiment(client: MlflowClient) -> str:
    return str(client.create_experiment(f"bins-{uuid.uuid4().hex[:8]}"))


@pytest.fixture
def trial(server: str, client: MlflowClient, experiment: str, execution: str) -> Callable[..., MlflowRun]:
    """A function that begins the run of a training job."""
    service = Service("mlflow", server, client.get_experiment(experiment).name)
    return lambda job, of=execution: MlflowRun(service, Run(job, {"lr": "1"}, {"training_job": job}, of))


class Looking:
    """A client that does something else after its first look at the parents."""

    def __init__(self, client: MlflowClient, meanwhile: Callable[[], object]) -> None:
        self._client, self._meanwhile = client, [meanwhile]

    def search_runs(self, *arguments: Any, **more: Any) -> Any:
        found = self._client.search_runs(*arguments, **more)
        while self._meanwhile:
            self._meanwhile.pop()()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def parents(client: MlflowClient, experiment: str, execution: str) -> list[Any]:
    return list(client.search_runs([experiment], f"tags.{EXECUTION} = '{execution}'"))


def status_of(client: MlflowClient, run: str) -> str:
    return str(client.get_run(run).info.status)


def of_job(client: MlflowClient, experiment: str, job: str) -> Any:
    (run,) = client.search_runs([experiment], f"tags.training_job = '{job}'")
    return run


def test_trials_of_an_execution_are_below_one_run_that_ends_with_the_last_of_them(
    client, experiment, execution, trial
) -> None:
    first, second = trial("job-1"), trial("job-2")
    (parent,) = parents(client, experiment, execution)
    assert parent.info.run_name == execution.rsplit("/", 1)[-1]
    tags = [of_job(client, experiment, job).data.tags[PARENT] for job in ("job-1", "job-2")]
    assert tags == [parent.info.run_id] * 2
    first.finish({}, "failed")
    assert status_of(client, parent.info.run_id) == "RUNNING"
    second.finish({}, "finished")
    assert status_of(client, parent.info.run_id) == "FINISHED"
    third = trial("job-3")
    assert status_of(client, parent.info.run_id) == "RUNNING"
    third.finish({}, "finished")
    assert [run.info.status for run in parents(client, experiment, execution)] == ["FINISHED"]


def test_another_execution_has_another_parent_and_a_trial_outside_has_none(
    client, experiment, execution, trial
) -> None:
    for job, of in (("job-1", execution), ("job-2", f"{execution}x"), ("job-3", "")):
        trial(job, of)
    first, second, outside = (of_job(client, experiment, f"job-{number}").data.tags for number in (1, 2, 3))
    assert first[PARENT] != second[PARENT]
    assert PARENT not in outside
    assert len(parents(client, experiment, execution)) == 1


def test_an_interrupted_trial_goes_on_below_its_parent(client, experiment, execution, trial) -> None:
    trial("job-1").finish({}, "stopped")
    again = trial("job-1")
    (parent,) = parents(client, experiment, execution)
    assert parent.info.status == "RUNNING"
    assert of_job(client, experiment, "job-1").data.tags[PARENT] == parent.info.run_id
    again.finish({}, "finished")
    assert status_of(client, parent.info.run_id) == "FINISHED"


def test_of_two_trials_that_begin_together_the_later_one_deletes_its_parent(client, experiment, execution) -> None:
    other = ParentRun(client, experiment, execution)
    found: list[str] = []
    mine = ParentRun(Looking(client, lambda: found.append(other.find())), experiment, execution).find()  # type: ignore[arg-type]
    assert [mine] == found
    assert [run.info.run_id for run in parents(client, experiment, execution)] == found


def test_of_two_parents_of_one_moment_all_choose_the_smaller_id(client, experiment, execution) -> None:
    tags = {EXECUTION: execution}
    both = [client.create_run(experiment, start_time=1000, tags=tags).info.run_id for _ in range(2)]
    assert ParentRun(client, experiment, execution).find() == min(both)
    # Neither is of this trial, so that both stay: each is deleted by the trial that created it.
    assert len(parents(client, experiment, execution)) == 2


def test_a_trial_moves_at_its_end_to_a_parent_that_is_earlier_and_deletes_its_own(
    client, experiment, execution, trial
) -> None:
    begun = trial("job-1")
    (own,) = parents(client, experiment, execution)
    earlier = client.create_run(experiment, start_time=1000, tags={EXECUTION: execution}).info.run_id
    begun.finish({"epoch": 1.0, "accuracy": 0.5}, "finished")
    assert [run.info.run_id for run in parents(client, experiment, execution)] == [earlier]
    assert client.get_run(own.info.run_id).info.lifecycle_stage == "deleted"
    run = of_job(client, experiment, "job-1")
    assert (run.data.tags[PARENT], run.info.status) == (earlier, "FINISHED")
    assert status_of(client, earlier) == "FINISHED"


def test_a_trial_that_begins_while_the_last_one_ends_keeps_the_parent_running(
    client, experiment, execution, trial
) -> None:
    trial("job-1")
    (parent,) = parents(client, experiment, execution)
    client.set_terminated(of_job(client, experiment, "job-1").info.run_id)
    ParentRun(Looking(client, lambda: trial("job-2")), experiment, execution).close(parent.info.run_id)  # type: ignore[arg-type]
    assert of_job(client, experiment, "job-2").data.tags[PARENT] == parent.info.run_id
    assert status_of(client, parent.info.run_id) == "RUNNING"


def refuse(*_: object, **__: object) -> None:
    from mlflow.exceptions import MlflowException

    raise MlflowException("PERMISSION_DENIED: not allowed")


def test_a_trial_that_cannot_have_a_parent_is_tracked_without_one(
    client, experiment, execution, trial, monkeypatch
) -> None:
    monkeypatch.setattr(ParentRun, "find", refuse)
    begun = trial("job-1")
    begun.log(1, {"accuracy": 0.5})
    with pytest.raises(GroupingError, match=r"tracked, but not grouped .*: PERMISSION_DENIED"):
        begun.finish({"epoch": 1.0, "accuracy": 0.5}, "finished")
    run = of_job(client, experiment, "job-1")
    assert (run.info.status, run.data.metrics["best/accuracy"]) == ("FINISHED", 0.5)
    assert PARENT not in run.data.tags


def test_a_trial_that_may_not_delete_its_parent_ends_it_and_itself(
    client, experiment, execution, trial, monkeypatch
) -> None:
    begun = trial("job-1")
    (own,) = parents(client, experiment, execution)
    client.create_run(experiment, start_time=1000, tags={EXECUTION: execution})
    monkeypatch.setattr(type(client), "delete_run", refuse)
    with pytest.raises(GroupingError, match="PERMISSION_DENIED"):
        begun.finish({}, "finished")
    assert of_job(client, experiment, "job-1").info.status == "FINISHED"
    assert status_of(client, own.info.run_id) == "FINISHED"


def test_a_trial_ends_its_run_and_the_parent_where_its_last_figures_are_refused(
    client, experiment, execution, trial, monkeypatch
) -> None:
    begun = trial("job-1")
    monkeypatch.setattr(type(client), "log_batch", refuse)
    with pytest.raises(Exception, match="PERMISSION_DENIED"):
        begun.finish({"epoch": 1.0}, "finished")
    (parent,) = parents(client, experiment, execution)
    assert (of_job(client, experiment, "job-1").info.status, parent.info.status) == ("FINISHED", "FINISHED")


@pytest.mark.usefixtures("patient")
def test_a_job_has_its_execution_from_the_environment(server, client, job, execution, monkeypatch, caplog) -> None:
    monkeypatch.setenv("PIPELINE_EXECUTION_ARN", execution)
    tracked(recipe(tracking_server=server), 0.5)
    assert warnings(caplog) == []
    bins = client.get_experiment_by_name("bins").experiment_id
    (parent,) = parents(client, bins, execution)
    assert parent.info.status == "FINISHED"
    assert of_job(client, bins, job).data.tags[PARENT] == parent.info.run_id
