"""The arguments of the exploration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

EngineName = Literal["auto", "local", "spark"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Explore the consolidated metadata and the labels: aggregates as Parquet, and a page."""

    maximum_quantity: Annotated[int, Field(ge=1, description="the largest class: labels above it are left out")]
    engine: Annotated[
        EngineName,
        Field(description="local: DuckDB on one instance; spark: Spark on all instances; auto: the one that fits"),
    ] = "auto"
