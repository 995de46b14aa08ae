"""A plan of a data set: processor time and peak memory by the number of photos, and whether the plans are equal."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

import boto3

from benchmarks import server
from benchmarks.cases import Bound, Case, say
from benchmarks.child import ROOT, Measured, measure
from benchmarks.contenders import planners
from benchmarks.labels import write_labels
from benchmarks.options import Options

# Photos of the smaller data sets, as shares of --count.
SHARES = (0.02, 0.2, 1.0)
# Bytes for DuckDB, and the promise about the whole process.
DUCKDB_BYTES = 450_000_000
LIMIT_MB = 1_000
# Labels of which three items are in 30% of the draws.
HOT = 0.3
SPARK = ROOT / ".venv-spark/bin/python"


def cases(options: Options) -> Iterator[Case]:
    """Per number of photos: seconds of processor time and peak memory, against the planner in a process's memory."""
    for share in SHARES:
        yield from _sizes(options, max(1_000, int(share * options.count)), 0.0)
    yield from _sizes(options, max(1_000, int(SHARES[0] * options.count)), HOT)


def _sizes(options: Options, photos: int, hot: float) -> Iterator[Case]:
    labels = options.folder / f"labels-{photos}-{hot}.parquet"
    write_labels(labels, photos, hot=hot)
    name = f"plan-{'hot-' if hot else ''}{photos}"
    ours, baseline = [], []
    for number in range(options.rounds):
        for contender in ("ours", "baseline") if number % 2 == 0 else ("baseline", "ours"):
            if contender == "ours":
                ours.append(measure(planners.duckdb, {"labels": str(labels), "memory": DUCKDB_BYTES}))
            else:
                baseline.append(measure(planners.in_process, {"labels": str(labels)}))
    equal = {measured.figures["plan"] for measured in [*ours, *baseline]}
    facts = {"groups_equal": len(equal) == 1}
    if not facts["groups_equal"]:
        say(f"{name}: THE PLANS DIFFER")
    yield _cpu(f"{name}-cpu", ours, baseline, facts)
    yield _memory(f"{name}-memory", ours, baseline, facts)
    if not hot:
        yield from _spark(name, labels, ours)
    labels.unlink()


def _cpu(name: str, ours: list[Measured], baseline: list[Measured], facts: dict[str, bool]) -> Case:
    seconds = [statistics.median(each.cpu_seconds for each in side) for side in (ours, baseline)]
    return Case(name, "s of processor time", *seconds, facts=facts)


def _memory(name: str, ours: list[Measured], baseline: list[Measured], facts: dict[str, bool]) -> Case:
    peaks = [statistics.median(each.peak_bytes / 1e6 for each in side) for side in (ours, baseline)]
    return Case(name, "MB", *peaks, LIMIT_MB, (Bound("of_limit", "at most", 1),), facts=facts)


def _spark(name: str, labels: Path, ours: list[Measured]) -> Iterator[Case]:
    """Spark on two cores of this machine, once, with its Java process, against DuckDB."""
    if not SPARK.exists():
        say(f"{name}: Spark is not installed here; `make setup-spark` installs it")
        return
    with server.bucket() as bucket:
        boto3.client("s3").upload_file(str(labels), bucket, "labels/part.parquet")
        arguments = {"labels": f"s3://{bucket}/labels", "folder": f"s3://{bucket}/job", "scratch": f"{labels}.spark"}
        figures = measure(planners.spark, arguments, python=str(SPARK)).figures
    facts = {"groups_equal": figures["plan"] == ours[-1].figures["plan"]}
    if not facts["groups_equal"]:
        say(f"{name}: THE PLAN OF SPARK DIFFERS")
    seconds = statistics.median(each.cpu_seconds for each in ours)
    yield Case(f"{name}-spark-cpu", "s of processor time", figures["tree_cpu"], seconds, facts=facts)
    peak = statistics.median(each.peak_bytes / 1e6 for each in ours)
    yield Case(f"{name}-spark-memory", "MB", figures["tree_peak"] / 1e6, peak, facts=facts)
