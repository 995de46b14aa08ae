"""What a target of an EventBridge rule gets: the event, a part of it, a constant, or a template with parts of it.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html. JSON paths have dots, names,
indices of arrays and wildcards only, as there ("EventBridge does not support all JSON Path syntax").
"""

from __future__ import annotations

import json
import re
from typing import Any

from pipeline.local.context import ServiceError

Event = dict[str, Any]
_STEP = re.compile(r"\.([A-Za-z0-9_/-]+|\*)|\[([0-9]+|\*)\]")
_PLACEHOLDER = re.compile(r"<([A-Za-z0-9_.-]+)>")
# "There are pre-defined variables you can use without defining a JSON path": the page above.
_RULE_ARN, _RULE_NAME, _INGESTION = "aws.events.rule-arn", "aws.events.rule-name", "aws.events.event.ingestion-time"
_EVENT, _WHOLE_EVENT = "aws.events.event", "aws.events.event.json"
_RESERVED = (_RULE_ARN, _RULE_NAME, _INGESTION, _EVENT, _WHOLE_EVENT)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_MISSING = object()


def check(target: Event) -> None:
    """Refuse a target whose input cannot be made. Raises ServiceError."""
    own = [name for name in ("Input", "InputPath", "InputTransformer") if target.get(name) is not None]
    if len(own) > 1:
        raise _invalid(f"Only one of Input, InputPath, or InputTransformer must be provided for target {target['Id']}.")
    if (text := target.get("Input")) is not None and not _is_json(text):
        raise _invalid(f"JSON syntax error in input for target {target['Id']}.")
    if path := target.get("InputPath"):
        _steps(path)
    if transformer := target.get("InputTransformer"):
        paths, template = transformer.get("InputPathsMap", {}), transformer["InputTemplate"]
        for name, path in paths.items():
            if name.startswith("aws."):
                # "The keys cannot start with AWS": API_InputTransformer.html
                raise _invalid(f"InputPathsMap of target {target['Id']}: {name} is reserved.")
            _steps(path)
        for name in _PLACEHOLDER.findall(template):
            if name not in paths and name not in _RESERVED:
                raise _invalid(f"InputTemplate of target {target['Id']}: <{name}> is not in InputPathsMap.")
        if not _is_json(_filled(template, dict.fromkeys((*paths, *_RESERVED), ""))):
            # AWS takes plain text too, which reaches a function as no JSON: that it is then lost is assumed.
            raise _invalid(
                f"InputTemplate of target {target['Id']}: the local cloud takes JSON only; write text in quotes."
            )


def payload(target: Event, event: Event, rule: str) -> str:
    """The JSON that a target gets of an event by a rule with this ARN."""
    if (text := target.get("Input")) is not None:
        return str(text)
    if path := target.get("InputPath"):
        part = _at(path, event)
        # A path that leads nowhere: an empty object is assumed.
        return json.dumps({} if part is _MISSING else part)
    if transformer := target.get("InputTransformer"):
        values = {name: _at(path, event) for name, path in transformer.get("InputPathsMap", {}).items()}
        values |= {
            _RULE_ARN: rule,
            _RULE_NAME: rule.rsplit("/", 1)[-1],
            _INGESTION: event["time"],
            _EVENT: {name: value for name, value in event.items() if name != "detail"},
            _WHOLE_EVENT: event,
        }
        return _filled(transformer["InputTemplate"], values)
    return json.dumps(event)


def _filled(template: str, values: Event) -> str:
    """The template with its variables: in a string their text, elsewhere their JSON.

    "If you define a variable to match a value that doesn't exist in the event, that variable isn't created and won't
    appear in the output": in a string nothing stands in its place. Elsewhere an empty string is assumed.
    """

    def inside(match: re.Match[str]) -> str:
        value = values[match[1]]
        if value is _MISSING:
            return ""
        return json.dumps(value if isinstance(value, str) else json.dumps(value))[1:-1]

    def outside(text: str) -> str:
        return _PLACEHOLDER.sub(lambda match: json.dumps("" if (v := values[match[1]]) is _MISSING else v), text)

    parts, end = [], 0
    for string in _STRING.finditer(template):
        parts += [outside(template[end : string.start()]), _PLACEHOLDER.sub(inside, string[0])]
        end = string.end()
    return "".join([*parts, outside(template[end:])])


def _steps(path: str) -> list[str | int]:
    """The names and indices of a path; `*` is a wildcard. Raises ServiceError."""
    steps, position = [], 1
    while path.startswith("$") and (match := _STEP.match(path, position)):
        steps.append(match[1] if match[1] is not None else match[2] if match[2] == "*" else int(match[2]))
        position = match.end()
    if not path.startswith("$") or position < len(path):
        raise _invalid(f"Invalid JSON path {path!r}: write $.detail.name, with indices [0] and wildcards * only.")
    return steps


def _at(path: str, event: Event) -> Any:
    values: list[Any] = [event]
    several = False
    for step in _steps(path):
        if step == "*":
            several = True
            groups = [value.values() if isinstance(value, dict) else value for value in values]
            values = [item for group in groups if not _is_single(group) for item in group]
        elif isinstance(step, int):
            values = [value[step] for value in values if isinstance(value, list) and step < len(value)]
        else:
            values = [value[step] for value in values if isinstance(value, dict) and step in value]
    if several:
        return values
    return values[0] if values else _MISSING


def _is_single(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)
