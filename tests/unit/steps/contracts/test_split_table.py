"""A given split as other programs write it.

The kind: a table that every other program reads, refused for its encoding, its separator or its types.
"""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.contracts.split_table import combined, files, parse

IDS, SPLITS = ["00001", "1", "2"], ["train", "validation", "test"]
TABLE = {"image_id": IDS, "split": SPLITS}


def parquet(ids: pa.Array, splits: pa.Array) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"other": [1, 2, 3], "split": splits, "image_id": ids}), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),  # pandas 3, polars
        pa.string_view(),  # polars
        pa.dictionary(pa.int32(), pa.string()),  # a categorical of pandas
        pa.dictionary(pa.uint32(), pa.large_string()),  # a categorical of polars
    ],
)
def test_parquet_with_any_type_of_text_is_read(kind: pa.DataType) -> None:
    assert parse(parquet(pa.array(IDS).cast(kind), pa.array(SPLITS).cast(kind)), "s.parquet").to_pydict() == TABLE


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), pa.dictionary(pa.int32(), pa.int64())])
def test_numbers_are_no_ids(kind: pa.DataType) -> None:
    ids = (
        pa.array([1, 2, 3]).cast(kind) if not pa.types.is_dictionary(kind) else pa.array([1, 2, 3]).dictionary_encode()
    )
    with pytest.raises(StepError, match=r"^s\.parquet: image_id must be a string column, it is (int64|double)$"):
        parse(parquet(ids, pa.array(SPLITS)), "s.parquet")


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_is_read_in_any_usual_encoding_and_by_any_usual_separator(mark: str, encoding: str, end: str) -> None:
    rows = [("other", "split", "image_id"), *((f"x{image_id}", *pair) for image_id, *pair in zip(IDS, SPLITS, IDS))]  # noqa: B905
    text = end.join(mark.join(row) for row in rows) + end
    assert parse(text.encode(encoding), "s.csv").to_pydict() == TABLE


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id;set\n1;train\n", "the columns, separated by semicolons, are id, set; it needs image_id and split"),
        (b"image_id,split\n1\n", "line 2 has 1 columns, the first line 2"),
        (b"image_id,split\n1,holdout\n", "image '1' has split 'holdout'; use train, validation, test"),
        ("image_id,split\nü,train\n".encode("latin-1"), "byte 15 is neither UTF-8 nor UTF-16; save it as CSV in UTF-8"),
        (b"", "the columns, separated by commas, are missing"),
    ],
)
def test_what_is_no_split_is_refused_with_its_place(content: bytes, message: str) -> None:
    with pytest.raises(StepError) as caught:
        parse(content, "s.csv")
    assert str(caught.value).startswith("s.csv: ")
    assert message in str(caught.value)


def test_other_bytes_are_no_parquet() -> None:
    with pytest.raises(StepError, match="no columns image_id and split can be read from it"):
        parse(b"PAR1", "s.parquet")


def test_an_object_or_every_file_below_a_prefix_is_read() -> None:
    location = S3Uri("b", "s/split.csv")
    listed = [("s/split.csv", 9), ("s/split.csv.parquet", 9), ("s/empty.csv", 0), ("s/readme", 3)]
    assert files(location, listed) == [location]
    assert [uri.key for uri in files(S3Uri("b", "s/"), listed)] == ["s/split.csv", "s/split.csv.parquet"]
    with pytest.raises(StepError, match=r"no \.parquet or \.csv object with the split"):
        files(S3Uri("b", "t"), [("t/readme", 3)])


def test_an_id_with_two_splits_is_refused() -> None:
    first, second = parse(b"image_id,split\n1,train\n", "a.csv"), parse(b"image_id,split\n1,test\n", "b.csv")
    assert len(combined([first, first], "s")) == 1
    with pytest.raises(StepError, match="image '1' has two splits, test and train"):
        combined([first, second], "s")
