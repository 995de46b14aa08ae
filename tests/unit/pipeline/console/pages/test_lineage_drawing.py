"""A lineage as a graph: each link is a box, with the page about it while it exists."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree

from pipeline.console.pages import lineage_drawing
from pipeline.operations.models.evaluations import Evaluation
from pipeline.operations.models.lineage import GONE, Lineage, Link
from pipeline.operations.models.registry import Version

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
VERSION = Version("arn", 3, "Approved", "Completed", NOW, "", "s3://b/evaluation.json", "run1", Evaluation())
LINKS = (
    Link("artifact", "s3://b/model.tar.gz", True, facts={"bytes": 1_500_000}),
    Link("evaluation", "s3://b/evaluation.json", True),
    Link("run", "arn:aws:sagemaker:r:1:pipeline/bins/execution/run1", True, facts={"status": "Succeeded"}),
    Link("commit", "0123456789abcdef"),
    Link("tuning_job", "tune", True, facts={"status": "Completed"}),
    Link("training_job", "", None, "not recorded"),
    Link("index", "s3://b/<script>", True),
    Link("query", "q-1", False, GONE),
    Link("raw_photos", "s3://<b>", None, "these credentials may not look"),
    Link("images", "", facts={"query": "q", "train": "t"}),
)


def drawn(links: tuple[Link, ...] = LINKS, version: Version = VERSION) -> tuple[str, list[str]]:
    text = lineage_drawing.draw(Lineage(version, links))
    root = ElementTree.fromstring(text)
    return text, [element.attrib["href"] for element in root.iter("{http://www.w3.org/2000/svg}a")]


def test_every_link_is_a_box_above_the_version() -> None:
    text, _ = drawn()
    for name in ("raw photos", "query", "index", "tuning job", "training job", "artifact", "commit", "images", "run"):
        assert f">{name}</text>" in text
    assert "version 3: model version, Approved" in text
    assert "artifact: model.tar.gz, exists, 1.5 MB" in text


def test_what_exists_leads_to_its_page_and_the_rest_does_not() -> None:
    _, links = drawn()
    assert sorted(links) == ["/runs/run1", "/runs/run1/data", "/runs/run1/report", "/runs/run1/trials"]


def test_what_is_missing_is_named_as_such() -> None:
    text, _ = drawn()
    assert "query: Athena query, no longer exists" in text
    assert "training job: training job, not recorded" in text


def test_a_version_of_no_run_has_no_links() -> None:
    assert drawn(version=replace(VERSION, run=""))[1] == []


def test_names_are_text() -> None:
    text, _ = drawn()
    assert "<b>" not in text
    assert "<script>" not in text
    assert "s3://&lt;b&gt;" in text


def test_a_version_with_few_links_is_drawn_too() -> None:
    text, _ = drawn(links=())
    assert "version 3" in text
