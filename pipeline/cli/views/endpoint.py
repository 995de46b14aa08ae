"""Views of the endpoint and of counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rich.console import RenderableType
from rich.text import Text

from pipeline.cli.tables import Cell, Column, Facts, Table
from pipeline.cli.views.cells import status_text
from pipeline.operations.cost.before import HourlyCost
from pipeline.operations.cost.words import hourly_text
from pipeline.operations.serving.endpoint import TRAFFIC_MINUTES, Alarm, Endpoint, Health, Traffic
from pipeline.operations.serving.predictions import Prediction
from pipeline.texts import moment, ranges, shortened
from steps.contracts.wording import count_of

_ALARM_STYLES = {"OK": "green", "ALARM": "bold red", "INSUFFICIENT_DATA": "dim"}
_DECISION_STYLES = {"accepted": "green", "rolled-back": "red", "rolling-back": "red", "cleaned-up": "red"}


def endpoint_page(
    endpoint: Endpoint, health: Health, hourly: HourlyCost, *, local: bool = False
) -> Iterator[RenderableType]:
    """The endpoint's state, then the decisions of the deploy function and the latest errors."""
    yield Text.assemble(
        (endpoint.name, "bold"), "  ", status_text(endpoint.status), f"  since {moment(endpoint.changed)}"
    )
    yield Facts(_facts(endpoint, health, hourly_text(hourly, local=local)))
    if endpoint.failure:
        yield Text(shortened(endpoint.failure), style="red")
    if health.decisions:
        yield Text("\ndecisions of the deploy function", style="dim")
        table = Table(Column("time", "time"), "decision", "reason", show_header=False)
        for decided in health.decisions:
            decision = Text(decided.decision, style=_DECISION_STYLES.get(decided.decision, ""))
            table.add_row(Text(moment(decided.time), style="dim"), decision, shortened(decided.reason))
        yield table
    if health.errors:
        yield Text(f"\nerrors of the last {TRAFFIC_MINUTES} minutes", style="dim")
        table = Table(Column("time", "time"), "error", show_header=False)
        for line in health.errors:
            table.add_row(moment(line.time), shortened(line.message), style="red")
        yield table


def _facts(endpoint: Endpoint, health: Health, costs: str) -> Iterator[tuple[str, Cell]]:
    yield "version", str(endpoint.version or "-")
    yield "package", endpoint.package
    if coming := endpoint.pending:
        moves = f", and all of it from {moment(coming.moves)} on" if coming.moves else ""
        yield "deploying", f"version {coming.version}, which has {coming.share:.0%} of the traffic{moves}"
    attempt = endpoint.tried
    if attempt and attempt.verdict:
        yield (
            "last deployment",
            f"version {attempt.version} {attempt.verdict}" + (f": {attempt.reason}" if attempt.reason else ""),
        )
    yield "instances", f"{endpoint.instances} x {endpoint.on}" if endpoint.instances else endpoint.on
    yield "cost", costs
    yield "configuration", endpoint.config
    yield "traffic", _traffic(health.traffic)
    for alarm in health.alarms:
        yield "alarm", _alarm(alarm)
    if endpoint.captured_percent:
        yield "data capture", f"{endpoint.captured_percent}% of the requests, to {endpoint.captures}"


def _traffic(traffic: Traffic) -> str:
    if not traffic.requests:
        return f"no requests in the last {TRAFFIC_MINUTES} minutes"
    parts = [f"{count_of(traffic.requests, 'request')} in the last {TRAFFIC_MINUTES} minutes"]
    parts += [f"{traffic.refused:,} refused"] if traffic.refused else []
    parts += [f"{traffic.failed:,} failed"] if traffic.failed else []
    if traffic.mean_milliseconds is not None:
        parts.append(f"{traffic.mean_milliseconds:.0f} ms on average, {traffic.slowest_milliseconds:.0f} ms at most")
    return ", ".join(parts)


def _alarm(alarm: Alarm) -> Text:
    reason = f"  {shortened(alarm.reason)}" if alarm.state == "ALARM" else ""
    return Text.assemble(alarm.name, " ", (alarm.state, _ALARM_STYLES.get(alarm.state, "")), (reason, "red"))


def predictions_table(predictions: Iterable[Prediction], truth: Mapping[str, int] | None = None) -> Table:
    """The endpoint's counts by photo, next to the true ones where `truth` has them by the photo's source."""
    truth, predictions = truth or {}, list(predictions)
    is_timed = any(prediction.milliseconds is not None for prediction in predictions)
    is_calibrated = any(prediction.sure is not None for prediction in predictions)
    true_count = [Column("truth", "number", 2)] if truth else []
    table = Table(
        Column("photo", "uri"),
        Column("count", "number", 2),
        *true_count,
        Column("confidence", "number"),
        Column("expected", "number"),
        *([Column("sure"), Column("set", "uri")] if is_calibrated else []),
        *([Column("time", "number", 0)] if is_timed else []),
    )
    for prediction in predictions:
        cells: list[Cell] = [prediction.source, str(prediction.count)]
        if truth:
            right = truth.get(prediction.source) == prediction.count
            cells.append(Text(str(truth.get(prediction.source, "-")), style="green" if right else "yellow"))
        cells += [f"{prediction.confidence:.0%}", f"{prediction.expected:.2f}"]
        if is_calibrated:
            cells += [sure_text(prediction.sure), ranges(prediction.prediction_set or ())]
        cells += [] if prediction.milliseconds is None else [f"{prediction.milliseconds:.0f} ms"]
        table.add_row(*cells)
    return table


def sure_text(sure: bool | None) -> Text:
    """Whether a count needs no person; empty for a model without a calibration."""
    return Text("") if sure is None else Text("yes", style="green") if sure else Text("no", style="yellow")


def counts_table(counts: Mapping[int, int], reasons: Mapping[str, int]) -> Table:
    """Number of photos by count, and of those without a count by reason."""
    table = Table("count", Column("photos", "number"))
    for count in sorted(counts):
        table.add_row(str(count), f"{counts[count]:,}")
    for reason in sorted(reasons, key=lambda reason: -reasons[reason]):
        table.add_row(Text(shortened(reason), style="red"), f"{reasons[reason]:,}")
    return table
