"""Reads `pipeline.yaml`: a profile laid over the base, and one error with every mistake and its line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from pipeline.settings import ConflictError, Settings
from pipeline.settings.problems import close_to, problem_of
from steps.contracts.errors import PipelineError

PROFILES = "profiles"
Place = tuple[str | int, ...]
_KEY_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")
_NUMBER_TAGS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
# Far above any settings. PyYAML reads some 100,000 characters per second, and an alias repeats what it refers to.
_MOST_CHARACTERS, _MOST_NODES = 200_000, 20_000
# Numbers that YAML 1.1 reads with another base: 010 is 8, 12:30 is 750. https://yaml.org/type/int.html
_OTHER_BASE = re.compile(r"[+-]?(0[0-9_]+|0[bx][0-9a-fA-F_]+|[0-9_]+(:[0-5]?[0-9])+(\.[0-9_]*)?)")


class SettingsError(PipelineError):
    """Mistakes in `pipeline.yaml`, one line each."""


def load_settings(path: Path, profile: str) -> Settings:
    """The settings of one profile: the file's base with `profiles.PROFILE` laid over it.

    Raises SettingsError that lists all mistakes as `FILE:LINE: KEY: what is wrong`.
    """
    document, file = _read(path)
    profiles = document.pop(PROFILES, None) or {}
    if not isinstance(profiles, dict):
        raise SettingsError(f"{file.at((PROFILES,))}: profiles: must be a mapping of profile names to settings")
    if profile not in profiles:
        names = ", ".join(sorted(map(str, profiles))) or "none"
        close = close_to(profile, map(str, profiles))
        raise SettingsError(f"{path}: no profile {profile!r}{close or ';'} profiles of the file: {names}")
    overlay = profiles[profile] or {}
    if not isinstance(overlay, dict):
        raise SettingsError(f"{file.at((PROFILES, profile))}: profiles.{profile}: must be a mapping of settings")
    try:
        settings = Settings.model_validate(_merge(document, overlay)).of_profile(profile)
    except ValidationError as error:
        problems = sorted({_problem(file, profile, mistake) for mistake in error.errors()})
        raise SettingsError("\n".join(text for _, text in problems)) from None
    if others := [problem for place in file.sources if (problem := _other_base(file, profile, place))]:
        raise SettingsError("\n".join(others))
    return settings


def _read(path: Path) -> tuple[dict[Any, Any], _Walk]:
    try:
        text = path.read_text()
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be read ({error.strerror}); run from the project's folder or pass --settings"
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: not a text file in UTF-8") from None
    if len(text) > _MOST_CHARACTERS:
        raise SettingsError(f"{path}: has {len(text):,} characters, at most {_MOST_CHARACTERS:,} are read")
    walk = _Walk(path)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            _walk(node, (), walk)
        if walk.mistakes:
            raise SettingsError("\n".join(walk.mistakes))
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SettingsError(f"{path}:{line}: not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from None
    except ValueError as error:  # a date such as 2026-13-01
        raise SettingsError(f"{path}: not valid YAML: {error}; put the value in quotes") from None
    except RecursionError:
        raise SettingsError(f"{path}: has too many levels within each other") from None
    if not isinstance(document, dict):
        raise SettingsError(f"{path}:1: must be a mapping of settings")
    return document, walk


@dataclass
class _Walk:
    """The results of a walk through the file: lines of keys, texts of numbers and words as they are written."""

    path: Path
    lines: dict[Place, int] = field(default_factory=dict)
    sources: dict[Place, yaml.ScalarNode] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)
    # The nodes around the present one, and the number of those that were visited.
    open: set[int] = field(default_factory=set)
    nodes: int = 0

    def at(self, place: Place) -> str:
        """`FILE:LINE` of a place."""
        return f"{self.path}:{self.lines[place]}"

    def source(self, place: Place) -> str | None:
        """A value as it is written, without quotes; None for what is no single value."""
        node = self.sources.get(place)
        return None if node is None else str(node.value)


def _walk(node: yaml.Node, place: Place, walk: _Walk) -> None:
    """Record the line of every key; a key set twice is a mistake that YAML itself ignores."""
    lines, line = walk.lines, node.start_mark.line + 1
    lines.setdefault(place, line)
    walk.nodes += 1
    if walk.nodes > _MOST_NODES:
        raise SettingsError(f"{walk.path}:{line}: has more than {_MOST_NODES:,} values, with those of its aliases (*)")
    if id(node) in walk.open:
        walk.mistakes.append(f"{walk.path}:{line}: {_dotted(place)}: refers to itself")
        return
    walk.open.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag not in _KEY_TAGS:
                written = f', put it in quotes: "{key.value}"' if isinstance(key, yaml.ScalarNode) else ""
                walk.mistakes.append(f"{walk.path}:{line}: {_dotted(place) or 'the file'}: a key must be text{written}")
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
    elif isinstance(node, yaml.ScalarNode):
        walk.sources[place] = node
    walk.open.remove(id(node))


def _other_base(file: _Walk, profile: str, place: Place) -> str:
    """The mistake of a number that YAML reads as another one than is written; empty for others."""
    node = file.sources[place]
    if node.style or node.tag not in _NUMBER_TAGS or not _OTHER_BASE.fullmatch(node.value):
        return ""
    if place[0] == PROFILES and place[1:2] != (profile,):
        return ""
    value = yaml.SafeLoader("").construct_object(node)
    return f"{file.at(place)}: {_dotted(place)}: YAML reads {node.value} as {value}; write the number in decimal"


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


def _problem(file: _Walk, profile: str, error: ErrorDetails) -> tuple[int, str]:
    place = _blamed(profile, file.lines, error)
    line, shown = 1, place
    # The mistake is in the profile or, where the profile does not set the key, in the base; a missing key has the line
    # of its group.
    for length in range(len(place), -1, -1):
        for prefix in ((PROFILES, profile), ()):
            if length and (*prefix, *place[:length]) in file.lines:
                line = file.lines[(*prefix, *place[:length])]
                missing = error["type"] == "missing"
                shown = (*prefix, *(place if missing else place[:length]))
                source = file.source(shown) if length == len(place) else None
                return line, f"{file.path}:{line}: {_dotted(shown)}: {_message(error, place[:length], source)}"
    return line, f"{file.path}:{line}: {_dotted(shown)}: {_message(error, place, None)}"


def _blamed(profile: str, lines: dict[Place, int], error: ErrorDetails) -> Place:
    """The key of a mistake; for keys that contradict each other, the first that the file sets."""
    conflict = error["ctx"]["error"] if error["type"] == "value_error" else None
    if isinstance(conflict, ConflictError):
        places = [tuple(place.split(".")) for place in conflict.places]
        written = (place for place in places if place in lines or (PROFILES, profile, *place) in lines)
        return next(written, places[0])
    # The place of a range contains the name of its kind, which is not a key of the file.
    return tuple(key for key in error["loc"] if key not in ("continuous", "choices", "[key]"))


def _message(error: ErrorDetails, place: Place, source: str | None) -> str:
    match error["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            names = list(_fields(place[:-1]))
            close = close_to(str(place[-1]), names)
            return (
                f"unknown key{close}" if close or not names else f"unknown key; keys of this group: {', '.join(names)}"
            )
        case _:
            return problem_of(error, _fields(place[:-1]).get(str(place[-1])) if place else None, source)


def _fields(place: Place) -> dict[str, FieldInfo]:
    """The fields of the group at a place; none where there is no group."""
    model: type[BaseModel] = Settings
    for key in place:
        field = model.model_fields.get(str(key))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return {}
        model = field.annotation
    return dict(model.model_fields)


def _dotted(place: Place) -> str:
    return ".".join(map(str, place))
