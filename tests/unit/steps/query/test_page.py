"""The page about the data: charts, tables, and nothing that it has to load."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steps.aggregates import results
from steps.contracts.exploration import MEASURES
from steps.contracts.query_summary import Refusal
from steps.query import eda, page
from steps.query.eda import Counts, Findings
from steps.reports.data_charts import MOST_BARS


def findings(**changes: object) -> Findings:
    rows = [
        {"measure": name, "state": "measured", "value": float(number + place), "items": 1, "units": 2}
        for number in range(1, 8)
        for place, name in enumerate(MEASURES)
    ]
    rows.append({"measure": "weight", "state": "missing", "value": None, "items": 1, "units": 1})
    usual = {
        "counts": Counts(30, 29, {1: 10, 2: 5, 7: 3, 1000: 2}, 5),
        "items_per_bin": {1: 9, 3: 6},
        "units_per_item": {1: 20, 2: 4, None: 3},
        "photos_per_item": {1: 6, 2: 2, 100: 1},
        "refused": {"malformed-metadata": Refusal(photos=3, examples=["<script>alert(1)</script>", "x"])},
        "measures": pa.Table.from_pylist(rows, results.MEASURES),
        "other_units": results.OTHER_UNITS.empty_table(),
    }
    return Findings(**{**usual, **changes})  # type: ignore[arg-type]


class Reader(HTMLParser):
    """Text, tags that are open at the end, and addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rects: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag == "rect":
            self.rects.append(str(dict(attrs)["class"]))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag == "line"

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(" ".join(data.split()))


@pytest.fixture
def written(tmp_path: Path) -> Reader:
    page.write(tmp_path / "eda.html", findings(), eda.exploration(findings()), "s3://bucket/<raw>")
    return Reader((tmp_path / "eda.html").read_text())


def test_the_page_is_whole_and_loads_nothing(written: Reader, tmp_path: Path) -> None:
    text = (tmp_path / "eda.html").read_text()
    assert written.open == []
    assert written.addresses == []
    assert "{{" not in text
    assert "url(" not in text
    assert "prefers-color-scheme: dark" in text


def test_values_of_the_data_are_text(written: Reader) -> None:
    assert "s3://bucket/<raw>" in written.words
    assert "<script>alert(1)</script>, x" in written.words


def test_the_page_names_what_its_numbers_count(written: Reader) -> None:
    text = " ".join(written.words)
    assert "20 photos have a usable quantity; 5 of them hold more than 5 objects" in text
    assert "3 of 9 items (33%) are on more than one photo" in text
    assert "From all metadata files" in text


def test_heights_lengths_widths_and_weights_are_drawn_and_listed_in_both_units(written: Reader) -> None:
    text = " ".join(written.words)
    for name in ("Weight", "Length", "Width", "Height"):
        assert f"{name} of an item" in text
    assert "from, in pounds (upper) and kilograms (lower)" in text
    assert "from, in inches (upper) and centimetres (lower)" in text
    # Seven weights of 1 to 7 pounds, each of two units.
    assert "weight 7 14 1 4 lb (1.81 kg) 7 lb (3.18 kg) 7 lb (3.18 kg)" in text


def test_quantities_above_the_maximum_are_faint_and_long_tails_are_one_bar(written: Reader) -> None:
    quantities = written.rects[: MOST_BARS + 1]
    assert quantities == ["full"] * 5 + ["faint"] * (MOST_BARS - 4)
    assert "26+: 2" in written.words


def test_a_page_without_data_can_be_written(tmp_path: Path) -> None:
    nothing = findings(
        counts=Counts(0, 0, {}, 5),
        items_per_bin={},
        units_per_item={},
        photos_per_item={},
        refused={},
        measures=results.MEASURES.empty_table(),
    )
    page.write(tmp_path / "eda.html", nothing, eda.exploration(nothing), "s3://bucket/raw")
    assert Reader((tmp_path / "eda.html").read_text()).open == []
    eda.write(nothing, tmp_path / "eda")


def test_the_numbers_behind_the_plots_are_parquet(tmp_path: Path) -> None:
    eda.write(findings(), tmp_path / "eda")
    tables = {path.stem: pq.read_table(path) for path in (tmp_path / "eda").iterdir()}
    assert tables["quantities"].to_pylist() == [
        {"quantity": 1, "photos": 10, "labelled": True, "share": 10 / 15, "balanced_weight": 15 / 20},
        {"quantity": 2, "photos": 5, "labelled": True, "share": 5 / 15, "balanced_weight": 15 / 10},
        {"quantity": 7, "photos": 3, "labelled": False, "share": None, "balanced_weight": None},
        {"quantity": 1000, "photos": 2, "labelled": False, "share": None, "balanced_weight": None},
    ]
    assert tables["items_per_bin"].to_pydict() == {"items": [1, 3], "photos": [9, 6]}
    assert tables["units_per_item"].to_pydict() == {"units": [1, 2, None], "occurrences": [20, 4, 3]}
    assert tables["photos_per_item"].to_pydict() == {"photos": [1, 2, 100], "items": [6, 2, 1]}
    assert tables["refused"].to_pydict() == {"reason": ["malformed-metadata"], "photos": [3]}
    assert tables["measures"].num_rows == 29
