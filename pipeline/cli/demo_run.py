"""The demo: bins in S3, a run of the pipeline, an approval, an endpoint, and counts of three photos.

It calls what the commands call; only the bins and the choice of the three photos are its own.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pipeline.aws.responses import says_missing
from pipeline.cli.app import DEMO_BINS, PROGRAM
from pipeline.cli.output import goes_on, print_parts
from pipeline.cli.tables import Column, Table
from pipeline.cli.views import runs as runs_view
from pipeline.cli.views.endpoint import predictions_table
from pipeline.cli.views.live import is_live
from pipeline.clients import client
from pipeline.connection import act_as, as_administrator
from pipeline.operations.account import people
from pipeline.operations.models import evaluations, registry
from pipeline.operations.runs import executions
from pipeline.operations.serving import endpoint, predictions
from pipeline.operations.serving.photos import Reader
from pipeline.operations.upsert import upsert
from pipeline.operations.watching import following
from pipeline.samples import synthetic
from pipeline.samples.sources import open_source
from pipeline.samples.upload import upload
from steps.contracts.errors import PipelineError
from steps.contracts.s3_uri import S3Uri
from steps.contracts.wording import count_of

if TYPE_CHECKING:
    from pipeline.operations.models.registry import Version
    from pipeline.operations.runs.progress import Progress as Run
    from pipeline.settings import Settings

PREDICTED_BINS = 3
# Limit for a deployment, which here is a process that loads a small network.
DEPLOYMENT_SECONDS = 180.0
RAW_FOLDERS = ("bin-images", "metadata")
DELETE_LIMIT = 1000  # keys per DeleteObjects request
# A gate that every model passes, also one that counts worse than the version of an earlier demo's bins.
OPEN_GATE = {
    "MinimumAccuracy": "0",
    "MaximumRmse": "10",
    "MaximumAccuracyLoss": "1",
    "MinimumSureAccuracy": "0",
    "SureCoverage": "1",
}


@dataclass(frozen=True)
class Bins:
    """The bins of the demo: `source` is a folder, a tar file or an S3 prefix, or None for synthetic bins."""

    source: str | None
    count: int
    seed: int
    limit: int | None = None

    @property
    def version(self) -> str:
        """The run's DataVersion: twelve hexadecimal digits that change whenever the uploaded bins would change."""
        if self.source is None:
            # A changed generator draws other bins from the same seed, so its source counts too.
            texts = [path.read_text() for path in sorted(Path(synthetic.__file__).parent.glob("*.py"))]
            content: tuple[object, ...] = ("synthetic", *texts, self.count, self.seed)
        else:
            path = Path(self.source)
            location = str(path.resolve()) if path.exists() else self.source
            files = sorted(path.rglob("*")) if path.is_dir() else [path] if path.exists() else []
            states = [(str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files]
            content = (location, *states, self.limit)
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]

    @property
    def reason_for_an_open_gate(self) -> str:
        """Why a model of these bins cannot be expected to pass the profile's gate; empty where it can."""
        if self.source is not None:
            return "Real photos need a longer training"
        return f"A model of fewer than {DEMO_BINS:,} bins learns too little" if self.count < DEMO_BINS else ""

    @property
    def title(self) -> str:
        """A short description of the bins."""
        if self.source is None:
            return f"{count_of(self.count, 'synthetic bin')} (seed {self.seed})"
        bins = f"the first {count_of(self.limit, 'bin')}" if self.limit else "the bins"
        return f"{bins} of {self.source}"


class DemoError(PipelineError):
    """The demo's run failed; the message names the step and the reason."""


def run(
    settings: Settings, bins: Bins, console: Console, command: str, serve_pages: Callable[[], str] = lambda: ""
) -> None:
    """Run the demo and print its results; `command` is the command line before a command's name.

    `serve_pages` starts the pages of the console and returns their address.

    Raises PipelineError for settings of an AWS account, and DemoError if the run or the deployment fails.
    """
    from pipeline.operations.account import local as account

    if settings.account.target != "local":
        raise PipelineError("the demo runs in the local cloud only; use --profile demo")
    started = time.monotonic()
    with console.status("starting the local cloud"):
        running = account.start(settings)
        with as_administrator():
            account.prepare(settings)
        address = serve_pages()
    if address:
        _report(console, "console", f"{address} (watch it there)")
    _report(console, "local cloud", f"runs, with its files in {running.directory}")
    with goes_on("the local cloud", f"to go on: {command} demo", f"to stop it: {command} local down"):
        _in_the_cloud(settings, bins, running.directory / "demo", console, command)
    console.print(f"\nDone in {time.monotonic() - started:.0f} s. To see more:", highlight=False)
    if address:
        console.print(f"  {address} (the console, until local down)", highlight=False, soft_wrap=True)
    for words in ("runs", "models", "endpoint", "logs TuneModel", "local down"):
        console.print(f"  {command} {words}", highlight=False)


