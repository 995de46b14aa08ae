"""Data capture: what of a request goes to S3, and where."""

import base64
import json
import re

from pipeline.local.sagemaker.capture import FLUSH_LINES, Capture

JSON, JPEG = "application/json", "image/jpeg"


def config(bucket, **more):
    return {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{bucket}/captures",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": [JSON]},
        **more,
    }


def lines(s3, bucket):
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
    bodies = [s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in keys]
    return keys, [json.loads(line) for body in bodies for line in body.splitlines()]


def test_a_request_and_its_answer_are_a_line_of_their_hours_folder(s3, bucket):
    capture = Capture(s3, config(bucket), "bins", "AllTraffic")
    capture.record((JPEG, b"\xff\xd8photo"), (JSON, b'{"count": 2}'))
    assert lines(s3, bucket) == ([], [])
    capture.flush()
    (key,), (line,) = lines(s3, bucket)
    assert re.fullmatch(r"captures/bins/AllTraffic/\d{4}/\d\d/\d\d/\d\d/\d\d-\d\d-\d{3}-[0-9a-f-]{36}\.jsonl", key)
    sent, received = line["captureData"]["endpointInput"], line["captureData"]["endpointOutput"]
    assert base64.b64decode(sent.pop("data")) == b"\xff\xd8photo"
    assert sent == {"observedContentType": JPEG, "mode": "INPUT", "encoding": "BASE64"}
    assert received == {
        "observedContentType": JSON,
        "mode": "OUTPUT",
        "encoding": "JSON",
        "data": '{"count": 2}',
    }
    assert line["eventVersion"] == "0"
    assert set(line["eventMetadata"]) == {"eventId", "inferenceTime"}


def test_the_id_that_a_request_has_is_in_its_line(s3, bucket):
    capture = Capture(s3, config(bucket), "bins", "AllTraffic")
    for inference_id in ("photo-1", None):
        capture.record((JPEG, b"p"), (JSON, b"{}"), inference_id)
    capture.flush()
    first, second = lines(s3, bucket)[1]
    assert first["eventMetadata"]["inferenceId"] == "photo-1"
    assert "inferenceId" not in second["eventMetadata"]


def test_only_the_sample_and_the_modes_that_are_asked_for_are_kept(s3, bucket):
    outputs = [{"CaptureMode": "Output"}]
    half = Capture(s3, config(bucket, InitialSamplingPercentage=50, CaptureOptions=outputs), "bins", "v")
    for _ in range(400):
        half.record((JPEG, b"p"), (JSON, b"{}"))
    half.flush()
    _, kept = lines(s3, bucket)
    assert 120 < len(kept) < 280
    assert all(set(line["captureData"]) == {"endpointOutput"} for line in kept)


def test_many_requests_are_written_before_they_fill_the_memory(s3, bucket):
    capture = Capture(s3, config(bucket), "bins", "v")
    for _ in range(FLUSH_LINES + 1):
        capture.record((JPEG, b"p"), (JSON, b"{}"))
    assert len(lines(s3, bucket)[1]) == FLUSH_LINES


def test_a_capture_that_cannot_be_written_fails_no_request(s3, caplog):
    capture = Capture(s3, config("no-such-bucket-here"), "bins", "v")
    capture.record((JPEG, b"p"), (JSON, b"{}"))
    capture.flush()
    assert "1 lines could not be written to s3://no-such-bucket-here" in caplog.text
