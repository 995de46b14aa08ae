"""Lambda's runtime for one event: `python function_runtime.py MODULE.FUNCTION CONTEXT`, the event on stdin.

CONTEXT is JSON, and the functions' own variables have the rest of the handler's second argument. The result goes to
stdout, the function's own output to stderr. With exit status 1 the function raised an error: stdout then has
errorMessage, errorType and stackTrace in Lambda's form.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from types import SimpleNamespace
from typing import Any

# https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
_CLIENT = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")


class LambdaContext:
    """The second argument of a handler.

    Its members: https://docs.aws.amazon.com/lambda/latest/dg/python-context.html. As in Lambda's own runtime
    (awslambdaric/lambda_context.py), the memory is a text, and the members of clients are None unless given.
    """

    def __init__(self, given: dict[str, Any], environment: dict[str, str]) -> None:
        self.aws_request_id = given["request_id"]
        self.invoked_function_arn = given["arn"]
        self.function_name = environment.get("AWS_LAMBDA_FUNCTION_NAME", "")
        self.function_version = environment.get("AWS_LAMBDA_FUNCTION_VERSION", "")
        self.memory_limit_in_mb = environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
        self.log_group_name = environment.get("AWS_LAMBDA_LOG_GROUP_NAME", "")
        self.log_stream_name = environment.get("AWS_LAMBDA_LOG_STREAM_NAME", "")
        self.identity = SimpleNamespace(cognito_identity_id=None, cognito_identity_pool_id=None)
        self.client_context = _client_context(given.get("client"))
        self._deadline = float(given["deadline"])

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function is ended."""
        return max(0, int((self._deadline - time.time()) * 1000))


def _client_context(given: dict[str, Any] | None) -> SimpleNamespace | None:
    if given is None:
        return None
    client = given.get("client")
    named = None if client is None else SimpleNamespace(**{name: client.get(name) for name in _CLIENT})
    return SimpleNamespace(custom=given.get("custom"), env=given.get("env"), client=named)


def main() -> int:
    """Run the handler."""
    result = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.path.insert(0, os.getcwd())
    module, _, name = sys.argv[1].rpartition(".")
    context = LambdaContext(json.loads(sys.argv[2]), dict(os.environ))
    try:
        handler = getattr(importlib.import_module(module), name)
        answer = handler(json.loads(sys.stdin.buffer.read() or b"null"), context)
        result.write(json.dumps(answer))
        status = 0
    except Exception as error:
        traceback.print_exc()
        trace = traceback.format_tb(error.__traceback__)
        result.write(json.dumps({"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": trace}))
        status = 1
    result.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
