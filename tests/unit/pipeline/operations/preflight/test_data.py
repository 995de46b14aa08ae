"""The project's bucket and the raw photos."""

from __future__ import annotations

import json

import pytest

from pipeline.settings import Settings
from steps.contracts import imagenet_weights
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
    for name in ("bin-images/1.jpg", "metadata/1.json"):
        s3.put_object(Bucket="photos-raw", Key=f"2026/{name}", Body=b"x")
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
        (
            "s3://no-such-photos/resnet34.pth",
            "failed",
            "there is no object s3://no-such-photos/resnet34.pth; upload it",
        ),
    ],
)
def test_a_file_that_the_settings_name_is_looked_for_before_a_run_reads_it(
    look: Look, settings: Settings, uri: str, status: str, words: str
) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="photos-raw")
    s3.put_object(Bucket="photos-raw", Key="weights/resnet34.pth", Body=b"x")
    [(found, detail)] = look("weights", changed(settings, "training", weights=uri))
    assert found == status
    assert words in detail


def test_without_named_files_nothing_is_asked(look: Look, settings: Settings) -> None:
    assert look("weights", changed(settings, "training", weights="none")) == [("ok", "none are named")]


def test_published_weights_are_missing_until_the_command_has_brought_them(
    look: Look, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    client("s3").create_bucket(Bucket=BUCKET)
    uri = f"s3://{BUCKET}/bin-counting/weights/resnet34-b627a593.pth"
    remedy = "put it there: python -m pipeline weights"
    assert look("weights") == [("failed", f"training.weights: there is no object {uri}; {remedy}")]
    client("s3").put_object(Bucket=BUCKET, Key=settings.weights_uri.removeprefix(f"s3://{BUCKET}/"), Body=b"x")
    size = "has 1 byte, and torchvision's file about 87.3 MB"
    assert look("weights") == [("failed", f"training.weights: {uri} {size}; replace it: python -m pipeline weights")]
    published = imagenet_weights.FILES["resnet34"]._replace(mebibytes=1 / 2**20)
    monkeypatch.setitem(imagenet_weights.FILES, "resnet34", published)
    assert look("weights") == [("ok", uri)]


def test_of_weights_in_a_bucket_of_others_nothing_is_said(look: Look, answers: Answers) -> None:
    answers.say_xml("s3.ListObjectsV2", "<Error><Code>AccessDenied</Code></Error>", status=403)
    [(status, detail)] = look("weights")
    assert status == "not checked"
    assert f"may not s3:ListBucket on {BUCKET} (the job role reads it)" in detail


# ------------------------------------------------------------------- what a run would fail on, or leave out in silence


def put(*objects: tuple[str, object]) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="photos-raw")
    for key, content in objects:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        s3.put_object(Bucket="photos-raw", Key=f"2026/{key}", Body=body)


def test_files_that_a_run_leaves_out_are_counted_and_named(look: Look, own: Settings) -> None:
    names = ("1.JPG", "2.png", "3.HEIC", "._1.jpg", "sub/4.jpg")
    put(*((f"bin-images/{name}", b"x") for name in names), ("metadata/1.json", {"group": "a", "EXPECTED_QUANTITY": 1}))
    [(status, detail)] = [finding for finding in look("raw photos", own) if finding[0] != "ok"]
    assert status == "warning"
    assert "1 hidden-file (._1.jpg); 1 in-a-folder-below (sub/4.jpg); 2 other-format (2.png, 3.HEIC)" in detail


@pytest.mark.parametrize("name", ["bin-images/1.png", "bin-images/.DS_Store", "metadata/1.txt", "metadata/1.jpg"])
def test_a_folder_without_any_file_of_a_run_is_a_failure(look: Look, own: Settings, name: str) -> None:
    other = "metadata/1.json" if name.startswith("bin") else "bin-images/1.jpg"
    put((name, b"x"), (other, {"EXPECTED_QUANTITY": 0}))
    [(_, detail)] = [finding for finding in look("raw photos", own) if finding[0] == "failed"]
    assert "has the name of a run's files: 1 " in detail


@pytest.mark.parametrize("fields", [{}, {"BIN_FCSKU_DATA": {}}, {"BIN_FCSKU_DATA": None, "group": ""}])
def test_metadata_that_name_no_bin_are_a_warning(look: Look, own: Settings, fields: dict[str, object]) -> None:
    put(("bin-images/1.jpg", b"x"), ("metadata/1.json", {"EXPECTED_QUANTITY": 2} | fields))
    *_, (status, detail) = look("raw photos", own)
    assert status == "warning"
    assert "name neither items nor a group" in detail
    assert "leakage is not known" in detail


