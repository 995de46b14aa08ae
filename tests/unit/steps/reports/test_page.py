"""Pages and charts: values are text, whatever they contain, and shapes have the right size."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from steps.reports.charts import Bar, Point, axis, bars, diagonal, histogram, lines, nice_step, short
from steps.reports.page import render

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


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=200))
def test_a_histogram_counts_every_value(values: list[float]) -> None:
    assert sum(bar.value for bar in histogram(values)) == len(values)
    assert len(histogram(values)) <= 21


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
