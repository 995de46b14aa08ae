"""How the endpoint and counts look in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.cli.views.runs import moment, shortened, simple_table, status_text
from pipeline.operations.serving.endpoint import TRAFFIC_MINUTES, Alarm, Endpoint, Health, Traffic

_ALARM_STYLES = {"OK": "green", "ALARM": "bold red", "INSUFFICIENT_DATA": "dim"}
_DECISION_STYLES = {"accepted": "green", "rolled-back": "red", "rolling-back": "red", "cleaned-up": "red"}


def summary(endpoint: Endpoint, health: Health) -> Iterator[RenderableType]:
    """The endpoint's page, part by part."""
    yield Text.assemble(
        (endpoint.name, "bold"), " ", status_text(endpoint.status), f" since {moment(endpoint.changed)}"
    )
    yield _facts(endpoint, health)
    if endpoint.failure:
        yield Text(shortened(endpoint.failure), style="red")
    if health.decisions:
        yield Text("\ndecisions of the deploy function", style="dim")
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
        for one in health.decisions:
            decision = Text(one.decision, style=_DECISION_STYLES.get(one.decision, ""))
            table.add_row(Text(moment(one.time), style="dim"), decision, shortened(one.reason))
        yield table
    if health.errors:
        yield Text(f"\nerrors of the last {TRAFFIC_MINUTES} minutes", style="dim")
        for line in health.errors:
            yield Text(f"{moment(line.time)}  {shortened(line.message)}", style="red")


def _facts(endpoint: Endpoint, health: Health) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("version", f"{endpoint.version or '-'}  {endpoint.package}")
    if endpoint.pending:
        table.add_row(
            "coming", f"version {endpoint.pending.version}, {endpoint.pending.share:.0%} of the traffic so far"
        )
    tried = endpoint.tried
    if tried and tried.verdict:
        said = f": {tried.reason}" if tried.reason else ""
        table.add_row("verdict", f"version {tried.version} {tried.verdict}{said}")
    table.add_row("on", f"{endpoint.instances} x {endpoint.on}" if endpoint.instances else endpoint.on)
    table.add_row("config", endpoint.config)
    table.add_row("traffic", _traffic(health.traffic))
    for alarm in health.alarms:
        table.add_row("alarm", _alarm(alarm))
    if endpoint.captured_percent:
        table.add_row("captured", f"{endpoint.captured_percent}% to {endpoint.captures}")
    return table


def _traffic(traffic: Traffic) -> str:
    if not traffic.requests:
        return f"no requests in the last {TRAFFIC_MINUTES} minutes"
    parts = [f"{traffic.requests:,} requests in the last {TRAFFIC_MINUTES} minutes"]
    parts += [f"{traffic.refused:,} refused"] if traffic.refused else []
    parts += [f"{traffic.failed:,} failed"] if traffic.failed else []
    if traffic.mean_milliseconds is not None:
        parts.append(f"{traffic.mean_milliseconds:.0f} ms on average, {traffic.slowest_milliseconds:.0f} ms at most")
    return ", ".join(parts)


def _alarm(alarm: Alarm) -> Text:
    reason = f"  {shortened(alarm.reason)}" if alarm.state == "ALARM" else ""
    return Text.assemble(alarm.name, " ", (alarm.state, _ALARM_STYLES.get(alarm.state, "")), (reason, "red"))


def counts_table(counts: dict[int, int], reasons: dict[str, int]) -> Table:
    """How many photos have each count, and how many have none, by reason."""
    table = simple_table("count", "photos")
    table.columns[1].justify = "right"
    for count in sorted(counts):
        table.add_row(str(count), f"{counts[count]:,}")
    for reason in sorted(reasons, key=lambda one: -reasons[one]):
        table.add_row(Text(shortened(reason), style="red"), f"{reasons[reason]:,}")
    return table
