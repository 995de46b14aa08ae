"""Alerts: events of the local cloud lead to messages in its inbox, by the stack's own rules and roles."""

from __future__ import annotations

import json
import shlex
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from pipeline import ROOT
from pipeline.cli import app
from pipeline.operations.account import inbox
from pipeline.operations.account import local as account
from pipeline.operations.account.inbox import Message
from pipeline.settings import Settings
from pipeline.settings.file import load_settings
from steps.contracts import names
from tests.integration.conftest import LocalCloud, wait_until

FAIL = """
    import sys
    print("the shard is damaged", flush=True)
    sys.exit(4)
"""
DRIFT = """
    import json, os, pathlib
    folder = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "processing/output/report"
    features = [{"name": "brightness", "psi": 0.51, "drifted": True}, {"name": "pixels", "psi": 0.0, "drifted": False}]
    drift = {"verdict": os.environ["VERDICT"], "endpoint": "counting", "model_version": "3", "features": features,
             "photos": 1200, "compared": 500, "since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"}
    (folder / "drift.json").write_text(json.dumps(drift))
"""


class Alerts:
    """An account with its stack, whose profile is in a file of settings."""

    def __init__(self, cloud: LocalCloud, settings: Settings) -> None:
        self.cloud, self.settings = cloud, settings
        self.sagemaker = cloud.client("sagemaker")

    def messages(self) -> list[Message]:
        messages = inbox.messages(self.cloud.settings.directory)
        return [message for message in messages if message.topic == self.settings.alerts_topic_arn]

    def told(self) -> Message:
        """The one message of the test."""
        [message] = wait_until(self.messages)
        return message

    def run(self, step: dict[str, Any], pipeline: str = "", name: str = "") -> str:
        """Run a pipeline of one step to its end. Returns the execution's ARN."""
        pipeline = pipeline or self.settings.name
        definition = json.dumps({"Version": "2020-12-01", "Steps": [step]})
        self.sagemaker.create_pipeline(
            PipelineName=pipeline,
            PipelineDefinition=definition,
            RoleArn=self.settings.role_arn("pipeline"),
            ClientRequestToken=uuid.uuid4().hex,
        )
        named = {"PipelineExecutionDisplayName": name} if name else {}
        arn: str = self.sagemaker.start_pipeline_execution(PipelineName=pipeline, **named)["PipelineExecutionArn"]
        wait_until(
            lambda: (
                self.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionStatus"]
                == "Failed"
            )
        )
        return arn

    def job(self, role: str, program: str, folder: str, **more: Any) -> dict[str, Any]:
        """A processing job's request."""
        image = self.cloud.image(program, repository=f"{self.settings.name}-processing")
        output = {"S3Uri": f"{self.settings.root_uri}/{folder}", "LocalPath": "/opt/ml/processing/output/report"}
        cluster = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
        outputs = [{"OutputName": "report", "S3Output": {**output, "S3UploadMode": "EndOfJob"}}]
        return {
            "AppSpecification": {"ImageUri": image},
            "RoleArn": self.settings.role_arn(role),  # type: ignore[arg-type]
            "ProcessingResources": {"ClusterConfig": cluster},
            "ProcessingOutputConfig": {"Outputs": outputs},
            **more,
        }

    def monitor(self, verdict: str, **more: Any) -> str:
        """Run a job of the monitor's to its end. Returns its name."""
        identity = uuid.uuid4().hex[:8]
        name = f"{self.settings.name}-monitor-{identity}"
        request = self.job("monitor", DRIFT, f"monitor/{identity}", Environment={"VERDICT": verdict}) | more
        self.sagemaker.create_processing_job(ProcessingJobName=name, **request)
        wait_until(
            lambda: (
                self.sagemaker.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"]
                in ("Completed", "Failed")
            )
        )
        return name


@pytest.fixture
def alerts(local_cloud: LocalCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Alerts:
    name = f"a{uuid.uuid4().hex[:8]}"
    document = yaml.safe_load((ROOT / "pipeline.yaml").read_text())
    document["name"] = name
    document["profiles"] = {"night shift": document["profiles"]["local"]}
    document["profiles"]["night shift"]["data"]["bucket"] = f"{name}-bucket"
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(document))
    monkeypatch.chdir(tmp_path)
    settings = load_settings(tmp_path / "pipeline.yaml", "night shift")
    account.prepare(settings)
    return Alerts(local_cloud, settings)


