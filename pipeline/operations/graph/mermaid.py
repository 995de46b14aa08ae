"""The drawing of a definition as a Mermaid flowchart, which GitHub and GitLab show in Markdown.

https://mermaid.js.org/syntax/flowchart.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from pipeline.operations.graph import words
from pipeline.operations.graph.layout import Edge, Graph, Node
from pipeline.operations.graph.states import NodeState

NO_STATES: Mapping[str, NodeState] = MappingProxyType({})
_SHAPES = {"Condition": ("{{", "}}"), "Fail": ("([", "])")}
_BOX = ("[", "]")
# All but letters, digits and signs that mean nothing to Mermaid where they are; `1. ` and `- ` would begin a list.
_SPECIAL = re.compile(r"(?<!\w)-|(?<!\d)\.|\.(?!\d)|[^\w .,:·-]")
# Colours by state, readable on light and dark pages alike; statuses that mean the same have the same class.
_CLASSES = {
    "succeeded": "fill:#e9f5f0,stroke:#1e7f5c,color:#1c2024",
    "running": "fill:#e8f0fb,stroke:#1f65b7,color:#1c2024,stroke-width:2px",
    "stopped": "fill:#fbf3e2,stroke:#946200,color:#1c2024",
    "failed": "fill:#fcebe8,stroke:#c4402d,color:#1c2024,stroke-width:2px",
}
_CLASS_OF = {
    "Succeeded": "succeeded",
    "Starting": "running",
    "Executing": "running",
    "Stopping": "stopped",
    "Stopped": "stopped",
    "Failed": "failed",
}


def draw(graph: Graph, states: Mapping[str, NodeState] = NO_STATES) -> str:
    """The graph as a flowchart, with the states of a run's steps by their names."""
    ids = {node.step.name: f"step{number}" for number, node in enumerate(graph.nodes, 1)}
    lines = ["flowchart TD"]
    lines += [f"    {ids[node.step.name]}{_box(node, states.get(node.step.name))}" for node in graph.nodes]
    lines += [f"    {ids[edge.source.step.name]} {_arrow(edge)} {ids[edge.target.step.name]}" for edge in graph.edges]
    members: dict[str, list[str]] = {}
    for name, state in states.items():
        if name in ids and state.status in _CLASS_OF:
            members.setdefault(_CLASS_OF[state.status], []).append(ids[name])
    for name, steps in members.items():
        lines += [f"    classDef {name} {_CLASSES[name]}", f"    class {','.join(steps)} {name}"]
    return "\n".join([*lines, ""])


def _box(node: Node, state: NodeState | None) -> str:
    left, right = _SHAPES.get(node.step.kind, _BOX)
    parts = [_escaped(node.step.title), _escaped(words.kind_text(node.step))]
    if state is not None:
        parts += [_escaped(line) for line in (words.state_text(state), state.detail) if line]
    return f'{left}"{"<br/>".join(parts)}"{right}'


def _arrow(edge: Edge) -> str:
    return "-->" if edge.branch is None else f'-->|"{str(edge.branch).lower()}"|'


def _escaped(text: str) -> str:
    """Text in one line of a quoted label: letters and digits, and the signs of names and times; others by their codes.

    https://mermaid.js.org/syntax/flowchart.html#entity-codes-to-escape-characters
    """
    line = " ".join(words.clean(text).split())
    return _SPECIAL.sub(lambda sign: f"#{ord(sign[0])};", line)
