"""The lineage of a version as a graph, by the drawing of definitions."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.operations.graph import svg
from pipeline.operations.graph.layout import graph_of
from pipeline.operations.graph.states import NodeState
from pipeline.operations.models import link_words
from pipeline.operations.models.lineage import Lineage, Link
from steps.contracts.wording import count_of

VERSION = "version"
# What each link is, and what it was made from.
_LINKS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "commit": ("source code", ()),
    "raw_photos": ("S3 prefix", ()),
    "images": ("container images", ("commit",)),
    "query": ("Athena query", ("raw_photos",)),
    "run": ("pipeline execution", ("images",)),
    "index": ("data set", ("query",)),
    "tuning_job": ("tuning job", ("index",)),
    "training_job": ("training job", ("tuning_job",)),
    "artifact": ("model.tar.gz", ("training_job",)),
    "evaluation": ("evaluation.json", ("artifact",)),
    VERSION: ("model version", ("run", "evaluation")),
}
# The fact of a link that its box shows.
_SHOWN = {
    "images": "training",
    "query": "submitted",
    "run": "started",
    "index": "photos",
    "tuning_job": "strategy",
    "training_job": "instances",
    "artifact": "bytes",
    "evaluation": "bytes",
    "commit": "repository",
}


def draw(lineage: Lineage) -> str:
    """The lineage as SVG within a page, from the photos and the source down to the version."""
    links = {link.kind: link for link in lineage.links}
    titles = {kind: kind.replace("_", " ") for kind in _LINKS} | {VERSION: lineage.version.name}
    definition = {
        "Steps": [
            {"Name": titles[kind], "Type": what, "DependsOn": [titles[source] for source in sources]}
            for kind, (what, sources) in _LINKS.items()
        ]
    }
    states = {titles[kind]: _state(links[kind]) for kind in _LINKS if kind in links}
    states[titles[VERSION]] = NodeState(lineage.version.status)
    places = {titles[kind]: place for kind, link in links.items() if (place := _place(link, lineage.version.run))}
    return svg.draw(
        graph_of(definition), states, links=places, title=f"Lineage of {lineage.version.name}", standalone=False
    )


def facts(link: Link) -> list[tuple[str, str]]:
    """The facts of a link, its name first."""
    named = [("name", link_words.short(link.id))] if link.id else []
    return [*named, *((name.replace("_", " "), text) for name, text in link_words.facts(link))]


def _state(link: Link) -> NodeState:
    if link.kind == "images":
        state = count_of(len(link.facts), "image")
    elif link.kind == "commit":
        state = link.id[:12]
    else:
        state = {True: "exists", False: "no longer exists", None: ""}[link.exists]
    facts = dict(link_words.facts(link))
    status = facts.get("status") or facts.get("state") or state
    return NodeState(
        status or link.note or "not looked up",
        detail=link.id if link.kind == "raw_photos" else facts.get(_SHOWN[link.kind], ""),
    )


def _place(link: Link, run: str) -> str:
    """The page about a link; empty where there is none."""
    if not run or link.exists is not True:
        return ""
    pages = {
        "run": f"/runs/{run}",
        "raw_photos": f"/runs/{run}/data",
        "query": f"/runs/{run}/data",
        "index": f"/runs/{run}/data",
        "tuning_job": f"/runs/{run}/trials",
        "training_job": f"/runs/{run}/trials",
        "evaluation": f"/runs/{run}/report",
    }
    return pages.get(link.kind, "")
