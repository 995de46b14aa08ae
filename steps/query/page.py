"""`eda.html`: what a person looks at before training on the data, in one file that needs nothing else."""

from __future__ import annotations

import html
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

import pyarrow as pa
import pyarrow.compute as pc

from steps.contracts.query_summary import Refusal
from steps.query.eda import MOST, Counts, Findings, Histogram, quantities
from steps.query.measures import HEIGHT, LENGTH, MEASURES, WEIGHT, WIDTH, Sample
from steps.reports.charts import Bar, bars, histogram
from steps.reports.page import Markup, bar, style, table

NAME = "eda.html"
TEMPLATE = Path(__file__).with_name("eda.html.template")
# Bars of one chart; the rest is one more.
MOST_BARS = 25


def write(path: Path, findings: Findings, location: str) -> None:
    """Write the page about the data below `location`."""
    counts = findings.counts
    usable, labelled = sum(counts.quantities.values()), sum(counts.labels.values())
    refused = sum(one.photos for one in findings.refused.values())
    path.write_text(
        Template(TEMPLATE.read_text()).substitute(
            style=style(),
            location=html.escape(location),
            images=f"{counts.images:,}",
            metadata_files=f"{counts.metadata_files:,}",
            labelled=f"{labelled:,}",
            refused=f"{refused:,}",
            maximum=counts.maximum_quantity,
            usable=f"{usable:,}",
            above=f"{usable - labelled:,}",
            quantities=_quantities(counts),
            balance=_balance(counts),
            items_per_bin=_counted("Different items in a bin", "items", "photos", findings.items_per_bin),
            units_per_item=_counted("Units of an item in a bin", "units", "occurrences", findings.units_per_item),
            photos_per_item=_counted("Photos that show an item", "photos", "items", findings.photos_per_item),
            repeated=_repeated(findings.photos_per_item),
            sampled=f"{findings.sample.files:,}",
            measures=_measures(findings.sample),
            measure_charts=_measure_charts(findings.sample),
            reasons=_reasons(findings.refused),
        )
    )


def _quantities(counts: Counts) -> Markup:
    return bars("Objects in a bin", "objects", "photos", _bars(counts.quantities, counts.maximum_quantity))


def _bars(found: Mapping[int, int], maximum: int) -> list[Bar]:
    """A bar for each number from the least on, gaps too; those above `maximum` are faint."""
    if not found:
        return []
    first, last = min(found), max(found)
    shown = range(first, min(last, first + MOST_BARS - 1) + 1)
    data = [Bar(str(number), found.get(number, 0), faint=number > maximum) for number in shown]
    beyond = sum(total for number, total in found.items() if number not in shown)
    return [*data, Bar(f"{shown.stop}+", beyond, faint=True)] if beyond else data


def _balance(counts: Counts) -> Markup:
    rows = quantities(counts).filter(pc.field("labelled")).to_pylist()
    largest = max((row["share"] for row in rows), default=1)
    return table(
        ("objects", "photos", "share", "weight", ""),
        [
            (
                row["quantity"],
                f"{row['photos']:,}",
                f"{row['share']:.1%}",
                f"{row['balanced_weight']:.2f}",
                bar(row["share"] / largest),
            )
            for row in rows
        ],
    )


def _counted(title: str, below: str, beside: str, found: Histogram) -> Markup:
    data = _bars({number: total for number, total in found.items() if number is not None}, MOST)
    if None in found:
        data.append(Bar("?", found[None], faint=True))
    return bars(title, below, beside, data)


def _repeated(found: Histogram) -> str:
    items = sum(found.values())
    again = sum(total for number, total in found.items() if number is not None and number > 1)
    if not items:
        return "No labelled photo shows an item."
    return (
        f"{again:,} of {items:,} items ({again / items:.0%}) are on more than one photo: a random split would show"
        " many of them in training and again in the test."
    )


def _measures(sample: Sample) -> Markup:
    rows = []
    for measure in MEASURES:
        of_it = sample.table.filter(pc.field("measure") == measure)
        missing = of_it["value"].null_count
        known = of_it.filter(pc.field("value").is_valid())
        for unit in pc.unique(known["unit"]).to_pylist():
            values = known.filter(pc.field("unit").is_null() if unit is None else pc.field("unit") == unit)["value"]
            if not len(values):
                continue
            numbers = sorted(values.to_pylist())
            rows.append(
                (
                    measure,
                    unit or "none",
                    f"{len(numbers):,}",
                    f"{missing:,}",
                    f"{statistics.median(numbers):.3g}",
                    f"{numbers[int(0.95 * (len(numbers) - 1))]:.3g}",
                    f"{numbers[-1]:.3g}",
                )
            )
    if not rows:
        return Markup("<p>No item of the sample has a weight or a size.</p>")
    return table(("", "unit", "items", "without", "median", "95% below", "largest"), rows)


def _measure_charts(sample: Sample) -> Markup:
    weights, weight_unit = _values(sample.table.filter(pc.field("measure") == WEIGHT))
    sides = sample.table.filter(pc.field("measure").isin([LENGTH, WIDTH, HEIGHT]))
    _, side_unit = _values(sides)
    longest = sides.filter(pc.field("unit") == side_unit).group_by(["image_id", "item"]).aggregate([("value", "max")])
    lengths = longest["value_max"].drop_null().to_pylist()
    return Markup(
        _distribution("Weight of an item", weight_unit, weights)
        + _distribution("Longest side of an item", side_unit, lengths)
    )


def _values(of_measure: pa.Table) -> tuple[list[float], str]:
    """The values in the unit that most have, and that unit."""
    known = of_measure.filter(pc.field("value").is_valid() & pc.field("unit").is_valid())
    if not known.num_rows:
        return [], ""
    unit = pc.mode(known["unit"].dictionary_encode().combine_chunks().indices)[0]["mode"].as_py()
    name = known["unit"].dictionary_encode().combine_chunks().dictionary[unit].as_py()
    return known.filter(pc.field("unit") == name)["value"].to_pylist(), name


def _distribution(title: str, unit: str, values: Sequence[float]) -> Markup:
    return bars(title, f"from ({unit})" if unit else "", "items", histogram(values))


def _reasons(refused: dict[str, Refusal]) -> Markup:
    if not refused:
        return Markup("<p>None.</p>")
    largest = max(one.photos for one in refused.values())
    return table(
        ("reason", "ids", "", "for example"),
        [
            (name, f"{one.photos:,}", bar(one.photos / largest), ", ".join(one.examples[:5]))
            for name, one in sorted(refused.items(), key=lambda pair: -pair[1].photos)
        ],
    )
