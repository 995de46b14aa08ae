"""One run of MLflow per execution of the pipeline, under which MLflow's pages fold the runs of its trials.

No job of an execution lasts as long as all trials, so the trials themselves find the parent by its tag, or create it.
Trials that begin together may each create one. The rule that all of them follow: the one with the smallest start time
and id remains, and a trial deletes its own if that is another. A trial looks again at its end, since a parent with an
earlier start time may have reached the server after its first look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import RunInfo

# The tag by which MLflow nests runs: MLFLOW_PARENT_RUN_ID in mlflow.utils.mlflow_tags.
PARENT = "mlflow.parentRunId"
# The tag of parents alone.
EXECUTION = "pipeline_execution_arn"


class ParentRun:
    """The parent of the trials of one execution. Every method raises the client's errors."""

    def __init__(self, client: MlflowClient, experiment: str, execution: str) -> None:
        self._client = client
        self._experiment = experiment
        self._execution = execution
        self._created = ""

    def find(self) -> str:
        """Id of the parent, which is created where the execution has none."""
        runs = self._runs()
        if not runs:
            name, tags = self._execution.rsplit("/", 1)[-1], {EXECUTION: self._execution}
            self._created = self._client.create_run(self._experiment, tags=tags, run_name=name).info.run_id
            runs = self._runs()
        first = str(min(runs, key=lambda run: (run.start_time, run.run_id)).run_id)
        if self._created and first != self._created:
            self._client.delete_run(self._created)
            self._created = ""
        return first

    def open(self, parent: str) -> None:
        """Let the parent run, which a trial that ended earlier may have finished. The caller's run exists already.

        In this order a trial that ends at the same time finds that run in one of its two looks: `close`.
        """
        if self._client.get_run(parent).info.status != "RUNNING":
            self._client.update_run(parent, "RUNNING")

    def close(self, parent: str) -> None:
        """Finish the parent unless another trial runs. The caller's run has ended already.

        A trial that began after the look saw the parent running and left it so, hence the second look. Where that
        trial also ends meanwhile, the parent keeps running; as does that of a trial that was killed without a signal,
        since nobody ended that trial's run.
        """
        if not self._has_running(parent):
            self._client.set_terminated(parent, "FINISHED")
            if self._has_running(parent):
                self._client.update_run(parent, "RUNNING")

    def _has_running(self, parent: str) -> bool:
        running = f"tags.`{PARENT}` = '{parent}' and attributes.status = 'RUNNING'"
        return bool(self._client.search_runs([self._experiment], running, max_results=1))

    def _runs(self) -> list[RunInfo]:
        runs = self._client.search_runs([self._experiment], f"tags.{EXECUTION} = '{self._execution}'")
        return [run.info for run in runs]
