"""`python -m benchmarks NAME`: one JSON line per case on stdout, progress on stderr."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import (
    accuracy,
    console,
    evaluate,
    help,
    hour,
    load,
    memory,
    plan,
    pretrained,
    query,
    recipes,
    recount,
    s3_door,
    serve,
    server,
    shard,
    shard_add,
    shard_cores,
    shard_memory,
    shard_scale,
    train_scale,
    train_step,
)
from benchmarks.cases import Case, say
from benchmarks.child import ContenderError
from benchmarks.options import Options
from benchmarks.trainings import COUNT


@dataclass(frozen=True)
class Benchmark:
    """A benchmark and its defaults."""

    cases: Callable[[Options], Iterator[Case]]
    summary: str
    count: int
    rounds: int = 5
    baseline_count: int | None = None


BENCHMARKS = {
    "help": Benchmark(help.cases, "the help of the command line against the imports that it needs", count=1, rounds=15),
    "console": Benchmark(console.cases, "each page of the console over a large account", count=1),
    "listing": Benchmark(
        query.listing, "the listing of a raw folder: against boto3's own, and with 100 ms added", count=50_000
    ),
    "query": Benchmark(query.cases, "metadata files to Parquet, without Athena", count=10_441),
    "plan": Benchmark(
        plan.cases, "plans of data sets of several sizes, out of core, against arrays", count=5_000_000, rounds=1
    ),
    "shard": Benchmark(shard.plain, "photos into shards, bytes kept", count=8_000, baseline_count=2_000),
    "shard-latency": Benchmark(shard.latency, "the same with 15 ms added to each GET", count=4_000, baseline_count=500),
    "shard-resize": Benchmark(shard.resized, "photos into shards, resized to 256", count=4_000, baseline_count=500),
    "shard-scale": Benchmark(
        shard_scale.cases, "shares of 1, 2 and 4 instances: balance and total work", count=4_000, rounds=3
    ),
    "shard-cores": Benchmark(
        shard_cores.cases, "an instance with a process per core, against a single process", count=24_000, rounds=3
    ),
    "shard-memory-growth": Benchmark(
        shard_memory.cases, "peak memory of a shard worker, by the size of the plan", count=5_000_000, rounds=1
    ),
    "shard-add": Benchmark(
        shard_add.cases, "100 more photos, against all of them again", count=10_000, rounds=3, baseline_count=100
    ),
    "accuracy": Benchmark(
        accuracy.cases,
        "our training from ImageNet weights, against a naive recipe from random ones, on real photos",
        count=COUNT,
        rounds=3,
    ),
    "accuracy-random": Benchmark(
        accuracy.from_random_weights, "our recipe against a naive one, from random weights", count=COUNT, rounds=3
    ),
    "accuracy-hour": Benchmark(hour.cases, "an hour of training from ImageNet weights", count=COUNT, rounds=3),
    "accuracy-pretrained": Benchmark(
        pretrained.cases,
        "a training from ImageNet weights, against random ones, on real photos",
        count=COUNT,
        rounds=2,
    ),
    "recipes": Benchmark(
        recipes.cases,
        "what changes of the recipe give, on real photos that are not trained on",
        count=COUNT,
        rounds=1,
    ),
    "load": Benchmark(load.small, "batches of photos of 256 pixels for a training process", count=16_000),
    "load-full": Benchmark(load.full, "batches of photos of full size for a training process", count=6_000),
    "train-step": Benchmark(train_step.cases, "a training step, on a GPU where there is one", count=20),
    "train-scale": Benchmark(train_scale.cases, "the training job on one and on two ranks", count=1_500, rounds=3),
    "evaluate": Benchmark(evaluate.cases, "memory and time of an evaluation by its photos", count=100_000, rounds=1),
    "serve": Benchmark(serve.cases, "the serving container under load", count=240, rounds=3),
    "serve-calibrated": Benchmark(
        serve.calibrated, "an answer with confidence and prediction set, against without", count=4_000, rounds=9
    ),
    "recount": Benchmark(
        recount.cases,
        "the order of a recount's list: wrong records among the first 200 of simulated bins",
        count=20_000,
    ),
    "s3-door": Benchmark(
        s3_door.cases, "reading through the local cloud's S3 door, against its bare server", count=4_000
    ),
    "memory": Benchmark(memory.cases, "peak memory of a shard worker", count=16_000, rounds=1),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark of the command line, or list all."""
    parser = argparse.ArgumentParser(prog="benchmarks", description="\n\n".join(map(str.strip, _listing())))
    parser.add_argument("name", nargs="?", choices=BENCHMARKS, help="a benchmark; without it, list them")
    parser.add_argument("--rounds", type=_positive, help="number of rounds of all contenders; the median counts")
    parser.add_argument("--count", type=_positive, help="number of photos or metadata files")
    parser.add_argument("--baseline-count", type=_positive, help="number of them for a slow baseline")
    parser.add_argument("--peers", type=Path, help="load: Python of an environment with other loaders")
    parser.add_argument("--keep", type=Path, help="accuracy*, recipes: folder of finished trainings, to continue from")
    parser.add_argument("--epochs", type=_positive, help="accuracy*: epochs per training")
    parser.add_argument("--threads", type=_positive, help="accuracy*, recipes: threads per training")
    parser.add_argument("--only", nargs="+", default=(), metavar="CHANGE", help="recipes: the changes to try")
    given = parser.parse_args(arguments)
    if given.name is None:
        print("\n".join(_listing()))
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end as with Ctrl-C, which stops all processes
    chosen = BENCHMARKS[given.name]
    count = given.count or chosen.count
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, server.running(Path(folder) / "s3"):
        options = Options(
            folder=Path(folder),
            rounds=given.rounds or chosen.rounds,
            count=count,
            baseline_count=given.baseline_count or chosen.baseline_count or count,
            peers=given.peers,
            keep=given.keep,
            epochs=given.epochs,
            threads=given.threads,
            only=frozenset(given.only),
        )
        return report(chosen.cases(options))


def report(cases: Iterator[Case]) -> int:
    """Print each case when it is ready, and return the exit status. A promise that does not hold is no failure."""
    try:
        for case in cases:
            for verdict in case.verdicts():
                say(verdict)
            print(case.line(), flush=True)
    except ContenderError as error:
        say(str(error))
        return 1
    return 0


def _listing() -> list[str]:
    return [f"{name:20} {benchmark.summary}" for name, benchmark in BENCHMARKS.items()]


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: use 1 or more")
    return number


if __name__ == "__main__":
    sys.exit(main())
