"""The places of boxes and edges, for definitions of every form."""

from __future__ import annotations

import itertools
from graphlib import TopologicalSorter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.aws.validation.references import step_references
from pipeline.operations.graph import layout
from pipeline.operations.graph.dependencies import steps_of
from pipeline.operations.graph.layout import BOX_WIDTH, Graph, graph_of
from pipeline.operations.graph.ordering import Lane, crossings, neighbours, order
from pipeline.operations.graph.placing import ascending
from tests.unit.pipeline.operations.graph.definitions import all_steps, definition, definitions, job, reviewed

some = settings(max_examples=60, deadline=None)
columns = st.integers(1, 4)


@some
@given(definitions(), columns)
def test_every_step_has_a_box_in_the_order_of_the_definition(document: dict[str, Any], columns: int) -> None:
    assert [node.step.name for node in graph_of(document, columns=columns).nodes] == list(steps_of(document))


@some
@given(definitions(), columns)
def test_every_edge_leads_down_and_has_a_lane_in_each_row_between(document: dict[str, Any], columns: int) -> None:
    for edge in graph_of(document, columns=columns).edges:
        assert edge.source.row < edge.target.row
        assert len(edge.lanes) == edge.target.row - edge.source.row - 1


@some
@given(definitions(), columns)
def test_no_two_boxes_overlap_and_no_row_has_more_than_the_columns(document: dict[str, Any], columns: int) -> None:
    graph = graph_of(document, columns=columns)
    for row in range(graph.rows):
        edges = sorted(node.x for node in graph.nodes if node.row == row)
        assert 1 <= len(edges) <= columns
        assert all(right - left > BOX_WIDTH for left, right in itertools.pairwise(edges))


@some
@given(definitions(), columns)
def test_no_edge_crosses_a_box_and_none_runs_in_the_lane_of_another(document: dict[str, Any], columns: int) -> None:
    graph = graph_of(document, columns=columns)
    for row in range(graph.rows):
        lanes = [
            edge.lanes[row - edge.source.row - 1] for edge in graph.edges if edge.source.row < row < edge.target.row
        ]
        boxes = [node for node in graph.nodes if node.row == row]
        assert len({round(lane) for lane in lanes}) == len(lanes)
        assert not any(node.x <= lane <= node.x + BOX_WIDTH for lane in lanes for node in boxes)


@some
@given(definitions(), columns)
def test_all_is_inside_the_width(document: dict[str, Any], columns: int) -> None:
    graph = graph_of(document, columns=columns)
    places = [place for node in graph.nodes for place in (node.x, node.x + BOX_WIDTH)]
    places += [lane for edge in graph.edges for lane in edge.lanes]
    assert all(-0.2 <= place <= graph.width + 0.2 for place in places)


@some
@given(definitions())
def test_the_edges_lead_from_each_step_to_all_that_wait_for_it(document: dict[str, Any]) -> None:
    """No order is lost by the edges that are left out, and none is added."""
    waits = {step["Name"]: set(step_references(step)) for step in all_steps(document["Steps"])}
    for step in steps_of(document).values():
        waits[step.name] |= {step.condition} if step.condition else set()
    drawn: dict[str, set[str]] = {name: set() for name in waits}
    for edge in graph_of(document).edges:
        drawn[edge.target.step.name].add(edge.source.step.name)
    assert before(drawn) == before(waits)


def before(waits: dict[str, set[str]]) -> dict[str, set[str]]:
    """All steps that end before each step begins."""
    reached: dict[str, set[str]] = {}
    for name in TopologicalSorter(waits).static_order():
        reached[name] = waits[name].union(*(reached[other] for other in waits[name]))
    return reached


def rows(graph: Graph) -> list[list[str]]:
    """The names in each row, from left to right."""
    return [
        [node.step.name for node in sorted(graph.nodes, key=lambda node: node.x) if node.row == row]
        for row in range(graph.rows)
    ]


def test_the_pipeline_is_two_columns_wide_with_its_jobs_below_each_other() -> None:
    graph = graph_of(reviewed())
    assert rows(graph) == [
        ["CheckParameters", "QueryMetadata"],
        ["CheckParametersFailed", "ShardImages"],
        ["TuneModel"],
        ["EvaluateModel"],
        ["QualityGate", "NewVersion"],
        ["QualityGateFailed", "RegisterModel"],
        ["DeployModel"],
    ]
    assert len({node.x for node in graph.nodes}) == 2
    assert graph.width < 400


def test_the_branches_of_a_condition_are_side_by_side() -> None:
    branches = {"Conditions": [], "IfSteps": [job("T1"), job("T2", "T1")], "ElseSteps": [job("F1")]}
    graph = graph_of(definition({"Name": "C", "Type": "Condition", "Arguments": branches}))
    assert rows(graph) == [["C"], ["T1", "F1"], ["T2"]]


def test_steps_above_the_columns_are_in_further_rows() -> None:
    assert rows(graph_of(definition(*map(job, "ABCDE")))) == [["A", "B"], ["C", "D"], ["E"]]
    assert rows(graph_of(definition(*map(job, "ABCDE")), columns=5)) == [["A", "B", "C", "D", "E"]]


def test_a_definition_without_steps_has_no_rows() -> None:
    assert graph_of(definition()) == Graph((), (), 0, 0.0)


def test_a_long_chain_is_placed() -> None:
    chain = [job("S0"), *(job(f"S{number}", f"S{number - 1}") for number in range(1, 1500))]
    assert graph_of(definition(*chain)).rows == 1500


def test_no_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="0 columns"):
        graph_of(definition(job("A")), columns=0)


def test_edges_that_can_go_without_a_crossing_do() -> None:
    paths = [["A", "D"], ["B", "C"], ["A", Lane("A", "E", 1), "E"]]
    start = [["A", "B"], ["C", "D", Lane("A", "E", 1)], ["E"]]
    _, below = neighbours(paths)
    assert crossings(start, below) == 2
    assert crossings(order(start, paths), below) == 0


def test_crossings_are_counted_once_each() -> None:
    paths = [[upper, lower] for upper in "AB" for lower in "CDE"]
    assert crossings([["A", "B"], ["C", "D", "E"]], neighbours(paths)[1]) == 3


@some
@given(st.lists(st.integers(-1000, 1000)))
def test_ascending_numbers_keep_the_sum_and_numbers_that_ascend(values: list[int]) -> None:
    result = ascending(values)
    assert all(left <= right + 1e-9 for left, right in itertools.pairwise(result))
    assert sum(result) == pytest.approx(sum(values))
    assert ascending(sorted(values)) == pytest.approx(sorted(values))


def test_numbers_that_descend_become_their_mean() -> None:
    assert ascending([1, 5, 3, 4, 9]) == [1, 4, 4, 4, 9]


def test_a_box_that_two_boxes_follow_is_in_the_middle_above_them() -> None:
    graph = graph_of(definition(job("A"), job("B", "A"), job("C", "A")))
    above, left, right = graph.nodes
    assert above.middle == (left.middle + right.middle) / 2
    assert right.x - left.x == BOX_WIDTH + layout.BOX_GAP
