"""The times of a schedule: EventBridge Scheduler's `at`, `rate` and `cron` expressions in a time zone.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html. When clocks go forward, a cron expression's
time that does not exist is skipped; when they go back, a repeated time counts once. A rate's day always has 24 hours.
"""

from __future__ import annotations

import difflib
import re
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pipeline.aws.cron import Cron, ExpressionError

__all__ = ["ExpressionError", "Timetable", "local_moment"]

_EXPRESSION = re.compile(r"(at|rate|cron)\((.*)\)")
_RATE = re.compile(r"([0-9]{1,9}) (minute|hour|day)s?")
_FORMS = "write rate(1 day), cron(0 3 * * ? *) or at(2030-12-01T03:00:00)"
# https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
_LONGEST = 256
_LONGEST_PERIOD = timedelta(days=36_500)


@dataclass(frozen=True)
class Timetable:
    """A schedule expression in its time zone. One of `moment` (UTC), `period` and `cron` is set."""

    expression: str
    zone: zoneinfo.ZoneInfo
    moment: datetime | None = None
    period: timedelta | None = None
    cron: Cron | None = None

    @classmethod
    def parse(cls, expression: str, zone: str = "UTC") -> Timetable:
        """Parse an expression and the name of a time zone. Raises ExpressionError: one line with the remedy."""
        tz = _zone(zone)
        match = _EXPRESSION.fullmatch(expression)
        if match is None or len(expression) > _LONGEST:
            raise ExpressionError(f"{expression!r} is no schedule expression; {_FORMS}")
        try:
            match match[1]:
                case "at":
                    return cls(expression, tz, moment=local_time(match[2], tz))
                case "rate":
                    return cls(expression, tz, period=_rate(match[2]))
                case _:
                    return cls(expression, tz, cron=Cron.parse(match[2]))
        except ExpressionError as error:
            raise ExpressionError(f"{expression}: {error}") from None

    def following(
        self, after: datetime, *, since: datetime, start: datetime | None = None, end: datetime | None = None
    ) -> datetime | None:
        """The first time after `after` (both UTC), or None.

        `since` is the time of the schedule's creation, from which a rate without a start counts. `start` and `end` are
        the schedule's first and last possible times; as in the service, a one-time schedule ignores them.
        """
        if self.moment is not None:
            return self.moment if self.moment > after else None
        time: datetime | None
        if self.period is not None:
            time = _following_period(self.period, start or since, after)
        else:
            assert self.cron is not None
            # The start itself may be a time of the expression.
            earliest = after if start is None else max(after, start - timedelta(microseconds=1))
            time = _following_cron(self.cron, self.zone, earliest)
        return None if time is None or (end is not None and time > end) else time


def local_moment(text: str, zone: str) -> datetime:
    """As `local_time`, with the name of a time zone."""
    return local_time(text, _zone(zone))


def local_time(text: str, zone: zoneinfo.ZoneInfo) -> datetime:
    """The time in UTC of a local date and time. Raises ExpressionError if it is malformed or does not exist."""
    try:
        local = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        raise ExpressionError(f"{text!r} is no time; write it as 2030-12-01T03:00:00") from None
    utc = _utc(local, zone)
    if utc is None:
        raise ExpressionError(f"{text} does not exist in {zone.key}: clocks go forward then; choose another hour")
    return utc


def _zone(name: str) -> zoneinfo.ZoneInfo:
    names = zoneinfo.available_timezones()
    if not names:
        raise ExpressionError("this machine has no time zone database; install one: pip install tzdata")
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]}?" if close else "write one such as Europe/Berlin or UTC"
        raise ExpressionError(f"there is no time zone {name!r}; {hint}")
    return zoneinfo.ZoneInfo(name)


def _rate(text: str) -> timedelta:
    match = _RATE.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise ExpressionError("a rate is a positive number and minutes, hours or days, as in rate(12 hours)")
    count, unit = int(match[1]), match[2]
    if (period := timedelta(**{f"{unit}s": count})) > _LONGEST_PERIOD:
        raise ExpressionError(f"{count} {unit}s are more than a hundred years")
    return period


def _following_period(period: timedelta, base: datetime, after: datetime) -> datetime:
    if base > after:
        return base
    return base + ((after - base) // period + 1) * period


def _following_cron(cron: Cron, zone: zoneinfo.ZoneInfo, after: datetime) -> datetime | None:
    for local in cron.after(after.astimezone(zone).replace(tzinfo=None)):
        utc = _utc(local, zone)
        # In the repeated hour, local times that are past come again.
        if utc is not None and utc > after:
            return utc
    return None


def _utc(local: datetime, zone: zoneinfo.ZoneInfo) -> datetime | None:
    """A local time in UTC: the first of two when clocks go back; None in the gap when they go forward."""
    utc = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    return utc if utc.astimezone(zone).replace(tzinfo=None) == local else None
