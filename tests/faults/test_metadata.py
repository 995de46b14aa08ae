"""Malformed metadata: the query step's result, with either reader."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.query.statements import folder
from tests.faults.proxy import spoiling
from tests.unit.pipeline.local.athena.front import Front, aws, front
from tests.unit.steps.query.conftest import EXPECTED_REFUSALS, Job, add_bins_that_athena_reads, bin_metadata, refused

__all__ = ["aws", "front"]


@pytest.fixture
def job(aws: Front, s3: Any, bucket: str, tmp_path: Path) -> Job:
    """A job over an empty bucket, with its outputs declared."""
    made = Job(s3, bucket, f"bins_{uuid.uuid4().hex[:12]}", tmp_path)
    made.declare()
    return made


def test_files_that_the_serde_refuses_are_named_by_the_direct_reader(
    job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    add_bins_that_athena_reads(job)
    job.add("truncated", b'{"EXPECTED_QUANTITY": 1,')
    job.add("string", bin_metadata("3"))
    job.add("boolean", bin_metadata(True))
    job.add("nan", b'{"EXPECTED_QUANTITY": NaN, "BIN_FCSKU_DATA": {}}')
    job.add("list", bin_metadata([1]))
    summary = job.run()
    assert summary.reader == "direct"
    assert summary.reader_reason.startswith("HIVE_BAD_DATA")
    assert refused(summary) == EXPECTED_REFUSALS | {
        "malformed-metadata": 3,
        "boolean-quantity": 1,
        "composite-quantity": 1,
        "nan-quantity": 1,
        "string-quantity": 1,
    }
    assert "truncated" in summary.refused["malformed-metadata"].examples
    assert f"s3://{job.bucket}/raw/metadata/truncated.json is left out: it is malformed" in caplog.text
    assert job.written("labels")["image_id"].to_pylist() == ["00001", "1", "NaN", "whole"]


@pytest.mark.parametrize("how", ["503", "reset", "cut"])
def test_the_direct_reader_reads_again_what_fails_for_a_while(
    job: Job, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        job.add(f"{number:02d}", bin_metadata(number % 3, f"B{number}"))
    job.add("string", bin_metadata("3"))

    def fault(method: str, path: str, n: int) -> str:
        return how if "/raw/metadata/" in path and n == 1 else ""

    with spoiling(fault, monkeypatch) as spoiler:
        summary = job.run()
    assert spoiler.spoiled[how] > 20
    assert (summary.reader, summary.labelled, refused(summary)) == ("direct", 40, {"string-quantity": 1})


def test_the_direct_reader_names_the_file_that_it_cannot_read(
    job: Job, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    job.add("1", bin_metadata(1, "B1"))
    job.add("string", bin_metadata("3"))

    def fault(method: str, path: str, n: int) -> str:
        return "503" if path.endswith("/metadata/1.json") and n > 1 else ""

    # Athena, which this S3 server stands behind too, reads the file once.
    with (
        spoiling(fault, monkeypatch),
        pytest.raises(StepError, match=rf"^s3://{job.bucket}/raw/metadata/1.json cannot be read: SlowDown"),
    ):
        job.run()


def test_hostile_arguments_are_refused_before_anything_is_asked(job: Job) -> None:
    with pytest.raises(StepError, match="--database"):
        job.run(database='bins"; DROP TABLE x')
    with pytest.raises(StepError, match="--workgroup"):
        job.run(workgroup="a b")
    with pytest.raises(StepError, match="cannot be an Athena location"):
        folder(S3Uri(job.bucket, "it's/here"))
