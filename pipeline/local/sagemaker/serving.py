"""A model's container as a process that answers /ping and /invocations.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

from __future__ import annotations

import functools
import http.client
import shutil
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.aws.waiting import wait_until
from pipeline.local.context import Request, now, random_id
from pipeline.local.machine import dockerfile, transfer
from pipeline.local.machine.containers import Container
from pipeline.local.machine.ports import free_port
from pipeline.local.sagemaker.jobs import JobServices

PING_SECONDS = 240  # a container has to answer /ping within this time after its start
INVOKE_SECONDS = 60  # a container has to answer a request within this time
STOP_SECONDS = 30
# The header of a request's CustomAttributes, "forwarded verbatim", and of those that the container answers (botocore's
# model of InvokeEndpoint).
CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


class ServingError(Exception):
    """The container cannot serve; the message is the FailureReason."""


@dataclass(frozen=True)
class Answer:
    """A container's HTTP answer."""

    status: int
    body: bytes
    content_type: str
    custom_attributes: str = ""


@dataclass
class Variant:
    """One container that serves with a model's role.

    `base` is the folder of its endpoint or job; its output goes to `log_group`.
    """

    services: JobServices
    name: str
    definition: Request = field(repr=False)
    role_arn: str
    base: Path
    log_group: str
    environment: dict[str, str] = field(default_factory=dict)
    ping_seconds: float = PING_SECONDS

    def start(self) -> None:
        """Unpack the model, start the container, and wait for its first good /ping. Raises ServingError."""
        image = self.services.pull(self.role_arn, self.definition["Image"])
        base = self.base / f"{self.name}-{random_id(6)}"
        try:
            self._start(image, base)
        except BaseException:
            shutil.rmtree(base, ignore_errors=True)
            raise

    def _start(self, image: Path, base: Path) -> None:
        self._port = free_port()
        try:
            transfer.download_archive(self.services.s3(self.role_arn), self.definition["ModelDataUrl"], base / "model")
        except ValueError as error:
            raise ServingError(f"Failed to extract model data archive: {error}") from error
        stream = f"{self.name}/{base.name}-{int(now())}"
        self.write = write = self.services.log_writer(self.role_arn, self.log_group, stream)
        if not (built := dockerfile.read(image)).runs_as_root:
            # https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
            write(
                f"warning: the image's USER is {built.user}. SageMaker expects all containers to run with root users:"
                " users without root-level access can cause permissions issues"
            )
        self._container = Container(
            context=self.services.context,
            base=base,
            image=image,
            # SageMaker runs `docker run IMAGE serve`.
            command=[*self.services.images.entry_point(self.definition["Image"]), "serve"],
            on_line=write,
            environment={
                **self.definition.get("Environment", {}),
                **self.environment,
                "SAGEMAKER_BIND_TO_HOST": "127.0.0.1",
                "SAGEMAKER_BIND_TO_PORT": str(self._port),
            },
            credentials=functools.partial(self.services.identity.container_environment, self.role_arn),
            on_end=self.services.identity.end_credentials,
        )
        self._container.start()
        if wait_until(self._started, self.ping_seconds, 0.1):
            return
        self.stop()
        raise ServingError(
            f"The primary container for production variant {self.name} did not pass the ping health check."
            f" Please check CloudWatch logs for this endpoint ({self.log_group})."
        )

    @property
    def exit_status(self) -> int | None:
        """The container's exit status; None while it runs."""
        return self._container.poll()

    def _started(self) -> bool | None:
        """True once /ping is answered, False if the container has ended, None until then."""
        if self._container.poll() is not None:
            return False
        return self._send("GET", "/ping", None, {}, 2).status == 200 or None

    def invoke(self, body: bytes, headers: dict[str, str], seconds: float = INVOKE_SECONDS) -> Answer:
        """Forward one request."""
        return self._send("POST", "/invocations", body, headers, seconds)

    def _send(self, method: str, path: str, body: bytes | None, headers: dict[str, str], seconds: float) -> Answer:
        """The container's answer; an answer with status 500 if it does not answer within `seconds`."""
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=seconds)) as connection:
            try:
                connection.request(method, path, body=body, headers=headers)
                answer = connection.getresponse()
                attributes = answer.getheader(CUSTOM_ATTRIBUTES, "")
                return Answer(answer.status, answer.read(), answer.getheader("Content-Type", ""), attributes)
            except (OSError, http.client.HTTPException) as error:
                return Answer(500, f"{type(error).__name__}: {error}".encode(), "text/plain")

    def stop(self) -> None:
        """End the container and remove its copy of the model."""
        self._container.stop(STOP_SECONDS)
        shutil.rmtree(self._container.base, ignore_errors=True)
