"""The numbers behind the pages about the data, for other pages to draw.

`eda.json` is in the summary of the query step, `exploration.json` in the output of the exploration.
"""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, FiniteFloat

from steps.contracts.parsing import Contract, parse

VERSION: Literal[1] = 1
NAME, WHOLE_NAME = "eda.json", "exploration.json"

MeasureName = Literal["weight", "length", "width", "height"]
UnitName = Literal["lb", "in"]
MEASURES: tuple[MeasureName, ...] = get_args(MeasureName)
UNIT_OF: dict[MeasureName, UnitName] = {"weight": "lb", "length": "in", "width": "in", "height": "in"}
# The metric unit of each unit, and how many of it: 1 pound = 0.45359237 kg and 1 inch = 2.54 cm, both exactly.
# https://www.nist.gov/pml/special-publication-811/nist-guide-si-appendix-b-conversion-factors
METRIC: dict[UnitName, tuple[str, float]] = {"lb": ("kg", 0.45359237), "in": ("cm", 2.54)}


def shown(value: float, unit: UnitName) -> str:
    """A value in both units: `5.4 in (13.7 cm)`."""
    metric, factor = METRIC[unit]
    return f"{value:.3g} {unit} ({value * factor:.3g} {metric})"


class Frequencies(Contract):
    """How often each number occurs; `unknown` is how often there is none. The largest includes all above it."""

    numbers: dict[int, int]
    unknown: int = Field(default=0, ge=0)


class Distribution(Contract):
    """A measure of the items in one unit, each item weighted by its units in the bin.

    `items` have the measure, `missing` do not, `other_units` have it in a unit that is unknown here. `counts[i]` are
    the units of items from `i * step` on; the last count includes all larger ones where `is_open`.
    """

    measure: MeasureName
    unit: UnitName
    items: int = Field(ge=0)
    units: int = Field(ge=0)
    missing: int = Field(ge=0)
    other_units: dict[str, int] = Field(default={})
    median: FiniteFloat | None = None
    percentile_95: FiniteFloat | None = None
    largest: FiniteFloat | None = None
    step: FiniteFloat = Field(default=0.0, ge=0)
    counts: list[int] = Field(default=[])
    is_open: bool = False

    @property
    def metric(self) -> tuple[str, float]:
        """The metric unit, and how many of it one `unit` is."""
        return METRIC[self.unit]

    def shown(self, value: float) -> str:
        """A value in both units: `5.4 in (13.7 cm)`."""
        return shown(value, self.unit)


class Exploration(Contract):
    """Frequencies and distributions over all metadata files.

    `quantities` are photos by usable quantity, `items_per_bin` labelled photos by their different items,
    `units_per_item` occurrences of an item in a labelled bin by its units, `photos_per_item` items by the labelled
    photos that show them. `sample_files` is 0, or, as an earlier release wrote it, the number of metadata files in the
    random sample that the distributions are of.
    """

    version: Literal[1] = VERSION
    quantities: dict[int, int]
    items_per_bin: Frequencies
    units_per_item: Frequencies
    photos_per_item: Frequencies
    sample_files: int = Field(default=0, ge=0)
    measures: list[Distribution]

    @property
    def items(self) -> int:
        """Different items on labelled photos."""
        return sum(self.photos_per_item.numbers.values())

    @property
    def repeated(self) -> int:
        """Items on more than one labelled photo."""
        return sum(total for photos, total in self.photos_per_item.numbers.items() if photos > 1)


def parse_exploration(content: bytes, name: str) -> Exploration:
    """The numbers from their JSON. Raises StepError with `name` when it is not valid."""
    return parse(Exploration, content, name, f"data exploration of version {VERSION}")


class FrequentItem(Contract):
    """An item, and the labelled photos that show it."""

    asin: str
    photos: int = Field(ge=1)


class Outlier(Contract):
    """An item of a bin with a measure outside of the fences, in the unit of its `Outliers`."""

    image_id: str
    asin: str | None
    value: FiniteFloat


class Outliers(Contract):
    """Items whose measure is far from the others: below `low` or above `high`, which are in `unit`.

    Both are None where there are no values, or where half of them are the same; then there are no outliers. `examples`
    are the items that are farthest away.
    """

    measure: MeasureName
    unit: UnitName
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    items_below: int = Field(default=0, ge=0)
    items_above: int = Field(default=0, ge=0)
    examples: list[Outlier] = Field(default=[])

    def shown(self, value: float) -> str:
        """A value in both units."""
        return shown(value, self.unit)


class AlikeExample(Contract):
    """A group of photos that are alike: its first and last id, its size, and its smallest and largest quantity."""

    first: str
    last: str
    photos: int = Field(ge=2)
    smallest: int
    largest: int


class Alike(Contract):
    """Groups of at least two labelled photos that are alike in one way.

    `sizes` are groups by their number of photos, `several_quantities` groups whose photos differ in quantity.
    `examples` are the largest groups.
    """

    groups: int = Field(ge=0)
    photos: int = Field(ge=0)
    largest: int = Field(ge=0)
    several_quantities: int = Field(ge=0)
    sizes: Frequencies
    examples: list[AlikeExample] = Field(default=[])


class WholeExploration(Contract):
    """`exploration.json`: what the exploration step computes over all data, besides its Parquet files.

    In `explored.quantities`, photos of at most `maximum_quantity` objects are labelled ones; above it are metadata
    files. `same_bytes` are photos with the same ETag and size, `same_items` photos whose bins have the same items.
    `unequal_units` are labelled photos whose quantity is not the sum of their items' units.
    """

    version: Literal[1] = VERSION
    engine: str
    engine_reason: str
    maximum_quantity: int = Field(ge=1)
    metadata_files: int = Field(ge=0)
    labelled: int = Field(ge=1)
    explored: Exploration
    frequent_items: list[FrequentItem]
    outliers: list[Outliers]
    same_bytes: Alike
    same_items: Alike
    unequal_units: int = Field(ge=0)


def parse_whole_exploration(content: bytes, name: str) -> WholeExploration:
    """The exploration from its JSON. Raises StepError with `name` when it is not valid."""
    return parse(WholeExploration, content, name, f"exploration of version {VERSION}")
