"""Clusters of two instances, each a process with a master or a worker of its own, on the local S3."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import signal
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.spark import works
from tests.spark.instances import MARK, job

PHOTOS = 20_000


def labels() -> pa.Table:
    """Made-up labels, in the order of their ids."""
    ids = sorted(f"{number:05d}" for number in range(PHOTOS))
    items = [[f"item-{int(name) % 97}"] if int(name) % 10 else None for name in ids]
    quantities = [int(name) % 6 for name in ids]
    return pa.table([pa.array(ids), pa.array(quantities, pa.int32()), pa.array(items)], schema=works.SCHEMA)


@pytest.fixture
def stored(s3: Any, bucket: str) -> str:
    """A bucket with labels, in files of several row groups and with files that are no labels."""
    table = labels()
    for number in range(3):
        content = io.BytesIO()
        part = table.take(pa.array(range(number, PHOTOS, 3)))
        # Another width and another order of columns, as another program may write them.
        wide = part.set_column(1, "quantity", part["quantity"].cast(pa.int64())).select(
            ["asins", "quantity", "image_id"]
        )
        pq.write_table(wide, content, row_group_size=1_000)
        s3.put_object(Bucket=bucket, Key=f"labels/part-{number}", Body=content.getvalue())
    s3.put_object(Bucket=bucket, Key="labels/_SUCCESS", Body=b"not Parquet")
    s3.put_object(Bucket=bucket, Key="labels/query.metadata", Body=b"not Parquet either")
    return bucket


def bucket_of(name: str) -> str:
    return f"bucket-{zlib.crc32(name.encode()) % works.BUCKETS}"


def check_objects(s3: Any, bucket: str, target: str, objects: list[list[Any]]) -> None:
    """The objects hold each photo once, in its bucket and in order, and are what was returned of them."""
    table, remaining = labels(), {row["image_id"]: row for row in labels().to_pylist()}
    assert [name for name, *_ in objects] == [f"bucket-{number}" for number in range(works.BUCKETS)]
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"{target}/")["Contents"]
    assert [entry["Key"] for entry in listed] == [f"{target}/{name}.parquet" for name, *_ in objects]
    for name, rows, size, sha256 in objects:
        content = s3.get_object(Bucket=bucket, Key=f"{target}/{name}.parquet")["Body"].read()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (size, sha256)
        read = pq.read_table(io.BytesIO(content))
        assert read.schema.equals(table.schema)
        ids = read["image_id"].to_pylist()
        assert (len(ids), ids) == (rows, sorted(ids))
        assert {bucket_of(identity) for identity in ids} == {name}
        for row in read.to_pylist():
            assert remaining.pop(row["image_id"]) == row
    assert not remaining


def until(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.1)


def processes(folder: Path) -> Iterator[psutil.Process]:
    """The processes of a job, whoever started them."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except (psutil.Error, OSError):
            continue


def test_a_job_survives_the_loss_of_an_executor_and_writes_what_it_writes_without(
    s3: Any, stored: str, tmp_path: Path
) -> None:
    with job(tmp_path / "whole", stored, "copy", target="whole") as whole:
        whole.start(0, 1)
        assert whole.wait() == {0: 0, 1: 0}, whole.logs()
        check_objects(s3, stored, "whole", whole.result())
    marker = tmp_path / "lost"
    with job(tmp_path / "cut", stored, "copy_and_lose_an_executor", target="cut", marker=str(marker)) as cut:
        cut.start(0, 1)
        assert cut.wait() == {0: 0, 1: 0}, cut.logs()
    assert not psutil.pid_exists(int(marker.read_text()))
    assert "Lost executor" in cut.log(0)
    # The driver is at the first address, and executors at both: each listens where its instance is.
    assert cut.result()["addresses"] == ["127.0.0.1", "127.0.0.2"]
    check_objects(s3, stored, "cut", cut.result()["objects"])
    assert cut.result()["objects"] == whole.result()


def test_the_processes_of_a_cluster_listen_on_this_machine_and_keep_their_secret(
    s3: Any, stored: str, tmp_path: Path
) -> None:
    ready, seen = tmp_path / "ready", tmp_path / "seen"
    with job(tmp_path / "job", stored, "observe", ready=str(ready), seen=str(seen)) as observed:
        observed.start(0, 1)
        until(ready.exists, observed.logs)
        secret = json.loads(s3.get_object(Bucket=stored, Key="jobs/job/cluster.json")["Body"].read())["secret"]
        members = list(processes(observed.folder))
        names = " ".join(" ".join(member.cmdline()) for member in members)
        assert {"master.Master", "worker.Worker", "SparkSubmit"} <= set(names.replace("deploy.", " ").split())
        assert names.count("CoarseGrainedExecutorBackend") == 2
        assert len(secret) == 64
        assert secret not in names
        listening = {
            place.laddr.ip.removeprefix("::ffff:")
            for member in members
            for place in member.net_connections("tcp")
            if place.status == psutil.CONN_LISTEN
        }
        assert listening == {"127.0.0.1", "127.0.0.2"}
        configurations = [path.stat().st_mode & 0o777 for path in observed.folder.glob("algo-*/spark/conf")]
        assert configurations == [0o700, 0o700]
        seen.touch()
        assert observed.wait() == {0: 0, 1: 0}, observed.logs()
        assert list(processes(observed.folder)) == []


