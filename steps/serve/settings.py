"""Settings of the server: environment variables of the model (`Environment` of CreateModel).

| variable | default | meaning |
|---|---|---|
| OMP_NUM_THREADS | the cores of the container | threads that compute one batch together |
| SERVING_DECODERS | the same, at most 4 | threads that decode photos |
| SERVING_MAX_BATCH | 8 | photos that are computed at a time |
| SERVING_MAX_QUEUE | 256 | photos that are accepted and not yet answered; further requests are refused with 503 |
| SERVING_BODY_SECONDS | 20 | seconds for a request's head to arrive, and again for its body |
| SAGEMAKER_BIND_TO_PORT, SAGEMAKER_BIND_TO_HOST | 8080, all addresses | the address to listen on |
| SAGEMAKER_BATCH | false | set by SageMaker, true in a batch transform job: a refused photo gets its reason with status
  200, because any other status ends the whole job |
| SAGEMAKER_MAX_PAYLOAD_IN_MB | 6 | set by SageMaker: the largest body of a batch transform job |
| MODEL_VERSION | empty | part of every answer |
| SERVING_UID | 0, in the image 10001 | the user that the server becomes after it has read the model; 0: none |
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from steps.contracts.errors import StepError
from steps.serve.payload import MAX_BYTES

# A progressive photo of the largest size needs two bytes per pixel and component for decoding: 290 MB, in CMYK 380.
# Four of them, the bodies (256 MB) and the network fit into a serverless endpoint's 3 GB, and four threads decode more
# photos than the network computes.
MAX_DECODERS = 4


@dataclass(frozen=True)
class Arguments:
    """Serve the model in /opt/ml/model until SIGTERM. Settings are environment variables of the model."""


@dataclass(frozen=True)
class ServingSettings:
    """Shares of the machine, and limits beyond which the server refuses requests."""

    threads: int
    decoders: int
    max_batch: int = 8
    max_queue: int = 256
    body_seconds: int = 20
    port: int = 8080
    host: str = "0.0.0.0"  # noqa: S104 - in a container all addresses are the container's own
    model_version: str = ""
    batch: bool = False
    max_bytes: int = MAX_BYTES
    uid: int = 0

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> ServingSettings:
        """The settings of an environment. Raises StepError that names the variable and its range."""
        cores = available_cores()
        batch = environment.get("SAGEMAKER_BATCH", "").strip().lower() == "true"
        megabytes = _number(environment, "SAGEMAKER_MAX_PAYLOAD_IN_MB", MAX_BYTES >> 20, 0, 100) if batch else 0
        return cls(
            threads=_number(environment, "OMP_NUM_THREADS", cores, 1, 1024),
            decoders=_number(environment, "SERVING_DECODERS", min(cores, MAX_DECODERS), 1, 64),
            max_batch=_number(environment, "SERVING_MAX_BATCH", cls.max_batch, 1, 256),
            max_queue=_number(environment, "SERVING_MAX_QUEUE", cls.max_queue, 1, 65_536),
            body_seconds=_number(environment, "SERVING_BODY_SECONDS", cls.body_seconds, 1, 3600),
            port=_number(environment, "SAGEMAKER_BIND_TO_PORT", cls.port, 1, 65_535),
            host=environment.get("SAGEMAKER_BIND_TO_HOST") or cls.host,
            model_version=environment.get("MODEL_VERSION", ""),
            batch=batch,
            max_bytes=max(MAX_BYTES, megabytes << 20),
            uid=_number(environment, "SERVING_UID", cls.uid, 0, 65_533),
        )


def available_cores() -> int:
    """Cores that this process may run on; fewer than the machine's in a container that is pinned to some."""
    affinity = getattr(os, "sched_getaffinity", None)  # on Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _number(environment: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = environment.get(name, "").strip()
    if not text:
        return default
    # isdigit alone accepts digits of other scripts; the length protects int() from a million digits.
    if not (text.isascii() and text.isdigit() and len(text) < 8 and least <= int(text) <= most):
        raise StepError(f"{name} is {text[:40]!r}; use a whole number from {least} to {most}")
    return int(text)
