"""The page about the data: charts, tables, and nothing that it has to load."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steps.contracts.query_summary import Refusal
from steps.query import eda, page
from steps.query.eda import Counts, Findings
from steps.query.measures import MEASURES, SCHEMA, MeasureSample


def findings(**changes: object) -> Findings:
    rows = [
        ("1", number, name, "pounds" if name == "weight" else "IN", float(number + place))
        for number in range(1, 8)
        for place, name in enumerate(MEASURES)
    ]
    columns = zip(*[*rows, ("2", 0, "weight", None, None)], strict=True)
    measured = pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )
    usual = {
        "counts": Counts(30, 29, {1: 10, 2: 5, 7: 3, 1000: 2}, 5),
        "items_per_bin": {1: 9, 3: 6},
        "units_per_item": {1: 20, 2: 4, None: 3},
        "photos_per_item": {1: 6, 2: 2, 100: 1},
        "refused": {"malformed-metadata": Refusal(photos=3, examples=["<script>alert(1)</script>", "x"])},
        "sample": MeasureSample(2, measured),
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
    page.write(tmp_path / "eda.html", findings(), "s3://bucket/<raw>")
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
    assert "From a random sample of 2 metadata files" in text


def test_quantities_above_the_maximum_are_faint_and_long_tails_are_one_bar(written: Reader) -> None:
    quantities = written.rects[: page.MOST_BARS + 1]
    assert quantities == ["full"] * 5 + ["faint"] * (page.MOST_BARS - 4)
    assert "26+: 2" in written.words


def test_a_page_without_data_can_be_written(tmp_path: Path) -> None:
    empty = MeasureSample(0, SCHEMA.empty_table())
    nothing = findings(
        counts=Counts(0, 0, {}, 5), items_per_bin={}, units_per_item={}, photos_per_item={}, refused={}, sample=empty
    )
    page.write(tmp_path / "eda.html", nothing, "s3://bucket/raw")
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