def test_a_driver_that_fails_fails_all_instances_with_its_line(stored: str, tmp_path: Path) -> None:
    with job(tmp_path / "job", stored, "fail") as failed:
        failed.start(0, 1)
        assert failed.wait() == {0: 1, 1: 1}, failed.logs()
        assert failed.reason(0) == "labels: no photo is left; look at the labels"
        assert failed.reason(1) == f"the first instance failed: {failed.reason(0)}"


def test_an_executor_that_fails_names_the_object_in_one_line(stored: str, tmp_path: Path) -> None:
    with job(tmp_path / "job", stored, "read_what_was_removed") as failed:
        failed.start(0, 1)
        assert failed.wait() == {0: 1, 1: 1}, failed.logs()
        assert failed.reason(0).startswith(f"s3://{stored}/labels/part-"), failed.logs()
        assert "\n" not in failed.reason(0)


def test_an_error_of_spark_is_reported_with_its_text(stored: str, tmp_path: Path) -> None:
    with job(tmp_path / "job", stored, "ask_for_an_unknown_column") as failed:
        failed.count = 1
        failed.start(0)
        assert failed.wait() == {0: 1}, failed.logs()
        assert re.match(r"SparkError: \[UNRESOLVED_COLUMN.*`absent`", failed.reason(0)), failed.logs()
        # The place of the mistake.
        assert 'select("absent")' in failed.log(0)


@pytest.mark.parametrize(
    ("lost", "reasons"),
    [
        (
            0,
            (
                "Spark's worker ended with status -9: ",
                "the first instance failed: Spark's worker ended with status -9: ",
            ),
        ),
        (1, ("instance 2 failed: Spark's worker ended with status -9: ", "Spark's worker ended with status -9: ")),
    ],
)
def test_a_worker_that_ends_ends_the_job(stored: str, tmp_path: Path, lost: int, reasons: tuple[str, str]) -> None:
    folder = tmp_path / "job" / f"algo-{lost + 1}"
    with job(tmp_path / "job", stored, "lose_the_worker", victim=str(folder), ready=str(tmp_path / "ready")) as failed:
        failed.start(0, 1)
        assert failed.wait() == {0: 1, 1: 1}, failed.logs()
        for index in (0, 1):
            assert failed.reason(index).startswith(reasons[index]), failed.logs()


def test_a_worker_without_a_master_reports_where_it_looked(stored: str, tmp_path: Path) -> None:
    with job(tmp_path / "job", stored, "copy") as alone:
        alone.start_seconds = 2
        alone.start(1)
        assert alone.wait() == {1: 1}
        assert alone.reason(1) == (
            "no Spark master within 2 seconds: the first instance has not written"
            f" s3://{stored}/jobs/job/cluster.json; its log has the reason"
        )


def test_a_master_without_all_workers_reports_how_many_came(stored: str, tmp_path: Path) -> None:
    with job(tmp_path / "job", stored, "copy") as alone:
        alone.start_seconds = 45
        alone.start(0)
        assert alone.wait() == {0: 1}
        # The one of its own worker may be late, too.
        assert re.match(r"of the cluster's 2 executors [01] started in time; the logs ", alone.reason(0)), alone.logs()


def test_sigterm_ends_every_process_and_the_other_instances(stored: str, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with job(tmp_path / "job", stored, "wait", ready=str(ready)) as stopped:
        stopped.start(0, 1)
        until(ready.exists, stopped.logs)
        os.kill(stopped.processes[0].pid, signal.SIGTERM)
        assert stopped.wait() == {0: 128 + signal.SIGTERM, 1: 1}
        assert stopped.reason(1) == "the first instance failed: it was stopped"
        assert list(processes(stopped.folder)) == []


def test_an_instance_that_is_alone_computes_in_its_driver(s3: Any, stored: str, tmp_path: Path) -> None:
    with job(tmp_path / "job", stored, "copy", target="alone") as alone:
        alone.count = 1
        alone.start(0)
        assert alone.wait() == {0: 0}, alone.logs()
        check_objects(s3, stored, "alone", alone.result())
        assert "Contents" not in s3.list_objects_v2(Bucket=stored, Prefix="jobs/")
