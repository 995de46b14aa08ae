"""The step over Parquet files as the query step writes them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steps.contracts import consolidated, labels
from steps.contracts.errors import StepError
from steps.contracts.exploration import MEASURES, WHOLE_NAME, parse_whole_exploration
from steps.contracts.s3_uri import S3Uri
from steps.query.direct import record_batch
from steps.query.metadata import parse
from tests.unit.steps.explore.conftest import Bin, Inputs, item

POUND, INCH = ("pounds", 1.0), ("IN", 1.0)


def explored(inputs: Inputs, *bins: Bin, maximum: int = 5) -> Any:
    whole = inputs.write(bins).run(maximum_quantity=maximum)
    assert whole is not None
    return whole


def test_everything_is_written_as_parquet_numbers_and_a_page(inputs: Inputs) -> None:
    whole = explored(
        inputs,
        Bin("1", 2.0, [item("A", 2, weight=POUND)]),
        Bin("2", 1.0, [item("A", weight=POUND)]),
        Bin("3", 7.0, [item("B", 7, length=INCH)], labelled=False),
        Bin("4", None, None, kind="missing", labelled=False),
    )
    assert (whole.metadata_files, whole.labelled, whole.unequal_units) == (4, 2, 0)
    assert whole.explored.quantities == {1: 1, 2: 1, 7: 1}
    content = inputs.output(WHOLE_NAME).read_bytes()
    assert parse_whole_exploration(content, WHOLE_NAME) == whole
    tables = {path.stem: pq.read_table(path) for path in inputs.output("").glob("*.parquet")}
    assert tables["quantities"].to_pylist() == [
        {"quantity": 1, "photos": 1, "labelled": True, "share": 0.5, "balanced_weight": 1.0},
        {"quantity": 2, "photos": 1, "labelled": True, "share": 0.5, "balanced_weight": 1.0},
        {"quantity": 7, "photos": 1, "labelled": False, "share": None, "balanced_weight": None},
    ]
    assert tables["items_per_bin"].to_pydict() == {"items": [1], "photos": [2]}
    assert tables["units_per_item"].to_pydict() == {"units": [1, 2], "occurrences": [1, 1]}
    assert tables["photos_per_item"].to_pydict() == {"photos": [2], "items": [1]}
    assert tables["frequent_items"].to_pydict() == {"asin": ["A"], "photos": [2]}
    assert [row for row in tables["measures"].to_pylist() if row["state"] == "measured"] == [
        {"measure": "length", "state": "measured", "value": 1.0, "items": 1, "units": 7},
        {"measure": "weight", "state": "measured", "value": 1.0, "items": 2, "units": 3},
    ]
    assert set(tables) == {
        *("quantities", "items_per_bin", "units_per_item", "photos_per_item", "frequent_items", "measures"),
        *("other_units", "outliers", "same_bytes", "same_items"),
    }


@pytest.mark.parametrize(
    ("measure", "unit", "value", "expected"),
    [
        ("weight", "pounds", 2.0, 2.0),
        ("weight", "KG", 1.0, 2.2),
        ("weight", "ounces", 8.0, 0.5),
        ("weight", "g", 453.59237, 1.0),
        ("length", "IN", 3.0, 3.0),
        ("width", "centimeters", 5.08, 2.0),
        ("height", "mm", 25.4, 1.0),
        ("height", "IN", 4.9999999949, 5.0),
    ],
)
def test_units_become_pounds_and_inches(inputs: Inputs, measure: str, unit: str, value: float, expected: float) -> None:
    whole = explored(inputs, Bin("1", 1.0, [item("A", **{measure: (unit, value)})]))
    [distribution] = [each for each in whole.explored.measures if each.measure == measure]
    assert (distribution.median, distribution.items, distribution.other_units) == (expected, 1, {})


def test_an_unknown_unit_is_named_and_not_guessed(inputs: Inputs) -> None:
    whole = explored(
        inputs,
        Bin("1", 1.0, [item("A", weight=("stone", 1.0)), item("B", weight=(None, 2.0)), item("C", weight=("lb", 0.0))]),
    )
    weight = whole.explored.measures[0]
    assert (weight.items, weight.missing, weight.other_units) == (0, 1, {"none": 1, "stone": 1})


def test_units_beyond_the_ten_most_frequent_are_one_number(inputs: Inputs) -> None:
    items = [item(f"A{number}", weight=(f"unit {number:02d}", 1.0)) for number in range(13)]
    others = explored(inputs, Bin("1", 1.0, items)).explored.measures[0].other_units
    assert (len(others), others["unit 00"], others["others"]) == (11, 1, 3)


def test_an_item_counts_as_often_as_it_is_in_its_bin_and_one_of_none_not_at_all(inputs: Inputs) -> None:
    items = [item("A", 9, weight=POUND), item("B", None, weight=("lb", 5.0)), item("C", 0, weight=("lb", 9.0))]
    weight = explored(inputs, Bin("1", 1.0, items)).explored.measures[0]
    assert (weight.items, weight.units, weight.median, weight.largest) == (2, 10, 1.0, 5.0)


def test_outliers_are_those_beyond_tukeys_outer_fences_of_logarithms(inputs: Inputs) -> None:
    usual = [item(f"A{number}", weight=("lb", 1.0 + number / 10)) for number in range(11)]
    far = [
        item("heavy", weight=("lb", 500.0)),
        item("light", weight=("oz", 0.016)),
        item("none", 0, weight=("lb", 9e6)),
    ]
    whole = explored(inputs, Bin("usual", 1.0, usual), Bin("far", 1.0, far))
    weight = whole.outliers[0]
    assert weight.low == pytest.approx(1.2 / (1.8 / 1.2) ** 3, rel=0.2)
    assert weight.high == pytest.approx(1.8 * (1.8 / 1.2) ** 3, rel=0.2)
    assert (weight.items_below, weight.items_above) == (1, 1)
    assert [(each.image_id, each.asin) for each in weight.examples] == [("far", "light"), ("far", "heavy")]
    assert pq.read_table(inputs.output("outliers.parquet"))["value"].to_pylist() == pytest.approx([0.001, 500.0])


def test_where_half_of_the_values_are_the_same_nothing_is_an_outlier(inputs: Inputs) -> None:
    items = [item(f"A{number}", weight=POUND) for number in range(9)]
    whole = explored(inputs, Bin("1", 1.0, [*items, item("B", weight=("lb", 900.0))]))
    assert all((each.low, each.high, each.examples) == (None, None, []) for each in whole.outliers)


def test_equal_bytes_and_equal_items_are_grouped(inputs: Inputs) -> None:
    whole = explored(
        inputs,
        Bin("1", 1.0, [item("A"), item("B")], etag="x"),
        Bin("2", 2.0, [item("B"), item("A")], etag="x"),
        Bin("3", 2.0, [item("A"), item("B")]),
        Bin("4", 0.0),
        Bin("5", 0.0),
    )
    assert (whole.same_bytes.groups, whole.same_bytes.photos, whole.same_bytes.several_quantities) == (1, 2, 1)
    assert whole.same_items.sizes.numbers == {3: 1}
    [group] = whole.same_items.examples
    assert (group.first, group.last, group.photos, group.smallest, group.largest) == ("1", "3", 3, 1, 2)


def test_labels_above_the_maximum_are_left_out_of_everything_but_the_quantities(inputs: Inputs) -> None:
    whole = explored(inputs, Bin("1", 1.0, [item("A")]), Bin("2", 4.0, [item("A"), item("B")]), maximum=3)
    assert (whole.labelled, whole.explored.quantities) == (1, {1: 1, 4: 1})
    assert whole.explored.photos_per_item.numbers == {1: 1}


def test_large_numbers_are_one_row(inputs: Inputs) -> None:
    bins = [Bin(f"{number:03d}", 1.0, [item("hot", 300)]) for number in range(130)]
    whole = explored(inputs, *bins, Bin("1", 5000.0, labelled=False), Bin("2", 6000.0, labelled=False))
    assert whole.explored.photos_per_item.numbers == {100: 1}
    assert whole.explored.units_per_item.numbers == {100: 130}
    assert whole.explored.quantities == {1: 130, 1000: 2}
    assert whole.same_items.sizes.numbers == {100: 1}
    assert (whole.same_items.largest, whole.frequent_items[0].photos) == (130, 130)


MEASURED = st.tuples(
    st.sampled_from(["lb", "IN", "stone", None]), st.sampled_from([None, -1.0, 0.0, 1e-300, 0.004, 1.0, 2.5, 7e9])
)
ITEMS = st.lists(
    st.builds(
        lambda asin, units, weight, height: item(asin, units, weight=weight, height=height),
        st.sampled_from(["A", "B", "C", None]),
        st.sampled_from([None, -1, 0, 1, 3]),
        MEASURED,
        MEASURED,
    ),
    max_size=4,
)
BINS = st.lists(
    st.tuples(st.integers(0, 7), st.one_of(st.none(), ITEMS), st.booleans(), st.sampled_from("xyz")),
    min_size=1,
    max_size=12,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(BINS)
def test_every_number_is_that_of_a_plain_count(tmp_path_factory: pytest.TempPathFactory, bins: Any) -> None:
    inputs = Inputs(tmp_path_factory.mktemp("inputs"))
    made = [
        Bin(f"{number:02d}", float(quantity), items, labelled=labelled, etag=etag)
        for number, (quantity, items, labelled, etag) in enumerate(bins)
    ]
    made.append(Bin("last", 1.0, [item("A")]))
    whole = explored(inputs, *made)
    labelled = [each for each in made if each.labelled and (each.quantity or 0) <= 5]
    numbers = whole.explored
    assert numbers.items_per_bin.numbers == Counter(len(each.asins) for each in labelled)
    units = Counter(each["quantity"] for bin_ in labelled for each in bin_.items or ())
    assert numbers.units_per_item.unknown == units.pop(None, 0)
    assert numbers.units_per_item.numbers == units
    shown = Counter(asin for each in labelled for asin in each.asins)
    assert numbers.photos_per_item.numbers == Counter(shown.values())
    assert whole.unequal_units == sum(
        each.quantity != sum(each_item["quantity"] or 0 for each_item in each.items or ()) for each in labelled
    )
    for same, alike in ((lambda each: each.etag or each.image_id, whole.same_bytes), (_items, whole.same_items)):
        groups = defaultdict(list)
        for each in labelled:
            groups[same(each)].append(each)
        groups.pop((), None)
        sizes = [group for group in groups.values() if len(group) > 1]
        assert alike.sizes.numbers == Counter(len(group) for group in sizes)
        assert alike.several_quantities == sum(len({each.quantity for each in group}) > 1 for group in sizes)
    for name, unit in (("weight", "lb"), ("height", "IN")):
        values = [(each_item[name], each_item["quantity"]) for each in made for each_item in each.items or ()]
        measured = [
            (value["value"], 1 if count is None else count)
            for value, count in values
            if value["unit"] == unit and (value["value"] or 0) > 1e-12 and (count is None or count > 0)
        ]
        [distribution] = [each for each in numbers.measures if each.measure == name]
        assert (distribution.items, distribution.units) == (len(measured), sum(count for _, count in measured))
        assert distribution.missing == sum(not (value["value"] or 0) > 1e-12 for value, _ in values)
        assert distribution.largest == max((value for value, _ in measured), default=None)


def _items(each: Bin) -> tuple[str, ...]:
    return tuple(each.asins)


def test_real_metadata_have_plausible_numbers(inputs: Inputs, abid: Path) -> None:
    rows = []
    with tarfile.open(abid / "resized-224.tar") as archive:
        for entry in archive:
            if entry.name.endswith(".json"):
                content = archive.extractfile(entry)
                assert content is not None
                rows.append((Path(entry.name).stem, parse(content.read())))
    table = pa.Table.from_batches([record_batch(rows, S3Uri("bucket", "raw/metadata"))])
    inputs.write(
        [
            Bin(image_id, metadata.quantity, [item(each.asin) for each in metadata.items or ()])
            for image_id, metadata in rows
            if (metadata.quantity or 0) <= 5
        ]
    )
    for path in inputs.folder("metadata").iterdir():
        path.unlink()
    pq.write_table(table, inputs.folder("metadata") / "part-0")
    whole = inputs.run()
    assert whole is not None
    assert (whole.metadata_files, whole.labelled) == (7900, 5400)
    assert (whole.explored.items, whole.explored.repeated, whole.unequal_units) == (8312, 3220, 4)
    weight, length, width, height = whole.explored.measures
    assert (weight.items, weight.missing, weight.other_units) == (20430, 478, {})
    assert (length.median, width.median, height.median) == (7.7, 4.9, 1.4)
    assert (whole.same_items.groups, whole.same_items.photos) == (329, 669)
    assert [each.items_below for each in whole.outliers] == [0, 57, 48, 11]


def test_no_file_is_one_line(inputs: Inputs) -> None:
    inputs.folder("metadata")
    with pytest.raises(StepError, match=r"input/metadata: no Parquet file of the metadata there; the query step"):
        inputs.run()


def test_no_label_is_one_line(inputs: Inputs) -> None:
    with pytest.raises(StepError, match=r"^no label has a quantity of 0 to 5: there is nothing to explore$"):
        explored(inputs, Bin("1", 7.0, [item("A")]))


def test_labels_without_metadata_are_explored(inputs: Inputs) -> None:
    inputs.write([Bin("1", 1.0, [item("A")])])
    for path in inputs.folder("metadata").iterdir():
        pq.write_table(consolidated.SCHEMA.empty_table(), path)
    whole = inputs.run()
    assert whole is not None
    assert (whole.metadata_files, whole.labelled, whole.unequal_units) == (0, 1, 1)
    assert "No item has a weight or a size." in inputs.output("exploration.html").read_text()


def test_metadata_of_an_earlier_release_is_one_line_with_the_remedy(inputs: Inputs) -> None:
    inputs.write([Bin("1", 1.0, [item("A")])])
    old = pa.struct([("asin", pa.string()), ("name", pa.string()), ("quantity", pa.int32())])
    place = consolidated.SCHEMA.get_field_index("items")
    schema = consolidated.SCHEMA.set(place, pa.field("items", pa.map_(pa.string(), old)))
    for path in inputs.folder("metadata").iterdir():
        pq.write_table(schema.empty_table(), path)
    with pytest.raises(StepError, match=r"have no weight, length, width, height, as an earlier .* change data.version"):
        inputs.run()


@pytest.mark.parametrize(("name", "column"), [("labels", "image_etag"), ("metadata", "quantity_kind")])
def test_a_missing_column_is_named(inputs: Inputs, name: str, column: str) -> None:
    inputs.write([Bin("1", 1.0, [item("A")])])
    for path in inputs.folder(name).iterdir():
        pq.write_table(pq.read_table(path).drop_columns([column]), path)
    with pytest.raises(StepError, match=rf"input/{name}: the {name} have no column {column}; query again"):
        inputs.run()


def test_a_damaged_file_is_named_in_one_line(inputs: Inputs) -> None:
    inputs.write([Bin("1", 1.0, [item("A")])])
    (inputs.folder("labels") / "part-0.parquet").write_bytes(b"not Parquet at all")
    with pytest.raises(StepError, match=r"part-0\.parquet") as refusal:
        inputs.run()
    assert "\n" not in str(refusal.value)


def test_labels_of_another_type_are_one_line(inputs: Inputs) -> None:
    inputs.write([Bin("1", 1.0, [item("A")])])
    path = inputs.folder("labels") / "part-0.parquet"
    table = pq.read_table(path)
    place = labels.SCHEMA.get_field_index("asins")
    pq.write_table(table.set_column(place, "asins", pa.array(["A"])), path)
    with pytest.raises(StepError, match=r"^DuckDB: ") as refusal:
        inputs.run()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("engine", "hosts"), [("spark", 1), ("auto", 2)])
def test_spark_is_asked_for_where_the_image_has_none(
    inputs: Inputs, engine: str, hosts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steps.explore.engines.has_spark", lambda: False)
    config = inputs.base / "config" / "resourceconfig.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"current_host": "algo-1", "hosts": ["algo-1", "algo-2"][:hosts]}))
    with pytest.raises(StepError, match=r"^this image has no Spark, .* set explore.engine: local and explore.instance"):
        inputs.run(engine=engine)


def test_the_process_leaves_the_reason_where_sagemaker_reads_it(inputs: Inputs) -> None:
    inputs.folder("metadata")
    ended = subprocess.run(
        [sys.executable, "-m", "steps.explore", "--maximum-quantity", "5", "--engine", "auto"],
        env={**os.environ, "SAGEMAKER_BASE_DIR": str(inputs.base)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "no Parquet file of the metadata there" in (inputs.base / "output" / "message").read_text()
    assert "Traceback" not in ended.stdout + ended.stderr


def test_all_measures_have_a_row_in_the_page(inputs: Inputs) -> None:
    sizes = {name: ("lb" if name == "weight" else "IN", 2.0) for name in MEASURES}
    explored(inputs, Bin("1", 1.0, [item("<b>A</b>", **sizes)]))
    page = inputs.output("exploration.html").read_text()
    assert "2 lb (0.907 kg)" in page
    assert "2 in (5.08 cm)" in page
    assert "&lt;b&gt;A&lt;/b&gt;" in page
    assert "<b>A</b>" not in page
    assert "url(" not in page
    assert "src=" not in page
