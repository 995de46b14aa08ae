"""The arguments of the shard step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from steps.planning.settings import DatasetSettings, Share


@dataclass(frozen=True, kw_only=True)
class Settings(DatasetSettings):
    """Write photos and labels as WebDataset shards and their index. Raises StepError where two arguments contradict."""

    maximum_rejects: Annotated[Share, Field(description="share of photos that may be unusable")]
    maximum_removed: Annotated[
        Share,
        Field(description="share of a shard's photos that may have been removed; with more, the rest is written again"),
    ]
