"""A folder, a tar and a public bucket have the same bins; any other source is refused in one line."""

import io
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from pipeline.samples import layout
from pipeline.samples.layout import Bin, image_key, metadata_key, parse
from pipeline.samples.sources import Source, open_source
from pipeline.samples.synthetic import generate
from steps.contracts import photo_files
from steps.contracts.errors import PipelineError, StepError

BINS = list(generate(8, seed=3))


def open_(text: str | Path | None, **options) -> Source:
    return open_source(None if text is None else str(text), **{"count": 5, "seed": 1, **options})


def put(root: Path, name: str, data: bytes) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(data)


def contents(bins: list[Bin]) -> dict[str, bytes]:
    files = {}
    for sample in bins:
        files[image_key(sample.image_id)] = sample.jpeg
        files[metadata_key(sample.image_id)] = sample.metadata
    return files


def make_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in contents(BINS).items():
        put(tmp_path / "data", name, data)
    return tmp_path / "data"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return make_tar(tmp_path / "bins.tar", contents(BINS))


# ------------------------------------------------------------------------------------------ what is read


def test_no_source_means_synthetic_bins_of_that_count_and_seed() -> None:
    source = open_(None, count=4, seed=9)
    assert source.count == 4
    assert list(source) == list(generate(4, 9))


def test_a_folder_gives_its_bins_in_order_and_says_how_many(folder: Path) -> None:
    source = open_(folder)
    assert source.count == len(BINS)
    assert list(source) == BINS
    assert source.skipped.totals == {}


def test_a_tar_gives_the_same_bins_as_the_folder(archive: Path) -> None:
    source = open_(archive)
    assert source.count == len(BINS)
    assert list(source) == BINS


def test_a_tar_of_all_photos_before_all_metadata_and_with_dotted_names_is_read_too(tmp_path: Path) -> None:
    files = {f"./{name}": data for name, data in sorted(contents(BINS).items(), reverse=True)}
    assert list(open_(make_tar(tmp_path / "b.tar", files))) == BINS


def test_the_real_photos_are_read_from_their_tar(abid: Path) -> None:
    source = open_(abid / "originals.tar", limit=20)
    bins = list(source)
    assert len(bins) == source.count == 20
    assert bins[0].image_id == "00004"
    assert all(sample.jpeg.startswith(b"\xff\xd8\xff") and b"EXPECTED_QUANTITY" in sample.metadata for sample in bins)


@pytest.mark.parametrize("which", ["folder", "archive"])
def test_the_limit_takes_the_first_bins(which: str, request: pytest.FixtureRequest) -> None:
    source = open_(request.getfixturevalue(which), limit=3)
    assert source.count == 3
    assert list(source) == BINS[:3]


def test_a_limit_above_what_there_is_does_not_promise_more(folder: Path) -> None:
    assert open_(folder, limit=1000).count == len(BINS)


@pytest.mark.parametrize("which", ["folder", "archive"])
def test_bins_without_a_counterpart_are_left_out_and_counted(which: str, tmp_path: Path) -> None:
    files = contents(BINS)
    del files[image_key("00002")], files[metadata_key("00003")], files[metadata_key("00005")]
    files |= {"bin-images/notes.txt": b"x", "metadata/.hidden.json": b"{}"}
    for name, data in files.items():
        put(tmp_path / "data", name, data)
    source = open_(tmp_path / "data" if which == "folder" else make_tar(tmp_path / "b.tar", files))
    assert source.count == 5
    assert [sample.image_id for sample in source] == ["00001", "00004", "00006", "00007", "00008"]
    left_out = {layout.NO_IMAGE: 1, layout.NO_METADATA: 2, photo_files.OTHER_FILE: 1, photo_files.HIDDEN: 1}
    assert source.skipped.totals == left_out
    assert source.skipped.examples[layout.NO_METADATA] == ["bin-images/00003.jpg", "bin-images/00005.jpg"]


@pytest.mark.parametrize("which", ["folder", "archive"])
def test_a_photo_is_one_by_the_same_names_as_in_a_run(which: str, tmp_path: Path) -> None:
    """The kind: a file that is passed over in silence, or taken by one command and not by another."""
    files = contents(BINS[:3])
    for image_id, suffix in (("00001", ".JPG"), ("00002", ".jpeg")):
        files[f"bin-images/{image_id}{suffix}"] = files.pop(image_key(image_id))
    others = ("4.png", "5.HEIC", "6.webp", "._00001.jpg", ".DS_Store", "Thumbs.db", "an id.jpg", "00003.JPEG")
    files |= {f"bin-images/{name}": b"x" for name in others}
    for name, data in files.items():
        put(tmp_path / "data", name, data)
    source = open_(tmp_path / "data" if which == "folder" else make_tar(tmp_path / "b.tar", files))
    assert list(source) == BINS[:2]
    assert source.skipped.sentence() == (
        "2 hidden-file (bin-images/.DS_Store, bin-images/._00001.jpg); 1 other-file (bin-images/Thumbs.db); "
        "3 other-format (bin-images/4.png, bin-images/5.HEIC, bin-images/6.webp); "
        "1 several-photos (bin-images/00003.JPEG); 1 unusable-id (bin-images/an id.jpg)"
    )


# ---------------------------------------------------------------------------------------- what is refused


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"nowhere: no such file or folder; pass a folder or a tar"):
        open_(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["https://example.com/bins.tar", "file:///etc", "pipe://cat"])
def test_other_schemes_are_refused(text: str) -> None:
    with pytest.raises(PipelineError, match="a folder, a tar or s3://bucket/prefix"):
        open_(text)


def test_a_malformed_bucket_is_refused() -> None:
    with pytest.raises(StepError, match="is not an S3 URI"):
        open_("s3://Not_A_Bucket/x")


