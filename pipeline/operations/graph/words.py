"""The words of a drawing: kinds of steps, lines that fit into a box, and the sentences for readers who hear it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping

from pipeline.operations.graph.dependencies import Step
from pipeline.operations.graph.layout import Graph
from pipeline.operations.graph.states import NodeState

# Types of steps as a box has room for them, next to a name.
_KINDS = {
    "Processing": "processing",
    "Training": "training",
    "Tuning": "tuning",
    "Transform": "transform",
    "Model": "model",
    "RegisterModel": "version",
    "Condition": "condition",
    "Fail": "fail",
    "Lambda": "function",
}
# Widths of characters in ems, a little above those of Arial and Segoe UI; other characters are as wide as `_USUAL`.
_WIDTHS = {
    **dict.fromkeys("ijl.,:;'|!", 0.3),
    **dict.fromkeys('frtI()[]-/ "', 0.35),
    **dict.fromkeys("mwMW@%", 0.95),
    **dict.fromkeys("ABCDEFGHJKLNOPQRSTUVXYZ&", 0.72),
}
_USUAL, _BOLD = 0.595, 1.06
# What XML 1.0 has no place for: https://www.w3.org/TR/xml/#charsets
_NO_CHARACTERS = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def kind_text(step: Step) -> str:
    """The kind of a step, with its name where its title is another."""
    kind = _KINDS.get(step.kind, step.kind)
    return kind if step.title == step.name else f"{step.name} · {kind}"


def state_text(state: NodeState) -> str:
    """A state in a line: `Succeeded, 3 min 05 s`, `from the cache`."""
    status = "from the cache" if state.cached else state.status
    return f"{status}, {state.time}" if state.time else status


def label(step: Step, state: NodeState | None) -> str:
    """All of a node in a sentence."""
    parts = [step.title, kind_text(step)]
    if state is not None:
        parts += [state_text(state), *([state.detail] if state.detail else [])]
    return ": ".join((parts[0], ", ".join(parts[1:])))


def sentences(graph: Graph, states: Mapping[str, NodeState]) -> Iterator[str]:
    """A sentence per step: what it is, its state, and what it waits for."""
    for node in graph.nodes:
        waits = [
            edge.source.step.title if edge.branch is None else f"{edge.source.step.title} is {str(edge.branch).lower()}"
            for edge in graph.edges
            if edge.target is node
        ]
        after = f"; after {' and '.join(waits)}" if waits else ""
        yield f"{label(node.step, states.get(node.step.name))}{after}."


def clean(text: str) -> str:
    """Text with only such characters as XML has."""
    return _NO_CHARACTERS.sub("\ufffd", text)


def fitted(text: str, width: float, size: float, *, bold: bool = False) -> str:
    """Text in one line of at most `width` pixels at a font size in pixels; what does not fit becomes `…`."""
    text = " ".join(clean(text).split())
    if _width(text, size, bold) <= width:
        return text
    while text and _width(f"{text}…", size, bold) > width:
        text = text[:-1]
    return f"{text.rstrip()}…"


def _width(text: str, size: float, bold: bool) -> float:
    return sum(map(_em, text)) * size * (_BOLD if bold else 1.0)


def _em(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return 1.0
    return _WIDTHS.get(character, _USUAL)
