"""When a schedule is due: EventBridge Scheduler's `at`, `rate` and `cron` expressions in a time zone.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html. Where clocks go forward a cron expression's
time that does not exist is skipped; where they go back a time that comes twice counts once. A rate's day is
24 hours, whatever the clocks do.
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
        """Read an expression and the name of a time zone. Raises ExpressionError, one line with the remedy."""
        known = _zone(zone)
        match = _EXPRESSION.fullmatch(expression)
        if match is None or len(expression) > _LONGEST:
            raise ExpressionError(f"{expression!r} is no schedule expression; {_FORMS}")
        try:
            match match[1]:
                case "at":
                    return cls(expression, known, moment=local_time(match[2], known))
                case "rate":
                    return cls(expression, known, period=_rate(match[2]))
                case _:
                    return cls(expression, known, cron=Cron.parse(match[2]))
        except ExpressionError as error:
            raise ExpressionError(f"{expression}: {error}") from None

    def following(
        self, after: datetime, *, since: datetime, start: datetime | None = None, end: datetime | None = None
    ) -> datetime | None:
        """The first time later than `after` (both UTC), or None where there is none.

        `since` is when the schedule was made: a rate counts from there unless it has a start. `start` and `end` are the
        schedule's first and last possible times; a one-time schedule ignores them, as in the service.
        """
        if self.moment is not None:
            return self.moment if self.moment > after else None
        found: datetime | None
        if self.period is not None:
            found = _following_period(self.period, start or since, after)
        else:
            assert self.cron is not None
            # A start that is itself one of the times counts.
            earliest = after if start is None else max(after, start - timedelta(microseconds=1))
            found = _following_cron(self.cron, self.zone, earliest)
        return None if found is None or (end is not None and found > end) else found


def local_moment(text: str, zone: str) -> datetime:
    """As `local_time`, in the time zone of a name."""
    return local_time(text, _zone(zone))


def local_time(text: str, zone: zoneinfo.ZoneInfo) -> datetime:
    """A local date and time without an offset as a time in UTC. Raises ExpressionError for one that does not exist."""
    try:
        local = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        raise ExpressionError(f"{text!r} is no time; write it as 2030-12-01T03:00:00") from None
    utc = _utc(local, zone)
    if utc is None:
        raise ExpressionError(f"{text} does not exist in {zone.key}: clocks go forward there; take another hour")
    return utc


def _zone(name: str) -> zoneinfo.ZoneInfo:
    known = zoneinfo.available_timezones()
    if not known:
        raise ExpressionError("this machine has no time zone database; install one: pip install tzdata")
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
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
        # In the hour that comes twice, the local clock has been set back behind times that are past.
        if utc is not None and utc > after:
            return utc
    return None


def _utc(local: datetime, zone: zoneinfo.ZoneInfo) -> datetime | None:
    """A local time in UTC, the first of two where clocks go back; None in the gap where they go forward."""
    utc = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    return utc if utc.astimezone(zone).replace(tzinfo=None) == local else None
