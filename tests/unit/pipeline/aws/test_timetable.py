"""When a schedule is due: rates, one time, and cron over time zones and the change of clocks."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.aws.timetable import ExpressionError, Timetable, local_moment

MADE = datetime(2026, 1, 1, tzinfo=UTC)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def due(expression: str, zone: str, after: str, count: int) -> list[str]:
    timetable, moment, times = Timetable.parse(expression, zone), utc(after), []
    for _ in range(count):
        following = timetable.following(moment, since=MADE)
        assert following is not None
        times.append(f"{following:%Y-%m-%d %H:%M}")
        moment = following
    return times


def test_a_time_of_day_moves_in_utc_when_the_clocks_change() -> None:
    assert due("cron(0 3 * * ? *)", "Europe/Berlin", "2026-03-27T12:00", 3) == [
        "2026-03-28 02:00",
        "2026-03-29 01:00",
        "2026-03-30 01:00",
    ]


def test_a_time_that_the_clocks_leave_out_is_skipped() -> None:
    assert due("cron(30 2 * * ? *)", "America/New_York", "2026-03-07T00:00", 3) == [
        "2026-03-07 07:30",
        "2026-03-09 06:30",
        "2026-03-10 06:30",
    ]


def test_a_time_that_comes_twice_counts_once() -> None:
    assert due("cron(30 1 * * ? *)", "America/New_York", "2026-10-31T12:00", 2) == [
        "2026-11-01 05:30",
        "2026-11-02 06:30",
    ]
    # Asked within the hour that comes again, at 1:10 for the second time.
    assert due("cron(0/30 1 * * ? *)", "America/New_York", "2026-11-01T06:10", 1) == ["2026-11-02 06:00"]


def test_a_rates_day_is_24_hours_whatever_the_clocks_do() -> None:
    timetable = Timetable.parse("rate(1 day)", "Europe/Berlin")
    made = utc("2026-03-28T12:00")
    assert timetable.following(utc("2026-03-28T18:00"), since=made) == utc("2026-03-29T12:00")


def test_a_rate_begins_with_its_start_or_when_it_was_made() -> None:
    timetable = Timetable.parse("rate(5 minutes)")
    start = MADE + timedelta(minutes=2)
    assert timetable.following(MADE - timedelta(seconds=1), since=MADE) == MADE
    assert timetable.following(MADE, since=MADE) == MADE + timedelta(minutes=5)
    assert timetable.following(MADE, since=MADE, start=start) == start
    assert timetable.following(start, since=MADE, start=start) == start + timedelta(minutes=5)


def test_a_one_time_schedule_is_due_once_in_its_zone_and_ignores_start_and_end() -> None:
    timetable = Timetable.parse("at(2026-07-01T03:00:00)", "Asia/Tokyo")
    moment = utc("2026-06-30T18:00")
    assert timetable.following(MADE, since=MADE, start=moment + timedelta(1), end=MADE) == moment
    assert timetable.following(moment, since=MADE) is None


def test_start_and_end_bound_a_cron_expression_and_belong_to_it() -> None:
    timetable = Timetable.parse("cron(0 3 * * ? *)")
    start, end = utc("2026-02-01T03:00"), utc("2026-02-02T03:00")
    first = timetable.following(MADE, since=MADE, start=start, end=end)
    second = timetable.following(start, since=MADE, start=start, end=end)
    assert (first, second) == (start, end)
    assert timetable.following(end, since=MADE, start=start, end=end) is None


@pytest.mark.parametrize(
    ("expression", "zone", "reason"),
    [
        ("daily", "UTC", r"'daily' is no schedule expression; write rate\(1 day\)"),
        ("rate(0 days)", "UTC", "a rate is a positive number"),
        ("rate(1 week)", "UTC", "minutes, hours or days"),
        ("rate(999999999 days)", "UTC", "more than a hundred years"),
        ("at(tomorrow)", "UTC", "write it as 2030-12-01T03:00:00"),
        ("at(2026-02-30T00:00:00)", "UTC", "is no time"),
        ("at(2026-03-29T02:30:00)", "Europe/Berlin", "does not exist in Europe/Berlin"),
        ("cron(0 3 * * *)", "UTC", r"cron\(0 3 \* \* \*\): cron needs six fields"),
        ("rate(1 day)", "Europe/Berln", "no time zone 'Europe/Berln'; did you mean Europe/Berlin?"),
        ("rate(1 day)", "../../etc/passwd", "no time zone"),
    ],
)
def test_a_mistake_is_one_line_with_the_remedy(expression: str, zone: str, reason: str) -> None:
    with pytest.raises(ExpressionError, match=reason) as error:
        Timetable.parse(expression, zone)
    assert "\n" not in str(error.value)


def test_a_machine_without_a_time_zone_database_is_told_apart_from_a_wrong_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(zoneinfo, "available_timezones", set)
    with pytest.raises(ExpressionError, match="pip install tzdata"):
        local_moment("2026-01-01T00:00:00", "UTC")


ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"]
)
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2036, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))


@given(minute=st.integers(0, 59), hour=st.integers(0, 23), zone=ZONES, after=MOMENTS)
def test_a_daily_time_reads_so_on_the_local_clock_and_no_day_is_lost_but_to_the_clocks(
    minute: int, hour: int, zone: str, after: datetime
) -> None:
    timetable = Timetable.parse(f"cron({minute} {hour} * * ? *)", zone)
    first = timetable.following(after, since=MADE)
    assert first is not None
    second = timetable.following(first, since=MADE)
    assert second is not None
    assert after < first < second
    for text in (first, second):
        local = text.astimezone(zoneinfo.ZoneInfo(zone))
        assert (local.hour, local.minute, local.second, local.fold) == (hour, minute, 0, 0)
    # 23 or 25 hours when clocks change; two days where one has no such time.
    assert timedelta(hours=23) <= second - first <= timedelta(hours=49)


@given(count=st.integers(1, 10_000), unit=st.sampled_from(["minute", "hour", "day"]), since=MOMENTS, after=MOMENTS)
def test_a_rate_is_due_a_whole_number_of_periods_after_it_was_made(
    count: int, unit: str, since: datetime, after: datetime
) -> None:
    period = timedelta(**{f"{unit}s": count})
    following = Timetable.parse(f"rate({count} {unit}s)").following(after, since=since)
    assert following is not None
    assert following > after
    assert (following - since) % period == timedelta(0)
    assert following == since or following - after <= period
