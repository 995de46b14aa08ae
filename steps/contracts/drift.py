"""The drift contract: `drift.json`, the result of a monitor for a window."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from steps.contracts.parsing import Contract

FILE, REPORT = "drift.json", "report.html"
Verdict = Literal["ok", "drift", "too-few"]


class Tail(Contract, allow_inf_nan=False):
    """The photos of the window beyond `limit`, the 1st or 99th percentile of the baseline."""

    limit: float
    share: float = Field(description="share of the window's photos; of the baseline's it is 1%")
    p_value: float
    threshold: float
    drifted: bool


class Feature(Contract, allow_inf_nan=False):
    """The comparison of one feature with the baseline."""

    name: str
    test: str
    statistic: float
    p_value: float
    threshold: float = Field(description="threshold of the p-value, after Holm's correction")
    psi: float = Field(description="population stability index, less its expectation by chance")
    drifted: bool = Field(description="by its distribution or by a tail")
    low: Tail | None = Field(description="None: a feature with categories, which has no tails")
    high: Tail | None
    baseline_mean: float
    window_mean: float
    baseline_smallest: float
    baseline_largest: float
    window_smallest: float
    window_largest: float


class Drift(Contract, allow_inf_nan=False):
    """The photos that an endpoint received in a window, compared with the baseline of the version that answered."""

    version: Literal[1] = 1
    verdict: Verdict
    endpoint: str
    model_version: str
    since: datetime
    until: datetime
    photos: int = Field(description="photos that were counted in the window")
    compared: int = Field(description="size of the sample of these that was compared")
    baseline_photos: int
    baseline: str
    other_versions: int = Field(description="photos that another version counted; they are not compared")
    refused: dict[str, int] = Field(description="captures that cannot be used, by reason")
    level: float
    minimum_psi: float
    minimum_tail: float
    minimum_photos: int
    features: list[Feature]

    @property
    def drifted(self) -> list[str]:
        """Names of the features that drifted."""
        return [feature.name for feature in self.features if feature.drifted]

    @property
    def furthest(self) -> Feature | None:
        """The feature with the largest stability index; None without a comparison."""
        return max(self.features, key=lambda feature: feature.psi, default=None)
