"""Photos of an evaluation: which errors are the largest, and what is not shown."""

from __future__ import annotations

import json

import boto3
import pytest

from pipeline.operations.models import pictures, registry
from pipeline.operations.models.details import Details
from pipeline.settings import Settings
from steps.contracts import photo_files
from steps.contracts.errors import PipelineError
from tests.unit.pipeline.operations.models import evaluated

PLACE = Details(parameters={"ImageLocation": "s3://raw-photos-of-a-test/photos"})


@pytest.fixture(autouse=True)
def bucket(account: None, settings: Settings) -> None:
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket=settings.data.bucket)
    s3.create_bucket(Bucket="raw-photos-of-a-test")
    boto3.client("sagemaker", region_name="us-east-1").create_model_package_group(
        ModelPackageGroupName=settings.registry.group
    )


def put(bucket: str, key: str, content: bytes) -> None:
    boto3.client("s3", region_name="us-east-1").put_object(Bucket=bucket, Key=key, Body=content)


def test_the_largest_errors_come_first_and_right_counts_not_at_all(settings: Settings) -> None:
    evaluated.register(settings, "a", [1, 2, 3, 4, 5], [1, 3, 5, 1, 4], ids=list("abcde"))
    errors = pictures.largest_errors(settings, registry.resolve(settings, "1"), limit=3)
    assert [(each.image_id, each.quantity, each.predicted) for each in errors] == [
        ("d", 4, 1),
        ("c", 3, 5),
        ("b", 2, 3),
    ]
    assert errors[0].confidence == 1


def test_a_version_that_counts_all_right_has_no_errors(settings: Settings) -> None:
    evaluated.register(settings, "a", [1, 2], [1, 2])
    assert pictures.largest_errors(settings, registry.resolve(settings, "1")) == ()


def test_photos_of_the_test_split_are_of_all_quantities_and_the_same_at_each_look(settings: Settings) -> None:
    truth = [0] * 50 + [1, 2, 2] + [5] * 50
    evaluated.register(settings, "a", truth, [5] * len(truth))
    version = registry.resolve(settings, "1")
    photos = pictures.of_test_split(settings, version, limit=8)
    assert [photo.quantity for photo in photos] == [0, 0, 0, 1, 2, 2, 5, 5]
    assert {photo.predicted for photo in photos} == {5}
    assert photos == pictures.of_test_split(settings, version, limit=8)
    assert len({photo.image_id for photo in photos}) == 8


@pytest.mark.parametrize("content", [b"", b"no parquet"])
def test_damaged_predictions_are_named(settings: Settings, content: bytes) -> None:
    evaluated.register(settings, "a", [1], [2])
    put(settings.data.bucket, "runs/a/predictions.parquet", content)
    with pytest.raises(PipelineError, match=r"runs/a/predictions.parquet: not the predictions of an evaluation"):
        pictures.largest_errors(settings, registry.resolve(settings, "1"))


def test_damage_inside_of_predictions_is_named(settings: Settings) -> None:
    """The file ends as Parquet does; what it says of itself is lost, which Arrow reports as an error of the system."""
    evaluated.register(settings, "a", [1], [2])
    place = {"Bucket": settings.data.bucket, "Key": "runs/a/predictions.parquet"}
    s3 = boto3.client("s3", region_name="us-east-1")
    whole = s3.get_object(**place)["Body"].read()
    s3.put_object(**place, Body=whole[:-108] + bytes(100) + whole[-8:])
    with pytest.raises(PipelineError, match=r"runs/a/predictions.parquet: not the predictions of an evaluation"):
        pictures.largest_errors(settings, registry.resolve(settings, "1"))


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", json.dumps({"photos": [{"image_id": "a"}]}).encode()])
def test_damaged_golden_photos_are_named(settings: Settings, content: bytes) -> None:
    put(settings.data.bucket, "golden.json", content)
    with pytest.raises(PipelineError, match=r"golden.json: no golden photos"):
        pictures.golden_photos(settings, Details(golden_uri=f"s3://{settings.data.bucket}/golden.json"))


def test_an_original_has_any_spelling_of_its_suffix(settings: Settings) -> None:
    put("raw-photos-of-a-test", "photos/bin-images/7.JPEG", b"\xff\xd8\xff7")
    assert pictures.original(settings, PLACE, "7") == b"\xff\xd8\xff7"


@pytest.mark.parametrize("image_id", ["8", "../7", "", "a/b", "_7"])
def test_an_id_without_a_photo_has_none(settings: Settings, image_id: str) -> None:
    put("raw-photos-of-a-test", "photos/7.jpg", b"\xff\xd8\xff7")
    assert pictures.original(settings, PLACE, image_id) is None


def test_a_photo_that_is_larger_than_a_run_takes_is_not_read(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo_files, "MAX_BYTES", 8)
    put("raw-photos-of-a-test", "photos/bin-images/7.jpg", b"\xff\xd8\xff" + bytes(8))
    with pytest.raises(PipelineError, match=r"7.jpg has more than 8 bytes"):
        pictures.original(settings, PLACE, "7")
