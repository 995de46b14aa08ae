"""Rules that hold for every template, style and script of the console."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline import ROOT
from pipeline.console import view
from pipeline.operations.graph import svg

FOLDER = ROOT / "pipeline" / "console"
TEMPLATES = sorted((FOLDER / "templates").rglob("*.html"))
STATIC = sorted((FOLDER / "static").iterdir())


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_has_no_inline_script_or_style_and_marks_nothing_as_safe_html(template: Path) -> None:
    text = template.read_text()
    assert re.findall(r"<style|\bstyle=|\son[a-z]+=|javascript:|autoescape false", text) == []
    assert [tag for tag in re.findall(r"<script[^>]*>", text) if " src=" not in tag] == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_form_that_changes_something_has_the_token(template: Path) -> None:
    for form in re.findall(r'<form[^>]*method="post".*?</form>', template.read_text(), flags=re.DOTALL):
        assert 'name="token"' in form


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_live_block_stands_in_the_element_of_its_name(template: Path) -> None:
    text = template.read_text()
    for name in re.findall(r"{% block (live_\w+)", text):
        identity = name.replace("_", "-")
        assert re.search(rf'id="{identity}"[^>]*>\s*{{% block {name} %}}', text), name


@pytest.mark.parametrize("file", [*TEMPLATES, *STATIC], ids=lambda path: path.name)
def test_nothing_is_loaded_from_elsewhere(file: Path) -> None:
    text = file.read_text()
    places = set(re.findall(r"https?://[^\s\"'<>)]+", text)) - {"http://www.w3.org/2000/svg"}
    assert [
        place for place in places if re.search(rf"(src|href)=[\"']{re.escape(place)}|url\({re.escape(place)}", text)
    ] == []
    assert "@import" not in text


def test_no_script_evaluates_text() -> None:
    for file in STATIC:
        if file.suffix == ".js":
            assert re.findall(r"\beval\(|new Function|document\.write|setTimeout\(\"", file.read_text()) == []


def test_a_changed_style_of_drawings_has_another_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser keeps it for as long as its address is the same."""
    before = view.static_version()
    changed = tmp_path / "graph.css"
    changed.write_text(".graph {}")
    monkeypatch.setattr(svg, "STYLE", changed)
    assert view.static_version() != before
