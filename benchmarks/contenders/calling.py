"""Clients of a serving container: each sends its next photo after the answer to the last, over one connection."""

from __future__ import annotations

import asyncio
import itertools
import time
from pathlib import Path

import numpy as np

from benchmarks.child import Work

LOOPBACK = "127.0.0.1"


def clients(port: int, photos: str, number: int, requests: int, warm_up: int = 0) -> Work:
    """`requests` by `number` clients at a time with the files of the folder `photos`, after `warm_up` uncounted ones.

    Figures: answers with status 200 per second (`rate`), `p50` and `p99` of their milliseconds, and `failures`: the
    number of all other requests.
    """
    bodies = [path.read_bytes() for path in sorted(Path(photos).iterdir())]
    head = f"POST /invocations HTTP/1.1\r\nHost: {LOOPBACK}\r\nContent-Type: image/jpeg\r\nContent-Length: "
    prepared = itertools.cycle([f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies])

    async def load(count: int) -> dict[str, float]:
        left, taken, failures = iter(range(count)), [], 0

        async def client() -> None:
            nonlocal failures
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            for _ in left:
                started = time.perf_counter()
                try:
                    writer.write(next(prepared))
                    status = await _status(reader)
                except (OSError, asyncio.IncompleteReadError):
                    status = 0
                    writer.close()
                    reader, writer = await asyncio.open_connection(LOOPBACK, port)
                if status == 200:
                    taken.append(time.perf_counter() - started)
                else:
                    failures += 1
            writer.close()

        started = time.perf_counter()
        await asyncio.gather(*[client() for _ in range(number)])
        seconds = time.perf_counter() - started
        p50, p99 = (1000 * np.percentile(taken, [50, 99])).tolist() if taken else (float("inf"), float("inf"))
        return {"rate": len(taken) / seconds, "p50": p50, "p99": p99, "failures": float(failures)}

    def work() -> dict[str, float]:
        if warm_up:
            asyncio.run(load(warm_up))
        return asyncio.run(load(requests))

    return work


async def _status(reader: asyncio.StreamReader) -> int:
    """The status of the next response, after all of it was read."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
    await reader.readexactly(length)
    return int(lines[0].split()[1])
