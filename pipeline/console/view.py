"""Views as HTML: jinja2 templates of this package, every value escaped.

Blocks whose names begin with `live_` are rendered alone for live updates; each stands in an element whose id is the
block's name with hyphens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.console import texts
from pipeline.console.console import Console, View
from pipeline.operations.graph import svg
from steps.contracts.drift import number
from steps.reports import page

_FOLDER = Path(__file__).parent
LIVE = "live_"
# The navigation: path and label, in order.
SECTIONS = (
    ("/", "Overview"),
    ("/runs", "Runs"),
    ("/data", "Data"),
    ("/trials", "Trials"),
    ("/models", "Models"),
    ("/endpoint", "Endpoint"),
    ("/monitor", "Drift"),
    ("/inbox", "Alerts"),
)


class Renderer:
    """Renders the views of a console."""

    def __init__(self, console: Console) -> None:
        self._environment = Environment(
            # The second has the macro `chart`, which reports use too.
            loader=FileSystemLoader([_FOLDER / "templates", Path(page.__file__).parent]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        filters: Mapping[str, Callable[..., object]] = {
            "when": texts.moment,
            "iso": lambda value: value.astimezone(UTC).isoformat(),
            "duration": texts.time_text,
            "number": lambda value: f"{value:,}",
            "fixed": texts.fixed,
            "percent": texts.percent,
            "dollars": texts.dollars,
            "amount": texts.amount,
            "measured": number,
            "shortened": texts.shortened,
            "shortly": texts.shortly,
            "kind": texts.kind,
            "tail": lambda arn: str(arn).rsplit("/", 1)[-1],
        }
        self._environment.filters.update(filters)
        self._environment.globals.update(
            console=console,
            settings=console.settings,
            sections=SECTIONS,
            token=console.token,
            pasted=console.pasted,
            static=static_version(),
        )
        # A global, since a block that is rendered alone sees no imports of its template.
        self._environment.globals["ui"] = self._environment.get_template("parts.html").module
        self._environment.globals["charts"] = self._environment.get_template("parts.html.template").module

    def page(self, view: View, path: str) -> str:
        """The whole page."""
        values = {**view.values, "path": path, "refresh": view.refresh, "now": datetime.now(UTC)}
        return self._environment.get_template(view.template).render(values)

    def regions(self, view: View, path: str) -> dict[str, str]:
        """The live regions of the page, by the id of their element."""
        template = self._environment.get_template(view.template)
        # Without the present time: a region in which only a running time has changed has not changed.
        values = {**view.values, "path": path, "refresh": view.refresh, "now": None}
        context = template.new_context(values)
        return {
            name.replace("_", "-"): "".join(block(context))
            for name, block in template.blocks.items()
            if name.startswith(LIVE)
        }


def static_version() -> str:
    """A digest of styles and scripts, for their addresses: a browser keeps them until they change."""
    digest = hashlib.sha256()
    for file in (*sorted((_FOLDER / "static").iterdir()), svg.STYLE):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def as_json(value: Any) -> Any:
    """A value that `json` does not know, as JSON has it."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no form in JSON")
