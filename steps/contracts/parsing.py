"""The base of the contracts in JSON, and reading them, with one line about the first error."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from steps.contracts.errors import StepError

Model = TypeVar("Model", bound=BaseModel)


class Contract(BaseModel):
    """The model of a file, or of a part of it: other keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def parse(model: type[Model], content: bytes, name: str, kind: str) -> Model:
    """`content` as a `model`. Raises StepError with `name` and `kind` if it is not valid."""
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StepError(f"{name}: not a {kind}: {where}: {first['msg']}") from error


def read(path: Path, kind: str) -> bytes:
    """The content of a file of this `kind`. Raises StepError that names the folder if it is missing."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise StepError(f"{path.parent}: no {kind} ({path.name}) there") from error
