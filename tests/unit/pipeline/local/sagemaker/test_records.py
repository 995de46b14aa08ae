"""Kind: a part of a batch that is requested for each record and done for none, or for whole objects.

The container here answers each line with its number of characters, as a line.
"""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.local.context import ServiceError
from pipeline.local.machine.transfer import Source
from pipeline.local.sagemaker import transform
from pipeline.local.sagemaker.jobs import JobFailedError
from pipeline.local.sagemaker.records import Path as JsonPath
from pipeline.local.sagemaker.records import Processing, RecordError
from pipeline.local.sagemaker.serving import Answer

JSON, LINES, CSV = "application/json", "application/jsonlines", "text/csv"


class Container:
    """Notes what it is asked; the first `failures` answers are errors."""

    def __init__(self, kind: str, failures: int = 0, status: int = 500) -> None:
        self.kind, self.failures, self.status = kind, failures, status
        self.bodies: list[bytes] = []
        self.seconds: list[float] = []

    def invoke(self, body: bytes, headers: dict[str, str], seconds: float) -> Answer:
        self.bodies.append(body)
        self.seconds.append(seconds)
        if self.failures:
            self.failures -= 1
            return Answer(self.status, b"later", "text/plain")
        answers = [json.dumps(len(line)).encode() for line in body.split(b"\n") if line]
        return Answer(200, b"\n".join(answers), self.kind)


class Store(dict[str, bytes]):
    """Stands for S3."""

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(self[Key])}

    def put_object(self, Key: str, Body: bytes, **_: str) -> None:
        self[Key] = Body


def run(body: bytes, kind: str, container: Container, limit: int = 100, **more: Any) -> bytes:
    """What is written for an object."""
    request = {
        "TransformInput": {
            "ContentType": kind,
            "DataSource": {"S3DataSource": {"S3Uri": "s3://bucket/in/"}},
            **more.pop("source", {}),
        },
        "TransformOutput": {"S3OutputPath": "s3://bucket/out", **more.pop("output", {})},
        **more,
    }
    store: Any = Store({"in/a": body})
    variant: Any = container
    transform._Objects(store, variant, request, limit).transform(Source("bucket", "in/a", "a"))
    return bytes(store["out/a.out"])


LINE, ASSEMBLED = {"source": {"SplitType": "Line"}}, {"output": {"AssembleWith": "Line"}}


@pytest.mark.parametrize(
    ("more", "bodies", "written"),
    [
        ({}, [b"a,1\nbb,22\nccc,333\n"], b"3\n5\n7"),
        (LINE, [b"a,1\nbb,22\nccc,333"], b"3\n5\n7"),
        ({**LINE, **ASSEMBLED}, [b"a,1\nbb,22\nccc,333"], b"3\n5\n7\n"),
        ({**LINE, **ASSEMBLED, "BatchStrategy": "SingleRecord"}, [b"a,1", b"bb,22", b"ccc,333"], b"3\n5\n7\n"),
        ({**LINE, "BatchStrategy": "SingleRecord"}, [b"a,1", b"bb,22", b"ccc,333"], b"357"),
        ({**LINE, **ASSEMBLED, "limit": 12}, [b"a,1\nbb,22", b"ccc,333"], b"3\n5\n7\n"),
    ],
)
def test_an_object_is_split_and_its_answers_are_assembled(
    more: dict[str, Any], bodies: list[bytes], written: bytes
) -> None:
    container = Container(CSV)
    assert run(b"a,1\nbb,22\nccc,333\n", CSV, container, **more) == written
    assert container.bodies == bodies


@pytest.mark.parametrize(
    ("kind", "body", "filters", "sent", "written"),
    [
        (CSV, b"7,a,b\n8,cc,d\n", {"InputFilter": "$[1:]"}, b"a,b\ncc,d", b"3\n4\n"),
        (CSV, b"7,a\n8,bb\n", {"JoinSource": "Input"}, b"7,a\n8,bb", b"7,a,3\n8,bb,4\n"),
        (CSV, b'7,"x, y"\n', {"JoinSource": "Input"}, b'7,"x, y"', b'7,"x, y",8\n'),
        (
            CSV,
            b"7,a\n8,bb\n",
            {"InputFilter": "$[1]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"},
            b"a\nbb",
            b"7,1\n8,2\n",
        ),
        (
            LINES,
            b'{"id": 1, "x": [2]}\n',
            {"InputFilter": "$.x", "JoinSource": "Input"},
            b"[2]",
            b'{"id": 1, "x": [2], "SageMakerOutput": 3}\n',
        ),
        (
            LINES,
            b'{"id": 1, "x": 2}\n',
            {"JoinSource": "Input", "OutputFilter": "$['id','SageMakerOutput']"},
            b'{"id": 1, "x": 2}',
            b'{"id": 1, "SageMakerOutput": 17}\n',
        ),
        (JSON, b"[4, 5]", {"JoinSource": "Input"}, b"[4, 5]", b'{"SageMakerInput": [4, 5], "SageMakerOutput": 6}\n'),
    ],
)
def test_records_are_filtered_and_joined(
    kind: str, body: bytes, filters: dict[str, str], sent: bytes, written: bytes
) -> None:
    container = Container(kind)
    assert run(body, kind, container, DataProcessing=filters, **LINE, **ASSEMBLED) == written
    assert container.bodies == [sent]


