"""The drift contract: `drift.json`, the result of a monitor for a window."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from pydantic import Field

from steps.contracts.names import DRIFT_FILE
from steps.contracts.parsing import Contract
from steps.contracts.wording import count_of

FILE, REPORT = DRIFT_FILE, "report.html"
# Headings of the figures by true counts. A claim is that of the model's calibration; set coverage is the share of
# prediction sets that contain the true count.
FIGURES = ("figure", "window", "claim", "minimum", "photos")
Verdict = Literal["ok", "drift", "too-few"]
# Title and unit of each feature.
TITLES = {
    "predicted": ("Predicted count", "objects"),
    "confidence": ("Confidence", "probability of the predicted count"),
    "sure": ("Sure counts", "0 unsure, 1 sure: needs no person"),
    "brightness": ("Brightness", "mean luma, 0 black to 1 white"),
    "sharpness": ("Sharpness", "variance of the Laplacian"),
    "pixels": ("Size in pixels", "width times height"),
    "bytes": ("Size of the file", "bytes"),
}


class Tail(Contract, allow_inf_nan=False):
    """The photos of the window beyond `limit`, the 1st or 99th percentile of the baseline."""

    limit: float
    share: float = Field(description="share of the window's photos; of the baseline's it is 1%")
    p_value: float
    threshold: float
    drifted: bool


class Bin(Contract, allow_inf_nan=False):
    """A bar of both distributions: a value or an interval of a feature, and the share of the photos with it."""

    label: str
    baseline: float
    window: float


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
    bins: list[Bin] = Field(default=[], description="both distributions; empty in files of earlier monitors")

    @property
    def title(self) -> str:
        """The feature's name in words; its own name for one that this code does not have."""
        return TITLES.get(self.name, (self.name, ""))[0]

    def reasons(self) -> Iterator[str]:
        """Why it has drifted: its low tail, its high tail, or its distribution."""
        tails = [
            (tail, word)
            for tail, word in ((self.low, "below"), (self.high, "above"))
            if tail is not None and tail.drifted
        ]
        for tail, word in tails:
            yield (
                f"{self.title}: {tail.share:.1%} of the photos are {word} {number(tail.limit)}, in the baseline 1%;"
                f" they go from {number(self.window_smallest)} to {number(self.window_largest)}, in the baseline"
                f" from {number(self.baseline_smallest)} to {number(self.baseline_largest)}"
            )
        if self.drifted and not tails:
            yield (
                f"{self.title}: mean {number(self.baseline_mean)} in the baseline, {number(self.window_mean)} in the"
                f" window, PSI {self.psi:.3f}"
            )


class Truth(Contract, allow_inf_nan=False):
    """The answers of an earlier window, compared with true counts that have arrived since.

    A photo is matched by the InferenceId of its request. Figures are None where no photo has what they need: a true
    count, a sure answer, a prediction set. `level` and `sure_level` are what the model's calibration claims.
    """

    location: str
    since: datetime
    until: datetime
    answered: int = Field(description="photos that the version counted in the window")
    photos: int = Field(description="photos with a true count; those of the same id are one photo, by its last answer")
    without_truth: int = Field(description="ids without a true count so far")
    without_id: int = Field(description="photos in requests without an InferenceId")
    in_several: int = Field(description="photos in requests with several photos, which share an id")
    other_versions: int
    refused: dict[str, int] = Field(description="captures that cannot be used, by reason")
    minimum_photos: int = Field(description="with fewer photos, the figures are no metrics, and below no minimum")
    accuracy: float | None
    rmse: float | None = Field(description="root mean squared error in objects")
    sure_photos: int
    sure_accuracy: float | None = Field(description="accuracy of the sure counts")
    sure_level: float | None
    set_photos: int
    set_coverage: float | None = Field(description="share of prediction sets that contain the true count")
    level: float | None
    minimum_accuracy: float | None
    minimum_set_coverage: float | None
    minimum_sure_accuracy: float | None = Field(default=None, description="none, too, in files of earlier monitors")

    def figures(self) -> list[tuple[str, str, str, str, str]]:
        """Rows of a table with the headings of FIGURES, as text; - where there is nothing."""
        rmse = "-" if self.rmse is None else f"{self.rmse:.3f}"
        rows = (
            ("accuracy", _share(self.accuracy), None, self.minimum_accuracy, self.photos),
            ("RMSE, objects", rmse, None, None, self.photos),
            (
                "accuracy of sure counts",
                _share(self.sure_accuracy),
                self.sure_level,
                self.minimum_sure_accuracy,
                self.sure_photos,
            ),
            ("set coverage", _share(self.set_coverage), self.level, self.minimum_set_coverage, self.set_photos),
        )
        return [
            (title, value, _share(claim), _share(minimum), f"{photos:,}")
            for title, value, claim, minimum, photos in rows
        ]

    def shortfalls(self) -> list[str]:
        """The figures that are below their minimum, each in words; none with too few photos."""
        limits = (
            ("accuracy", self.accuracy, self.minimum_accuracy, self.photos),
            ("accuracy of sure counts", self.sure_accuracy, self.minimum_sure_accuracy, self.sure_photos),
            ("set coverage", self.set_coverage, self.minimum_set_coverage, self.set_photos),
        )
        return [
            f"{title} {percent(value)} of {count_of(photos, 'photo')} is below the minimum of {percent(minimum)}"
            for title, value, minimum, photos in limits
            if value is not None and minimum is not None and photos >= self.minimum_photos and value < minimum
        ]

    def unmatched(self) -> Iterator[str]:
        """Why the other photos of the window were not compared with a true count."""
        parts = (
            (self.without_truth, "without a true count so far"),
            (self.without_id, "in requests without an InferenceId"),
            (self.in_several, "in requests with several photos, which share an id"),
            (self.other_versions, "counted by another version"),
        )
        yield from (f"{count_of(photos, 'photo')} {reason}" for photos, reason in parts if photos)
        yield from (f"{count_of(captures, 'capture')} not used: {reason}" for reason, captures in self.refused.items())


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
    sure_share: float | None = Field(
        default=None, description="share of sure answers; none for a model without a calibration, and in older files"
    )
    truth: Truth | None = Field(default=None, description="none without monitoring.truth, and in older files")

    @property
    def drifted(self) -> list[str]:
        """Names of the features that drifted."""
        return [feature.name for feature in self.features if feature.drifted]

    @property
    def furthest(self) -> Feature | None:
        """The feature with the largest stability index; None without a comparison."""
        return max(self.features, key=lambda feature: feature.psi, default=None)


def percent(share: float) -> str:
    """A share in percent, with one digit."""
    return f"{share:.1%}"


def _share(share: float | None) -> str:
    return "-" if share is None else percent(share)


def number(value: float) -> str:
    """A feature's value: four digits, or all digits of a thousand and more."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
