"""Places the steps of a definition in rows from top to bottom, few columns wide, with every edge downwards.

The method is that of Sugiyama, Tagawa and Toda (1981, https://doi.org/10.1109/TSMC.1981.4308636): rows, an order in
each row with few crossings, then places. An edge across a row has a lane of its own there, next to the boxes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

from pipeline.operations.graph import dependencies, ordering, placing
from pipeline.operations.graph.dependencies import Dependency, Step
from pipeline.operations.graph.ordering import Item, Lane, Row
from pipeline.operations.graph.placing import Sizes

# Two boxes are about as wide as the screen of a phone, 400 pixels.
COLUMNS = 2
BOX_WIDTH = 192.0
# Between two neighbours in a row, of which one or both may be lanes, which have no width.
BOX_GAP, LANE_GAP = 14.0, 12.0


@dataclass(frozen=True)
class Node:
    """A step with its place: the row from the top, and the left edge in pixels; every box is BOX_WIDTH wide."""

    step: Step
    row: int
    x: float

    @property
    def middle(self) -> float:
        """The horizontal middle of the box."""
        return self.x + BOX_WIDTH / 2


@dataclass(frozen=True)
class Edge:
    """A dependency, from the bottom of `source` to the top of `target`.

    `lanes` are the horizontal places at which it passes the rows in between, from top to bottom. `branch` is None where
    it is no branch of a condition.
    """

    source: Node
    target: Node
    branch: bool | None
    lanes: tuple[float, ...] = ()


@dataclass(frozen=True)
class Graph:
    """A definition's steps with their places, in the definition's order, and the edges between them."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    rows: int
    width: float


def graph_of(definition: Mapping[str, Any], *, columns: int = COLUMNS) -> Graph:
    """The graph of a definition, at most `columns` boxes wide; further steps that could begin at once come lower.

    Raises PipelineError where steps have the same name, wait for each other, or for steps that do not exist, and
    ValueError where `columns` is not positive.
    """
    if columns < 1:
        raise ValueError(f"{columns} columns: a graph has at least 1")
    steps, edges = dependencies.steps_of(definition), dependencies.dependencies(definition)
    row_of = _rows(list(steps), edges, columns)
    rows: list[Row] = [[] for _ in range(max(row_of.values(), default=-1) + 1)]
    for name, row in row_of.items():
        rows[row].append(name)
    paths = [_path(edge, row_of, rows) for edge in edges]
    ordered = ordering.order(rows, paths)
    middles, width = placing.place(ordered, paths, Sizes(_half, _gap))
    nodes = {name: Node(step, row_of[name], round(middles[name] - BOX_WIDTH / 2, 1)) for name, step in steps.items()}
    placed = tuple(
        Edge(nodes[edge.source], nodes[edge.target], edge.branch, tuple(round(middles[lane], 1) for lane in path[1:-1]))
        for edge, path in zip(edges, paths, strict=True)
    )
    return Graph(tuple(nodes.values()), placed, len(rows), round(width, 1))


def _rows(names: list[str], edges: tuple[Dependency, ...], columns: int) -> dict[str, int]:
    """The row of each step: the first with room below all that it waits for."""
    parents: dict[str, list[str]] = {name: [] for name in names}
    for edge in edges:
        parents[edge.target].append(edge.source)
    depths: dict[str, int] = {}
    for name in TopologicalSorter(parents).static_order():
        depths[name] = max((depths[parent] + 1 for parent in parents[name]), default=0)
    rows: dict[str, int] = {}
    taken: dict[int, int] = {}
    # The sort is stable: steps of a depth keep the definition's order.
    for name in sorted(names, key=depths.__getitem__):
        row = max((rows[parent] + 1 for parent in parents[name]), default=0)
        while taken.get(row, 0) >= columns:
            row += 1
        rows[name], taken[row] = row, taken.get(row, 0) + 1
    return rows


def _path(edge: Dependency, row_of: Mapping[str, int], rows: list[Row]) -> list[Item]:
    """What an edge goes through, from row to row; its lanes are added to `rows`."""
    between = range(row_of[edge.source] + 1, row_of[edge.target])
    lanes = [Lane(edge.source, edge.target, row) for row in between]
    for lane in lanes:
        rows[lane.row].append(lane)
    return [edge.source, *lanes, edge.target]


def _half(item: Item) -> float:
    return BOX_WIDTH / 2 if isinstance(item, str) else 0.0


def _gap(left: Item, right: Item) -> float:
    return BOX_GAP if isinstance(left, str) and isinstance(right, str) else LANE_GAP
