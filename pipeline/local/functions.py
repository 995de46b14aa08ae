"""Lambda's Invoke: the function's own zip, in a child process. Creating and describing functions is moto's."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import threading
import uuid
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.local.context import Context, now
from pipeline.local.errors import ServiceError
from pipeline.local.logs import Logs

RUNTIME = Path(__file__).with_name("function_runtime.py")


@dataclass(frozen=True)
class Result:
    """What a function returned, or its error as Lambda words it (`Unhandled`)."""

    payload: bytes
    error: str | None = None


class Functions:
    """The account's Lambda functions."""

    def __init__(self, context: Context, logs: Logs) -> None:
        self._context = context
        self._logs = logs
        self._unpacking = threading.Lock()

    def invoke(self, name: str, payload: bytes) -> Result:
        """Run the function once and wait. Raises ServiceError when there is no such function."""
        function = self._find(name)
        request_id = str(uuid.uuid4())
        group, stream = f"/aws/lambda/{name}", f"local/[$LATEST]{request_id[:8]}"
        environment = {
            **self._context.child_environment(),
            **function.environment_vars,
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._logs.write(group, stream, f"START RequestId: {request_id}")
        try:
            done = subprocess.run(
                # -P: this package's modules must not be found before the standard library's.
                [sys.executable, "-P", str(RUNTIME), function.handler, request_id],
                cwd=self._code(function),
                env=environment,
                input=payload,
                capture_output=True,
                timeout=function.timeout or 3,
                check=False,
            )
        except subprocess.TimeoutExpired:
            message = f"Task timed out after {function.timeout}.00 seconds"
            self._logs.write(group, stream, f"{request_id} {message}")
            return Result(json.dumps({"errorMessage": f"{request_id} {message}"}).encode(), "Unhandled")
        for line in done.stderr.decode(errors="replace").splitlines():
            self._logs.write(group, stream, line)
        self._logs.write(group, stream, f"END RequestId: {request_id}")
        if done.returncode == 0:
            return Result(done.stdout)
        if done.stdout:
            return Result(done.stdout, "Unhandled")
        message = f"RequestId: {request_id} Error: Runtime exited with status {done.returncode}"
        return Result(json.dumps({"errorMessage": message, "errorType": "Runtime.ExitError"}).encode(), "Unhandled")

    def arn(self, name: str) -> str:
        """ARN of a function."""
        return self._context.arn("lambda", f"function:{name}")

    def _find(self, name: str) -> Any:
        from moto.awslambda.models import lambda_backends
        from werkzeug.exceptions import HTTPException

        backend = lambda_backends[self._context.account_id][self._context.region]
        try:
            return backend.get_function(name)
        except (HTTPException, ValueError):
            raise ServiceError("ResourceNotFoundException", f"Function not found: {self.arn(name)}", 404) from None

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