def pasted(message: Message) -> Any:
    """The result of the command that a message names, as a shell reads it."""
    words = shlex.split(message.text.partition(f" {names.LOOK} ")[2])
    assert words[:3] == ["python", "-m", "pipeline"]
    return CliRunner().invoke(app, words[3:])


def test_a_failed_run_is_told_once_with_its_step_reason_and_command(alerts: Alerts) -> None:
    fails = {"Name": "End", "Type": "Fail", "Arguments": {"ErrorMessage": "not mine"}}
    alerts.run(fails, pipeline=f"{alerts.settings.name}-other")
    step = {"Name": "ShardImages", "Type": "Processing", "Arguments": alerts.job("job", FAIL, "runs/1/shard")}
    arn = alerts.run(step, name="nightly")
    run = arn.rsplit("/", 1)[-1]
    message = alerts.told()
    assert message.subject == f"{alerts.settings.name}: run {run} failed at ShardImages"
    assert message.text.startswith(f"Run nightly ({run}) failed at step ShardImages: ")
    assert "exit code: 4" in message.text.lower()
    assert f"role/{alerts.settings.name}-alert" in message.publisher.replace("assumed-role", "role")
    looked = pasted(message)
    assert looked.exit_code == 1
    assert "ShardImages" in looked.output
    # Another event about the same end of the run.
    execution = alerts.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    ended = execution["LastModifiedTime"].strftime("%Y-%m-%dT%H:%M:%SZ")
    detail = {"pipelineArn": execution["PipelineArn"], "pipelineExecutionArn": arn, "executionEndTime": ended,
              "currentPipelineExecutionStatus": "Failed"}  # fmt: skip
    event = {"detail-type": "SageMaker Model Building Pipeline Execution Status Change", "detail": detail}
    answer = alerts.cloud.client("lambda").invoke(
        FunctionName=alerts.settings.alert_function, Payload=json.dumps(event)
    )
    assert json.load(answer["Payload"])["alert"] == "sent before"
    assert alerts.messages() == [message]


def test_a_refused_model_is_told_with_its_metrics_and_not_as_a_failed_step(alerts: Alerts) -> None:
    reason = "The model was not registered: accuracy 0.41 (at least 0.5 wanted), RMSE 1.2 (at most 1.0 wanted)"
    arn = alerts.run({"Name": names.GATE_FAILED, "Type": "Fail", "Arguments": {"ErrorMessage": reason}})
    run = arn.rsplit("/", 1)[-1]
    message = alerts.told()
    assert message.subject == f"{alerts.settings.name}: the quality gate refused the model of run {run}"
    assert message.text == (
        f"The quality gate refused the model of run {run}: {reason}."
        f" Look: python -m pipeline --profile 'night shift' report {run}"
    )


def test_a_run_whose_role_cannot_be_assumed_is_told_without_a_step(alerts: Alerts) -> None:
    alerts.settings = alerts.settings.model_copy(
        update={"account": alerts.settings.account.model_copy(update={"pipeline_role": "missing"})}
    )
    arn = alerts.run({"Name": "End", "Type": "Fail", "Arguments": {"ErrorMessage": "x"}})
    run = arn.rsplit("/", 1)[-1]
    assert alerts.told().text.startswith(f"Run {run} failed: ")
    assert "Could not assume role" in alerts.told().text


def test_a_drift_is_told_once_with_its_features(alerts: Alerts) -> None:
    alerts.monitor("ok")
    job = alerts.monitor("drift")
    message = alerts.told()
    assert message.subject == f"{alerts.settings.name}: drift of brightness"
    assert "brightness (PSI 0.51)" in message.text
    assert "pixels" not in message.text
    assert message.text.endswith(f"Look: python -m pipeline --profile 'night shift' monitor --job {job}")


def test_a_monitor_that_fails_is_told_with_its_reason(alerts: Alerts) -> None:
    job = alerts.monitor(
        "drift", AppSpecification={"ImageUri": alerts.job("job", FAIL, "x")["AppSpecification"]["ImageUri"]}
    )
    message = alerts.told()
    assert message.subject == f"{alerts.settings.name}: the monitor failed"
    assert f"job {job}: " in message.text
