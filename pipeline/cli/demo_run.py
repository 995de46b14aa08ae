"""The whole way on this machine: bins into S3, a run of the pipeline, an approval, an endpoint that counts.

Nothing here is the demo's own but the bins and the three photos at the end: it calls what the commands call.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipeline.aws.responses import says_missing
from pipeline.cli.views import runs as display
from pipeline.clients import client
from pipeline.connection import connect
from pipeline.operations.models import registry
from pipeline.operations.runs import executions, progress
from pipeline.operations.serving import endpoint, predictions
from pipeline.operations.serving.photos import Reader
from pipeline.operations.upsert import upsert
from pipeline.samples import synthetic
from pipeline.samples.sources import open_source
from pipeline.samples.upload import upload
from steps.contracts.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.operations.models.registry import Version
    from pipeline.operations.runs.progress import Progress as Run
    from pipeline.settings import Settings

PREDICTED_BINS = 3
# A deployment on this machine is a process that loads a small network.
DEPLOYMENT_SECONDS = 180.0
RAW_FOLDERS = ("bin-images", "metadata")
DELETE_LIMIT = 1000  # keys a DeleteObjects request


@dataclass(frozen=True)
class Bins:
    """Which bins the demo counts: `source` is a folder, a tar or an S3 prefix, or None for synthetic ones."""

    source: str | None
    count: int
    seed: int
    limit: int | None = None

    @property
    def version(self) -> str:
        """Twelve hexadecimal digits that change when other bins would be uploaded: the run's DataVersion."""
        if self.source is None:
            # The generator's own text: another generator makes other bins of the same seed.
            texts = [path.read_text() for path in sorted(Path(synthetic.__file__).parent.glob("*.py"))]
            content: tuple[object, ...] = ("synthetic", *texts, self.count, self.seed)
        else:
            path = Path(self.source)
            where = str(path.resolve()) if path.exists() else self.source
            files = sorted(path.rglob("*")) if path.is_dir() else [path] if path.exists() else []
            found = [(str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files]
            content = (where, *found, self.limit)
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]

    @property
    def title(self) -> str:
        """What they are, for a person."""
        if self.source is None:
            return f"{self.count:,} synthetic bins (seed {self.seed})"
        return f"{f'the first {self.limit:,} bins' if self.limit else 'the bins'} of {self.source}"


class DemoError(PipelineError):
    """The run did not succeed; the message says where and why."""


def run(settings: Settings, bins: Bins, console: Console, command: str) -> None:
    """Run the demo and print what comes of it; `command` is what a person types before a command's name.

    Raises PipelineError when the settings are of an AWS account, and DemoError when the run or the deployment fails.
    """
    from pipeline.operations.account import local as account

    if settings.account.target != "local":
        raise PipelineError("the demo runs in the local cloud only; take --profile demo")
    started = time.monotonic()
    with console.status("starting the local cloud"):
        running = account.start(settings)
        connect(settings)
        account.prepare(settings)
    _say(console, "local cloud", f"runs; its files are in {running.directory}")
    put_bins(settings, bins, console)
    with console.status("compiling and checking the pipeline"):
        upserted = upsert(settings)
    _say(console, "pipeline", f"{settings.name} {upserted.change}")
    ended = _run_pipeline(settings, bins, console, command)
    version = _approve(settings, ended, console)
    with console.status("waiting for the endpoint"):
        served = endpoint.wait(settings, version.arn, timeout=DEPLOYMENT_SECONDS, interval=0.5)
    _say(console, "endpoint", f"{served.name} is {served.status} with version {served.version}")
    _show_results(settings, version, running.directory / "demo", console)
    console.print(f"\nDone in {time.monotonic() - started:.0f} s. Look around:", highlight=False)
    for words in ("runs", "models", "endpoint", "logs TuneModel", "local down"):
        console.print(f"  {command} {words}", highlight=False)


def _say(console: Console, subject: str, text: str) -> None:
    console.print(f"[green]✓[/green] [bold]{subject}[/bold] {text}", highlight=False, soft_wrap=True)


# ------------------------------------------------------------------------------------------------ the bins


def put_bins(settings: Settings, bins: Bins, console: Console) -> None:
    """Put the bins where the settings' `data.image_location` is, unless they are there from an earlier demo."""
    s3 = client(settings, "s3")
    bucket, key = settings.data.bucket, f"{settings.data.prefix}/demo/bins.json"
    marker = _marker(s3, bucket, key)
    if marker.get("version") == bins.version:
        _say(console, "bins", f"{bins.title}: {marker['count']:,} are in {settings.data.image_location} already")
        return
    # Without the marker an upload that is cut short is done again.
    s3.delete_object(Bucket=bucket, Key=key)
    # Two sources must not mix, nor one's photos keep the splits of the other's that had their ids.
    for folder in RAW_FOLDERS:
        _clear(s3, f"{settings.data.image_location.rstrip('/')}/{folder}/")
    _clear(s3, f"{settings.root_uri}/assignments/")
    source = open_source(bins.source, count=bins.count, seed=bins.seed, limit=bins.limit)
    columns = (TextColumn("uploading bins"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("bins", total=source.count)
        uploaded = upload(source, settings.data.image_location, lambda number: bar.advance(task, number))
    if not uploaded.count:
        raise PipelineError(f"{bins.title}: no bin with a photo and its metadata was found there")
    body = {"version": bins.version, "count": uploaded.count, "source": bins.title}
    s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(body).encode(), ContentType="application/json")
    text = f"{uploaded.count:,} of {bins.title}" if bins.source else bins.title
    skipped = ", ".join(f"{number:,} {reason}" for reason, number in sorted(uploaded.skipped.items()))
    size = f"{uploaded.bytes / 1e6:,.0f} MB" + (f"; left out: {skipped}" if skipped else "")
    _say(console, "bins", f"{text} in {settings.data.image_location} ({size})")


def _marker(s3: Any, bucket: str, key: str) -> dict[str, Any]:
    from botocore.exceptions import ClientError

    try:
        marker: dict[str, Any] = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except ClientError as error:
        if says_missing(error):
            return {}
        raise
    return marker


def _clear(s3: Any, prefix: str) -> None:
    bucket, _, below = prefix.removeprefix("s3://").partition("/")
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=below, PaginationConfig={"PageSize": DELETE_LIMIT}
    )
    for page in pages:
        if found := [{"Key": one["Key"]} for one in page.get("Contents", [])]:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": found, "Quiet": True})


