"""Copies between S3 and the folders of jobs."""

import json
from pathlib import Path

import pytest

from pipeline.local.machine.transfer import copy, manifest_sources
from steps.contracts.errors import StepError


def download_manifest(s3, uri: str, folder: Path) -> int:
    sources = manifest_sources(s3, uri)
    copy(s3, sources, folder)
    return len(sources)


@pytest.fixture
def put(s3, bucket):
    def put(key: str, content: bytes) -> str:
        s3.put_object(Bucket=bucket, Key=key, Body=content)
        return f"s3://{bucket}/{key}"

    return put


def test_what_a_manifest_lists_is_copied_to_its_paths_below_the_prefix(s3, bucket, put, tmp_path: Path) -> None:
    for name in ("a/train/1.tar", "a/train/2.tar", "b/train/1.tar"):
        put(f"shards/{name}", name.encode())
    manifest = put(
        "m.json", json.dumps([{"prefix": f"s3://{bucket}/shards/"}, "a/train/1.tar", "b/train/1.tar"]).encode()
    )
    assert download_manifest(s3, manifest, tmp_path / "channel") == 2
    copied = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.tar")}
    assert copied == {"channel/a/train/1.tar": "a/train/1.tar", "channel/b/train/1.tar": "b/train/1.tar"}


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'["a"]', b'[{"prefix": "s3://bucket/x/"}]', b'[{"prefix": "s3://bucket/x/"}, 1]']
)
def test_another_format_is_an_error_that_shows_the_right_one(s3, put, tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ValueError, match=r"is no manifest|Expecting value"):
        download_manifest(s3, put("m.json", content), tmp_path)


def test_a_path_outside_of_the_folder_is_not_written(s3, bucket, put, tmp_path: Path) -> None:
    put("secret", b"x")
    manifest = put("m.json", json.dumps([{"prefix": f"s3://{bucket}/shards/"}, "../secret"]).encode())
    with pytest.raises(ValueError, match="leaves the folder"):
        download_manifest(s3, manifest, tmp_path / "channel")
    assert list(tmp_path.rglob("secret")) == []


def test_a_prefix_that_is_no_location_is_an_error(s3, put, tmp_path: Path) -> None:
    with pytest.raises(StepError, match="is not an S3 URI"):
        download_manifest(s3, put("m.json", b'[{"prefix": "/data"}, "a"]'), tmp_path)
