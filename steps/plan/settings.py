"""The arguments of the plan step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from steps.plan.engines import Planner
from steps.planning.settings import DatasetSettings


@dataclass(frozen=True, kw_only=True)
class Settings(DatasetSettings):
    """Plan the splits and the shards of a data set. Raises StepError where two arguments contradict."""

    planner: Annotated[Planner, Field(description="what plans; auto: Spark for many photos on several instances")]
