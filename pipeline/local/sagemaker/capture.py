"""Data capture: a sample of an endpoint's requests and answers, as JSON lines in S3.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

from __future__ import annotations

import base64
import json
import logging
import random
import threading
import time
import uuid
from typing import Any

from pipeline.local.context import Request
from steps.contracts.s3_uri import S3Uri

log = logging.getLogger(__name__)

FLUSH_SECONDS = 2.0  # the service takes minutes
FLUSH_LINES = 200


class Capture:
    """Captures of one variant. Safe to use from many threads."""

    def __init__(self, s3: Any, config: Request, endpoint: str, variant: str) -> None:
        self._s3 = s3
        self._share = config["InitialSamplingPercentage"] / 100
        self._modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
        if "InputAndOutput" in self._modes:
            self._modes = {"Input", "Output"}
        header = config.get("CaptureContentTypeHeader", {})
        self._text = {*header.get("JsonContentTypes", []), *header.get("CsvContentTypes", [])}
        self._prefix = S3Uri.parse(config["DestinationS3Uri"]).join(endpoint, variant)
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._oldest = 0.0

    def record(self, sent: tuple[str, bytes], received: tuple[str, bytes], inference_id: str | None = None) -> None:
        """Keep a request and its answer, each (content type, body), if they are in the sample.

        An id of the request is "added to the captured data" (InferenceId in botocore's model), as inferenceId:
        https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-merge.html
        """
        if random.random() >= self._share:  # noqa: S311
            return
        at = time.time()
        data = {}
        for mode, (content_type, body) in (("Input", sent), ("Output", received)):
            if mode in self._modes:
                description = {"observedContentType": content_type, "mode": mode.upper()}
                data[f"endpoint{mode}"] = {**description, **self._encoded(content_type, body)}
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
        metadata = {"eventId": str(uuid.uuid4()), "inferenceTime": stamp}
        if inference_id is not None:
            metadata["inferenceId"] = inference_id
        line = json.dumps({"captureData": data, "eventMetadata": metadata, "eventVersion": "0"})
        with self._lock:
            self._oldest = self._oldest or at
            self._lines.append(line)
            due = len(self._lines) >= FLUSH_LINES
        if due:
            self.flush()

    def _encoded(self, content_type: str, body: bytes) -> dict[str, str]:
        kind = content_type.partition(";")[0].strip()
        if kind in self._text:
            return {"data": body.decode(errors="replace"), "encoding": "JSON" if "json" in kind else "CSV"}
        return {"data": base64.b64encode(body).decode(), "encoding": "BASE64"}

    def flush_when_due(self) -> None:
        """Write the captures if the oldest has waited for FLUSH_SECONDS."""
        if self._oldest and time.time() - self._oldest >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the captures as one object in the folder of their hour."""
        with self._lock:
            lines, self._lines, self._oldest = self._lines, [], 0.0
        if not lines:
            return
        now = time.time()
        stamp = time.strftime("%Y/%m/%d/%H/%M-%S", time.gmtime(now))
        target = self._prefix.join(f"{stamp}-{int(now * 1000) % 1000:03d}-{uuid.uuid4()}.jsonl")
        try:
            self._s3.put_object(Bucket=target.bucket, Key=target.key, Body="\n".join(lines).encode() + b"\n")
        except Exception:
            # As in the service, a capture that cannot be written is lost and never fails a request.
            log.exception("data capture: %d lines could not be written to %s", len(lines), target)
