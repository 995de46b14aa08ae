"""The SQL of the aggregates. No result grows with the data set: numbers are capped, values rounded, lists cut off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from steps.aggregates.dialects import Dialect
from steps.aggregates.units import SIZES
from steps.contracts.exploration import MEASURES, UNIT_OF, MeasureName

# States of an item's measure: with a value in a unit of SIZES, without a value, and with a value in another unit.
MEASURED, MISSING, OTHER_UNIT = "measured", "missing", "other-unit"
# Significant digits of a measure in a distribution: its value is off by 0.5% at most, and no decade has more than 900.
DIGITS = 3
# Units that are unknown here and have names in the result, per measure.
MOST_UNITS = 10
# A measure up to this value counts as missing, as 0 does: it is less than a millionth of a gram, or of a millimetre.
_NOTHING = 1e-12
# Characters of a unit's name at most.
_NAME = 40


@dataclass(frozen=True)
class Relations:
    """Names of the tables: the consolidated metadata, and the labels."""

    metadata: str = "metadata"
    labels: str = "labels"


def capped(value: str, most: int) -> str:
    """SQL of a number; all from `most` on are `most`."""
    # Not least(): for a NULL and a number it is NULL in Trino and the number in other engines.
    return f"CASE WHEN {value} > {most:d} THEN {most:d} ELSE {value} END"


def histogram(value: str, most: int, source: str) -> str:
    """How often (`total`) each `number` occurs in `source`; all from `most` on are one row, NULL is unknown."""
    number = capped(value, most)
    return f"SELECT {number} AS number, count(*) AS total\nFROM {source}\nGROUP BY {number}\nORDER BY 1"


def items_per_bin(relations: Relations, dialect: Dialect, most: int) -> str:
    """Labelled photos by their number of different items; all numbers from `most` on are one row."""
    return histogram(dialect.length("asins"), most, f"{relations.labels} AS labelled")


def units_per_item(relations: Relations, dialect: Dialect, most: int) -> str:
    """Occurrences of an item in a labelled bin by units; all numbers from `most` on are one row, NULL is unknown."""
    bins = f"""(
  SELECT document.image_id AS image_id, document.items AS items
  FROM {relations.labels} AS labelled
  JOIN {relations.metadata} AS document ON document.image_id = labelled.image_id
)"""  # noqa: S608
    source = f"(SELECT item.quantity AS units FROM {dialect.items(bins, 'image_id')} AS held) AS shown"  # noqa: S608
    return histogram("units", most, source)


def photos_per_item(relations: Relations, dialect: Dialect, most: int) -> str:
    """Items by the number of labelled photos that show them; all numbers from `most` on are one row."""
    return histogram("photos", most, f"({_shown(relations, dialect)}) AS shown")


def frequent_items(relations: Relations, dialect: Dialect, most: int) -> str:
    """The items on most labelled photos, with the number of these photos."""
    return f"{_shown(relations, dialect)}\nORDER BY photos DESC, asin\nLIMIT {most:d}"


def _shown(relations: Relations, dialect: Dialect) -> str:
    return f"""SELECT asin, count(*) AS photos
  FROM {dialect.elements(relations.labels, "image_id", "asins", "asin")} AS labelled
  GROUP BY asin"""  # noqa: S608


def measures(relations: Relations, dialect: Dialect) -> str:
    """Weights and sizes in pounds and inches, rounded to DIGITS: per value its `items`, and their `units`.

    `value` is NULL for the states MISSING and OTHER_UNIT. Items with a value and no unit in the bin are left out.
    """
    rounded = _rounded("value")
    return f"""SELECT measure, state, {rounded} AS value, count(*) AS items, sum(units) AS units
FROM {measured(relations, dialect)} AS measured
WHERE state <> '{MEASURED}' OR units > 0
GROUP BY measure, state, {rounded}
ORDER BY 1, 2, 3"""  # noqa: S608


def _rounded(value: str) -> str:
    power = f"power(1E+01, floor(log10({value})) - {DIGITS - 1:d})"
    return f"round({value} / {power}) * {power}"


def other_units(relations: Relations, dialect: Dialect) -> str:
    """Per measure the MOST_UNITS most frequent units that are unknown here, with their items; `none` is no unit."""
    return f"""SELECT measure, unit, items
