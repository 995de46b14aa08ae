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
import re
import subprocess
import threading
import time
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
from pipeline.local.machine import layer, processes

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
# "the last 4 KB of the execution log": https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
TAIL_BYTES = 4096
LATEST = "$LATEST"
# A name, a partial ARN or an ARN, each perhaps with a version or an alias (the same page).
_NAME = re.compile(r"(?:arn:[^:]+:lambda:[^:]*:\d+:|\d+:)?(?:function:)?([^:]+)(?::([^:]+))?")


@dataclass(frozen=True)
class Result:
    """A function's return value, or the description of its error with Lambda's `Unhandled`."""

    payload: bytes
    error: str | None = None
    version: str = LATEST
    log: str = ""
    """The lines of the invocation's log."""

    @property
    def tail(self) -> bytes:
        """The end of the log, as LogType=Tail has it."""
        return self.log.encode()[-TAIL_BYTES:]


@dataclass(frozen=True)
class FunctionName:
    """A function, and the version or alias that a caller names; empty without one."""

    name: str
    qualifier: str = ""

    @classmethod
    def parse(cls, text: str, qualifier: str = "") -> FunctionName:
        """Read a name or an ARN, with a qualifier next to it. Raises ServiceError if the two name different ones."""
        match = _NAME.fullmatch(text)
        if match is None:
            raise ServiceError("InvalidParameterValueException", f"{text} is no name of a function.")
        own = match[2] or ""
        if own and qualifier and own != qualifier:
            message = "The derived qualifier from the function name does not match the specified qualifier."
            raise ServiceError("InvalidParameterValueException", message)
        return cls(match[1], own or qualifier)

    def __str__(self) -> str:
        return f"{self.name}:{self.qualifier}" if self.qualifier else self.name


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
            self._queues[FunctionName.parse(name).name] = config.get("TargetArn", "")

    def check(self, name: str, qualifier: str = "") -> Any:
        """The function as moto has it, by its name or ARN. Raises ServiceError if there is none."""
        from moto.awslambda.models import lambda_backends
        from werkzeug.exceptions import HTTPException

        named = FunctionName.parse(name, qualifier)
        backend = lambda_backends[self._context.account_id][self._context.region]
        try:
            return backend.get_function(named.name, named.qualifier or None)
        except (HTTPException, ValueError):
            arn = self._context.arn("lambda", f"function:{named}")
            raise ServiceError("ResourceNotFoundException", f"Function not found: {arn}", 404) from None

    def invoke_later(self, name: str, payload: bytes, qualifier: str = "", client: Any = None) -> None:
        """Run the function in the background, with retries. Raises ServiceError if there is no such function."""
        self.check(name, qualifier)
        request_id, named = str(uuid.uuid4()), FunctionName.parse(name, qualifier)
        document = {
            **{"Id": request_id, "Function": named.name, "Qualifier": named.qualifier, "Client": client},
            **{"Payload": payload.decode(errors="replace"), "Attempts": 0},
        }
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
            if self._attempt(document):
                self._context.store.delete(_INVOCATION, document["Id"])

        # An error that is not the function's would come again.
        self._pool.submit(work, lambda _: self._context.store.delete(_INVOCATION, document["Id"]))

    def _attempt(self, document: dict[str, Any]) -> bool:
        """Invoke the function until it succeeds, after the attempts that have failed. Returns False before the end."""
        named = FunctionName(document["Function"], document["Qualifier"])
        request_id, payload, client = document["Id"], document["Payload"].encode(), document["Client"]
        answer = ""
        for attempt in range(document["Attempts"] + 1, ATTEMPTS + 1):
            result = self.invoke(named.name, payload, request_id, qualifier=named.qualifier, client=client)
            if result.error is None:
                return True
            answer = result.payload.decode(errors="replace")
            log.warning("%s failed (attempt %d of %d): %s", named, attempt, ATTEMPTS, answer)
            if attempt < ATTEMPTS:
                self._context.store.put(_INVOCATION, request_id, {**document, "Attempts": attempt})
                if self._closing.wait(RETRY_SECONDS * attempt):
                    return False
        if queue := self._queues.get(named.name):
            attributes = {"RequestID": request_id, "ErrorCode": FAILED, "ErrorMessage": answer[:ERROR_LENGTH]}
            sender = self._identity.as_role(self.check(named.name).role, named.name)
            send_dead_letter(self._identity.client(sender, "sqs"), queue, payload.decode(errors="replace"), attributes)
        return True

    def invoke(
        self, name: str, payload: bytes, request_id: str = "", *, qualifier: str = "", client: Any = None
    ) -> Result:
        """Run the function once and wait; `client` is the JSON of a ClientContext.

        Raises ServiceError if there is no such function, version or alias.
        """
        function, named = self.check(name, qualifier), FunctionName.parse(name, qualifier)
        request_id = request_id or str(uuid.uuid4())
        arn = self._context.arn("lambda", f"function:{named.name}")
        try:
            self._identity.assume(function.role, "lambda", arn)
        except ServiceError:
            # https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html
            message = "The role defined for the function cannot be assumed by Lambda."
            raise ServiceError("AccessDeniedException", message, 403) from None
        seconds, version = function.timeout or 3, str(function.version or LATEST)
        group, stream = f"/aws/lambda/{named.name}", f"local/[{version}]{request_id[:8]}"
        store = self._log_writer(function.role, group, stream)
        lines: list[str] = []

        def write(line: str) -> None:
            store(line)
            lines.append(f"{line}\n")

        def result(content: bytes, error: str | None = None) -> Result:
            return Result(content, error, version, "".join(lines))

        code, commands = self._code(function)
        mark = self._context.directory / "functions" / request_id
        environment = {
            **self._context.child_environment(commands),
            **self._identity.function_environment(function.role, seconds + SPARE_SECONDS),
            **function.environment_vars,
            **_reserved_variables(named.name, version, str(function.memory_size), group, stream),
            "PYTHONDONTWRITEBYTECODE": "1",
            processes.MARK: str(mark),
        }
        context = {
            "request_id": request_id,
            "arn": self._context.arn("lambda", f"function:{named}"),
            "deadline": time.time() + seconds,
            "client": client,
        }
        write(f"START RequestId: {request_id} Version: {version}")
        try:
            done = subprocess.run(
                # -P: this package's modules must not be found before the standard library's.
                [str(commands / "python3"), "-P", str(RUNTIME), function.handler, json.dumps(context)],
                cwd=code,
                env=environment,
                input=payload,
                capture_output=True,
                timeout=seconds,
                check=False,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired as expired:
            for line in (expired.stderr or b"").decode(errors="replace").splitlines():
                write(line)
            message = f"{request_id} Task timed out after {seconds}.00 seconds"
            write(message)
            return result(json.dumps({"errorMessage": message}).encode(), "Unhandled")
        finally:
            processes.end(mark)
        for line in done.stderr.decode(errors="replace").splitlines():
            write(line)
        write(f"END RequestId: {request_id}")
        if done.returncode == 0:
            return result(done.stdout)
        if done.stdout:
            return result(done.stdout, "Unhandled")
        message = f"RequestId: {request_id} Error: Runtime exited with status {done.returncode}"
        return result(json.dumps({"errorMessage": message, "errorType": "Runtime.ExitError"}).encode(), "Unhandled")

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

    def _code(self, function: Any) -> tuple[Path, Path]:
        """The unpacked zip, in a folder named by its hash, and the commands of its own Python environment."""
        content: bytes = function.code_bytes
        folder = self._context.directory / "functions" / hashlib.sha256(content).hexdigest()[:16]
        with self._unpacking:
            if not folder.exists():
                partial = folder.with_name(f"{folder.name}.{int(now() * 1000)}")
                with zipfile.ZipFile(io.BytesIO(content)) as archive:
                    # ZipFile drops absolute paths and `..` from member names.
                    archive.extractall(partial)
                partial.rename(folder)
            commands = layer.create(folder.with_name(f"{folder.name}.python"))
        return folder, commands


def _reserved_variables(name: str, version: str, megabytes: str, group: str, stream: str) -> dict[str, str]:
    """https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html (defined runtime variables)."""
    return {
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": megabytes,
        "AWS_LAMBDA_LOG_GROUP_NAME": group,
        "AWS_LAMBDA_LOG_STREAM_NAME": stream,
    }
