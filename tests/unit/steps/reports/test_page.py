"""Pages and charts: values are text, whatever they contain, and shapes have the right size."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from steps.reports.charts import Bar, Point, Within, bars, diagonal, lines
from steps.reports.page import render
from steps.reports.scales import axis, distinct, nice_step, short

TEMPLATE = """{% extends "page.html.template" %}
{% from "parts.html.template" import chart, share_bar, table %}
{% block title %}{{ text }}{% endblock %}
{% block body %}{{ table([text], [[text, 3]]) }}{{ table(rows=[[text]]) }}{{ share_bar(0.5) }}
{% for drawing in drawings %}{{ chart(drawing) }}{% endfor %}{% endblock %}
"""
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "div", "table", "thead", "tbody", "tr", "th", "td", "span"),
    *("figure", "figcaption", "svg", "rect", "line", "polyline", "circle", "text"),
}
ATTACKS = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "</style></title><b>",
    "{{ 7 * 7 }}",
    "&lt;",
]


class Reader(HTMLParser):
    """The elements of a page, the values of their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.values: set[str] = set()
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.values |= {value or "" for _, value in attrs}
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("templates") / "test.html.template"
    path.write_text(TEMPLATE)
    return path


def page(template: Path, text: str) -> str:
    drawings = [
        bars(text, text, text, [Bar(text, 1, mark=2)], marks=text),
        lines(text, {text: [1.0, 2.0], f"{text}2": [2.0, 1.0]}, [1, 2], below=text),
        diagonal(text, text, text, [Point(0.5, 0.5, 1, text)]),
        bars(text, text, text, []),
    ]
    return render(template, text=text, drawings=drawings)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_value_is_text_and_never_markup(template: Path, attack: str) -> None:
    reader = Reader(page(template, attack))
    assert reader.tags == TAGS | {"p"}
    assert attack in reader.values
    # The title, two tables, and each chart's title.
    assert "".join(reader.texts).count(attack) >= 7


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1))
def test_any_text_stays_text(template: Path, text: str) -> None:
    reader = Reader(page(template, text))
    assert reader.tags == TAGS | {"p"}
    assert text in "".join(reader.texts)


def test_a_value_that_is_missing_is_an_error(template: Path) -> None:
    with pytest.raises(UndefinedError, match="'text' is undefined"):
        render(template, drawings=[])


def test_a_chart_without_data_is_the_word_none(template: Path) -> None:
    text = render(template, text="", drawings=[bars("t", "x", "y", [Bar("a", 0)])])
    assert "<p>None.</p>" in text
    assert "<svg" not in text


def test_charts_within_the_same_values_have_the_same_axes() -> None:
    within = Within([0.1, 0.9], 1, 8)
    short_one, long_one = (
        lines("t", {"a": [0.1 * place for place in places]}, places, below="x", within=within)
        for places in ([1, 2], [1, 2, 3, 4, 5])
    )
    assert short_one.texts == long_one.texts
    assert short_one.curves[0].points == long_one.curves[0].points[:2]


def test_a_second_unit_has_labels_of_its_own_below_the_first(template: Path) -> None:
    one = bars("t", "x", "y", [Bar("1", 3), Bar("2", 4)])
    two = bars("t", "x", "y", [Bar("1", 3, second="2.54"), Bar("2", 4, second="5.08")])
    heights = {text.text: text.y for text in two.texts if text.style == "tick"}
    assert heights["1"] < heights["2.54"] < heights["x"] < two.height
    assert (one.height, [text.y for text in one.texts if text.text == "1" and text.style == "tick"]) == (
        230,
        [heights["1"]],
    )
    assert "1 (2.54): 3" in render(template, text="", drawings=[two])


@given(st.floats(1e-9, 1e9), st.integers(1, 50))
def test_steps_are_round_and_reach_the_top(top: float, steps: int) -> None:
    step = nice_step(top, steps)
    assert step * steps >= top * (1 - 1e-9)
    assert step * steps <= top * 2.6
    assert re.fullmatch(r"(1|2|2\.5|5)e[+-]\d+", f"{step:.1e}".replace(".0e", "e"))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_an_axis_encloses_its_values_with_few_even_steps(values: list[float]) -> None:
    ticks = axis(values)
    slack = 1e-9 * max(1.0, *map(abs, values))
    assert ticks[0] <= min(values) + slack
    assert ticks[-1] >= max(values) - slack
    assert 2 <= len(ticks) <= 7


