"""An account with runs, over botocore's own wire: requests and answers are checked against the service's model."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.awsrequest import AWSResponse

from pipeline.aws.validation import validate_request

PREFIX = "arn:aws:sagemaker:us-east-1:111122223333"
JOB = f"{PREFIX}:processing-job/pipelines-run-ShardImages"
STARTED = datetime.now(UTC) - timedelta(hours=1)
DEFINITION: dict[str, Any] = {
    "Version": "2020-12-01",
    "Parameters": [
        {"Name": "Epochs", "Type": "Integer", "DefaultValue": 30},
        {"Name": "MinimumAccuracy", "Type": "Float", "DefaultValue": 0.5},
        {"Name": "RegisterAgain", "Type": "String", "DefaultValue": "no", "EnumValues": ["no", "yes"]},
        {"Name": "ShardVersion", "Type": "String", "DefaultValue": "1"},
        {"Name": "TrainingVersion", "Type": "String", "DefaultValue": "1"},
    ],
    "Steps": [
        {"Name": "ShardImages", "Type": "Processing", "Arguments": {}},
        {"Name": "TuneModel", "Type": "Tuning", "Arguments": {}, "DependsOn": ["ShardImages"]},
    ],
}


class Raw:
    """A body, as urllib3 gives it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> Any:
        yield self._body


class RefusedError(Exception):
    """An error of AWS: its code and its message."""


