"""A request reduced to what botocore's model of its operation has.

A permission is decided by members that the operation has. Services leave out others, and a caller may write whatever
they like into free text and into the keys of a map.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.aws.validation.shapes import service_model
from pipeline.local.identity.resources import UnresolvedError

_SCALARS = (str, bytes, bytearray, int, float)


class Entries(dict[str, Any]):
    """A map of a request: its keys are the caller's words, and no names of members."""


def modelled(service: str, operation: str, request: Mapping[str, Any]) -> tuple[dict[str, Any], frozenset[str]]:
    """The operation's members in the order of its model, maps as Entries; and the names of all that it may have.

    A null is left out. Raises UnresolvedError for an operation that the model does not have, and for a value of another
    kind than the model's: a list in place of a text.
    """
    from botocore.exceptions import UnknownServiceError
    from botocore.model import OperationNotFoundError

    try:
        shape = service_model(service).operation_model(operation).input_shape
    except (UnknownServiceError, OperationNotFoundError):
        raise UnresolvedError(f"{service}:{operation}: botocore's model has no such operation") from None
    members = frozenset(shape.members) if shape is not None else frozenset()
    reduced: dict[str, Any] = _reduced(request, shape, f"{service}:{operation}") if shape is not None else {}
    queries = members & {"QueryExecutionId", "QueryExecutionIds"}
    if service == "athena" and any(request.get(name) for name in queries):
        # The workgroup of the queries, which the local cloud looks up: no member of the request.
        return {**reduced, **{key: request[key] for key in ("WorkGroup",) if key in request}}, members | {"WorkGroup"}
    return reduced, members


def _reduced(value: Any, shape: Any, path: str) -> Any:
    kind = shape.type_name
    if kind in ("structure", "map"):
        if not isinstance(value, Mapping):
            raise UnresolvedError(f"{path} is no {kind}")
        if kind == "map":
            items = {str(key): _reduced(item, shape.value, f"{path}.{key}") for key, item in _given(value)}
            return Entries(items)
        given = dict(_given(value))
        return {
            name: _reduced(given[name], member, f"{path}.{name}")
            for name, member in shape.members.items()
            if name in given
        }
    if kind == "list":
        if not isinstance(value, list | tuple):
            raise UnresolvedError(f"{path} is no list")
        return [_reduced(item, shape.member, path) for item in value if item is not None]
    if kind == "string" and not isinstance(value, _SCALARS):
        raise UnresolvedError(f"{path} is no text")
    return value


def _given(value: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(key, item) for key, item in value.items() if item is not None]
