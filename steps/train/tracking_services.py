"""The two tracking services, each through its own client, which is imported only if it is used.

A resumed job continues its run, which it finds by the training job's name.
"""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from steps.train.mlflow_parent import PARENT, ParentRun
from steps.train.recipe import TrackerKind

if TYPE_CHECKING:
    from mlflow.exceptions import MlflowException

Status = Literal["finished", "failed", "stopped"]

# Seconds for one HTTP request, and attempts after the first.
REQUEST_SECONDS = 10
RETRIES = 1


@dataclass(frozen=True)
class Service:
    """A tracking service: MLflow's server and experiment, or W&B's project and the secret with its API key."""

    kind: TrackerKind
    server: str = ""
    experiment: str = ""
    secret: str = ""


@dataclass(frozen=True)
class Run:
    """A training: its job's name (empty outside a job), its hyperparameters, and facts about its origin.

    `execution` is the ARN of the pipeline's execution; empty outside a pipeline.
    """

    name: str
    parameters: dict[str, str]
    facts: dict[str, str]
    execution: str = ""


def begin(service: Service, run: Run, keep_secret: Callable[[str], None]) -> MlflowRun | WandbRun:
    """Begin or continue a run. `keep_secret` gets texts that errors must not contain.

    Raises the client's errors, as every method of the run does, and ModuleNotFoundError where its package is missing.
    """
    if service.kind == "mlflow":
        return MlflowRun(service, run)
    if service.secret:
        key = api_key(service.secret)
        keep_secret(key)
        os.environ["WANDB_API_KEY"] = key
    return WandbRun(service, run)


class GroupingError(Exception):
    """A run was logged to its end, but not grouped with the others of its execution."""


class MlflowRun:
    """A run on an MLflow tracking server, also SageMaker's.

    The package sagemaker-mlflow accepts a server's ARN as its address and signs the requests with the job's role:
    https://docs.aws.amazon.com/sagemaker/latest/dg/mlflow-track-experiments.html
    """

    _STATUS: Mapping[Status, str] = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}

    def __init__(self, service: Service, run: Run) -> None:
        if service.server.startswith("arn:") and importlib.util.find_spec("sagemaker_mlflow") is None:
            raise ModuleNotFoundError("an ARN needs the package sagemaker-mlflow; install it in the training image")
        # An unavailable server fails within seconds, not after MLflow's eight attempts of two minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(REQUEST_SECONDS))
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", str(RETRIES))
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient, set_tracking_uri
        from mlflow.entities import Param, RunTag

        # The plug-in signs for the server of the process, not of the client.
        set_tracking_uri(service.server)
        self._client = MlflowClient(service.server)
        experiment = self._experiment(service.experiment)
        self._parents = ParentRun(self._client, experiment, run.execution) if run.execution else None
        self._parent = ""
        self._ungrouped: MlflowException | None = None
        with self._grouping():
            self._parent = self._parents.find() if self._parents else ""
        nested = {PARENT: self._parent} if self._parent else {}
        self._run_id = self._earlier(experiment, run.name)
        if self._run_id:
            self._client.update_run(self._run_id, "RUNNING")
            self._client.log_batch(self._run_id, tags=[RunTag(name, value) for name, value in nested.items()])
        else:
            self._run_id = self._client.create_run(experiment, tags=nested, run_name=run.name or None).info.run_id
            params = [Param(name, value) for name, value in run.parameters.items()]
            tags = [RunTag(name, value) for name, value in run.facts.items()]
            self._client.log_batch(self._run_id, params=params, tags=tags)
        with self._grouping():
            if self._parents and self._parent:
                self._parents.open(self._parent)

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Send all metrics in one request, with the epoch as their step."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        batch = [Metric(name, float(value), now, epoch) for name, value in metrics.items()]
        self._client.log_batch(self._run_id, metrics=batch)

    def finish(self, best: Mapping[str, float], status: Status) -> None:
        """Log the best epoch as `best/NAME`, and end the run.

        Raises GroupingError at last where the run could not be grouped with those of its execution.
        """
        try:
            if best:
                self.log(int(best["epoch"]), {f"best/{name}": value for name, value in best.items()})
            with self._grouping():
                self._nest()
        finally:
            self._client.set_terminated(self._run_id, self._STATUS[status])
            with self._grouping():
                if self._parents and self._parent:
                    self._parents.close(self._parent)
        if self._ungrouped:
            raise GroupingError(f"the run is tracked, but not grouped with its execution: {self._ungrouped}")

    @contextmanager
    def _grouping(self) -> Iterator[None]:
        """Keep a failure of the block until the run has ended, so that grouping does not cost a run its figures."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as error:
            self._ungrouped = self._ungrouped or error

    def _nest(self) -> None:
        """Move the run below the execution's parent where that is another than at the beginning."""
        from mlflow.entities import RunTag

        if self._parents and (parent := self._parents.find()) != self._parent:
            self._client.log_batch(self._run_id, tags=[RunTag(PARENT, parent)])
            self._parent = parent

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            try:
                return str(self._client.create_experiment(name))
            except MlflowException:
                # Trials begin together: another one may have created it in the meantime.
                experiment = self._client.get_experiment_by_name(name)
                if experiment is None:
                    raise
        return str(experiment.experiment_id)

    def _earlier(self, experiment: str, job: str) -> str:
        """The id of the run that this job began before an interruption; empty if there is none."""
        if not job:
            return ""
        runs = self._client.search_runs([experiment], f"tags.training_job = '{job}'", max_results=1)
        return str(runs[0].info.run_id) if runs else ""


class WandbRun:
    """A run at Weights & Biases. https://docs.wandb.ai/ref/python/init/."""

    def __init__(self, service: Service, run: Run) -> None:
        import wandb

        entity, _, project = service.experiment.rpartition("/")
        self._run: Any = wandb.init(
            entity=entity or None,
            project=project or None,
            id=run.name or None,
            name=run.name or None,
            resume="allow",
            config={**run.parameters, **run.facts},
            settings=wandb.Settings(
                silent=True, console="off", init_timeout=2 * REQUEST_SECONDS, disable_git=True, disable_code=True
            ),
        )

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Put the metrics into the client's own queue."""
        self._run.log(dict(metrics), step=epoch)

    def finish(self, best: Mapping[str, float], status: Status) -> None:
        """Log the best epoch as `best/NAME` of the summary, and wait until everything is sent."""
        self._run.summary.update({"status": status, **{f"best/{name}": value for name, value in best.items()}})
        self._run.finish(exit_code=int(status != "finished"))


def api_key(secret: str) -> str:
    """The API key in a Secrets Manager secret, by its name or ARN: plain, or as `{"WANDB_API_KEY": "..."}`.

    Raises botocore's errors, and ValueError if it contains no key.
    """
    import boto3
    from botocore.config import Config

    region = secret.split(":")[3] if secret.startswith("arn:") else None
    config = Config(connect_timeout=REQUEST_SECONDS, read_timeout=REQUEST_SECONDS, retries={"max_attempts": RETRIES})
    client = boto3.client("secretsmanager", region_name=region, config=config)
    text = str(client.get_secret_value(SecretId=secret).get("SecretString", "")).strip()
    if text.startswith("{"):
        text = str(json.loads(text).get("WANDB_API_KEY", ""))
    if not text:
        raise ValueError(f"the secret {secret} contains no API key; store it as text or under the key WANDB_API_KEY")
    return text
