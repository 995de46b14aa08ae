"""The drawing of a definition as SVG: a file of its own, or a part of a page that serves `STYLE` itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import MappingProxyType

from pipeline.operations.graph import words
from pipeline.operations.graph.layout import BOX_WIDTH, Edge, Graph, Node
from pipeline.operations.graph.states import NodeState

# Colours and fonts. They are inside a file of its own; a page serves them, since its policy permits no inline style.
STYLE = Path(__file__).with_name("graph.css")
NO_STATES: Mapping[str, NodeState] = MappingProxyType({})
NO_LINKS: Mapping[str, str] = MappingProxyType({})
TITLE = "The pipeline's steps"
# Height of a box without and with a run's state, and between two rows.
PLAIN_HEIGHT, STATE_HEIGHT, GAP = 46, 78, 36
# Around a file's drawing, and around that of a page, which has its own margins.
FILE_MARGIN, PAGE_MARGIN = 12, 2
_PADDING, _CUT, _ROUND, _ARROW = 11, 10, 8, 6
# Sizes of fonts, as in STYLE.
_TITLE_SIZE, _SIZE = 13, 11.5
_SHAPES = {"Condition": "condition", "Fail": "fail"}
_STATUSES = ("Waiting", "Starting", "Executing", "Stopping", "Stopped", "Failed", "Succeeded")
# Icons of 12 by 12 pixels, so that no state is shown by its colour alone.
_ICONS = {
    "waiting": "M6 1a5 5 0 1 0 .01 0M6 3.5v2.8l1.8 1.2",
    "starting": "M6 1a5 5 0 0 1 5 5",
    "executing": "M6 1a5 5 0 1 1 -5 5",
    "stopping": "M2 2h8v8h-8z",
    "stopped": "M2 2h8v8h-8z",
    "failed": "M2 2l8 8M10 2l-8 8",
    "succeeded": "M1.5 6.5l3 3.5 6-8",
    "cached": "M10.5 4.5a5 5 0 1 0 .3 3M10.8 1.2v3.5h-3.5",
    "unknown": "M2 6h8",
}


def draw(
    graph: Graph,
    states: Mapping[str, NodeState] = NO_STATES,
    *,
    links: Mapping[str, str] = NO_LINKS,
    title: str = TITLE,
    standalone: bool = True,
) -> str:
    """The graph as an `<svg>`, with the states of a run's steps and with links, both by the names of steps.

    A `standalone` drawing is a file of its own: an image with the style in it. Without it, the drawing is a part of a
    page: a list, whose nodes with a link can have the focus. It has neither styles nor scripts nor ids, and needs the
    rules of `STYLE`.

    Raises ValueError for a link that is neither relative nor of the web.
    """
    return _Drawing(graph, states, links, standalone).text(title)


@dataclass(frozen=True)
class _Drawing:
    graph: Graph
    states: Mapping[str, NodeState]
    links: Mapping[str, str]
    standalone: bool

    @property
    def height(self) -> int:
        """The height of a box."""
        return STATE_HEIGHT if self.states else PLAIN_HEIGHT

    @property
    def margin(self) -> int:
        return FILE_MARGIN if self.standalone else PAGE_MARGIN

    def top(self, row: int) -> int:
        return self.margin + row * (self.height + GAP)

    def text(self, title: str) -> str:
        graph = self.graph
        width = round(graph.width) + 2 * self.margin
        height = max(self.top(graph.rows) - GAP, self.margin) + self.margin
        size = f'width="{width}" height="{height}"'
        frame = f'<svg xmlns="http://www.w3.org/2000/svg" class="graph" viewBox="0 0 {width} {height}" {size}'
        if self.standalone:
            lines = [
                f'{frame} role="img">',
                f"<title>{_escaped(title)}</title>",
                f"<desc>{_escaped(' '.join(words.sentences(graph, self.states)))}</desc>",
                f"<style>\n{STYLE.read_text()}</style>",
                f'<rect class="graph-paper" {size} rx="{_ROUND}"/>',
            ]
        else:
            lines = [f'{frame} role="list" aria-label="{_escaped(title)}">']
        lines += ['<g aria-hidden="true">', *map(self.edge, graph.edges), "</g>"]
        for node in graph.nodes:
            lines += self.node(node)
        return "\n".join([*lines, "</svg>", ""])

    def node(self, node: Node) -> Iterator[str]:
        state, link = self.states.get(node.step.name), self.links.get(node.step.name, "")
        shape, status = _SHAPES.get(node.step.kind, "job"), _status(state)
        classes = f"graph-node graph-{shape}" + (f" graph-{status}" if self.states else "")
        name = _escaped(words.label(node.step, state))
        role = "" if self.standalone else ' role="listitem"'
        yield f'<g class="{classes}" transform="translate({self.margin + node.x:g} {self.top(node.row)})"{role}>'
        if link:
            yield f'<a href="{_escaped(_checked(link))}" aria-label="{name}">'
        elif not self.standalone:
            yield f'<g role="img" aria-label="{name}">'
        description = f"\n{node.step.description}" if node.step.description else ""
        yield f"<title>{name}{_escaped(description)}</title>"
        yield f'<path class="graph-box" d="{_outline(shape, self.height)}"/>'
        yield from _lines(node, state, status)
        if link or not self.standalone:
            yield "</a>" if link else "</g>"
        yield "</g>"

    def edge(self, edge: Edge) -> str:
        x, y = self.margin + edge.source.middle, self.top(edge.source.row) + self.height
        path = f"M{x:g} {y:g}"
        for row, lane in enumerate(edge.lanes, edge.source.row + 1):
            path += _curve(x, y, self.margin + lane, self.top(row))
            x, y = self.margin + lane, self.top(row) + self.height
            path += f"V{y:g}"
        end, top = self.margin + edge.target.middle, self.top(edge.target.row)
        path += _curve(x, y, end, top - _ARROW)
        classes = f"graph-edge graph-{_passed(edge, self.states)}" if self.states else "graph-edge"
        drawn = f'<path class="graph-line" d="{path}"/><path class="graph-arrow" d="M{end:g} {top}l-4 -{_ARROW}h8z"/>'
        if edge.branch is not None:
            drawn += _text("graph-branch", end + 8, top - 10, str(edge.branch).lower())
        return f'<g class="{classes}">{drawn}</g>'


def _lines(node: Node, state: NodeState | None, status: str) -> Iterator[str]:
    width = BOX_WIDTH - 2 * _PADDING
    yield _text("graph-title", _PADDING, 20, words.fitted(node.step.title, width, _TITLE_SIZE, bold=True))
    yield _text("graph-kind", _PADDING, 36, words.fitted(words.kind_text(node.step), width, _SIZE))
    if state is None:
        return
    # The icon turns by a rule of STYLE, which would replace a place of its own.
    yield f'<g transform="translate({_PADDING} 43)"><path class="graph-icon" d="{_ICONS[status]}"/></g>'
    yield _text("graph-state", _PADDING + 18, 53, words.fitted(words.state_text(state), width - 18, _SIZE))
    if state.detail:
        yield _text("graph-detail", _PADDING, 69, words.fitted(state.detail, width, _SIZE))


def _status(state: NodeState | None) -> str:
    """The state as a part of a class; `absent` for a step that the run need not reach."""
    if state is None:
        return "absent"
    if state.cached:
        return "cached"
    return state.status.lower() if state.status in _STATUSES else "unknown"


def _passed(edge: Edge, states: Mapping[str, NodeState]) -> str:
    """Whether the run went along an edge: `taken`, `left`, or `open` while that is undecided."""
    source = states.get(edge.source.step.name)
    if source is None or source.status != "Succeeded":
        return "open"
    if edge.branch is None:
        return "taken"
    return {None: "open", edge.branch: "taken"}.get(source.outcome, "left")


def _curve(x: float, y: float, end: float, bottom: float) -> str:
    """The rest of a path from (x, y) down to (end, bottom), vertical at both."""
    if x == end:
        return f"V{bottom:g}"
    bend = (bottom - y) * 0.85
    return f"C{x:g} {y + bend:g} {end:g} {bottom - bend:g} {end:g} {bottom:g}"


def _outline(shape: str, height: int) -> str:
    """A condition has pointed sides, a step that fails the run cut corners, the others round corners."""
    right, cut, turn = BOX_WIDTH - _CUT, _CUT, f"a{_ROUND} {_ROUND} 0 0 1"
    if shape == "condition":
        return f"M{cut} 0H{right:g}l{cut} {height / 2:g} -{cut} {height / 2:g}H{cut}l-{cut} -{height / 2:g}z"
    if shape == "fail":
        side = height - 2 * cut
        return f"M{cut} 0H{right:g}l{cut} {cut}v{side}l-{cut} {cut}H{cut}l-{cut} -{cut}v-{side}z"
    right, side = BOX_WIDTH - _ROUND, height - 2 * _ROUND
    return (
        f"M{_ROUND} 0H{right:g}{turn} {_ROUND} {_ROUND}v{side}{turn} -{_ROUND} {_ROUND}"
        f"H{_ROUND}{turn} -{_ROUND} -{_ROUND}v-{side}{turn} {_ROUND} -{_ROUND}z"
    )


def _text(name: str, x: float, y: float, text: str) -> str:
    return f'<text class="{name}" x="{x:g}" y="{y:g}">{_escaped(text)}</text>'


def _checked(link: str) -> str:
    # Whatever precedes the first colon of the path counts, since browsers ignore spaces and line ends in a scheme.
    scheme = re.match(r"[^/?#]*:", link)
    if scheme and scheme[0].lower() not in ("http:", "https:"):
        raise ValueError(f"{link!r} is no link of the web")
    return link


def _escaped(text: str) -> str:
    return escape(words.clean(text))
