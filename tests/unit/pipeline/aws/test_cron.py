"""EventBridge Scheduler's dialect of cron."""

from __future__ import annotations

import calendar
import itertools
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.aws.cron import MONTHS, WEEKDAYS, Cron, ExpressionError, weekday

START = datetime(2026, 1, 1)


def times(expression: str, count: int = 3, after: datetime = START) -> list[str]:
    return [f"{time:%Y-%m-%d %H:%M}" for time in itertools.islice(Cron.parse(expression).after(after), count)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 3 * * ? *", ["2026-01-01 03:00", "2026-01-02 03:00", "2026-01-03 03:00"]),
        ("15 10 ? * 6L 2022-2027", ["2026-01-30 10:15", "2026-02-27 10:15", "2026-03-27 10:15"]),
        ("0 8 L * ? *", ["2026-01-31 08:00", "2026-02-28 08:00", "2026-03-31 08:00"]),
        ("0 8 ? * L *", ["2026-01-03 08:00", "2026-01-10 08:00", "2026-01-17 08:00"]),
        ("0 9 ? * 2#1 *", ["2026-01-05 09:00", "2026-02-02 09:00", "2026-03-02 09:00"]),
        ("0 9 ? * MON#5 *", ["2026-03-30 09:00", "2026-06-29 09:00", "2026-08-31 09:00"]),
        ("0/20 12 1 jan-mar ? *", ["2026-01-01 12:00", "2026-01-01 12:20", "2026-01-01 12:40"]),
        ("10,50 0-23/12 ? * MON-FRI *", ["2026-01-01 00:10", "2026-01-01 00:50", "2026-01-01 12:10"]),
        ("0 0 29 2 ? *", ["2028-02-29 00:00", "2032-02-29 00:00", "2036-02-29 00:00"]),
        ("0 0 1 1 ? 2027,2030", ["2027-01-01 00:00", "2030-01-01 00:00"]),
        ("0 0 30,L 1-2 ? 2027", ["2027-01-30 00:00", "2027-01-31 00:00", "2027-02-28 00:00"]),
    ],
)
def test_an_expression_names_its_times(expression: str, expected: list[str]) -> None:
    assert times(expression) == expected


@pytest.mark.parametrize(
    ("day", "month", "expected"),
    [
        (14, 2, "2026-02-13"),  # a Saturday: the Friday before
        (15, 2, "2026-02-16"),  # a Sunday: the Monday after
        (16, 2, "2026-02-16"),  # a Monday
        (1, 8, "2026-08-03"),  # a Saturday, and July is another month
        (31, 5, "2026-05-29"),  # a Sunday, and June is another month
    ],
)
def test_the_nearest_working_day_stays_in_its_month(day: int, month: int, expected: str) -> None:
    assert times(f"0 12 {day}W {month} ? 2026") == [f"{expected} 12:00"]


def test_a_month_that_has_no_such_day_is_passed_over() -> None:
    assert times("0 0 31W * ? 2026") == ["2026-01-30 00:00", "2026-03-31 00:00", "2026-05-29 00:00"]
    assert times("0 0 31 2 ? *") == []


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("0 3 * * *", "six fields .* not 5"),
        ("0 3 * * * *", "either day-of-month or day-of-week must be"),
        ("0 3 ? * ? *", "either day-of-month or day-of-week must be"),
        ("60 3 * * ? *", "minutes: '60' is not one of 0 to 59"),
        ("0 24 * * ? *", "hours: '24'"),
        ("0 3 0 * ? *", "day of month: '0'"),
        ("0 3 * 13 ? *", "month: '13' is not one of 1 to 12 or JAN to DEC"),
        ("0 3 ? * 0 *", "day of week: '0' is not one of 1 to 7 or SUN to SAT"),
        ("0 3 ? * FRI-MON *", "ends before it begins"),
        ("0/0 3 * * ? *", "the step '0'"),
        ("*/x 3 * * ? *", "the step 'X'"),
        ("0 3 ? * 3#6 *", "write one DAY#1 to DAY#5"),
        ("0 3 ? * 3#1,6#3 *", "write one DAY#1 to DAY#5"),
        ("0 3 ? * 2-6/2 *", "list the days"),
        ("0 3 * * ? 1969", "year: '1969'"),
        ("0 3 LW * ? *", "day of month: 'L'"),
        ("0 3 1,, * ? *", "day of month: ''"),
        ("-5 3 * * ? *", "minutes: ''"),
    ],
)
def test_a_mistake_is_named_with_its_field(expression: str, reason: str) -> None:
    with pytest.raises(ExpressionError, match=reason):
        Cron.parse(expression)


@given(
    minutes=st.sets(st.integers(0, 59), min_size=1, max_size=3),
    hours=st.sets(st.integers(0, 23), min_size=1, max_size=3),
    months=st.sets(st.integers(1, 12), min_size=1),
    days=st.sets(st.integers(1, 7), min_size=1),
    after=st.datetimes(datetime(2020, 1, 1), datetime(2060, 1, 1)),
    by_name=st.booleans(),
)
def test_the_next_time_is_the_first_minute_that_every_field_names(
    minutes: set[int], hours: set[int], months: set[int], days: set[int], after: datetime, by_name: bool
) -> None:
    """Against the plainest way to find it: one day after another, one minute after another."""
    listed = [",".join(map(str, values)) for values in (minutes, hours, months, days)]
    if by_name:
        listed[2:] = [
            ",".join(MONTHS[number - 1] for number in months),
            ",".join(WEEKDAYS[number - 1] for number in days),
        ]
    following = next(Cron.parse(f"{listed[0]} {listed[1]} ? {listed[2]} {listed[3]} *").after(after))
    day = after.replace(hour=0, minute=0, second=0, microsecond=0)
    while True:
        if day.month in months and (day.isoweekday() % 7 + 1) in days:
            candidates = [
                day + timedelta(hours=hour, minutes=minute) for hour in sorted(hours) for minute in sorted(minutes)
            ]
            if later := [candidate for candidate in candidates if candidate > after]:
                assert following == later[0]
                return
        day += timedelta(days=1)


@given(st.integers(1, 31), st.integers(2020, 2100), st.integers(1, 12))
def test_a_nearest_working_day_is_one_and_no_other_is_nearer(day: int, year: int, month: int) -> None:
    length = calendar.monthrange(year, month)[1]
    times = list(Cron.parse(f"0 0 {day}W {month} ? {year}").after(datetime(year - 1, 12, 31)))
    if day > length:
        assert times == []
        return
    working = [candidate for candidate in range(1, length + 1) if 2 <= weekday(year, month, candidate) <= 6]
    assert times[0].day in working
    assert abs(times[0].day - day) == min(abs(candidate - day) for candidate in working)
