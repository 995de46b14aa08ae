"""The picture of the pipeline, as `python -m pipeline graph` draws it."""

from __future__ import annotations

from pipeline.operations.graph import layout, svg
from tests.golden import compiled


def pipeline() -> str:
    """The steps of the definition, which are the same in every profile."""
    return svg.draw(layout.graph_of(compiled("prod")))
