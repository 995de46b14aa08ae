"""The page of a trial's curves."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from pipeline.cli.views.trials import charts_page


def svg_of(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text[text.index("<svg") : text.index("</svg>") + len("</svg>")])


def points_of(text: str) -> list[list[tuple[float, float]]]:
    lines = svg_of(text).iter("polyline")
    return [[tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()] for line in lines]  # type: ignore[misc]


def test_points_rise_with_the_values_and_move_on_with_the_epochs() -> None:
    [first, second] = points_of(charts_page("t", "", [1, 2, 4], {"Loss": {"a": [1, 2, 3], "b": [3, 2, 1]}}))
    assert [x for x, _ in first] == sorted(x for x, _ in first)
    assert first[2][0] - first[1][0] == pytest.approx(2 * (first[1][0] - first[0][0]), abs=0.2)
    assert first[0][1] > first[1][1] > first[2][1]
    assert second[0][1] == first[2][1]


def test_one_epoch_and_values_that_are_all_the_same_can_be_drawn() -> None:
    [[point]] = points_of(charts_page("t", "", [1], {"RMSE": {"RMSE": [0.0]}}, marked=1))
    assert all(0 < value < 480 for value in point)


def test_names_are_text_and_no_markup() -> None:
    text = charts_page("<b>", "<script>", [1], {"<i>": {"<u>": [1.0]}})
    assert not any(tag in text for tag in ("<b>", "<script>", "<i>", "<u>"))


def test_a_page_stands_by_itself() -> None:
    text = charts_page("t", "", [1, 2], {"Loss": {"a": [1, 2]}})
    assert not any(word in text for word in ("http:", "https:", "<script", "<link", "<img"))
