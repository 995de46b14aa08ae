"""The targets of a schedule: a pipeline, a function, or (a universal target) an operation of SageMaker.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-templated.html and
https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.local.context import Request, ServiceError, send_dead_letter
from pipeline.local.identity.caller import Caller
from pipeline.local.identity.identity import Identity
from pipeline.local.scheduler.schedules import UNIVERSAL

Call = Callable[[str, str, Request, Caller], Request]
Authorize = Callable[[Caller, str, str, Request], None]
Invoke = Callable[[str, bytes], None]


@dataclass(frozen=True)
class Invocation:
    """One attempt to invoke a schedule's target."""

    schedule: Request
    scheduled: datetime
    """The time at which the schedule was due, UTC."""
    attempt: int
    execution_id: str

    @property
    def time(self) -> str:
        """The scheduled time in the service's form."""
        return self.scheduled.strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def token(self) -> str:
        """A token that is the same for all attempts, so that no attempt starts a second run."""
        return hashlib.sha256(f"{self.schedule['Arn']} {self.time}".encode()).hexdigest()

    def input(self) -> str:
        """The target's input with the context attributes filled in.

        https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
        """
        text = str(self.schedule["Target"].get("Input", "{}"))
        for name, value in (
            ("schedule-arn", self.schedule["Arn"]),
            ("scheduled-time", self.time),
            ("execution-id", self.execution_id),
            ("attempt-number", str(self.attempt)),
        ):
            text = text.replace(f"<aws.scheduler.{name}>", value)
        return text


class Targets:
    """Invokes targets with the schedule's role.

    `call` executes operations; `invoke` runs a function in the background, which `authorize` allows.
    """

    def __init__(self, identity: Identity, call: Call, authorize: Authorize, invoke: Invoke) -> None:
        self._identity = identity
        self._call = call
        self._authorize = authorize
        self._invoke = invoke

    def caller(self, schedule: Request) -> Caller:
        """The role of the schedule's target, which Scheduler assumes for the schedule's group. Raises ServiceError.

        https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
        """
        group = schedule["Arn"].replace(":schedule/", ":schedule-group/").rsplit("/", 1)[0]
        return self._identity.assume(schedule["Target"]["RoleArn"], "scheduler", group)

    def dead_letter(self, schedule: Request, queue: str, body: str, attributes: dict[str, str]) -> None:
        """Send a message to the schedule's queue with its role. Raises ServiceError if the role is not trusted."""
        send_dead_letter(self._identity.client(self.caller(schedule), "sqs"), queue, body, attributes)

    def payload(self, invocation: Invocation) -> str:
        """The request to the target as JSON; also the body of a dead letter."""
        target = invocation.schedule["Target"]
        if ":pipeline/" not in target["Arn"]:
            return invocation.input()
        request: dict[str, Any] = {"PipelineName": target["Arn"], "ClientRequestToken": invocation.token}
        if parameters := target.get("SageMakerPipelineParameters", {}).get("PipelineParameterList"):
            request["PipelineParameters"] = parameters
        return json.dumps(request)

    def send(self, invocation: Invocation) -> None:
        """Invoke the target once. Raises ServiceError if it refuses."""
        arn, payload = invocation.schedule["Target"]["Arn"], self.payload(invocation)
        caller = self.caller(invocation.schedule)
        if arn.startswith(UNIVERSAL):
            service, action = arn.removeprefix(UNIVERSAL).split(":")
            self._operation(service, f"{action[:1].upper()}{action[1:]}", payload, caller)
        elif ":pipeline/" in arn:
            self._call("sagemaker", "StartPipelineExecution", json.loads(payload), caller)
        else:
            self._authorize(caller, "lambda", "Invoke", {"FunctionName": arn})
            self._invoke(arn.rsplit(":function:", 1)[-1], payload.encode())

    def _operation(self, service: str, operation: str, payload: str, caller: Caller) -> None:
        if service != "sagemaker":
            message = f"The local cloud's universal targets are SageMaker's operations, not {service}'s."
            raise ServiceError("UnknownOperationException", message)
        try:
            request = json.loads(payload)
        except ValueError as error:
            raise ServiceError("SerializationException", f"The input is not valid JSON: {error}") from None
        self._call(service, operation, request, caller)
