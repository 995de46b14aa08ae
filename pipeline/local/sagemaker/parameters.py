"""The values of an execution's parameters, as a request has them and as the definition declares them."""

from __future__ import annotations

from typing import Any

from pipeline.aws.parameter_values import typed
from pipeline.local.context import Request
from pipeline.local.sagemaker.resources import invalid


def given_values(entries: list[Request]) -> dict[str, str]:
    """The values of a request by name. That SageMaker refuses a name given twice is assumed; its words are ours."""
    values: dict[str, str] = {}
    for entry in entries:
        if entry["Name"] in values:
            raise invalid(f"Parameter [{entry['Name']}] is given twice")
        values[entry["Name"]] = entry["Value"]
    return values


def typed_values(declared: list[Request], given: dict[str, str]) -> dict[str, Any]:
    """Values by name, of their declared types. Raises ServiceError for values that the definition does not allow."""
    unknown = sorted(set(given) - {parameter["Name"] for parameter in declared})
    if unknown:
        raise invalid(f"Unknown parameters: {', '.join(unknown)}")
    values = {}
    for parameter in declared:
        name, kind = parameter["Name"], parameter["Type"]
        value: Any = parameter.get("DefaultValue")
        if kind == "Float" and value is not None:
            value = float(value)
        if name in given:
            value = given[name]
            try:
                # Text may be empty here; `start` refuses it.
                value = typed(kind, value) if kind != "String" else value
            except ValueError:
                raise invalid(f"Parameter [{name}] is no {kind}: {value!r}") from None
        if value is None:
            raise invalid(f"Parameter [{name}] has no value and no default")
        allowed = parameter.get("EnumValues")
        if allowed and value not in allowed:
            raise invalid(f"Parameter [{name}] must be one of {allowed}, not {value!r}")
        values[name] = value
    return values


def refuse_constant(name: str) -> float:
    """NaN and Infinity, which Python reads, are no JSON: https://www.rfc-editor.org/rfc/rfc8259#section-6."""
    raise ValueError(f"{name} is no JSON number")
