"""The two tracking services, each through its own client, which is imported when it is asked for.

A job that was interrupted and goes on continues its run: it is found by the training job's name.
"""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from steps.train.recipe import TrackerKind

Status = Literal["finished", "failed", "stopped"]

# Seconds for one HTTP request, and tries after the first.
REQUEST_SECONDS = 10
RETRIES = 1


@dataclass(frozen=True)
class Service:
    """Where to log: MLflow's server and experiment, or W&B's project and the secret that holds the API key."""

    kind: TrackerKind
    server: str = ""
    experiment: str = ""
    secret: str = ""


@dataclass(frozen=True)
class Run:
    """A training: its job's name (empty outside a job), its hyperparameters, and where it comes from."""

    name: str
    parameters: dict[str, str]
    facts: dict[str, str]


class TrackedRun(Protocol):
    """A run at a service. Every method raises what the client raises."""

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """The figures of one epoch."""

    def finish(self, best: Mapping[str, float], status: Status) -> None:
        """The best epoch's figures, and how it ended."""


def begin(service: Service, run: Run, keep_secret: Callable[[str], None]) -> TrackedRun:
    """Begin or continue a run. `keep_secret` is told what must not be shown in an error.

    Raises what the client raises, also ModuleNotFoundError where its package is missing.
    """
    if service.kind == "mlflow":
        return MlflowRun(service, run)
    if service.secret:
        key = api_key(service.secret)
        keep_secret(key)
        os.environ["WANDB_API_KEY"] = key
    return WandbRun(service, run)


class MlflowRun:
    """A run on an MLflow tracking server, also SageMaker's.

    https://docs.aws.amazon.com/sagemaker/latest/dg/mlflow-track-experiments.html: the package sagemaker-mlflow takes
    a server's ARN for its address and signs the requests with the job's role.
    """

    _STATUS: Mapping[Status, str] = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}

    def __init__(self, service: Service, run: Run) -> None:
        if service.server.startswith("arn:") and importlib.util.find_spec("sagemaker_mlflow") is None:
            raise ModuleNotFoundError("an ARN wants the package sagemaker-mlflow; install it in the training image")
        # A server that is away is noticed within seconds, not after MLflow's eight tries of two minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(REQUEST_SECONDS))
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", str(RETRIES))
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient, set_tracking_uri

        # The plug-in signs for the process's server, not for the client's.
        set_tracking_uri(service.server)
        self._client = MlflowClient(service.server)
        experiment = self._experiment(service.experiment)
        self._run_id = self._earlier(experiment, run.name)
        if self._run_id:
            self._client.update_run(self._run_id, "RUNNING")
        else:
            self._run_id = self._client.create_run(experiment, run_name=run.name or None).info.run_id
            self._describe(run)

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """One request with all metrics, the epoch as their step."""
        self._log(metrics, epoch)

    def finish(self, best: Mapping[str, float], status: Status) -> None:
        """The best epoch as `best/NAME`."""
        if best:
            self._log({f"best/{name}": value for name, value in best.items()}, int(best["epoch"]))
        self._client.set_terminated(self._run_id, self._STATUS[status])

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name))
            except MlflowException:
                # Trials begin together: another one may have made it in between.
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise
        return str(found.experiment_id)

    def _earlier(self, experiment: str, job: str) -> str:
        """The id of the run that this job began before it was interrupted; empty where there is none."""
        if not job:
            return ""
        runs = self._client.search_runs([experiment], f"tags.training_job = '{job}'", max_results=1)
        return str(runs[0].info.run_id) if runs else ""

    def _describe(self, run: Run) -> None:
        from mlflow.entities import Param, RunTag

        self._client.log_batch(
            self._run_id,
            params=[Param(name, value) for name, value in run.parameters.items()],
            tags=[RunTag(name, value) for name, value in run.facts.items()],
        )

    def _log(self, metrics: Mapping[str, float], epoch: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(
            self._run_id, metrics=[Metric(name, float(value), now, epoch) for name, value in metrics.items()]
        )


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
        """Into the client's own queue."""
        self._run.log(dict(metrics), step=epoch)

    def finish(self, best: Mapping[str, float], status: Status) -> None:
        """The best epoch as `best/NAME` of the summary; waits until all is sent."""
        self._run.summary.update({"status": status, **{f"best/{name}": value for name, value in best.items()}})
        self._run.finish(exit_code=int(status != "finished"))


def api_key(secret: str) -> str:
    """The API key in a Secrets Manager secret, by its name or ARN: plain, or as `{"WANDB_API_KEY": "..."}`.

    Raises botocore's errors, and ValueError when there is no key in it.
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
        raise ValueError(f"the secret {secret} holds no API key; store it as text or under the key WANDB_API_KEY")
    return text
