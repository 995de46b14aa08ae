"""EventBridge Scheduler's cron expressions, in local times. `timetable` adds time zones.

Six fields: minutes, hours, day of month, month, day of week (1 is Sunday), year, with `, - * / ? L W #`:
https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#cron-based. Common libraries have
another dialect (five fields, 0 is Sunday, no `W`, no years).
"""

from __future__ import annotations

import calendar
import itertools
import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from steps.contracts.errors import PipelineError

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
SATURDAY = 7
FIRST_YEAR, LAST_YEAR = 1970, 2199


class ExpressionError(PipelineError):
    """A schedule expression that EventBridge Scheduler would refuse."""


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        """The number in `text`, or that of a name. Raises ExpressionError."""
        if text in self.words:
            return self.low + self.words.index(text)
        if not re.fullmatch(r"[0-9]{1,4}", text) or not self.low <= int(text) <= self.high:
            names = f" or {self.words[0]} to {self.words[-1]}" if self.words else ""
            raise ExpressionError(f"{self.name}: {text!r} is not one of {self.low} to {self.high}{names}")
        return int(text)

    def values(self, text: str) -> tuple[int, ...]:
        """The sorted values of `*`, lists, ranges and steps. Raises ExpressionError."""
        return tuple(sorted({value for part in text.split(",") for value in self._part(part)}))

    def _part(self, text: str) -> range:
        span, slash, step = text.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            low, high = self.low, self.high
        else:
            low = self.number(first)
            high = self.number(last) if dash else self.high if slash else low
        if low > high:
            raise ExpressionError(f"{self.name}: the range {span} ends before it begins")
        if slash and (not re.fullmatch(r"[0-9]{1,4}", step) or int(step) == 0):
            raise ExpressionError(f"{self.name}: the step {step!r} of {text} is not a positive number")
        return range(low, high + 1, int(step) if slash else 1)


_MINUTES = _Field("minutes", 0, 59)
_HOURS = _Field("hours", 0, 23)
_DAYS = _Field("day of month", 1, 31)
_MONTHS = _Field("month", 1, 12, MONTHS)
_WEEKDAYS = _Field("day of week", 1, 7, WEEKDAYS)
_YEARS = _Field("year", FIRST_YEAR, LAST_YEAR)


@dataclass(frozen=True)
class Cron:
    """The fields of a cron expression. `day_of_month` or `day_of_week` is `?`."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    day_of_month: str
    months: tuple[int, ...]
    day_of_week: str
    years: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Read the six fields between the parentheses. Raises ExpressionError that names the field."""
        fields = text.upper().split()
        if len(fields) != 6:
            raise ExpressionError(
                f"cron needs six fields (minutes hours day-of-month month day-of-week year), not {len(fields)}:"
                " cron(0 3 * * ? *) is 3:00 every day"
            )
        minutes, hours, day_of_month, months, day_of_week, years = fields
        if (day_of_month == "?") == (day_of_week == "?"):
            raise ExpressionError("either day-of-month or day-of-week must be ?")
        times = _MINUTES.values(minutes), _HOURS.values(hours)
        cron = cls(*times, day_of_month, _MONTHS.values(months), day_of_week, _YEARS.values(years))
        # Raises for malformed days, in any month.
        cron._days(2024, 1)
        return cron

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The local times later than `moment`, in order; they end with the expression's years."""
        earliest = (moment + timedelta(minutes=1)).replace(second=0, microsecond=0)
        for year in self.years[bisect_left(self.years, earliest.year) :]:
            for month in self.months:
                for day in sorted(self._days(year, month)):
                    if (year, month, day) >= (earliest.year, earliest.month, earliest.day):
                        clock = itertools.product(self.hours, self.minutes)
                        times = (datetime(year, month, day, hour, minute) for hour, minute in clock)
                        yield from (time for time in times if time >= earliest)

    def _days(self, year: int, month: int) -> set[int]:
        length = calendar.monthrange(year, month)[1]
        if self.day_of_week == "?":
            days = {day for part in self.day_of_month.split(",") for day in _month_days(part, year, month)}
        elif "#" in self.day_of_week:
            days = _numbered_weekday(self.day_of_week, year, month)
        else:
            days = {day for part in self.day_of_week.split(",") for day in _weekdays(part, year, month)}
        return {day for day in days if day <= length}


def weekday(year: int, month: int, day: int) -> int:
    """1 (Sunday) to 7 (Saturday)."""
    return (calendar.weekday(year, month, day) + 1) % 7 + 1


def _month_days(part: str, year: int, month: int) -> set[int]:
    """Days of a part of day-of-month, including those that the month does not have."""
    length = calendar.monthrange(year, month)[1]
    if part == "L":
        return {length}
    if part.endswith("W"):
        day = _DAYS.number(part[:-1])
        return {_nearest_working_day(year, month, day)} if day <= length else set()
    return set(_DAYS.values(part))


def _nearest_working_day(year: int, month: int, day: int) -> int:
    """Monday to Friday nearest to a day, in the same month."""
    length = calendar.monthrange(year, month)[1]
    match weekday(year, month, day):
        case 7:
            return day - 1 if day > 1 else 3
        case 1:
            return day + 1 if day < length else length - 2
        case _:
            return day


def _weekdays(part: str, year: int, month: int) -> set[int]:
    length = calendar.monthrange(year, month)[1]
    if "/" in part:
        raise ExpressionError(f"day of week: {part!r}: a step is not supported here; list the days")
    if part.endswith("L") and part != "L":
        wanted = _WEEKDAYS.number(part[:-1])
        return {max(day for day in range(length - 6, length + 1) if weekday(year, month, day) == wanted)}
    # The last day of the week is Saturday.
    values = {SATURDAY} if part == "L" else _WEEKDAYS.values(part)
    return {day for day in range(1, length + 1) if weekday(year, month, day) in values}


def _numbered_weekday(text: str, year: int, month: int) -> set[int]:
    """`3#2` is the second Tuesday. A fifth weekday may be after the month's end."""
    name, _, number = text.partition("#")
    if "," in text or number not in ("1", "2", "3", "4", "5"):
        raise ExpressionError(f"day of week: {text!r}: write one DAY#1 to DAY#5, as in 3#2 for the second Tuesday")
    wanted = _WEEKDAYS.number(name)
    first = 1 + (wanted - weekday(year, month, 1)) % 7
    return {first + 7 * (int(number) - 1)}
