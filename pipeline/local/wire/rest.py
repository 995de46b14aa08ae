"""AWS's REST-JSON protocol: the operation of a method and a path, and its request as one object.

https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html. Botocore's model of the service has the paths, and the
members that are in the path, in the query, in headers or in the body; where one member is the whole body, as the
payload of Lambda's Invoke, the body's own members are none of the request's.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

from werkzeug.datastructures import Headers, MultiDict

from pipeline.aws.validation.shapes import service_model
from pipeline.local.context import ServiceError

_PARAMETER = re.compile(r"\{(\w+)\}")


def parse(
    service: str,
    method: str,
    path: str,
    query: MultiDict[str, str],
    body: bytes,
    *,
    headers: Mapping[str, str] | Headers = MappingProxyType({}),
) -> tuple[str, dict[str, Any]]:
    """The operation and its request. `path` is still percent-encoded. Raises ServiceError."""
    for operation, wanted, pattern in _paths(service):
        if method == wanted and (match := pattern.fullmatch(path)):
            shape_of_input = service_model(service).operation_model(operation).input_shape
            payload, members = shape_of_input.serialization.get("payload"), shape_of_input.members
            is_blob = payload is not None and members[payload].type_name == "blob"
            content: Any = body if is_blob else _body(body)
            request: dict[str, Any] = content if payload is None else {payload: content}
            _check_query(query, members)
            if payload is None:
                _check_body(content, members)
            for name, shape in members.items():
                key = shape.serialization.get("name", name)
                match shape.serialization.get("location"):
                    case "uri":
                        request[name] = unquote(match[key])
                    case "querystring" if key in query:
                        request[name] = _typed(query[key], shape.type_name)
                    case "header" if key in headers:
                        request[name] = _typed(headers[key], shape.type_name)
            return operation, request
    raise ServiceError("UnknownOperationException", f"The local cloud does not answer {method} {path}.", 404)


def operation_of(service: str, method: str, path: str) -> str | None:
    """Name of the operation with this method and path; None if there is none."""
    names = (name for name, wanted, pattern in _paths(service) if method == wanted and pattern.fullmatch(path))
    return next(names, None)


def _check_query(query: MultiDict[str, str], members: Mapping[str, Any]) -> None:
    """Refuse what is no member of the operation, and a member that is given twice."""
    shapes = members.items()
    names = {
        shape.serialization.get("name", name)
        for name, shape in shapes
        if shape.serialization.get("location") == "querystring"
    }
    for key, values in query.lists():
        if key not in names or len(values) > 1:
            raise ServiceError("ValidationException", f"The query string has an unknown or repeated member: {key!r}")


def _check_body(body: Mapping[str, Any], members: Mapping[str, Any]) -> None:
    """Refuse a member in the body that is elsewhere in the model: moto would read it in one place or the other."""
    if elsewhere := [name for name in body if name in members and "location" in members[name].serialization]:
        raise ServiceError("ValidationException", f"The body has members of the path or query: {', '.join(elsewhere)}")


@functools.cache
def _paths(service: str) -> list[tuple[str, str, re.Pattern[str]]]:
    """(operation, method, pattern of its path)."""
    model = service_model(service)
    paths = []
    for name in model.operation_names:
        http = model.operation_model(name).http
        pattern = _PARAMETER.sub(r"(?P<\1>[^/]+)", http["requestUri"].partition("?")[0])
        paths.append((name, http["method"], re.compile(pattern)))
    return paths


def _body(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body or b"{}")
    except ValueError as error:
        raise ServiceError("SerializationException", f"The request is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ServiceError("SerializationException", "The request is no JSON object.")
    return value


def _typed(text: str, kind: str) -> Any:
    """A query's value. The validation refuses one of a wrong type later."""
    return int(text) if kind == "integer" and re.fullmatch(r"-?[0-9]+", text) else text