@pytest.mark.parametrize("missing", ["bin-images", "metadata"])
def test_a_folder_without_one_of_the_two_folders_is_refused(missing: str, tmp_path: Path) -> None:
    other = {"bin-images": "metadata", "metadata": "bin-images"}[missing]
    (tmp_path / other).mkdir()
    with pytest.raises(PipelineError, match=f"has no folder {missing}/"):
        open_(tmp_path)


@pytest.mark.parametrize("missing", ["bin-images/ID.jpg", "metadata/ID.json"])
def test_a_tar_with_photos_or_metadata_alone_is_refused(missing: str, tmp_path: Path) -> None:
    files = {name: data for name, data in contents(BINS).items() if name[:3] != missing[:3]}
    with pytest.raises(PipelineError, match=f"has no {missing}"):
        open_(make_tar(tmp_path / "b.tar", files))


@pytest.mark.parametrize("name", ["../bin-images/1.jpg", "/bin-images/1.jpg", "bin-images/../../1.jpg", "..\\1.jpg"])
def test_a_tar_with_a_name_that_leads_out_of_it_is_refused(name: str, tmp_path: Path) -> None:
    path = make_tar(tmp_path / "b.tar", contents(BINS) | {name: b"x"})
    with pytest.raises(PipelineError, match="leads out of the archive"):
        open_(path)


def test_a_link_in_a_tar_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    path = make_tar(tmp_path / "b.tar", contents(BINS[:2]) | {"metadata/9.json": b"{}"})
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("bin-images/9.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        archive.addfile(link)
    source = open_(path)
    assert [sample.image_id for sample in source] == ["00001", "00002"]
    assert source.skipped.totals == {layout.NO_IMAGE: 1}


def test_a_compressed_tar_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"cannot be read as a tar.*not compressed. Create one: tar -cf"):
        open_(make_tar(tmp_path / "b.tar.gz", contents(BINS), "w:gz"))


def test_a_tar_that_ends_early_is_refused(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(PipelineError, match=r"bins\.tar: cannot be read as a tar"):
        open_(archive)


def test_a_tar_that_is_cut_while_it_is_read_is_an_error_that_names_the_member(archive: Path) -> None:
    source = open_(archive)
    archive.write_bytes(archive.read_bytes()[:4000])
    with pytest.raises(PipelineError, match=r"ends within bin-images/00001\.jpg"):
        list(source)


def test_a_tar_that_goes_away_while_it_is_read_is_an_error(archive: Path) -> None:
    source = open_(archive)
    archive.unlink()
    with pytest.raises(PipelineError, match=r"bins\.tar: can no longer be read"):
        list(source)


def test_a_photo_that_goes_away_while_the_folder_is_read_is_an_error_that_names_it(folder: Path) -> None:
    source = open_(folder)
    (folder / image_key("00004")).unlink()
    with pytest.raises(PipelineError, match=r"bin-images/00004\.jpg: cannot be read"):
        list(source)


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("bin-images/00001.jpg", ("image", "00001")),
        ("metadata/1.json", ("metadata", "1")),
        ("metadata/1.jpg", None),
        ("bin-images/1.json", None),
        ("bin-images/.jpg", None),
        ("bin-images/a/b.jpg", None),
        ("bin-images/...jpg", None),
        ("other/1.jpg", None),
        ("bin-images/1.jpg\n", None),
    ],
)
def test_only_photos_and_metadata_in_their_own_folders_are_members(name: str, member: object) -> None:
    assert parse(name) == member


# ------------------------------------------------------------------------------------------ public buckets


@pytest.fixture(scope="module")
def public() -> Iterator[str]:
    """An S3 server that answers unsigned requests, as a public bucket does; the bins are in `open-bins/set`."""
    from moto.server import ThreadedMotoServer

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    try:
        url = f"http://127.0.0.1:{port}"
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "us-east-1"}
        client = boto3.client("s3", endpoint_url=url, **keys)
        client.create_bucket(Bucket="open-bins")
        client.create_bucket(Bucket="no-bins")
        for name, data in (contents(BINS) | {"bin-images/lonely.jpg": b"x", "metadata/index.html": b"x"}).items():
            client.put_object(Bucket="open-bins", Key=f"set/{name}", Body=data, ACL="public-read")
        yield url
    finally:
        server.stop()


@pytest.mark.parametrize("text", ["s3://open-bins/set", "s3://open-bins/set/"])
def test_a_public_bucket_is_read_without_credentials(text: str, public: str, monkeypatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    # The environment's endpoint does not apply to the source.
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    source = open_(text, endpoint=public)
    assert source.count is None
    assert list(source) == BINS
    assert source.skipped.totals == {layout.NO_METADATA: 1, photo_files.OTHER_FILE: 1}


def test_the_limit_ends_the_reading_of_a_bucket(public: str) -> None:
    source = open_("s3://open-bins/set", limit=2, endpoint=public)
    assert source.count == 2
    assert list(source) == BINS[:2]


def test_a_bucket_without_bins_is_an_error(public: str) -> None:
    with pytest.raises(PipelineError, match=r"s3://no-bins: no bin-images/ID\.jpg"):
        list(open_("s3://no-bins", endpoint=public))


def test_a_bucket_that_does_not_exist_is_an_error(public: str) -> None:
    with pytest.raises(PipelineError, match=r"s3://missing-bins/x: the bucket does not exist"):
        list(open_("s3://missing-bins/x", endpoint=public))


def test_a_private_bucket_is_an_error_with_the_way_round(s3, bucket: str) -> None:
    with pytest.raises(PipelineError, match=r"not readable without credentials; copy it: aws s3 cp --recursive"):
        list(open_(f"s3://{bucket}/set", endpoint=s3.meta.endpoint_url))