def _in_the_cloud(settings: Settings, bins: Bins, folder: Path, console: Console, command: str) -> None:
    """All of the demo that the local cloud does; its results go to `folder`."""
    # From here on as the people of an account would: each with the policies of the stack, and no others.
    with act_as(people.sign_in(settings, "admin")):
        put_bins(settings, bins, console, command)
    with act_as(people.sign_in(settings, "ci")), console.status("compiling and checking the pipeline"):
        upserted = upsert(settings)
    _report(console, "pipeline", f"{settings.name} {upserted.change}")
    with act_as(people.sign_in(settings, "operator")):
        ended = _run_pipeline(settings, bins, console, command)
    with act_as(people.sign_in(settings, "approver")):
        version = _approve(settings, ended, console)
        with console.status("waiting for the endpoint"):
            served = endpoint.wait(settings, version.arn, timeout=DEPLOYMENT_SECONDS, interval=0.5)
    _report(console, "endpoint", f"{served.name} is {served.status} with version {served.version}")
    with act_as(people.sign_in(settings, "operator")):
        _show_results(settings, version, folder, console)


def _report(console: Console, subject: str, text: str) -> None:
    console.print(f"[green]✓[/green] [bold]{subject}[/bold] {text}", highlight=False, soft_wrap=True)


# ------------------------------------------------------------------------------------------------ the bins


def put_bins(settings: Settings, bins: Bins, console: Console, command: str = PROGRAM) -> None:
    """Upload the bins to `data.image_location` of the settings, unless an earlier demo uploaded the same.

    Bins of an earlier demo are deleted, once the new ones can be read. Raises PipelineError for a source without bins,
    and where photos are that no demo uploaded; nothing is deleted then.
    """
    s3 = client(settings, "s3")
    bucket, key = settings.data.bucket, f"{settings.data.prefix}/demo/bins.json"
    marker = _marker(s3, bucket, key)
    if marker.get("version") == bins.version:
        _report(console, "bins", f"{bins.title}: {marker['count']:,} in {settings.data.image_location} already")
        return
    # Before anything is deleted: the source may not be what the person means.
    source = open_source(bins.source, count=bins.count, seed=bins.seed, limit=bins.limit)
    if not source.has_bins():
        raise PipelineError(_no_bins(bins))
    location = settings.data.image_location.rstrip("/")
    if not marker and any(_exists(s3, f"{location}/{folder}/") for folder in RAW_FOLDERS):
        raise PipelineError(
            f"{location} has photos that no demo uploaded, and which a demo would delete; run them:"
            f" {command} start --watch, or delete them: python -m pipeline local reset"
        )
    if "source" in marker:
        console.print(
            f"  {count_of(marker['count'], 'bin')} of the last demo ({marker['source']}): deleted.", highlight=False
        )
    # An upload that is interrupted is repeated.
    s3.put_object(Bucket=bucket, Key=key, Body=json.dumps({"version": ""}).encode(), ContentType="application/json")
    # Bins of two sources must not mix, and photos must not keep the splits of others with the same ids.
    for folder in RAW_FOLDERS:
        _clear(s3, f"{location}/{folder}/")
    _clear(s3, f"{settings.root_uri}/assignments/")
    columns = (TextColumn("uploading bins"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("bins", total=source.count)
        uploaded = upload(source, settings.data.image_location, lambda number: bar.advance(task, number))
    if not uploaded.count:
        raise PipelineError(_no_bins(bins))
    body = {"version": bins.version, "count": uploaded.count, "source": bins.title}
    s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(body).encode(), ContentType="application/json")
    text = f"{uploaded.count:,} of {bins.title}" if bins.source else bins.title
    skipped = uploaded.skipped.sentence()
    size = f"{uploaded.bytes / 1e6:,.0f} MB" + (f"; left out: {skipped}" if skipped else "")
    _report(console, "bins", f"{text} in {settings.data.image_location} ({size})")


def _no_bins(bins: Bins) -> str:
    return f"{bins.title}: no bin has a photo and metadata; name another source with --bins"


def _exists(s3: Any, prefix: str) -> bool:
    place = S3Uri.parse(prefix)
    return bool(s3.list_objects_v2(Bucket=place.bucket, Prefix=place.key, MaxKeys=1).get("Contents"))


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
    place = S3Uri.parse(prefix)
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=place.bucket, Prefix=place.key, PaginationConfig={"PageSize": DELETE_LIMIT}
    )
    for page in pages:
        if keys := [{"Key": item["Key"]} for item in page.get("Contents", [])]:
            s3.delete_objects(Bucket=place.bucket, Delete={"Objects": keys, "Quiet": True})


# ------------------------------------------------------------------------------------------------ the run


