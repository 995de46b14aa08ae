"""The serving container under load, against usual servers on the same cores."""

from __future__ import annotations

import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.bins import bins
from benchmarks.cases import Bound, Case, say
from benchmarks.child import ROOT, ContenderError, measure
from benchmarks.contenders import calling
from benchmarks.options import Options
from pipeline.local.machine.ports import free_port

CLASSES = (0, 1, 2, 3, 4, 5)
NETWORK, IMAGE_SIZE = "resnet34", 224
CLIENTS = (8, 32, 128)
# Each client sends several requests, so that the simultaneous start of all clients has little effect.
REQUESTS_PER_CLIENT = 4
PHOTOS = 200
OTHERS = {"": "plain", "-prepared": "prepared", "-eager": "eager"}
PROMISED = {"": 1.3, "-eager": 2.0}
FAILURES_PROMISED = 0.001
# Memory: a cheap network, to measure the server around it.
LIGHT_NETWORK, LIGHT_SIZE = "squeezenet1_1", 64
MEMORY_CLIENTS = 32
MEMORY_REQUESTS = 50_000
MEMORY_BEFORE = 10  # the first measurement of memory is after this fraction of the requests
GROWTH_PROMISED = 1.05
# An answer's processor time with a calibrated model, against an older one without sets.
CALIBRATED_PROMISED = 1.03
START_SECONDS = 120

Figures = dict[str, float]


def cases(options: Options) -> Iterator[Case]:
    """Throughput and p99 per number of clients against each other server; failures; memory."""
    photos = _photos(options.folder / "photos", small=False)
    base = _artifact(options.folder / "network", NETWORK, IMAGE_SIZE)
    requests = failures = 0.0
    with ExitStack() as stack:
        ports = {"ours": stack.enter_context(_ours(base))[0]}
        ports |= {other: stack.enter_context(_other(other, base / "model")) for other in OTHERS.values()}
        for number in CLIENTS:
            count = max(options.count, REQUESTS_PER_CLIENT * number)
            results = _turns(ports, photos, number, count, options.rounds)
            requests += count * options.rounds
            failures += sum(figures["failures"] for figures in results["ours"])
            yield from _compare(number, results)
    allowed = FAILURES_PROMISED * requests
    yield Case("serve-failures", "requests", failures, limit=allowed, bounds=(Bound("of_limit", "at most", 1),))
    yield _memory(options)


def _turns(ports: Mapping[str, int], photos: Path, number: int, count: int, rounds: int) -> dict[str, list[Figures]]:
    """The figures of all servers in each round, in one order and then in the other."""
    results: dict[str, list[Figures]] = {name: [] for name in ports}
    for turn in range(rounds):
        for name in list(ports) if turn % 2 == 0 else list(ports)[::-1]:
            results[name].append(_load(ports[name], photos, number, count, warm_up=number))
        last = {name: figures[-1] for name, figures in results.items()}
        latest = ", ".join(f"{name} {each['rate']:.1f} ({each['p99']:,.0f} ms)" for name, each in last.items())
        say(f"{number} clients, round {turn + 1} of {rounds}: requests/s (p99): {latest}")
    return results


def _compare(number: int, results: Mapping[str, list[Figures]]) -> Iterator[Case]:
    def median(name: str, figure: str) -> float:
        return statistics.median(figures[figure] for figures in results[name])

    for suffix, other in OTHERS.items():
        promise = (Bound("ratio", "at least", PROMISED[suffix]),) if suffix in PROMISED else ()
        name, rates = f"serve-{number}", (median("ours", "rate"), median(other, "rate"))
        yield Case(f"{name}{suffix}", "requests/s", *rates, bounds=promise)
    for figure, promise in (("p50", ()), ("p99", (Bound("ratio", "at most", 1),))):
        yield Case(f"serve-{number}-{figure}", "ms", median("ours", figure), median("plain", figure), bounds=promise)


def calibrated(options: Options) -> Iterator[Case]:
    """Processor time per answer with temperature, `sure` and sets, against without; a cheap network shows the most."""
    photos = _photos(options.folder / "photos", small=True)
    results: dict[str, list[float]] = {"calibrated": [], "older": []}
    with ExitStack() as stack:
        servers = {}
        for name in results:
            base = _artifact(options.folder / name, LIGHT_NETWORK, LIGHT_SIZE, calibrated=name == "calibrated")
            servers[name] = stack.enter_context(_ours(base))
            _check_sets(servers[name][0], photos, wanted=name == "calibrated")
        for turn in range(options.rounds):
            for name in list(results) if turn % 2 == 0 else list(results)[::-1]:
                results[name].append(_processor_ms(*servers[name], photos, options.count))
    ratios = sorted(ours / older for ours, older in zip(*results.values(), strict=True))
    say(f"ratios of the rounds: {', '.join(f'{ratio:.3f}' for ratio in ratios)}")
    ours, baseline = (statistics.median(each) for each in results.values())
    yield Case("serve-calibrated", "ms", ours, baseline, bounds=(Bound("ratio", "at most", CALIBRATED_PROMISED),))


