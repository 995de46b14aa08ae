"""`exploration.html`: the whole data set for the person who decides about training on it, in one file."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc

from steps.contracts.exploration import Alike, Outliers
from steps.explore.findings import MOST, Findings
from steps.reports import data_charts
from steps.reports.page import render

NAME = "exploration.html"
TEMPLATE = Path(__file__).with_name("exploration.html.template")
# Examples of a list that the page shows; the rest are in `exploration.json`.
SHOWN = 4


def write(path: Path, findings: Findings) -> None:
    """Write the page."""
    whole = findings.whole
    classes = findings.tables["quantities"].filter(pc.field("labelled")).to_pylist()
    explored = whole.explored
    page = render(
        TEMPLATE,
        whole=whole,
        explored=explored,
        larger=sum(total for number, total in explored.quantities.items() if number > whole.maximum_quantity),
        quantities=data_charts.quantities(explored.quantities, whole.maximum_quantity),
        balance=classes,
        largest_share=max(row["share"] for row in classes),
        item_charts=data_charts.items(explored, MOST),
        frequent=whole.frequent_items[:SHOWN],
        measure_charts=data_charts.measures(explored),
        measure_head=data_charts.MEASURE_HEAD,
        measures=[data_charts.measure_row(measured) for measured in explored.measures],
        has_measures=any(measured.items or measured.other_units for measured in explored.measures),
        outliers=[_outlier_row(each) for each in whole.outliers],
        alike=[
            ("Equal bytes", "photos with the same ETag and size", whole.same_bytes),
            ("Equal items", "photos whose bins have the same items", whole.same_items),
        ],
        alike_charts=[
            data_charts.group_sizes("Photos of equal bytes", whole.same_bytes.sizes, MOST),
            data_charts.group_sizes("Photos of equal items", whole.same_items.sizes, MOST),
        ],
        alike_examples=[_alike_row(alike) for alike in (whole.same_bytes, whole.same_items)],
    )
    path.write_text(page)


def _outlier_row(each: Outliers) -> tuple[str, ...]:
    """A measure, its fences in both units, the items outside of them, and the farthest ones."""
    if each.low is None or each.high is None:
        return (each.measure, "", "", "", "", "")
    examples = "; ".join(f"{example.image_id}: {each.shown(example.value)}" for example in each.examples[:SHOWN])
    counts = (f"{each.items_below:,}", f"{each.items_above:,}")
    return (each.measure, each.shown(each.low), each.shown(each.high), *counts, examples)


def _alike_row(alike: Alike) -> str:
    """The largest groups: a photo of each, and their number of photos."""
    return "; ".join(f"{example.first} to {example.last}: {example.photos:,}" for example in alike.examples[:SHOWN])
