"""The demo's own parts: which bins it takes, and how it shows what came of them. All of it runs in integration."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from pipeline import ROOT
from pipeline.cli import demo_run as demo
from pipeline.cli.demo_run import Bins
from pipeline.settings import Settings
from pipeline.settings.file import load_settings
from pipeline.settings.parameters import declarations
from steps.contracts.errors import PipelineError


def parquet(*rows: tuple[str, int]) -> bytes:
    table = pa.table({"image_id": [row[0] for row in rows], "quantity": [row[1] for row in rows]})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def test_the_predicted_bins_hold_different_quantities() -> None:
    rows = [("b", 1), ("a", 1), ("c", 0), ("d", 3), ("e", 5), ("f", 2), ("g", 4)]
    assert demo.chosen_predictions(parquet(*rows), 3) == {"c": 0, "f": 2, "g": 4}


@pytest.mark.parametrize("rows", [[("a", 2)], [("a", 2), ("b", 3)]])
def test_with_fewer_quantities_fewer_bins_are_predicted(rows: list[tuple[str, int]]) -> None:
    assert demo.chosen_predictions(parquet(*rows), 3) == dict(rows)


def test_the_same_bins_have_the_same_version_and_others_another(tmp_path: Path) -> None:
    (tmp_path / "bins.tar").write_bytes(b"1")
    source = str(tmp_path / "bins.tar")
    each = [
        Bins(None, 1800, 1, None),
        Bins(None, 1800, 2, None),
        Bins(None, 1801, 1, None),
        Bins(source, 1800, 1, None),
        Bins(source, 1800, 1, 10),
        Bins("s3://photos/", 1800, 1, None),
    ]
    versions = [bins.version for bins in each]
    assert len(set(versions)) == len(versions)
    assert versions == [bins.version for bins in each]
    (tmp_path / "bins.tar").write_bytes(b"12")
    assert Bins(source, 1800, 1, None).version != versions[3]


@pytest.fixture
def settings(s3: Any, bucket: str) -> Settings:
    values = load_settings(ROOT / "pipeline.yaml", "demo").model_dump()
    values["data"] |= {"bucket": bucket, "image_location": f"s3://{bucket}/raw"}
    return Settings.model_validate(values)


def keys(s3: Any, settings: Settings) -> list[str]:
    objects = s3.list_objects_v2(Bucket=settings.data.bucket, Prefix="raw/").get("Contents", [])
    return [entry["Key"].removeprefix("raw/") for entry in objects]


def put(settings: Settings, bins: Bins) -> str:
    out = io.StringIO()
    demo.put_bins(settings, bins, Console(file=out, width=200))
    return out.getvalue()


def test_bins_are_uploaded_once(s3: Any, settings: Settings) -> None:
    assert "4 synthetic bins (seed 1) in s3://" in put(settings, Bins(None, 4, 1, None))
    first = {key: s3.head_object(Bucket=settings.data.bucket, Key=f"raw/{key}") for key in keys(s3, settings)}
    assert sorted({key.split("/")[0] for key in first}) == ["bin-images", "metadata"]
    assert len(first) == 8
    assert "already" in put(settings, Bins(None, 4, 1, None))
    for key, before in first.items():
        assert s3.head_object(Bucket=settings.data.bucket, Key=f"raw/{key}")["LastModified"] == before["LastModified"]


def test_other_bins_take_the_place_of_those_before(s3: Any, settings: Settings) -> None:
    put(settings, Bins(None, 4, 1, None))
    put(settings, Bins(None, 2, 2, None))
    assert len(keys(s3, settings)) == 4


def test_an_upload_that_was_cut_short_is_done_again(
    s3: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise PipelineError("the connection was lost")

    with monkeypatch.context() as patch:
        patch.setattr(demo, "upload", broken)
        with pytest.raises(PipelineError, match="connection was lost"):
            put(settings, Bins(None, 2, 1, None))
    put(settings, Bins(None, 2, 1, None))
    assert len(keys(s3, settings)) == 4


def bins_below(folder: Path, *names: str) -> Bins:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"{}")
    return Bins(str(folder), 4, 1, None)


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ((), "has no folder bin-images/|has no bin-images"),
        (("bin-images/1.jpg",), "has no folder metadata/"),
        (("bin-images/1.jpg", "metadata/2.json"), "no bin has a photo and metadata"),
    ],
)
def test_a_source_is_looked_into_before_the_bins_of_the_last_demo_are_deleted(
    s3: Any, settings: Settings, tmp_path: Path, names: tuple[str, ...], problem: str
) -> None:
    """The kind: something is deleted before it is known that what takes its place can be read."""
    put(settings, Bins(None, 4, 1, None))
    (tmp_path / "other").mkdir()
    with pytest.raises(PipelineError, match=problem):
        put(settings, bins_below(tmp_path / "other", *names))
    with pytest.raises(PipelineError, match="no such file or folder"):
        put(settings, Bins(str(tmp_path / "nowhere"), 4, 1, None))
    assert len(keys(s3, settings)) == 8
    assert "already" in put(settings, Bins(None, 4, 1, None))


def test_what_goes_is_said(settings: Settings) -> None:
    put(settings, Bins(None, 4, 1, None))
    assert "4 bins of the last demo (4 synthetic bins (seed 1)): deleted." in put(settings, Bins(None, 2, 2, None))


@pytest.mark.parametrize("key", ["bin-images/own.jpg", "metadata/own.json", "bin-images/folder/own.JPG"])
def test_photos_that_no_demo_uploaded_are_not_deleted(s3: Any, settings: Settings, key: str) -> None:
    s3.put_object(Bucket=settings.data.bucket, Key=f"raw/{key}", Body=b"own")
    with pytest.raises(PipelineError, match="photos that no demo uploaded"):
        put(settings, Bins(None, 4, 1, None))
    assert keys(s3, settings) == [key]


@pytest.mark.parametrize(
    ("bins", "is_open"),
    [
        (Bins(None, 100, 1), True),
        (Bins(None, 1799, 1), True),
        (Bins(None, 1800, 1), False),
        (Bins(None, 5000, 7), False),
        (Bins("photos.tar", 1800, 1), True),
    ],
)
def test_the_gate_of_the_demo_is_one_that_its_bins_can_pass(bins: Bins, is_open: bool) -> None:
    """The kind: a stated minimum that what follows does not accept."""
    assert bool(bins.reason_for_an_open_gate) == is_open


def test_an_open_gate_leaves_out_no_limit_and_says_each() -> None:
    """Kind: bins of one's own after the synthetic ones, and a gate that compares both models."""
    limits = {name for name, each in declarations().items() if each.place.startswith("gate.")}
    assert set(demo.OPEN_GATE) == limits
    assert demo.OPEN_GATE["MaximumAccuracyLoss"] == "1"
