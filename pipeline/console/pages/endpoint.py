"""The endpoint: what serves, a change under way, alarms, traffic, decisions of the deploy function, photos to try."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.console import traffic_charts
from pipeline.console.console import Console, View
from pipeline.console.pages import model_reads, permissions
from pipeline.console.pages.counting import Counted, count
from pipeline.console.pages.decision import ENDPOINT
from pipeline.console.parts import Part, part
from pipeline.console.routes import Routes, Values
from pipeline.console.uploads import Sent
from pipeline.operations.cost.standing import of_serving
from pipeline.operations.cost.words import hourly_text
from pipeline.operations.models import registry
from pipeline.operations.models.registry import Summary
from pipeline.operations.serving import deployment, traffic
from pipeline.operations.serving import endpoint as operation
from pipeline.operations.serving.endpoint import TRAFFIC_MINUTES, DeployDecision, Endpoint
from pipeline.operations.serving.photos import PAYLOAD_LIMITS
from pipeline.operations.serving.traffic import WINDOWS, Traffic
from pipeline.parallel import parallel_map

DECISIONS_SHOWN = 20
# Rows of the table of traffic, the newest.
ROWS = 15
# What is read while the endpoint changes, and what is not urgent, in seconds.
WHILE_CHANGING, SELDOM = 14.0, 119.0
# An endpoint in one of these states answers requests, if it has ever served.
_ANSWERS = ("InService", "Updating", "RollingBack", "SystemUpdating")
# A decision that leaves the endpoint as it is, in the address after it; no other text is taken from there.
UNCHANGED = "unchanged"


def endpoint(console: Console, values: Values) -> View:
    """What serves and how it does."""
    return _view(console, values)


def photo(console: Console, values: Values, sent: Sent) -> View:
    """The same, with the count of a photo."""
    serving: Endpoint | None = part(console, lambda: model_reads.serving(console)).value
    return _view(console, values, count(console, sent, serving))


def _view(console: Console, values: Values, counted: Counted | None = None) -> View:
    described = part(console, lambda: model_reads.serving(console))
    serving: Endpoint | None = described.value
    chosen = values.get("window", "") if values.get("window") in WINDOWS else next(iter(WINDOWS))
    reads = _reads(console, described, chosen)
    read = dict(zip(reads, parallel_map(lambda each: each(), reads.values()), strict=True))
    measured: Traffic | None = read["traffic"].value if "traffic" in read else None
    is_realtime = console.settings.endpoint.mode == "real-time"
    limit = float(console.settings.endpoint.maximum_latency_milliseconds) if is_realtime else None
    shown = {
        "problem": described.problem,
        "serving": serving,
        "accepts": serving is not None and serving.status in _ANSWERS,
        "costs": _costs(console, serving),
        "read": read,
        "charts_of_traffic": [traffic_charts.requests(measured), traffic_charts.latency(measured, limit)]
        if measured and measured.moments
        else [],
        "rows": list(reversed(measured.moments))[:ROWS] if measured else [],
        "window": chosen,
        "windows": {name: each.label for name, each in WINDOWS.items()},
        "percentiles": traffic_charts.PERCENTILES,
        "minutes": TRAFFIC_MINUTES,
        "unchanged": values.get("decision") == UNCHANGED,
        "counted": counted,
        "limit": PAYLOAD_LIMITS[console.settings.endpoint.mode],
    }
    return View("endpoint.html", shown, model_reads.refresh(console, serving))


def _reads(console: Console, described: Part, window: str) -> Mapping[str, Callable[[], Part]]:
    settings, serving = console.settings, described.value
    soon = model_reads.is_changing(console, serving)

    def kept(name: str, read: Callable[[], Any], seconds: float) -> Callable[[], Part]:
        lasts = WHILE_CHANGING if soon else seconds
        return lambda: model_reads.for_a_while(console, (ENDPOINT, name), read, lasts)

    reads = {"decisions": kept("decisions", lambda: _decisions(console), SELDOM)}
    if described.problem:
        return reads
    if serving is None:
        return reads | {
            "approved": lambda: part(console, lambda: _newest(console, "Approved")),
            "waiting": lambda: part(console, lambda: _newest(console, "PendingManualApproval")),
        }
    return reads | {
        "alarms": lambda: model_reads.alarms(console, soon=soon),
        "traffic": kept(window, lambda: traffic.read(settings, WINDOWS[window]), model_reads.MINUTE),
        "errors": kept("errors", lambda: operation.errors(settings)[::-1], SELDOM),
        "photos": lambda: model_reads.test_split(console, serving.package) if serving.package else Part(()),
    }


def _decisions(console: Console) -> tuple[DeployDecision, ...]:
    """The newest decisions, newest first."""
    return operation.decisions(console.settings)[::-1][:DECISIONS_SHOWN]


def _newest(console: Console, status: str) -> Summary | None:
    return next(iter(model_reads.summaries(console, 1, status)), None)


def _costs(console: Console, serving: Endpoint | None) -> str:
    if serving is None:
        return ""
    return hourly_text(of_serving(serving, model_reads.prices(console)), local=console.is_local)


def deploy(console: Console, values: Values) -> str:  # noqa: ARG001  # an action
    """Ask the deploy function to deploy the latest approved version again."""
    settings = console.settings
    chosen = registry.latest_approved(settings)
    with permissions.needed(settings, permissions.OPERATOR, f"deploy {chosen.name}"):
        return after(deployment.deploy(settings, chosen).decision)


def after(decision: str) -> str:
    """The page after a decision of the deploy function."""
    return f"{ENDPOINT}?decision={UNCHANGED}" if decision == UNCHANGED else ENDPOINT


ROUTES = Routes({ENDPOINT: endpoint}, actions={f"{ENDPOINT}/deploy": deploy}, uploads={ENDPOINT: photo})