@pytest.mark.parametrize(
    "document",
    [
        {"EXPECTED_QUANTITY": 2, "group": "a"},
        {"EXPECTED_QUANTITY": 2, "BIN_FCSKU_DATA": {"B1": {}}},
        {"expected_quantity": 2, "Group": 7},
        {"EXPECTED_QUANTITY": 2, "group": 0},
        {"EXPECTED_QUANTITY": 0},
        b"not JSON",
    ],
)
def test_metadata_that_name_the_bin_and_empty_bins_are_fine(look: Look, own: Settings, document: object) -> None:
    put(("bin-images/1.jpg", b"x"), ("metadata/1.json", document))
    assert {status for status, _ in look("raw photos", own)} == {"ok"}


def labelled(settings: Settings, location: str) -> Settings:
    return changed(settings, "monitoring", truth=location)


def test_without_true_counts_nothing_is_read(look: Look) -> None:
    assert look("true counts") == [("ok", "monitoring.truth is not set: the monitor measures no accuracy")]


def test_the_newest_table_of_true_counts_is_read(look: Look, settings: Settings) -> None:
    put(("truth/a.csv", b"image_id,quantity\na,1\nb,2\n"), ("truth/x.txt", b"x"), ("truth-2/b.csv", b"none"))
    chosen = labelled(settings, "s3://photos-raw/2026/truth")
    assert look("true counts", chosen) == [
        ("ok", "s3://photos-raw/2026/truth has 1 table, the newest with 2 true counts")
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"image_id,quantity\n1,many\n", "line 2 has quantity 'many'"),
        (b"image_id,quantity\n1,-2\n", "line 2 has quantity -2"),
        (b"image_id,quantity\n1\n", "line 2 has 1 columns"),
        (b"image_id,quantity\n\xff\xff,1\n", "neither UTF-8 nor UTF-16"),
        (b"id,quantity\n1,1\n", "the columns, separated by commas, are id, quantity; it needs image_id and quantity"),
    ],
)
def test_a_table_that_the_monitor_would_refuse_is_a_failure(
    look: Look, settings: Settings, content: bytes, message: str
) -> None:
    put(("truth/a.csv", content))
    [(status, detail)] = look("true counts", labelled(settings, "s3://photos-raw/2026/truth"))
    assert (status, message in detail) == ("failed", True)
    assert detail.startswith("s3://photos-raw/2026/truth/a.csv: ")
    assert detail.endswith("; correct the table, or set another monitoring.truth")


def test_true_counts_that_are_not_there_yet_are_a_warning(look: Look, settings: Settings, answers: Answers) -> None:
    put(("truth/a.xlsx", b"x"))
    [(status, detail)] = look("true counts", labelled(settings, "s3://photos-raw/2026/truth"))
    assert (status, "no .parquet or .csv object with true counts yet; 1 object of other names" in detail) == (
        "warning",
        True,
    )
    [(status, detail)] = look("true counts", labelled(settings, "s3://absent-bucket/truth"))
    assert (status, detail.split(";")[0]) == ("failed", "there is no bucket absent-bucket")
    answers.error("s3.ListObjectsV2", "AccessDenied", "Access Denied", status=403)
    [(status, _)] = look("true counts", labelled(settings, "s3://photos-raw/truth"))
    assert status == "not checked"


def given(settings: Settings, location: str) -> Settings:
    return changed(settings, "shard", split="file", split_file=location)


def test_without_a_given_split_nothing_is_read(look: Look) -> None:
    assert look("split file") == [("ok", "none is needed: shard.split is grouped")]


def test_a_split_that_can_be_read_is_counted(look: Look, settings: Settings) -> None:
    put(("split.csv", "image_id;split\r\n00001;train\r\n1;test\r\n".encode("utf-16")))
    location = "s3://photos-raw/2026/split.csv"
    assert look("split file", given(settings, location)) == [("ok", f"{location} assigns 2 photos")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"image_id,split\n1,holdout\n", "image '1' has split 'holdout'"),
        (b"id,split\n1,train\n", "the columns, separated by commas, are id, split; it needs image_id and split"),
        (b"image_id,split\n1,train\n1,test\n", "image '1' has two splits"),
        (b"", "no .parquet or .csv object with the split"),
    ],
)
def test_a_split_that_shardimages_would_refuse_is_a_failure(
    look: Look, settings: Settings, content: bytes, message: str
) -> None:
    put(("split.csv", content))
    [(status, detail)] = look("split file", given(settings, "s3://photos-raw/2026/split.csv"))
    assert status == "failed"
    assert message in detail
    assert detail.endswith("; set another shard.split_file")


def test_a_split_in_no_bucket_and_one_that_may_not_be_read(look: Look, settings: Settings, answers: Answers) -> None:
    [(status, detail)] = look("split file", given(settings, "s3://absent-bucket/split.csv"))
    assert (status, detail.split(";")[0]) == ("failed", "there is no bucket absent-bucket")
    answers.error("s3.ListObjectsV2", "AccessDenied", "Access Denied", status=403)
    [(status, _)] = look("split file", given(settings, "s3://photos-raw/split.csv"))
    assert status == "not checked"
