"""What the monitor is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Settings:
    """`captures` is where the endpoint's data capture writes; the window is the `hours` before `until`."""

    captures: str
    endpoint: str
    variant: str
    hours: int
    until: datetime
    baseline: str = ""
    """S3 URI; where it is empty, that of the version which serves."""
    level: float = 0.05
    minimum_psi: float = 0.1
    minimum_photos: int = 200
    maximum_photos: int = 5000
    namespace: str = "BinCounting"
    retrain: str = ""
    """The pipeline that a drift starts; empty: none."""
    cooldown_days: int = 7
    """So long after a run's start a drift starts no other."""
