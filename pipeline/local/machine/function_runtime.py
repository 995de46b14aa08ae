"""Lambda's runtime for one event: `python function_runtime.py MODULE.FUNCTION REQUEST_ID`, the event on stdin.

The result goes to stdout, the function's own output to stderr. With exit status 1 the function raised an error: stdout
then has errorMessage, errorType and stackTrace in Lambda's form.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from dataclasses import dataclass


@dataclass(frozen=True)
class LambdaContext:
    """The second argument of a handler."""

    aws_request_id: str
    function_name: str


def main() -> int:
    """Run the handler."""
    result = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.path.insert(0, os.getcwd())
    module, _, name = sys.argv[1].rpartition(".")
    context = LambdaContext(sys.argv[2], os.environ.get("AWS_LAMBDA_FUNCTION_NAME", ""))
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