def _check_sets(port: int, photos: Path, *, wanted: bool) -> None:
    """Raises ContenderError where the server's answer has a prediction set and should not, or the reverse."""
    connection = http.client.HTTPConnection(calling.LOOPBACK, port, timeout=START_SECONDS)
    try:
        photo = next(photos.iterdir()).read_bytes()
        connection.request("POST", "/invocations", photo, {"Content-Type": "image/jpeg"})
        answer = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    if ("prediction_set" in answer) != wanted:
        raise ContenderError(f"an answer {'without' if wanted else 'with'} a prediction set: {answer}")


def _processor_ms(port: int, process: int, photos: Path, count: int) -> float:
    """Milliseconds of the server's processor time per answer."""
    import psutil

    def used() -> float:
        times = psutil.Process(process).cpu_times()
        return float(times.user + times.system)

    _load(port, photos, 1, max(count // 10, 1))
    before = used()
    failures = _load(port, photos, 1, count)["failures"]
    if failures:
        raise ContenderError(f"{failures:.0f} of {count} requests failed: their cost is not measured")
    return 1000 * (used() - before) / count


def _memory(options: Options) -> Case:
    """Resident memory after all requests, against that after a tenth of them."""
    photos = _photos(options.folder / "small-photos", small=True)
    with _ours(_artifact(options.folder / "light", LIGHT_NETWORK, LIGHT_SIZE)) as (port, process):
        sizes = []
        first = MEMORY_REQUESTS // MEMORY_BEFORE
        for count in (first, MEMORY_REQUESTS - first):
            figures = _load(port, photos, MEMORY_CLIENTS, count)
            sizes.append(_resident(process) / 1e6)
            rate, failures = figures["rate"], figures["failures"]
            say(f"{count} requests: {rate:.0f} per second, {failures:.0f} failed, {sizes[-1]:.1f} MB")
            if failures > FAILURES_PROMISED * count:
                raise ContenderError(f"{failures:.0f} of {count} requests failed: memory is not measured")
    return Case("serve-memory", "MB", sizes[1], sizes[0], bounds=(Bound("ratio", "at most", GROWTH_PROMISED),))


def _load(port: int, photos: Path, number: int, count: int, warm_up: int = 0) -> Figures:
    arguments = {"port": port, "photos": str(photos), "number": number, "requests": count, "warm_up": warm_up}
    return measure(calling.clients, arguments).figures


@contextmanager
def _ours(base: Path) -> Iterator[tuple[int, int]]:
    """The serving container's process with default settings: its port and its id."""
    port = free_port()
    environment = {
        "SAGEMAKER_BASE_DIR": str(base),
        "SAGEMAKER_BIND_TO_HOST": calling.LOOPBACK,
        "SAGEMAKER_BIND_TO_PORT": str(port),
    }
    with _serving(["steps.serve", "serve"], port, base / "ours.log", environment) as process:
        yield port, process


@contextmanager
def _other(kind: str, folder: Path) -> Iterator[int]:
    port = free_port()
    command = ["benchmarks.contenders.serving", kind, str(folder), str(port)]
    with _serving(command, port, folder.parent / f"{kind}.log", {}):
        yield port


@contextmanager
def _serving(command: list[str], port: int, log: Path, environment: Mapping[str, str]) -> Iterator[int]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ContenderError(f"{command[0]} does not serve: {log.read_text()[-1000:]}")
            time.sleep(0.1)
        yield process.pid
    finally:
        process.terminate()
        process.wait(60)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(calling.LOOPBACK, port, timeout=10)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _resident(process: int) -> float:
    import psutil

    return float(psutil.Process(process).memory_info().rss)


def _photos(folder: Path, *, small: bool) -> Path:
    folder.mkdir()
    for sample in bins(PHOTOS, small=small):
        (folder / f"{sample.image_id}.jpg").write_bytes(sample.jpeg)
    return folder


def _artifact(base: Path, architecture: str, size: int, *, calibrated: bool = True) -> Path:
    """A container's folder with the artifact of an untrained network, exported as by a training."""
    from steps.contracts.artifact import Calibration, ModelDescription
    from steps.model.network import build_network
    from steps.train.artifact import write_artifact
    from steps.train.export import OnnxGraph
    from steps.train.history import History

    network = build_network(architecture, len(CLASSES), size, seed=1).eval()
    calibration = Calibration(
        temperature=1.2, level=0.9, least_probability=0.05, sure_accuracy=0.9, sure_confidence=0.8, bins=1000
    )
    description = ModelDescription(
        architecture=architecture,
        classes=list(CLASSES),
        image_size=size,
        dataset_sha256="0" * 64,
        calibration=calibration if calibrated else None,
    )
    write_artifact(base / "model", network, OnnxGraph(network, size), description, History(epochs=[]))
    return base
