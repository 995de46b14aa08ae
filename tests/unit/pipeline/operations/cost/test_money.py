"""Ranges of amounts, and bills."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.operations.cost.money import Bill, Item, Price, Range

HOURLY = Price("ml.g5.2xlarge", Decimal("1.515"), "hour", "us-east-1", "https://aws.example", date(2026, 9, 25))
AMOUNTS = st.decimals(min_value=0, max_value=10**6, places=3)
POSITIVE = st.decimals(min_value="0.001", max_value=10**6, places=3)


@st.composite
def ranges(draw: st.DrawFn, amounts: st.SearchStrategy[Decimal] = AMOUNTS) -> Range:
    low, high = sorted([draw(amounts), draw(amounts)])
    return Range(low, high)


def item(quantity: Range, price: Price | None = HOURLY) -> Item:
    return Item("TuneModel", "trials", quantity, "h", price, missing="" if price else "no price for ml.x")


@pytest.mark.parametrize(("low", "high"), [("-1", "1"), ("2", "1"), ("-2", "-1")])
def test_a_range_that_is_none_is_refused(low: str, high: str) -> None:
    with pytest.raises(ValueError, match="no range of amounts"):
        Range.of(low, high)


def test_what_goes_at_a_rate_takes_longest_at_the_lowest() -> None:
    assert Range.of(100, 200) / Range.of(10, 50) == Range.of(2, 20)


@given(ranges(), ranges(POSITIVE))
def test_whatever_lies_in_two_ranges_has_its_quotient_in_theirs(amount: Range, rate: Range) -> None:
    quotient = amount / rate
    for end in (amount.low, amount.high):
        for divisor in (rate.low, rate.high):
            assert quotient.low <= end / divisor <= quotient.high


@given(st.lists(ranges(), max_size=5), st.lists(ranges(), max_size=5))
def test_two_bills_together_cost_the_sum_of_both(first: list[Range], second: list[Range]) -> None:
    bills = [Bill(tuple(map(item, amounts))) for amounts in (first, second, first + second)]
    assert bills[0].total + bills[1].total == bills[2].total


@given(ranges(), ranges())
def test_more_of_something_never_costs_less(amount: Range, more: Range) -> None:
    less, most = item(amount).usd, item(amount + more).usd
    assert less is not None
    assert most is not None
    assert (less.low, less.high) <= (most.low, most.high)


def test_a_line_without_a_price_has_no_amount_and_the_bill_names_it() -> None:
    bill = Bill((item(Range.of(2)), item(Range.of(1), None), item(Range.of(3), None)))
    assert bill.items[1].usd is None
    assert bill.total == Range.of("3.03")
    assert bill.missing == ("no price for ml.x",)


def test_nothing_costs_nothing_at_whatever_price() -> None:
    bill = Bill((item(Range.of(0), None),))
    assert bill.total == Range.of(0)
    assert bill.missing == ()


def test_a_bill_lists_each_price_it_counted_with_once() -> None:
    assert Bill((item(Range.of(1)), item(Range.of(2)), item(Range.of(0), None))).prices == (HOURLY,)
