"""Tables of true counts: what is read, and what is refused with its place."""

import io

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steps.contracts import truth_table
from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri


def read(content, name="s3://b/t.csv", wanted=None):
    data = content.encode() if isinstance(content, str) else content
    return [(count.image_id, count.quantity) for count in truth_table.rows(io.BytesIO(data), name, wanted)]


def parquet(**columns):
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        "image_id,quantity\n00001,2\nb,0\n",
        "quantity;image_id;who\r\n2;00001;ann\r\n0; b ;\r\n;c;\r\n\r\n",
        "image_id,quantity\n00001,2.0\nb,0.\nc,\n",
        "image_id\tquantity\r00001\t2\rb\t0\r",
        "\ufeffimage_id,quantity\n00001,2\nb,0\n",
        "image_id,quantity\n00001,2\nb,0\n".encode("utf-16"),
        "image_id,quantity\n00001,2\nb,0\n".encode("utf-16-le"),
    ],
    ids=[
        "plain",
        "other order, semicolons and a gap",
        "a column with a gap as pandas writes it",
        "Excel for the Mac",
        "byte order mark",
        "UTF-16",
        "UTF-16 LE",
    ],
)
def test_a_csv_file_is_read_as_programs_write_it(content):
    assert read(content) == [("00001", 2), ("b", 0)]


@pytest.mark.parametrize(
    "columns",
    [
        {"image_id": ["00001", "b"], "quantity": [2, 0]},
        {"image_id": pa.array(["00001", "b"], pa.large_string()), "quantity": pa.array([2, 0], pa.int8())},
        {"image_id": pa.array(["00001", "b", "c"]).dictionary_encode(), "quantity": [2.0, 0.0, None]},
        {"image_id": ["00001", "b", "c"], "quantity": pa.array([2, 0, None], pa.uint64()), "who": ["", "", ""]},
    ],
    ids=["plain", "other types", "a gap as pandas stores it", "a gap"],
)
def test_a_parquet_file_is_read_as_programs_write_it(columns):
    assert read(parquet(**columns), "t.parquet") == [("00001", 2), ("b", 0)]


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_pandas_gap_is_no_count(form):
    file = io.BytesIO()
    table = pd.DataFrame({"image_id": ["a", "b"], "quantity": [1, float("nan")]})
    table.to_parquet(file) if form == "parquet" else table.to_csv(file, index=False)
    assert read(file.getvalue(), f"t.{form}") == [("a", 1)]


@pytest.mark.parametrize(("name", "form"), [("t.csv", "csv"), ("t.parquet", "parquet")])
def test_only_the_wanted_ids_are_returned_and_every_row_is_checked(name, form, monkeypatch):
    monkeypatch.setattr(truth_table, "_ROWS", 3)
    ids, quantities = [f"p{number}" for number in range(8)], list(range(8))

    def table(numbers):
        if form == "parquet":
            return parquet(image_id=ids, quantity=numbers)
        return "image_id,quantity\n" + "".join(f"{i},{q}\n" for i, q in zip(ids, numbers, strict=True))

    assert read(table(quantities), name, {"p1", "p6", "none"}) == [("p1", 1), ("p6", 6)]
    place = "row 5" if form == "parquet" else "line 6"
    with pytest.raises(StepError, match=rf"^{name}: {place} has quantity -1; a count is 0 or more"):
        read(table([0, 1, 2, 3, -1, 5, 6, 7]), name, {"p1"})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "t.csv",
            "image,quantity\na,1\n",
            "the columns, separated by commas, are image, quantity; it needs image_id and",
        ),
        ("t.csv", "", "the columns, separated by commas, are missing"),
        ("t.csv", "image_id,quantity\na,two\n", "line 2 has quantity 'two'; a count is a whole number"),
        ("t.csv", "image_id,quantity\na,1\nb,1.5\n", r"line 3 has quantity '1\.5'"),
        ("t.csv", "image_id,quantity\na,1\nb\n", "line 3 has 1 columns, the first line 2"),
        ("t.csv", "image_id,quantity\na,-\n", "line 2 has quantity '-'"),
        ("t.csv", "image_id,quantity\na,--5\n", "line 2 has quantity '--5'; a count is a whole number"),
        ("t.csv", "image_id,quantity\na,2.0.0\n", r"line 2 has quantity '2\.0\.0'"),
        ("t.csv", "image_id,quantity\na,.0\n", r"line 2 has quantity '\.0'"),
        ("t.csv", "image_id,quantity\na,-2.0\n", "line 2 has quantity -2; a count is 0 or more"),
        ("t.csv", "image_id,quantity\na,\u0662\n", "line 2 has quantity '\u0662'"),
        pytest.param(
            "t.csv",
            f"image_id,quantity\na,{'9' * 5000}\n",
            f"line 2 has quantity '{'9' * 40}'; a count is a whole number of at most nine digits",
            id="5,000 digits",
        ),
        ("t.csv", b"image_id,quantity\n\xff\xff,1\n", "it is neither UTF-8 nor UTF-16"),
        ("t.parquet", b"no parquet", "no columns image_id and quantity can be read from it"),
        (
            "t.parquet",
            parquet(image_id=["a"], count=[1]),
            "the columns are image_id, count; it needs .* lacks quantity",
        ),
        ("t.parquet", parquet(image_id=[1], quantity=[1]), "image_id must be a string column, it is int64"),
        (
            "t.parquet",
            parquet(image_id=["a"], quantity=["1"]),
            "quantity must be a column of whole numbers, it is string",
        ),
        ("t.parquet", parquet(image_id=["a"], quantity=[1.5]), "quantity has a value that is no whole number"),
    ],
)
def test_what_is_no_table_of_true_counts_is_refused_with_its_place(name, content, message):
    with pytest.raises(StepError, match=f"^{name}: {message}"):
        read(content, name)


@pytest.mark.parametrize(
    ("location", "listed", "prefix", "tables"),
    [
        (
            "s3://bucket/truth",
            ["truth/a.csv", "truth/x.txt", "truth/2/b.parquet"],
            "truth/",
            ["truth/a.csv", "truth/2/b.parquet"],
        ),
        ("s3://bucket/truth/", ["truth/a.csv"], "truth/", ["truth/a.csv"]),
        ("s3://bucket/t.csv", ["t.csv", "t.csv.parquet"], "t.csv", ["t.csv"]),
        ("s3://bucket", ["a.csv"], "", ["a.csv"]),
        ("s3://bucket/truth", [], "truth/", []),
    ],
)
def test_a_location_is_a_table_or_a_folder(location, listed, prefix, tables):
    place = S3Uri.parse(location)
    assert truth_table.listed_prefix(place).key == prefix
    assert [table.key for table in truth_table.tables(place, listed)] == tables