def _run_pipeline(settings: Settings, bins: Bins, console: Console, command: str) -> Run:
    # RegisterAgain: each demo shows a registration, also of a model from the cache.
    parameters = {"DataVersion": bins.version, "RegisterAgain": "yes"}
    if bins.reason_for_an_open_gate:
        parameters |= OPEN_GATE
        limits = ", ".join(f"{name}={value}" for name, value in OPEN_GATE.items())
        console.print(f"  {bins.reason_for_an_open_gate}: every model passes here ({limits}).", soft_wrap=True)
    execution = executions.start(settings, parameters)
    with goes_on(*runs_view.going_on(execution.id, command), f"to stop everything: {command} local down"):
        snapshots = following.follow(settings, execution.arn, interval=1.0, details=is_live(console))
        last = runs_view.follow_run(snapshots, console)
    if last.execution.status != "Succeeded":
        raise DemoError("\n".join(runs_view.outcome_lines(last, command)))
    return last


def _approve(settings: Settings, run: Run, console: Console) -> Version:
    arn = next((arn for step in run.steps if (arn := step.arn("RegisterModel"))), None)
    if arn is None:
        raise DemoError(f"the run {run.execution.id} succeeded but registered no model")
    version = registry.resolve(settings, arn)
    if version.status != "Approved":
        version = registry.decide(settings, arn, "Approved", "approved by the demo")
    _report(console, "registry", f"{version.name} of {settings.registry.group}: {version.status}")
    return version


# --------------------------------------------------------------------------------------------------- the results


def _show_results(settings: Settings, version: Version, folder: Path, console: Console) -> None:
    """Print the model's metrics with the baselines, and counts of the endpoint with the true ones."""
    s3 = client(settings, "s3")
    evaluation = json.loads(_read(s3, version.evaluation_uri))
    sure = evaluations.sure_counts(evaluation)
    print_parts(console, "", metrics_table(evaluation), *([] if sure is None else [f"the model {sure.sentence}"]), "")
    base = version.evaluation_uri.rsplit("/", 1)[0]
    chosen = chosen_predictions(_read(s3, f"{base}/predictions.parquet"), PREDICTED_BINS)
    photos = {
        f"{settings.data.image_location.rstrip('/')}/bin-images/{image_id}.jpg": quantity
        for image_id, quantity in chosen.items()
    }
    answers = list(predictions.predict(settings, Reader(settings), photos))
    if failures := [answer for answer in answers if isinstance(answer, predictions.NotCounted)]:
        raise DemoError(f"{failures[0].source}: {failures[0].reason}")
    counted = [answer for answer in answers if isinstance(answer, predictions.Prediction)]
    print_parts(console, predictions_table(counted, truth=photos))
    folder.mkdir(parents=True, exist_ok=True)
    report = folder / "report.html"
    report.write_bytes(_read(s3, f"{base}/report.html"))
    print_parts(console, f"\nThe report, to open in a browser: {report}")


def _read(s3: Any, uri: str) -> bytes:
    place = S3Uri.parse(uri)
    data: bytes = s3.get_object(Bucket=place.bucket, Key=place.key)["Body"].read()
    return data


def metrics_table(evaluation: Mapping[str, Any]) -> Table:
    """Accuracy and RMSE of the model on the test split, then those of the baselines, which do not see the photos."""
    headings = ("accuracy", "RMSE", "off by one at most")
    table = Table("on the test split", *(Column(heading, "number") for heading in headings))
    accuracy = evaluation["multiclass_classification_metrics"]["accuracy"]
    rmse = evaluation["regression_metrics"]["rmse"]
    within_one = evaluation["decisions"][evaluation["decision"]]["within_one"]
    table.add_row("this model", _with_deviation(accuracy), _with_deviation(rmse), f"{within_one:.0%}", style="bold")
    for name, scores in evaluation["baselines"].items():
        title = f"baseline: {name.replace('_', ' ')}"
        row = (f"{scores['accuracy']:.3f}", f"{scores['rmse']:.3f}", f"{scores['within_one']:.0%}")
        table.add_row(title, *row, style="dim")
    return table


def _with_deviation(metric: Mapping[str, float]) -> str:
    return f"{metric['value']:.3f} ± {metric['standard_deviation']:.3f}"


def chosen_predictions(parquet: bytes, number: int) -> dict[str, int]:
    """Ids and true quantities of `number` photos of the test split whose quantities are spread evenly."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pq.read_table(pa.BufferReader(parquet), columns=["image_id", "quantity"]).sort_by("image_id").to_pylist()
    by_quantity: dict[int, list[str]] = {}
    for row in rows:
        by_quantity.setdefault(row["quantity"], []).append(row["image_id"])
    quantities = sorted(by_quantity)
    # The first photo of each chosen quantity.
    step = max(1, (len(quantities) - 1) // max(1, number - 1))
    chosen = quantities[::step][:number]
    return {by_quantity[quantity][0]: quantity for quantity in chosen}
