"""Pages that steps write for people: jinja2 templates with one style, light and dark. No page loads another file."""

from __future__ import annotations

from pathlib import Path


def render(template: Path, **values: object) -> str:
    """The page of a template, which may extend `page.html.template` and import `parts.html.template` of this folder.

    Every value is text: it is escaped.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = lambda value: f"{value:,}"
    environment.filters["percent"] = lambda share: f"{share:.1%}"
    environment.filters["fixed"] = lambda value, digits: f"{value:.{digits}f}"
    return environment.get_template(template.name).render(values)
