"""Rewrite the documents: `make documents`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipeline import ROOT
from tests.documents import cli, pictures, settings

# What writes each file of `docs`.
DOCUMENTS: Mapping[str, Callable[[], str]] = {
    "cli.md": cli.render,
    "settings.md": settings.render,
    "pictures/pipeline.svg": pictures.pipeline,
}
FOLDER = ROOT / "docs"


def main() -> None:
    """Write every document."""
    for name, render in DOCUMENTS.items():
        (FOLDER / name).parent.mkdir(exist_ok=True)
        (FOLDER / name).write_text(render())


if __name__ == "__main__":
    main()
