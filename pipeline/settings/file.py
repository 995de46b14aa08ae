"""Reads `pipeline.yaml`: a profile laid over the base, and one error with every mistake and its line."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipeline.settings import ConflictError, Settings
from steps.contracts.errors import PipelineError

PROFILES = "profiles"
Place = tuple[str | int, ...]
_KEY_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")


class SettingsError(PipelineError):
    """Mistakes in `pipeline.yaml`, one line each."""


def load_settings(path: Path, profile: str) -> Settings:
    """The settings of one profile: the file's base with `profiles.PROFILE` laid over it.

    Raises SettingsError that lists all mistakes as `FILE:LINE: KEY: what is wrong`.
    """
    document, lines = _read(path)
    profiles = document.pop(PROFILES, None) or {}
    if not isinstance(profiles, dict):
        raise SettingsError(f"{path}:{lines[(PROFILES,)]}: profiles: must be a mapping of profile names to settings")
    if profile not in profiles:
        names = ", ".join(sorted(map(str, profiles))) or "none"
        raise SettingsError(f"{path}: no profile {profile!r}; profiles of the file: {names}")
    overlay = profiles[profile] or {}
    if not isinstance(overlay, dict):
        raise SettingsError(f"{path}:{lines[(PROFILES, profile)]}: profiles.{profile}: must be a mapping of settings")
    try:
        return Settings.model_validate(_merge(document, overlay))
    except ValidationError as error:
        problems = sorted({_problem(path, profile, lines, mistake) for mistake in error.errors()})
        raise SettingsError("\n".join(text for _, text in problems)) from None


def _read(path: Path) -> tuple[dict[Any, Any], dict[Place, int]]:
    try:
        text = path.read_text()
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be read ({error.strerror}); run from the project's folder or pass --settings"
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: not a text file in UTF-8") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: dict[Place, int] = {}
        mistakes: list[str] = []
        if node is not None:
            _walk(node, (), _Walk(path, lines, mistakes))
        if mistakes:
            raise SettingsError("\n".join(mistakes))
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SettingsError(f"{path}:{line}: not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(document, dict):
        raise SettingsError(f"{path}:1: must be a mapping of settings")
    return document, lines


@dataclass(frozen=True)
class _Walk:
    """The results of a walk through the file; `open` are the nodes around the present one."""

    path: Path
    lines: dict[Place, int]
    mistakes: list[str]
    open: set[int] = field(default_factory=set)


def _walk(node: yaml.Node, place: Place, walk: _Walk) -> None:
    """Record the line of every key; a key set twice is a mistake that YAML itself ignores."""
    lines, line = walk.lines, node.start_mark.line + 1
    lines.setdefault(place, line)
    if id(node) in walk.open:
        walk.mistakes.append(f"{walk.path}:{line}: {_dotted(place)}: refers to itself")
        return
    walk.open.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag not in _KEY_TAGS:
                walk.mistakes.append(f"{walk.path}:{line}: {_dotted(place) or 'the file'}: a key must be text")
                continue
            inner = (*place, key.value)
            if inner in lines:
                walk.mistakes.append(f"{walk.path}:{line}: {_dotted(inner)}: already set in line {lines[inner]}")
                continue
            lines[inner] = line
            _walk(value, inner, walk)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            _walk(value, (*place, number), walk)
    walk.open.remove(id(node))


def _merge(base: dict[Any, Any], overlay: dict[Any, Any]) -> dict[Any, Any]:
    """Lay `overlay` over `base`; mappings merge, anything else replaces. The tuner's ranges replace as a whole."""
    merged = dict(base)
    for key, value in overlay.items():
        before = merged.get(key)
        if isinstance(before, dict) and isinstance(value, dict) and key != "ranges":
            merged[key] = _merge(before, value)
        else:
            merged[key] = value
    return merged


def _problem(path: Path, profile: str, lines: dict[Place, int], error: ErrorDetails) -> tuple[int, str]:
    place = _blamed(profile, lines, error)
    line, shown = 1, place
    # The mistake is in the profile or, where the profile does not set the key, in the base; a missing key has the line
    # of its group.
    for length in range(len(place), -1, -1):
        for prefix in ((PROFILES, profile), ()):
            if length and (*prefix, *place[:length]) in lines:
                line = lines[(*prefix, *place[:length])]
                missing = error["type"] == "missing"
                shown = (*prefix, *(place if missing else place[:length]))
                return line, f"{path}:{line}: {_dotted(shown)}: {_message(error, place[:length])}"
    return line, f"{path}:{line}: {_dotted(shown)}: {_message(error, place)}"


def _blamed(profile: str, lines: dict[Place, int], error: ErrorDetails) -> Place:
    """The key of a mistake; for keys that contradict each other, the first that the file sets."""
    conflict = error["ctx"]["error"] if error["type"] == "value_error" else None
    if isinstance(conflict, ConflictError):
        places = [tuple(place.split(".")) for place in conflict.places]
        written = (place for place in places if place in lines or (PROFILES, profile, *place) in lines)
        return next(written, places[0])
    # The place of a range contains the name of its kind, which is not a key of the file.
    return tuple(key for key in error["loc"] if key not in ("continuous", "choices", "[key]"))


def _message(error: ErrorDetails, place: Place) -> str:
    value = error["input"]
    match error["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            names = _fields(place[:-1])
            close = difflib.get_close_matches(str(place[-1]), names, n=1)
            return "unknown key" + (
                f"; did you mean {close[0]}?" if close else f"; keys of this group: {', '.join(names)}" if names else ""
            )
        case "value_error":
            return str(error["ctx"]["error"])
        case "string_type" if isinstance(value, int | float):
            return f'must be text; put it in quotes: "{value}"'
        case "string_pattern_mismatch":
            return f"{value!r} does not match {error['ctx']['pattern']}"
        case _:
            return f"{error['msg'][0].lower()}{error['msg'][1:]} (it is {value!r})"


def _fields(place: Place) -> list[str]:
    model: type[BaseModel] = Settings
    for key in place:
        field = model.model_fields.get(str(key))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return []
        model = field.annotation
    return list(model.model_fields)


def _dotted(place: Place) -> str:
    return ".".join(map(str, place))