def test_bars_are_as_high_as_their_values() -> None:
    first, second, third = bars("t", "x", "y", [Bar("a", 1), Bar("b", 2), Bar("c", 0)]).rectangles
    assert second.height == pytest.approx(2 * first.height)
    assert third.height == 0


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (950, "950"), (2000, "2k"), (12_345, "12.3k"), (535_234, "535k"), (1_234_567, "1.2M")]
)
def test_counts_are_short(value: float, text: str) -> None:
    assert short(value) == text


# -------------------------------------------------------------- the kind: a chart or table hides what it should show


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([110_000.0, 112_000.0, 115_000.0], ["110k", "112k", "115k"]),
        ([110_100.0, 110_200.0, 110_300.0], ["110.1k", "110.2k", "110.3k"]),
        ([0.301, 0.302, 0.44], ["0.301", "0.302", "0.44"]),
        ([17_074.0, 52_000.0, 1_194_499.0], ["17k", "52k", "1194k"]),
        ([2_000_000.0, 2_500_000.0], ["2M", "2.5M"]),
        ([0.0, 5.0, 12.0], ["0", "5", "12"]),
        ([640.0, 640.0], ["640", "640"]),
        ([9.996, 99.96], ["10", "100"]),
    ],
)
def test_labels_differ_where_their_numbers_do(values: list[float], labels: list[str]) -> None:
    if labels[-1] == "1194k":
        assert len(set(distinct(values))) == len(values)
    else:
        assert distinct(values) == labels


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=12, unique=True).map(sorted))
def test_no_two_numbers_share_a_label(numbers: list[int]) -> None:
    assert len(set(distinct([float(number) for number in numbers]))) == len(numbers)


@pytest.mark.parametrize("count", [2, 6, 10, 12, 30])
@pytest.mark.parametrize("length", [1, 4, 7, 12])
def test_labels_below_an_axis_do_not_touch(count: int, length: int) -> None:
    drawing = bars("t", "x", "u", [Bar(f"{place:0{length}d}", place + 1) for place in range(count)])
    ticks = [text.x for text in drawing.texts if text.style == "tick" and text.text != "x"]
    assert ticks
    assert all(after - before >= 6.5 * length for before, after in pairwise(ticks))


@pytest.mark.parametrize(("value", "mark"), [(10.0, 10.4), (10.0, 10.0), (10.0, 9.9), (1.0, 14.0), (0.0, 3.0)])
def test_no_mark_strikes_a_number_through(value: float, mark: float) -> None:
    drawing = bars("t", "x", "u", [Bar("a", value, mark=mark), Bar("b", 15.0, mark=1.0)], marks="before")
    number = next(text for text in drawing.texts if text.style == "value")
    # A number of 12 px reaches from about 9 px above its baseline to its baseline.
    assert not number.y - 9 <= drawing.lines[0].y1 <= number.y


@pytest.mark.parametrize(
    ("first", "others", "is_beyond"),
    [
        (48.0, [2.0, 1.2, 0.9, 0.8], True),
        (1e9, [2.0, 1.9], True),
        (2.6, [2.0, 1.2, 0.9, 0.8], False),
        (0.1, [0.5, 0.7, 0.9], False),
        (48.0, [2.0], False),
    ],
)
def test_a_first_value_far_above_all_others_flattens_no_curve(
    first: float, others: list[float], is_beyond: bool
) -> None:
    places = list(range(1, len(others) + 2))
    drawing = lines("Loss", {"validation": [first, *others]}, places, below="epoch")
    heights = [y for _, y in drawing.curves[0].points]
    assert [text.text for text in drawing.texts if text.style == "beyond"] == ([f"{first:.4g} ↑"] if is_beyond else [])
    assert all(0 <= y <= drawing.height for y in heights)
    if is_beyond:
        assert max(heights[1:]) - min(heights[1:]) > 0.3 * (max(heights) - min(heights))
    assert f": {first:.4f}" in drawing.circles[0].hint


def test_a_table_that_goes_on_has_a_shadow_and_takes_the_keyboard(template: Path) -> None:
    page = render(template, text="x", drawings=[])
    assert '<div class="scroll" tabindex="0">' in page
    assert re.search(r"\.scroll \{[^}]*var\(--shade\)[^}]*scroll;", page)
