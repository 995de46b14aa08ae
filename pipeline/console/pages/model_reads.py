"""Readings of the Model Registry and of the endpoint, each with the time that it stays true."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterable
from datetime import UTC, datetime
from typing import Any

from pipeline.console.console import Console
from pipeline.console.pages.reads import BUSY, IDLE
from pipeline.console.parts import Part, part
from pipeline.console.readings import FOREVER
from pipeline.operations.cost.prices import FILE, Prices
from pipeline.operations.models import details as version_details
from pipeline.operations.models import pictures, registry
from pipeline.operations.models.pictures import Counted
from pipeline.operations.models.registry import Reader, Summary, Version
from pipeline.operations.serving import endpoint
from pipeline.operations.serving.endpoint import Endpoint
from pipeline.parallel import parallel_map
from steps.contracts.errors import PipelineError
from steps.contracts.names import PENDING

# A decision by somebody else, or another endpoint, is seen within a minute. An evaluation is written once: whether its
# file was changed is looked at again after an hour.
MINUTE, HOUR = 59.0, 3_600.0
# Seconds between two looks at an endpoint that changes, and after which an approval has led to a deployment.
SOON, DEPLOYED_WITHIN = 5.0, 180.0
# What could not be read may be readable soon.
PROBLEM = 300.0


def summaries(console: Console, limit: int, status: str = "") -> list[Summary]:
    """The newest versions, those with an approval `status` where it is given."""
    settings = console.settings
    return console.readings.get(
        ("versions", limit, status), lambda: registry.summaries(settings, limit, status), MINUTE
    )


def described(console: Console, listed: Iterable[Summary]) -> list[Version]:
    """These versions with their metrics, in the same order; read again once their status has changed."""
    reader = console.readings.get("reader of versions", lambda: Reader(console.settings), FOREVER)

    def read(summary: Summary) -> Version:
        key = ("listed version", summary.arn, summary.status, summary.package_status)
        return console.readings.get(key, lambda: reader.read(summary.arn), HOUR)

    return parallel_map(read, listed)


def version(console: Console, reference: str) -> Version:
    """The version that `latest`, a number or an ARN refers to."""
    settings = console.settings
    return console.readings.get(("version", reference), lambda: registry.resolve(settings, reference), MINUTE)


def serving(console: Console) -> Endpoint | None:
    """The endpoint; None where there is none."""

    def lasts(described: Endpoint | None) -> float:
        return MINUTE if (seconds := refresh(console, described)) == IDLE else seconds - 1

    return console.readings.get("endpoint", lambda: endpoint.find(console.settings), lasts)


def alarms(console: Console, *, soon: bool = False) -> Part:
    """The endpoint's alarms; `soon` while it changes, when they decide whether the new version stays."""
    return for_a_while(console, "alarms", lambda: endpoint.alarms(console.settings), SOON - 1 if soon else MINUTE)


def test_split(console: Console, package: str) -> Part:
    """Some photos of the test split of the version with this ARN, or why there are none, or none can be read."""
    settings = console.settings

    def read() -> tuple[Counted, ...]:
        chosen = registry.resolve(settings, package)
        photos = pictures.of_test_split(settings, chosen)
        for photo in photos[:1]:
            check_readable(console, details(console, chosen), photo.image_id)
        return photos

    return kept(console, ("test split", package), read)


def check_readable(console: Console, recorded: Part, image_id: str) -> None:
    """Raise where these credentials may not read raw photos, which this photo stands for.

    A page then says so once, in place of photos that all fail. A photo that is missing or damaged is no such reason: it
    is named in its place.
    """
    if recorded.value:
        with contextlib.suppress(PipelineError):
            pictures.original(console.settings, recorded.value, image_id)


def is_changing(console: Console, described: Endpoint | None) -> bool:
    """Whether the endpoint changes, or may begin to: its deployment begins some seconds after an approval.

    A new version in service is tested with its golden photos, which takes a little while, too.
    """
    if described is None:
        return console.readings.forgot_within(DEPLOYED_WITHIN)
    is_tested = described.tried is not None and described.tried.verdict == PENDING
    since = (datetime.now(UTC) - described.changed).total_seconds()
    if described.status not in ("InService", "Failed") or (is_tested and since < DEPLOYED_WITHIN):
        return True
    return console.readings.forgot_within(DEPLOYED_WITHIN)


def refresh(console: Console, described: Endpoint | None) -> float:
    """The seconds between two looks at a page about versions and the endpoint."""
    if described is not None and described.pending is not None:
        # A canary may be over within seconds.
        return BUSY
    return SOON if is_changing(console, described) else IDLE


def details(console: Console, version: Version) -> Part:
    """What a version's package has besides its evaluation, or why that is not known."""
    return kept(console, ("details", version.arn), lambda: version_details.read(console.settings, version))


def kept(console: Console, key: tuple[str, ...], read: Callable[[], Any]) -> Part:
    """What `read` returns, or why it fails, for an hour or five minutes."""
    return for_a_while(console, key, read, HOUR)


def for_a_while(console: Console, key: Hashable, read: Callable[[], Any], seconds: float) -> Part:
    """What `read` returns for `seconds`, or why it fails for as long as that is likely to be so."""
    return console.readings.get(key, lambda: part(console, read), lambda result: lasting(result, seconds))


def lasting(result: Part, seconds: float) -> float:
    """`seconds`; five minutes for a problem: a denied request is denied again. At most IDLE for one that passes."""
    if not result.problem:
        return seconds
    return min(seconds, IDLE) if result.is_passing else PROBLEM


def prices(console: Console) -> Prices:
    """The prices of the region."""
    return console.readings.get("prices", lambda: Prices(FILE, console.settings.account.region), FOREVER)