@pytest.mark.parametrize(
    ("kind", "body", "filters", "reason"),
    [
        (LINES, b"no json\n", {"InputFilter": "$.x"}, "is not application/jsonlines"),
        (LINES, b'{"y": 1}\n', {"InputFilter": "$.x"}, r"\$.x selects nothing of"),
        (CSV, b"1\n", {"OutputFilter": "$[3]"}, r"\$\[3\] selects nothing of"),
        (CSV, b"1\n\xff\n", {"JoinSource": "Input"}, "is not text/csv"),
    ],
)
def test_a_record_without_the_part_fails_the_job(kind: str, body: bytes, filters: dict[str, str], reason: str) -> None:
    with pytest.raises(JobFailedError, match=f"s3://bucket/in/a: .*{reason}"):
        run(body, kind, Container(kind), DataProcessing=filters, **LINE)


def test_another_number_of_answers_than_of_records_fails_the_job() -> None:
    container = Container(CSV)
    container.invoke = lambda *_: Answer(200, b"1\n", CSV)  # type: ignore[method-assign]
    with pytest.raises(JobFailedError, match="answered 1 records to 2"):
        run(b"a\nb\n", CSV, container, DataProcessing={"JoinSource": "Input"}, **LINE)


@pytest.mark.parametrize(
    "expression", ["", "x", "$x", "$[", "$[]", "$[a]", "$['a'", "$..x", "$[1;2]", "$[?(@.x)]", "$. x"]
)
def test_an_expression_of_another_dialect_is_refused(expression: str) -> None:
    with pytest.raises(ServiceError, match="is not a JSONPath expression"):
        JsonPath(expression)


@pytest.mark.parametrize(
    ("expression", "value", "selected"),
    [
        ("$", {"a": 1}, {"a": 1}),
        ("$.a.b", {"a": {"b": 2}}, 2),
        ("$['a']['b']", {"a": {"b": 2}}, 2),
        ("$.a[0]", {"a": [3, 4]}, 3),
        ("$.*", {"a": 1}, {"a": 1}),
        ("$[*]", [1, 2], [1, 2]),
        ("$[:-1]", [1, 2, 3], [1, 2]),
        ("$[0,5:]", [0, 1, 2, 3, 4, 5, 6], [0, 5, 6]),
        ("$['a','b']", {"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 2}),
    ],
)
def test_an_expression_selects(expression: str, value: Any, selected: Any) -> None:
    assert JsonPath(expression).select(value) == selected


@pytest.mark.parametrize(
    ("expression", "value"), [("$.a", [1]), ("$[0]", {"a": 1}), ("$[9]", [1]), ("$['a','x']", {"a": 1})]
)
def test_a_part_that_is_not_there_is_an_error(expression: str, value: Any) -> None:
    with pytest.raises(RecordError, match="selects nothing"):
        JsonPath(expression).select(value)


def test_filters_need_a_type_of_records() -> None:
    request = {"TransformInput": {"ContentType": "image/jpeg"}, "TransformOutput": {}}
    Processing(request, 1)
    with pytest.raises(ServiceError, match="needs the ContentType"):
        Processing({**request, "DataProcessing": {"JoinSource": "Input"}}, 1)


@pytest.mark.parametrize(
    ("client", "failures", "asked"),
    [({}, 3, 4), ({"InvocationsMaxRetries": 0}, 0, 1), ({"InvocationsMaxRetries": 1}, 1, 2)],
)
def test_a_container_that_fails_is_asked_again(client: dict[str, int], failures: int, asked: int) -> None:
    container = Container(CSV, failures)
    assert run(b"abc", CSV, container, ModelClientConfig=client) == b"3"
    assert len(container.bodies) == asked
    container = Container(CSV, failures + 1)
    with pytest.raises(JobFailedError, match="answered 500: later"):
        run(b"abc", CSV, container, ModelClientConfig=client)


def test_a_refusal_is_no_failure_of_the_container_and_the_time_is_the_requests() -> None:
    container = Container(CSV, 1, 400)
    with pytest.raises(JobFailedError, match="answered 400"):
        run(b"abc", CSV, container, ModelClientConfig={"InvocationsTimeoutInSeconds": 7})
    assert container.seconds == [7]


def test_compressed_objects_are_decompressed() -> None:
    source = {"CompressionType": "Gzip"}
    assert run(gzip.compress(b"abcd"), CSV, Container(CSV), source=source) == b"4"
    for broken in (b"abcd", gzip.compress(b"abcd" * 100)[:-9]):
        with pytest.raises(JobFailedError, match="s3://bucket/in/a: "):
            run(broken, CSV, Container(CSV), source=source)


def test_a_line_above_the_payload_fails_the_job() -> None:
    with pytest.raises(JobFailedError, match="above MaxPayloadInMB"):
        run(b"abc\n" + b"d" * 20 + b"\n", CSV, Container(CSV), limit=10, **LINE)


def test_a_manifest_names_the_objects(s3: Any, bucket: str, tmp_path: Path) -> None:
    listed = json.dumps([{"prefix": f"s3://{bucket}/in/"}, "x/b", "a"])
    s3.put_object(Bucket=bucket, Key="list", Body=listed.encode())
    models: Any = SimpleNamespace(role=lambda _: "arn:aws:iam::123456789012:role/serving")
    services: Any = SimpleNamespace(context=SimpleNamespace(store=SimpleNamespace(list=lambda _: [])), s3=lambda _: s3)
    jobs = transform.TransformJobs(services, models)
    source = {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": f"s3://{bucket}/list"}}
    sources = jobs._sources({"ModelName": "m", "TransformInput": {"DataSource": source}}, s3)
    assert sources == [Source(bucket, "in/x/b", "x/b"), Source(bucket, "in/a", "a")]
