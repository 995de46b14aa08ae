"""Lambda's Invoke: runs the function's own zip in a child process. Moto creates and describes functions.

An asynchronous invocation has three attempts; after the last its event goes to the function's dead-letter queue. Lambda
queues the event, and "the function might receive the same event multiple times": here it is in the store until its end,
and a start after a kill invokes the function again.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import subprocess
import sys
import threading
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.local import threads
from pipeline.local.context import Context, ServiceError, now, send_dead_letter
from pipeline.local.identity import service_calls
from pipeline.local.identity.identity import Identity
from pipeline.local.logs import Logs
from pipeline.local.machine import processes

log = logging.getLogger(__name__)

ATTEMPTS = 3
RETRY_SECONDS = 5.0  # Lambda waits one minute, then two
# Asynchronous invocations at the same time, including retries.
CONCURRENCY = 4
# The credentials of a call outlive it by this.
SPARE_SECONDS = 60
# Error code of a dead letter: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
FAILED, ERROR_LENGTH = "200", 1024
# Kind of document of an asynchronous invocation in the store.
_INVOCATION = "invocation"
RUNTIME = Path(__file__).with_name("function_runtime.py")


@dataclass(frozen=True)
class Result:
    """A function's return value, or the description of its error with Lambda's `Unhandled`."""

    payload: bytes
    error: str | None = None


class Functions:
    """The account's Lambda functions."""

    def __init__(self, context: Context, logs: Logs, identity: Identity) -> None:
        self._context = context
        self._identity = identity
        self._logs = logs
        self._unpacking = threading.Lock()
        self._queues: dict[str, str] = {}
        self._closing = threading.Event()
        self._pool = threads.Workers(CONCURRENCY, "function")

    def configure(self, name: str, request: dict[str, Any], *, created: bool) -> None:
        """Store the dead-letter queue of a CreateFunction (`created`) or an UpdateFunctionConfiguration."""
        config = request.get("DeadLetterConfig")
        if config is not None and created != self._exists(name):
            self._queues[name] = config.get("TargetArn", "")

    def check(self, name: str) -> Any:
        """The function as moto has it. Raises ServiceError if there is none."""
        from moto.awslambda.models import lambda_backends
        from werkzeug.exceptions import HTTPException

        backend = lambda_backends[self._context.account_id][self._context.region]
        try:
            return backend.get_function(name)
        except (HTTPException, ValueError):
            arn = self._context.arn("lambda", f"function:{name}")
            raise ServiceError("ResourceNotFoundException", f"Function not found: {arn}", 404) from None

    def invoke_later(self, name: str, payload: bytes) -> None:
        """Run the function in the background, with retries. Raises ServiceError if there is no such function."""
        self.check(name)
        request_id = str(uuid.uuid4())
        document = {"Id": request_id, "Function": name, "Payload": payload.decode(errors="replace"), "Attempts": 0}
        self._context.store.create(_INVOCATION, request_id, document)
        self._submit(document)

    def restore(self) -> None:
        """After a restart: go on with the invocations that had not ended."""
        for document in self._context.store.list(_INVOCATION):
            log.info("%s: invocation %s goes on", document["Function"], document["Id"])
            self._submit(document)

    def close(self) -> None:
        """Wait for invocations that run. Retries follow after the next start."""
        self._closing.set()
        self._pool.close()

    def _submit(self, document: dict[str, Any]) -> None:
        def work() -> None:
            if self._attempt(document["Id"], document["Function"], document["Payload"].encode(), document["Attempts"]):
                self._context.store.delete(_INVOCATION, document["Id"])

        # An error that is not the function's would come again.
        self._pool.submit(work, lambda _: self._context.store.delete(_INVOCATION, document["Id"]))

    def _attempt(self, request_id: str, name: str, payload: bytes, attempts: int) -> bool:
        """Invoke the function until it succeeds, after `attempts` that have failed. Returns False before the end."""
        answer = ""
        for attempt in range(attempts + 1, ATTEMPTS + 1):
            result = self.invoke(name, payload, request_id)
            if result.error is None:
                return True
            answer = result.payload.decode(errors="replace")
            log.warning("%s failed (attempt %d of %d): %s", name, attempt, ATTEMPTS, answer)
            if attempt < ATTEMPTS:
                self._context.store.update(_INVOCATION, request_id, lambda document: document.update(Attempts=attempt))  # noqa: B023
                if self._closing.wait(RETRY_SECONDS * attempt):
                    return False
        if queue := self._queues.get(name):
            attributes = {"RequestID": request_id, "ErrorCode": FAILED, "ErrorMessage": answer[:ERROR_LENGTH]}
            client = self._identity.client(self._identity.as_role(self.check(name).role, name), "sqs")
            send_dead_letter(client, queue, payload.decode(errors="replace"), attributes)
        return True

    def invoke(self, name: str, payload: bytes, request_id: str = "") -> Result:
        """Run the function once and wait. Raises ServiceError if there is no such function."""
        function = self.check(name)
        request_id = request_id or str(uuid.uuid4())
        arn = self._context.arn("lambda", f"function:{name}")
        try:
            self._identity.assume(function.role, "lambda", arn)
        except ServiceError:
            # https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html
            message = "The role defined for the function cannot be assumed by Lambda."
            raise ServiceError("AccessDeniedException", message, 403) from None
        seconds = function.timeout or 3
        write = self._log_writer(function.role, f"/aws/lambda/{name}", f"local/[$LATEST]{request_id[:8]}")
        mark = self._context.directory / "functions" / request_id
        environment = {
            **self._context.child_environment(),
            **self._identity.function_environment(function.role, seconds + SPARE_SECONDS),
            **function.environment_vars,
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "PYTHONDONTWRITEBYTECODE": "1",
            processes.MARK: str(mark),
        }
        write(f"START RequestId: {request_id}")
        try:
            done = subprocess.run(
                # -P: this package's modules must not be found before the standard library's.
                [sys.executable, "-P", str(RUNTIME), function.handler, request_id],
                cwd=self._code(function),
                env=environment,
                input=payload,
                capture_output=True,
                timeout=seconds,
                check=False,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            message = f"{request_id} Task timed out after {seconds}.00 seconds"
            write(message)
            return Result(json.dumps({"errorMessage": message}).encode(), "Unhandled")
        finally:
            processes.end(mark)
        for line in done.stderr.decode(errors="replace").splitlines():
            write(line)
        write(f"END RequestId: {request_id}")
        if done.returncode == 0:
            return Result(done.stdout)
        if done.stdout:
            return Result(done.stdout, "Unhandled")
        message = f"RequestId: {request_id} Error: Runtime exited with status {done.returncode}"
        return Result(json.dumps({"errorMessage": message, "errorType": "Runtime.ExitError"}).encode(), "Unhandled")

    def _log_writer(self, role: str, group: str, stream: str) -> Callable[[str], None]:
        """Writes lines to the function's log stream; without its role's permission they are lost, as on AWS."""
        authorizer, caller = self._identity.authorizer, self._identity.as_role(role)
        checks = service_calls.function_logs(authorizer.account, group)
        # Each is asked, so that each is on record.
        allowed = {authorizer.allows(caller, check, "logs", "PutLogEvents") for check in checks}
        if False in allowed:
            log.warning("%s may not write to the log group %s: its lines are lost", role, group)
            return lambda _: None
        return lambda line: self._logs.write(group, stream, line)

    def _exists(self, name: str) -> bool:
        try:
            self.check(name)
        except ServiceError:
            return False
        return True

    def _code(self, function: Any) -> Path:
        """The unpacked zip, in a folder named by its hash."""
        content: bytes = function.code_bytes
        folder = self._context.directory / "functions" / hashlib.sha256(content).hexdigest()[:16]
        with self._unpacking:
            if not folder.exists():
                partial = folder.with_name(f"{folder.name}.{int(now() * 1000)}")
                with zipfile.ZipFile(io.BytesIO(content)) as archive:
                    # ZipFile drops absolute paths and `..` from member names.
                    archive.extractall(partial)
                partial.rename(folder)
        return folder
