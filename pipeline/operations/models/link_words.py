"""The links of a lineage in words, the same in a terminal and on a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from pipeline.operations.models.lineage import Link
from pipeline.texts import moment

# Parameters of the training toolkit and of the tuner: they start a job and do not change what is trained.
_MACHINERY = ("sagemaker_", "_tuning")


def title(link: Link) -> str:
    """The kind of a link in words: `training job`."""
    return link.kind.replace("_", " ")


def short(name: str) -> str:
    """An ARN or an image without its account and region, as commands accept it."""
    return name if name.startswith("s3://") else name.rsplit("/", 1)[-1]


def facts(link: Link) -> Iterator[tuple[str, str]]:
    """The facts of a link by their names, without those that are empty."""
    for name, value in link.facts.items():
        if shown := _shown(name, short(value) if link.kind == "images" else value):
            yield name, shown


def _shown(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_plain(item)}" for key, item in value.items() if not key.startswith(_MACHINERY))
    return _size(value) if name.endswith("bytes") else _plain(value)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, float):
        return f"{value:.4f}"
    # SageMaker puts hyperparameters in quotes.
    return f"{value:,}" if isinstance(value, int) else str(value).strip('"')


def _size(value: int) -> str:
    """Bytes in powers of 1,000."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if value >= factor:
            return f"{value / factor:.1f} {unit}"
    return f"{value} bytes"
