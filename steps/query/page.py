"""`eda.html`: the data for the person who decides about training on it, in one file."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc

from steps.aggregates.balance import balance
from steps.contracts.exploration import Exploration
from steps.query.eda import MOST, Findings
from steps.reports import data_charts
from steps.reports.page import render

NAME = "eda.html"
TEMPLATE = Path(__file__).with_name("eda.html.template")


def write(path: Path, findings: Findings, explored: Exploration, location: str) -> None:
    """Write the page about the data below `location`."""
    counts = findings.counts
    classes = balance(counts.quantities, counts.maximum_quantity).filter(pc.field("labelled")).to_pylist()
    page = render(
        TEMPLATE,
        location=location,
        counts=counts,
        usable=sum(counts.quantities.values()),
        labelled=sum(counts.labels.values()),
        left_out=sum(refusal.photos for refusal in findings.refused.values()),
        quantities=data_charts.quantities(counts.quantities, counts.maximum_quantity),
        balance=classes,
        largest_share=max((row["share"] for row in classes), default=1),
        explored=explored,
        item_charts=data_charts.items(explored, MOST),
        measure_head=data_charts.MEASURE_HEAD,
        measures=[data_charts.measure_row(measured) for measured in explored.measures],
        has_measures=any(measured.items or measured.other_units for measured in explored.measures),
        measure_charts=data_charts.measures(explored),
        refused=sorted(findings.refused.items(), key=lambda pair: -pair[1].photos),
    )
    path.write_text(page)