# ------------------------------------------------------------------------------------------------ the run


def _run_pipeline(settings: Settings, bins: Bins, console: Console, command: str) -> Run:
    # The demo shows a registration each time, also where the model of an earlier one comes from the cache.
    parameters = {"DataVersion": bins.version, "RegisterAgain": "yes"}
    if bins.source is not None:
        parameters |= {"MinimumAccuracy": "0", "MaximumRmse": "10"}
        console.print("  Real photos learn slowly: the gate is open (MinimumAccuracy=0, MaximumRmse=10).")
    execution = executions.start(settings, parameters)
    last = display.follow_run(progress.follow(settings, execution.arn, interval=1.0), console)
    if last.execution.status != "Succeeded":
        raise DemoError("\n".join(display.outcome_lines(last, command)))
    return last


def _approve(settings: Settings, run: Run, console: Console) -> Version:
    arn = next((arn for step in run.steps if (arn := step.arn("RegisterModel"))), None)
    if arn is None:
        raise DemoError(f"the run {run.execution.id} succeeded but registered no model")
    version = registry.resolve(settings, arn)
    if version.status != "Approved":
        version = registry.decide(settings, arn, "Approved", "approved by the demo")
    _say(console, "registry", f"{version.name} of {settings.registry.group}: {version.status}")
    return version


# --------------------------------------------------------------------------------------------- what came of it


def _show_results(settings: Settings, version: Version, folder: Path, console: Console) -> None:
    """Print the model's metrics against the baselines, and counts of the endpoint next to the truth."""
    s3 = client(settings, "s3")
    evaluation = json.loads(_read(s3, version.evaluation_uri))
    console.print()
    console.print(metrics_table(evaluation), highlight=False)
    console.print()
    base = version.evaluation_uri.rsplit("/", 1)[0]
    chosen = chosen_predictions(_read(s3, f"{base}/predictions.parquet"), PREDICTED_BINS)
    photos = {
        f"{settings.data.image_location.rstrip('/')}/bin-images/{image_id}.jpg": quantity
        for image_id, quantity in chosen.items()
    }
    answers = list(predictions.predict(settings, Reader(settings), photos))
    if unanswered := [one for one in answers if isinstance(one, predictions.NotCounted)]:
        raise DemoError(f"{unanswered[0].source}: {unanswered[0].reason}")
    counted = [one for one in answers if isinstance(one, predictions.Prediction)]
    console.print(display.predictions_table(counted, truth=photos), highlight=False)
    folder.mkdir(parents=True, exist_ok=True)
    report = folder / "report.html"
    report.write_bytes(_read(s3, f"{base}/report.html"))
    console.print(f"\nThe report, to open in a browser: {report}", highlight=False, soft_wrap=True)


def _read(s3: Any, uri: str) -> bytes:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    data: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return data


def metrics_table(evaluation: Mapping[str, Any]) -> Table:
    """Accuracy and RMSE of the model on the test split, and below them those of models that do not look."""
    table = display.simple_table("on the test split", "accuracy", "RMSE", "off by one at most")
    accuracy = evaluation["multiclass_classification_metrics"]["accuracy"]
    rmse = evaluation["regression_metrics"]["rmse"]
    within_one = evaluation["decisions"][evaluation["decision"]]["within_one"]
    table.add_row("[bold]this model[/bold]", _with_deviation(accuracy), _with_deviation(rmse), f"{within_one:.0%}")
    for name, scores in evaluation["baselines"].items():
        title = f"baseline: {name.replace('_', ' ')}"
        row = (f"{scores['accuracy']:.3f}", f"{scores['rmse']:.3f}", f"{scores['within_one']:.0%}")
        table.add_row(title, *row, style="dim")
    return table


def _with_deviation(metric: Mapping[str, float]) -> str:
    return f"{metric['value']:.3f} ± {metric['standard_deviation']:.3f}"


def chosen_predictions(parquet: bytes, number: int) -> dict[str, int]:
    """Photos of the test split to count again, with their true quantities: as different ones as there are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pq.read_table(pa.BufferReader(parquet), columns=["image_id", "quantity"]).sort_by("image_id").to_pylist()
    by_quantity: dict[int, list[str]] = {}
    for row in rows:
        by_quantity.setdefault(row["quantity"], []).append(row["image_id"])
    quantities = sorted(by_quantity)
    # Evenly spread over the quantities; the first photo of each.
    step = max(1, (len(quantities) - 1) // max(1, number - 1))
    chosen = quantities[::step][:number]
    return {by_quantity[quantity][0]: quantity for quantity in chosen}
