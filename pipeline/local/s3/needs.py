"""The permissions that a request needs, found once for all requests of a form."""

from __future__ import annotations

from typing import Any

from pipeline.local.identity import objects
from pipeline.local.identity.objects import Key, Need
from pipeline.local.s3.calls import Call
from pipeline.local.s3.framing import Head

_ARN = "arn:aws:s3:::"
_SAMPLE_BUCKET, _SAMPLE_KEY = "bucket", "key"
# Headers that a signature has, or that say nothing about the permission; any other one may.
_INDIFFERENT = frozenset(
    (
        "accept",
        "accept-encoding",
        "amz-sdk-invocation-id",
        "amz-sdk-request",
        "authorization",
        "connection",
        "content-length",
        "content-md5",
        "content-type",
        "expect",
        "host",
        "range",
        "user-agent",
        "x-amz-checksum-mode",
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amz-security-token",
        "x-amz-user-agent",
    )
)
_PLAIN: dict[tuple[str, bool], tuple[str, list[tuple[str, dict[str, Any]]]]] = {}


def needs_of(call: Call, head: Head, key: Key | None) -> tuple[str, list[Need]]:
    """The operation and its permissions. `key` is an object of DeleteObjects. Raises UnresolvedError."""
    if key is None and not call.query and call.bucket and head.headers.keys() <= _INDIFFERENT:
        resource = f"{_ARN}{call.bucket}/{call.key}" if call.key else f"{_ARN}{call.bucket}"
        operation, actions = _plain(call.method, bool(call.key))
        return operation, [(action, resource, conditions) for action, conditions in actions]
    operation, request = objects.operation_of(head.method, head.target, head.headers)
    if key is not None:
        return operation, objects.deletions(f"{_ARN}{call.bucket}", [key])
    return operation, objects.needs(operation, request)


def _plain(method: str, on_object: bool) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
    """Operation and actions of a request without parameters, whose only resource is the bucket or the object."""
    form = (method, on_object)
    if form not in _PLAIN:
        target = f"/{_SAMPLE_BUCKET}/{_SAMPLE_KEY}" if on_object else f"/{_SAMPLE_BUCKET}"
        operation, request = objects.operation_of(method, target, {})
        needed = objects.needs(operation, request)
        assert {resource for _, resource, _ in needed} == {_ARN + target[1:]}
        _PLAIN[form] = (operation, [(action, conditions) for action, _, conditions in needed])
    return _PLAIN[form]
