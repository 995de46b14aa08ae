"""AWS's Query protocol, of CloudFormation: a request is a form, its answer XML.

https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from pipeline.aws.validation.shapes import service_model
from pipeline.local.context import ServiceError

CONTENT_TYPE = "text/xml"


def parse(service: str, form: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """The operation and its request. Raises ServiceError for an unknown operation."""
    model, operation = service_model(service), form.get("Action", "")
    if operation not in model.operation_names:
        raise ServiceError("InvalidAction", f"Could not find operation {operation or 'Action'}")
    shape = model.operation_model(operation).input_shape
    values = {key: value for key, value in form.items() if key not in ("Action", "Version")}
    return operation, _structure(shape, values) if shape is not None else {}


def answer(service: str, operation: str, response: Mapping[str, Any], request_id: str) -> str:
    """The XML of an answer."""
    model = service_model(service)
    shape = model.operation_model(operation).output_shape
    body = "" if shape is None else _members(shape, response)
    wrapper = f"{operation}Result"
    return (
        f'<{operation}Response xmlns="{model.metadata["xmlNamespace"]}"><{wrapper}>{body}</{wrapper}>'
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{operation}Response>"
    )


def _structure(shape: Any, form: Mapping[str, str]) -> dict[str, Any]:
    structure = {}
    for name, member in shape.members.items():
        key = member.serialization.get("name", name)
        below = {rest.removeprefix(f"{key}."): value for rest, value in form.items() if rest.startswith(f"{key}.")}
        if key in form:
            structure[name] = _scalar(member, form[key])
        elif below:
            structure[name] = _below(member, below)
    return structure


def _below(shape: Any, form: Mapping[str, str]) -> Any:
    match shape.type_name:
        case "structure":
            return _structure(shape, form)
        case "list":
            items = _numbered(form, "member")
            return [_item(shape.member, items[number]) for number in sorted(items)]
        case "map":
            pairs = _numbered(form, "entry").values()
            key, value = (member.serialization.get("name", name) for member, name in _pair(shape))
            return {pair[key]: _item(shape.value, _named(pair, value)) for pair in pairs}
    raise ServiceError("MalformedQueryString", f"{shape.name} has no members")


def _pair(shape: Any) -> tuple[tuple[Any, str], tuple[Any, str]]:
    """Key and value of a map, each with its name in a form where the model has none."""
    return (shape.key, "key"), (shape.value, "value")


def _item(shape: Any, form: Mapping[str, str]) -> Any:
    return _scalar(shape, form[""]) if "" in form else _below(shape, form)


def _named(form: Mapping[str, str], name: str) -> dict[str, str]:
    return {key.removeprefix(name).removeprefix("."): value for key, value in form.items() if key.startswith(name)}


def _numbered(form: Mapping[str, str], name: str) -> dict[int, dict[str, str]]:
    """`member.2.Key` as the Key of item 2; an item that is a value has the key ''."""
    items: dict[int, dict[str, str]] = {}
    for key, value in form.items():
        label, _, rest = key.partition(".")
        number, _, below = rest.partition(".")
        if label == name and number.isdigit():
            items.setdefault(int(number), {})[below] = value
    return items


def _scalar(shape: Any, text: str) -> Any:
    try:
        match shape.type_name:
            case "integer" | "long":
                return int(text)
            case "boolean":
                return {"true": True, "false": False}[text.lower()]
            case "list":
                return []  # `Name=` is an empty list
    except (ValueError, KeyError):
        raise ServiceError("ValidationError", f"{text!r} is no {shape.type_name}") from None
    return text


def _members(shape: Any, value: Mapping[str, Any]) -> str:
    return "".join(
        _element(member.serialization.get("name", name), member, value[name])
        for name, member in shape.members.items()
        if value.get(name) is not None
    )


def _element(name: str, shape: Any, value: Any) -> str:
    match shape.type_name:
        case "structure":
            body = _members(shape, value)
        case "list":
            body = "".join(_element("member", shape.member, item) for item in value)
        case "map":
            body = "".join(
                f"<entry><key>{escape(key)}</key>{_element('value', shape.value, item)}</entry>"
                for key, item in value.items()
            )
        case "boolean":
            body = "true" if value else "false"
        case "timestamp" if isinstance(value, int | float):
            body = datetime.datetime.fromtimestamp(value, datetime.UTC).isoformat(timespec="milliseconds")
        case _:
            body = escape(str(value))
    return f"<{name}>{body}</{name}>"
