"""The project's bucket and the raw photos."""

from __future__ import annotations

import pytest

from pipeline.settings import Settings
from tests.answers import Answers
from tests.unit.pipeline.operations.preflight.conftest import Look, changed, client

BUCKET = "bins-111122223333"


@pytest.fixture
def own(settings: Settings) -> Settings:
    """Settings whose photos lie in a bucket that can be made here."""
    return changed(settings, "data", image_location="s3://photos-raw/2026")


def test_a_bucket_of_the_account_in_its_region_is_fine_and_stays_empty(look: Look) -> None:
    client("s3").create_bucket(Bucket=BUCKET)
    assert look("bucket") == [("ok", f"{BUCKET} exists in account 111122223333; nothing was written to it")]
    assert client("s3").list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def test_a_bucket_that_is_not_there_is_a_failure(look: Look) -> None:
    assert look("bucket") == [("failed", f"there is no bucket {BUCKET}; create it: python -m pipeline bootstrap")]


def test_a_bucket_in_another_region_is_a_failure(look: Look, answers: Answers) -> None:
    answers.say_xml("s3.HeadBucket", "", headers={"x-amz-bucket-region": "eu-west-1"})
    [(status, detail)] = look("bucket")
    assert status == "failed"
    assert f"{BUCKET} is in eu-west-1, the account's region is us-east-1" in detail


def test_a_bucket_of_somebody_else_is_a_failure(look: Look, settings: Settings, answers: Answers) -> None:
    client("s3").create_bucket(Bucket=BUCKET)
    answers.say_xml("s3.HeadBucket", "", status=403, times=1)  # while the owner is asked for
    [(status, detail)] = look("bucket")
    assert status == "failed"
    assert f"{BUCKET} does not belong to account 111122223333" in detail


def test_a_bucket_that_these_credentials_may_not_look_at_is_not_checked(look: Look, answers: Answers) -> None:
    answers.say_xml("s3.HeadBucket", "", status=403)
    [(status, detail)] = look("bucket")
    assert status == "not checked"
    assert detail.startswith(f"these credentials may not s3:ListBucket on {BUCKET}")


def test_photos_and_metadata_have_to_lie_below_the_location(look: Look, own: Settings) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="photos-raw")
    s3.put_object(Bucket="photos-raw", Key="2026/bin-images/1.jpg", Body=b"x")
    assert look("raw photos", own) == [
        ("ok", "s3://photos-raw/2026/bin-images/"),
        (
            "failed",
            "there is no object below s3://photos-raw/2026/metadata/; data.image_location needs bin-images and"
            " metadata",
        ),
    ]


def test_a_location_without_a_bucket_is_a_failure(look: Look, own: Settings) -> None:
    found = set(look("raw photos", own))
    assert found == {("failed", "there is no bucket photos-raw; set data.image_location to the photos' prefix")}


def test_photos_in_another_region_cost_by_the_gigabyte(look: Look, own: Settings) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="photos-raw", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    for folder in ("bin-images", "metadata"):
        s3.put_object(Bucket="photos-raw", Key=f"2026/{folder}/1", Body=b"x")
    *_, (status, detail) = look("raw photos", own)
    assert status == "warning"
    assert "photos-raw is in eu-west-1, not in us-east-1" in detail
    assert "each GB read costs 0.01 to 0.02 USD" in detail
    assert "NAT gateway" not in detail
    *_, (_, detail) = look("raw photos", changed(own, "network", subnets=["subnet-1"]))
    assert detail.endswith("a gateway endpoint does not lead there, so network.subnets need a NAT gateway")


def test_photos_that_only_the_job_role_may_list_are_not_checked(look: Look, own: Settings, answers: Answers) -> None:
    answers.error("s3.ListObjectsV2", "AccessDenied", "Access Denied", status=403)
    answers.say_xml("s3.HeadBucket", "", status=403, headers={"x-amz-bucket-region": "us-west-2"})
    found = look("raw photos", own)
    assert {status for status, _ in found} == {"not checked", "warning"}
    assert "the job role reads it" in found[0][1]
    # A refusal tells the region all the same.
    assert "photos-raw is in us-west-2" in found[-1][1]


@pytest.mark.parametrize(
    ("uri", "status", "words"),
    [
        ("s3://photos-raw/weights/resnet34.pth", "ok", "resnet34.pth"),
        (
            "s3://photos-raw/weights/resnet35.pth",
            "failed",
            "training.weights: there is no object s3://photos-raw/weights",
        ),
        ("s3://no-such-photos/resnet34.pth", "failed", "training.weights: there is no bucket no-such-photos"),
    ],
)
def test_a_file_that_the_settings_name_is_looked_for_before_a_run_reads_it(
    look: Look, settings: Settings, uri: str, status: str, words: str
) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="photos-raw")
    s3.put_object(Bucket="photos-raw", Key="weights/resnet34.pth", Body=b"x")
    [(found, detail)] = look("files", changed(settings, "training", weights=uri))
    assert found == status
    assert words in detail


def test_without_named_files_nothing_is_asked(look: Look) -> None:
    assert look("files") == [("ok", "none is named")]