class AccountOfRuns:
    """Answers SageMaker, CloudWatch Logs and STS. `asked` has each request, by operation, in order."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.steps: dict[str, list[dict[str, Any]]] = {}
        self.values: dict[str, dict[str, str]] = {}
        self.lines: list[str] = []
        self.trials: list[dict[str, Any]] = []
        self.started: list[dict[str, Any]] = []
        self.domains = [{"DomainId": "d-abc", "Status": "InService"}]
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def add(self, run: str, status: str = "Succeeded", *steps: dict[str, Any], **values: str) -> None:
        """A run; later ones are newer."""
        number = len(self.runs)
        self.runs[run] = {
            "PipelineExecutionArn": f"{PREFIX}:pipeline/bins/execution/{run}",
            "PipelineExecutionStatus": status,
            "StartTime": (STARTED + timedelta(seconds=number)).timestamp(),
            "PipelineExecutionDisplayName": f"name-{run}",
        }
        self.steps[run], self.values[run] = list(steps), values

    @property
    def counts(self) -> Counter[str]:
        return Counter(operation for operation, _ in self.asked)

    def answer(self, request: Any, event_name: str, **_: Any) -> AWSResponse:
        service = event_name.removeprefix("before-send.").split(".")[0].removeprefix("cloudwatch-")
        status = 200
        if service == "sts":
            result = "<GetCallerIdentityResult><Account>111122223333</Account></GetCallerIdentityResult>"
            body = f"<GetCallerIdentityResponse>{result}</GetCallerIdentityResponse>"
            return AWSResponse(request.url, 200, {"Content-Type": "text/xml"}, Raw(body.encode()))
        target = request.headers["X-Amz-Target"]
        operation = (target.decode() if isinstance(target, bytes) else target).split(".")[-1]
        values = json.loads(request.body)
        assert validate_request(service, operation, values) == []
        self.asked.append((operation, values))
        try:
            answer = getattr(self, operation)(values)
        except RefusedError as error:
            status, answer = 400, {"__type": error.args[0], "message": error.args[1]}
        return AWSResponse(
            request.url, status, {"Content-Type": "application/x-amz-json-1.1"}, Raw(json.dumps(answer).encode())
        )

    def _run(self, values: dict[str, Any]) -> str:
        run = values["PipelineExecutionArn"].rsplit("/", 1)[-1]
        if run not in self.runs:
            raise RefusedError("ResourceNotFound", "Pipeline execution does not exist.")
        return str(run)

    def ListDomains(self, values: dict[str, Any]) -> dict[str, Any]:
        return {"Domains": self.domains}

    def DescribePipeline(self, values: dict[str, Any]) -> dict[str, Any]:  # AWS's name
        return {"PipelineName": values["PipelineName"], "PipelineDefinition": json.dumps(DEFINITION)}

    def ListPipelineExecutions(self, values: dict[str, Any]) -> dict[str, Any]:
        newest = list(reversed(self.runs.values()))
        start, size = int(values.get("NextToken", "0")), values.get("MaxResults", 100)
        page = newest[start : start + size]
        more = {"NextToken": str(start + size)} if start + size < len(newest) else {}
        return {"PipelineExecutionSummaries": page, **more}

    def DescribePipelineExecution(self, values: dict[str, Any]) -> dict[str, Any]:
        run = self.runs[self._run(values)]
        return {**run, "CreationTime": run["StartTime"], "LastModifiedTime": run["StartTime"]}

    def DescribePipelineDefinitionForExecution(self, values: dict[str, Any]) -> dict[str, Any]:
        self._run(values)
        return {"PipelineDefinition": json.dumps(DEFINITION)}

    def ListPipelineExecutionSteps(self, values: dict[str, Any]) -> dict[str, Any]:
        return {"PipelineExecutionSteps": self.steps[self._run(values)]}

    def ListPipelineParametersForExecution(self, values: dict[str, Any]) -> dict[str, Any]:
        given = self.values[self._run(values)]
        return {"PipelineParameters": [{"Name": name, "Value": value} for name, value in given.items()]}

    def ListTrainingJobsForHyperParameterTuningJob(self, values: dict[str, Any]) -> dict[str, Any]:
        return {"TrainingJobSummaries": self.trials}

    def DescribeTrainingJob(self, values: dict[str, Any]) -> dict[str, Any]:
        moment = STARTED.timestamp()
        return {
            "TrainingJobName": values["TrainingJobName"],
            "TrainingJobStatus": "InProgress",
            "SecondaryStatus": "Starting",
            "SecondaryStatusTransitions": [
                {"Status": "Starting", "StartTime": moment, "StatusMessage": "Insufficient capacity, retrying!"}
            ],
            "AlgorithmSpecification": {"TrainingImage": "train:1", "TrainingInputMode": "File"},
            "HyperParameters": {"lr": "0.1"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 30},
        }

    def DescribeProcessingJob(self, values: dict[str, Any]) -> dict[str, Any]:
        return {
            "ProcessingJobName": values["ProcessingJobName"],
            "ProcessingJobStatus": "Failed",
            "ProcessingStartTime": STARTED.timestamp(),
            "ProcessingEndTime": (STARTED + timedelta(minutes=1)).timestamp(),
            "AppSpecification": {"ImageUri": "image:1", "ContainerArguments": ["--seed", "7"]},
            "Environment": {"SIGNED": "https://b.s3.amazonaws.com/k?X-Amz-Signature=s3cret", "PLAIN": "value"},
            "ProcessingResources": {
                "ClusterConfig": {"InstanceType": "ml.c5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 30}
            },
        }

    def FilterLogEvents(self, values: dict[str, Any]) -> dict[str, Any]:
        moment = int(STARTED.timestamp() * 1000)
        wanted = values.get("filterPattern", '""')[1:-1].replace('\\"', '"')
        stream = f"{values.get('logStreamNamePrefix', '')}algo-1-1"
        events = [
            {"logStreamName": stream, "timestamp": moment + number, "message": line, "eventId": str(number)}
            for number, line in enumerate(self.lines)
            if wanted in line and values.get("startTime", 0) <= moment + number <= values.get("endTime", moment * 2)
        ]
        if not values.get("startFromHead", True):
            events.reverse()
        start = int(values.get("nextToken", "0"))
        end = start + values.get("limit", 10_000)
        return {"events": events[start:end], **({"nextToken": str(end)} if end < len(events) else {})}

    def StartPipelineExecution(self, values: dict[str, Any]) -> dict[str, Any]:
        self.started.append(values)
        self.add("started", "Executing")
        return {"PipelineExecutionArn": self.runs["started"]["PipelineExecutionArn"]}

    def StopPipelineExecution(self, values: dict[str, Any]) -> dict[str, Any]:
        self.runs[self._run(values)]["PipelineExecutionStatus"] = "Stopping"
        return {}

    def RetryPipelineExecution(self, values: dict[str, Any]) -> dict[str, Any]:
        self.runs[self._run(values)]["PipelineExecutionStatus"] = "Executing"
        return {}


def step(name: str, status: str = "Succeeded", **more: Any) -> dict[str, Any]:
    """A step as ListPipelineExecutionSteps has it; it ended a minute after its start, or goes on."""
    ended = {} if status in ("Executing", "Starting") else {"EndTime": (STARTED + timedelta(minutes=1)).timestamp()}
    return {"StepName": name, "StepStatus": status, "StartTime": STARTED.timestamp(), **ended, **more}