FROM (
  SELECT
    measure,
    unit,
    count(*) AS items,
    row_number() OVER (PARTITION BY measure ORDER BY count(*) DESC, unit) AS place
  FROM {measured(relations, dialect)} AS measured
  WHERE state = '{OTHER_UNIT}'
  GROUP BY measure, unit
) AS ranked
WHERE place <= {MOST_UNITS:d}
ORDER BY measure, place"""  # noqa: S608


def measured(relations: Relations, dialect: Dialect) -> str:
    """A subquery with a row per measure of an item of a bin, its value in pounds or inches.

    Columns: image_id, asin, units (1 where they are unknown), measure, state, unit as in the file, and value.
    """
    names = ", ".join(f"('{name}')" for name in MEASURES)
    return f"""(
  SELECT
    image_id,
    asin,
    units,
    measure,
    CASE
      WHEN number IS NULL OR NOT number > {_NOTHING:E} THEN '{MISSING}'
      WHEN size IS NULL THEN '{OTHER_UNIT}'
      ELSE '{MEASURED}'
    END AS state,
    coalesce(substr(unit, 1, {_NAME:d}), 'none') AS unit,
    CASE WHEN number > {_NOTHING:E} THEN number * size END AS value
  FROM (
    SELECT image_id, asin, units, measure, unit, number, {_size()} AS size
    FROM (
      SELECT image_id, asin, units, measure, {_choice("unit")} AS unit, {_choice("value")} AS number
      FROM (
        SELECT
          image_id,
          item.asin AS asin,
          coalesce(item.quantity, 1) AS units,
          {_flat()}
        FROM {dialect.items(relations.metadata, "image_id")} AS held
      ) AS flat
      CROSS JOIN (VALUES {names}) AS kind(measure)
    ) AS listed_measure
  ) AS sized
)"""  # noqa: S608


def _flat() -> str:
    columns = (f"item.{name}.{part} AS {name}_{part}" for name in MEASURES for part in ("unit", "value"))
    return ",\n          ".join(columns)


def _choice(part: str) -> str:
    cases = [f"WHEN '{name}' THEN {name}_{part}" for name in MEASURES]
    return f"CASE measure {' '.join(cases)} END"


def _size() -> str:
    """SQL of the size of a unit in pounds or inches; NULL for a unit that is unknown here."""
    cases = [
        f"WHEN measure = '{name}' AND lower(unit) = '{unit}' THEN {size:.17E}"
        for name in MEASURES
        for unit, size in SIZES[UNIT_OF[name]].items()
    ]
    return f"CASE {' '.join(cases)} END"


@dataclass(frozen=True)
class Fences:
    """The smallest and the largest value of a measure that is no outlier, in pounds or inches."""

    measure: MeasureName
    low: float
    high: float


def outliers(relations: Relations, dialect: Dialect, fences: Sequence[Fences]) -> str:
    """Per measure with outliers the number of items below and above its fences: measure, items_below, items_above."""
    return f"""SELECT
  measure,
  sum(CASE WHEN value < low THEN 1 ELSE 0 END) AS items_below,
  sum(CASE WHEN value > high THEN 1 ELSE 0 END) AS items_above
FROM {_outside(relations, dialect, fences)} AS outlier
GROUP BY measure
ORDER BY measure"""  # noqa: S608


def farthest(relations: Relations, dialect: Dialect, fences: Sequence[Fences], most: int) -> str:
    """Per measure the items that are farthest outside of the fences, as a factor: measure, image_id, asin, value."""
    return f"""SELECT measure, image_id, asin, value
FROM (
  SELECT
    measure,
    image_id,
    asin,
    value,
    row_number() OVER (
      PARTITION BY measure
      ORDER BY CASE WHEN value < low THEN low / value ELSE value / high END DESC, image_id, asin
    ) AS place
  FROM {_outside(relations, dialect, fences)} AS outlier
) AS ranked
WHERE place <= {most:d}
ORDER BY measure, place"""  # noqa: S608


def _outside(relations: Relations, dialect: Dialect, fences: Sequence[Fences]) -> str:
    low = " ".join(f"WHEN '{each.measure}' THEN {each.low:.17E}" for each in fences)
    high = " ".join(f"WHEN '{each.measure}' THEN {each.high:.17E}" for each in fences)
    return f"""(
  SELECT measure, image_id, asin, value, low, high
  FROM (
    SELECT measure, image_id, asin, value, CASE measure {low} END AS low, CASE measure {high} END AS high
    FROM {measured(relations, dialect)} AS measured
    WHERE state = '{MEASURED}' AND units > 0
  ) AS fenced
  WHERE value < low OR value > high
)"""  # noqa: S608
