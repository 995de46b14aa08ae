"""Which IAM actions code asks for: read from its source, without running it.

A call of boto3 is known by its method's name (`describe_endpoint`, also where the method is only handed on, and in
`get_paginator("list_tags")`); awswrangler's, obstore's and MLflow's stand in tables here, with what they call.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

import botocore.session
from botocore import xform_name

from pipeline import ROOT

# boto3's name of a service, and IAM's.
SERVICES = {
    "application-autoscaling": "application-autoscaling",
    "athena": "athena",
    "cloudwatch": "cloudwatch",
    "codebuild": "codebuild",
    "ec2": "ec2",
    "ecr": "ecr",
    "events": "events",
    "glue": "glue",
    "iam": "iam",
    "kms": "kms",
    "lambda": "lambda",
    "logs": "logs",
    "s3": "s3",
    "sagemaker": "sagemaker",
    "sagemaker-runtime": "sagemaker",
    "scheduler": "scheduler",
    "secretsmanager": "secretsmanager",
    "service-quotas": "servicequotas",
    "sns": "sns",
    "sqs": "sqs",
    "sts": "sts",
}
# Operations whose action has another name, or that want none.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
RENAMED = {
    "lambda:Invoke": ("lambda:InvokeFunction",),
    "s3:CopyObject": ("s3:PutObject",),
    "s3:DeleteObjects": ("s3:DeleteObject",),
    "s3:HeadBucket": ("s3:ListBucket",),
    "s3:HeadObject": ("s3:GetObject",),
    "s3:ListObjectsV2": ("s3:ListBucket",),
    "sts:GetCallerIdentity": (),
}
AWSWRANGLER = {
    "wr.athena.get_query_execution": ("athena:GetQueryExecution",),
    "wr.athena.start_query_execution": ("athena:GetWorkGroup", "athena:StartQueryExecution"),
    "wr.athena.stop_query_execution": ("athena:StopQueryExecution",),
    # It asks for the database first, which the stack has made; only what it finds missing would it create.
    "wr.catalog.create_database": ("glue:GetDatabase",),
    "wr.catalog.delete_table_if_exists": ("glue:DeleteTable",),
    "wr.s3.delete_objects": ("s3:ListBucket", "s3:DeleteObject"),
}
_WRITE = ("s3:PutObject", "s3:AbortMultipartUpload")
OBSTORE = {
    "copy": ("s3:GetObject", *_WRITE),
    "get": ("s3:GetObject",),
    "get_async": ("s3:GetObject",),
    "get_range": ("s3:GetObject",),
    "list": ("s3:ListBucket",),
    "open_writer_async": _WRITE,
    "put": _WRITE,
    "put_async": _WRITE,
}
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsagemakerwithmlflow.html
MLFLOW = {
    "create_experiment": ("CreateExperiment",),
    "create_run": ("CreateRun",),
    "delete_run": ("DeleteRun",),
    "get_experiment_by_name": ("GetExperimentByName",),
    "get_run": ("GetRun",),
    "log_batch": ("LogBatch",),
    "search_runs": ("SearchRuns",),
    "set_terminated": ("UpdateRun",),
    "update_run": ("GetRun", "UpdateRun"),
}
_MLFLOW_FILES = ("steps/train/mlflow_parent.py", "steps/train/tracking_services.py")
# What a paginator is asked for by a variable, by file.
_VARIABLES = {
    "pipeline/operations/preflight/quotas.py": ("list_service_quotas", "list_aws_default_service_quotas"),
}
# Methods of boto3's names that are something else's: torchvision's, a regular expression's, DuckDB's, a socket's.
_OTHERS = {"list_models", "search", "create_function", "create_connection"}


def actions(*places: str, but: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """The actions that the Python files at or below `places` ask for, each with where (`FILE:LINE`)."""
    found: dict[str, list[str]] = {}
    for place in places:
        path = ROOT / place
        assert path.exists(), f"{place} has moved; a place that is not there would ask for nothing"
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            name = file.relative_to(ROOT).as_posix()
            if not name.startswith(but):
                for action, line in _actions(ast.parse(file.read_text()), name):
                    found.setdefault(action, []).append(f"{name}:{line}")
    return found


def _actions(tree: ast.Module, file: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            receiver, method = ast.unparse(node.func.value), node.func.attr
            if method in ("get_paginator", "get_waiter"):
                (argument,) = node.args
                asked = (argument.value,) if isinstance(argument, ast.Constant) else _VARIABLES[file]
                for operation in asked:
                    yield from ((one, node.lineno) for one in _boto3(str(operation), receiver, file))
            elif receiver.startswith("open_store("):
                yield from ((one, node.lineno) for one in OBSTORE[method])
        if isinstance(node, ast.Attribute):
            receiver = ast.unparse(node.value)
            yield from ((one, node.lineno) for one in _attribute(receiver, node.attr, file))


def _attribute(receiver: str, method: str, file: str) -> tuple[str, ...]:
    if receiver.startswith("wr.") and not method.startswith("_"):
        return AWSWRANGLER[f"{receiver}.{method}"]
    if receiver == "obstore":
        return OBSTORE[method]
    if file in _MLFLOW_FILES and receiver == "self._client":
        return tuple(f"sagemaker-mlflow:{name}" for name in MLFLOW[method])
    if method == "publish" and "sns" not in receiver:
        return ()  # labels and images are published, too
    if method in _operations() and method not in _OTHERS:
        return _boto3(method, receiver, file)
    return ()


def _boto3(method: str, receiver: str, file: str) -> tuple[str, ...]:
    candidates = _operations()[method]
    # Of several services the one that the client is named after: `boto3.client('athena')`, `aws.sagemaker`.
    named = {action for service, action in candidates.items() if service in receiver}
    chosen = set(candidates.values()) if len(set(candidates.values())) == 1 else named
    assert len(chosen) == 1, f"{file}: {receiver}.{method} may be of {', '.join(candidates)}"
    (action,) = chosen
    return RENAMED.get(action, (action,))


@cache
def _operations() -> dict[str, dict[str, str]]:
    """Methods of clients, with the action for each service that has one of the name."""
    session = botocore.session.get_session()
    found: dict[str, dict[str, str]] = {}
    for service, prefix in SERVICES.items():
        for operation in session.get_service_model(service).operation_names:
            found.setdefault(xform_name(operation), {})[service] = f"{prefix}:{operation}"
    return found
