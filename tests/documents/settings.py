"""docs/settings.md: every key of pipeline.yaml, from the typed settings."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pipeline.settings import Settings

INTRODUCTION = """\
# Settings

Every key of [`pipeline.yaml`](../pipeline.yaml). A profile below `profiles:` is laid over the base: mappings merge,
other values and `tuning.ranges` replace. `python -m pipeline --profile NAME check` reports every mistake with its line.
NAME in a default is the setting `name`. A duration is a number with a unit: `90m`, `12h` or `30d`.

Generated from `pipeline/settings`; `python -m tests.documents` writes it again.
"""
_BOUNDS = {"gt": "> {}", "ge": "≥ {}", "lt": "< {}", "le": "≤ {}"}


def render() -> str:
    """The document."""
    parts = [INTRODUCTION]
    plain = {name: field for name, field in Settings.model_fields.items() if _group(field) is None}
    parts.append(_table("", plain))
    for name, field in Settings.model_fields.items():
        if (group := _group(field)) is not None:
            parts.append(_section(name, group))
    return "\n".join(parts)


def _section(name: str, group: type[BaseModel]) -> str:
    title = (group.__doc__ or "").split("\n\n")[0].replace("\n", " ").strip()
    return f"## {name}\n\n{title}\n\n{_table(f'{name}.', dict(_fields('', group)))}"


def _fields(prefix: str, group: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in group.model_fields.items():
        if (inner := _group(field)) is not None:
            yield from _fields(f"{prefix}{name}.", inner)
        else:
            yield prefix + name, field


def _group(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _meaning(field: FieldInfo) -> str:
    """The meaning, with the parameter that overrides the setting in a run."""
    extra = field.json_schema_extra
    name = extra.get("parameter") if isinstance(extra, dict) else None
    return f"{field.description}. Parameter: `{name}`" if name else str(field.description)


def _table(prefix: str, fields: dict[str, FieldInfo]) -> str:
    lines = ["| key | type | default | unit | meaning | example |", "|---|---|---|---|---|---|"]
    for name, field in fields.items():
        extra: Any = field.json_schema_extra or {}
        assert field.description, f"{prefix}{name} has no meaning"
        default = "required" if field.is_required() else _code(_plain(field.get_default(call_default_factory=True)))
        example = _code(field.examples[0]) if field.examples else ""
        assert example or not (field.is_required() or default == '`""`') or name.endswith("_role"), (
            f"{name}: an example"
        )
        cells = [f"`{prefix}{name}`", _type(field), default, extra.get("unit", ""), _meaning(field), example]
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump()
    return {key: _plain(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def _code(value: Any) -> str:
    """A value as it is written in pipeline.yaml; empty where leaving the key out is the way to write it."""
    if value is None or value is PydanticUndefined:
        return ""
    if value == "":
        return '`""`'
    text = (
        yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
        .strip()
        .removesuffix("...")
        .strip()
    )
    return f"`{text}`"


def _type(field: FieldInfo) -> str:
    bounds = [
        text.format(value)
        for attribute, text in _BOUNDS.items()
        for data in field.metadata
        if (value := getattr(data, attribute, None)) is not None
    ]
    return ", ".join([_type_name(field.annotation), *bounds])


def _type_name(kind: Any) -> str:
    if get_origin(kind) is Annotated:
        return _type_name(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(_type_name(inner) for inner in get_args(kind) if inner is not type(None))
    if get_origin(kind) is list:
        return f"list of {_type_name(get_args(kind)[0])}"
    if get_origin(kind) is dict:
        return "mapping"
    return {str: "text", int: "integer", float: "number", bool: "true, false"}.get(kind, str(kind))
