"""The drawing as SVG: well-formed for every text, states by more than colours, nothing that a page's policy refuses."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.operations.graph import svg, words
from pipeline.operations.graph.layout import graph_of
from pipeline.operations.graph.states import NodeState
from tests.unit.pipeline.operations.graph.definitions import condition, definition, job, reviewed

NAMESPACE = "{http://www.w3.org/2000/svg}"
STATUSES = ("Waiting", "Starting", "Executing", "Stopping", "Stopped", "Failed", "Succeeded")
SIMPLE = graph_of(definition(job("A"), condition("B", "A", [job("C", kind="Lambda")], [job("D", kind="Fail")])))


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def texts(text: str) -> list[str]:
    return [element.text or "" for element in parsed(text).iter(f"{NAMESPACE}text")]


def node(text: str, name: str) -> ElementTree.Element:
    """The box of a step with what belongs to it."""
    [found_node] = [
        group
        for group in parsed(text).iter(f"{NAMESPACE}g")
        if "graph-node" in group.get("class", "")
        and any(title.text == name for title in group.iter(f"{NAMESPACE}text") if title.get("class") == "graph-title")
    ]
    return found_node


def edges(text: str) -> list[str]:
    """The classes of the edges, in the order of the edges."""
    classes = [group.get("class", "") for group in parsed(text).iter(f"{NAMESPACE}g")]
    return [name for name in classes if name.startswith("graph-edge")]


def test_each_step_is_a_box_with_its_name_and_its_kind() -> None:
    drawn = texts(svg.draw(graph_of(reviewed())))
    assert drawn[:3] == ["false", "false", "true"]
    assert drawn[3:5] == ["Check parameters", "CheckParameters · condition"]
    assert drawn[5:7] == ["Parameters refused", "CheckParametersFailed · fail"]
    assert drawn[7:9] == ["Query metadata", "QueryMetadata · processing"]
    assert drawn[-4:] == ["Register model", "RegisterModel · version", "Deploy model", "DeployModel · function"]


def test_a_display_name_is_shown_with_the_name() -> None:
    graph = graph_of(definition(job("TuneModel", kind="Tuning", DisplayName="Train")))
    assert texts(svg.draw(graph)) == ["Train", "TuneModel · tuning"]


@given(st.text(), st.text(min_size=1), st.text(), st.text(), st.text())
@settings(max_examples=150, deadline=None)
def test_every_text_is_drawn_as_text(name: str, kind: str, shown: str, detail: str, title: str) -> None:
    graph = graph_of(definition(job(name, kind=kind, DisplayName=shown, Description=detail)))
    plain = graph_of(definition(job("A", kind="Lambda", DisplayName="A", Description="A")))
    states = {name: NodeState("Failed", "1 s", detail or "x")}
    for standalone in (True, False):
        drawn = svg.draw(graph, states, title=title, links={name: "a"}, standalone=standalone)
        usual = svg.draw(plain, {"A": NodeState("Failed", "1 s", "x")}, links={"A": "a"}, standalone=standalone)
        # The same elements in the same order, whatever their texts are.
        tags = [element.tag for element in parsed(drawn).iter()]
        assert [tag for tag in tags if tag != f"{NAMESPACE}text"] == [
            element.tag for element in parsed(usual).iter() if element.tag != f"{NAMESPACE}text"
        ]


def test_markup_in_a_name_is_shown_as_it_is() -> None:
    graph = graph_of(definition(job('<script>alert("1")</script>&')))
    drawn = svg.draw(graph, standalone=False)
    assert "<script" not in drawn
    assert parsed(drawn).find(f".//{NAMESPACE}title").text.startswith('<script>alert("1")</script>&: processing')


@pytest.mark.parametrize("standalone", [True, False])
def test_colours_come_from_classes_alone(standalone: bool) -> None:
    drawn = svg.draw(SIMPLE, {"A": NodeState("Executing")}, standalone=standalone)
    tree = parsed(drawn)
    assert not {name for element in tree.iter() for name in element.attrib} & {
        "style",
        "fill",
        "stroke",
        "id",
        "onclick",
    }
    assert len(tree.findall(f".//{NAMESPACE}style")) == standalone
    assert tree.findall(f".//{NAMESPACE}script") == []


def test_every_class_has_a_rule_and_both_schemes_have_every_colour() -> None:
    every = {status: NodeState(status) for status in (*STATUSES, "Odd")} | {"hit": NodeState("Succeeded", cached=True)}
    steps = graph_of(definition(*(job(name, kind=kind) for name in every for kind in ["Processing"])))
    classes = set(re.findall(r'class="([^"]+)"', svg.draw(steps, every) + svg.draw(SIMPLE, {"A": every["Failed"]})))
    used = {name for names in classes for name in names.split()}
    light, dark = svg.STYLE.read_text().split("@media (prefers-color-scheme: dark)")
    # Those without a rule look as every node, edge or job does.
    plain = {"graph-node", "graph-edge", "graph-job", "graph-condition", "graph-open", "graph-unknown"}
    assert {name for name in used - plain if f".{name}" not in light} == set()
    colored = set(re.findall(r"\.([\w-]+)[^{}]*\{[^}]*(?:fill|stroke): #", light))
    assert {name for name in colored if f".{name}" not in dark} == set()


@pytest.mark.parametrize("status", [*STATUSES, "from the cache"])
def test_a_state_has_a_class_an_icon_and_its_word(status: str) -> None:
    cached = status == "from the cache"
    drawn = node(svg.draw(SIMPLE, {"A": NodeState("Succeeded" if cached else status, cached=cached)}), "A")
    icons = {
        other: node(svg.draw(SIMPLE, {"A": NodeState(other)}), "A").find(f".//{NAMESPACE}path[@class='graph-icon']")
        for other in STATUSES
    }
    assert drawn.get("class").endswith("graph-cached" if cached else f"graph-{status.lower()}")
    assert status in [text.text for text in drawn.iter(f"{NAMESPACE}text")]
    own = drawn.find(f".//{NAMESPACE}path[@class='graph-icon']").get("d")
    same = [other for other, icon in icons.items() if icon.get("d") == own]
    assert same in ([], [status], ["Stopping", "Stopped"])


def test_an_unknown_state_is_shown_by_its_word() -> None:
    drawn = svg.draw(SIMPLE, {"A": NodeState('Paused<"', "3 s")})
    assert 'Paused<", 3 s' in texts(drawn)
    assert "graph-unknown" in node(drawn, "A").get("class")


def test_a_state_is_shown_with_its_time_and_its_detail() -> None:
    drawn = texts(svg.draw(SIMPLE, {"A": NodeState("Executing", "3 min 05 s", "4 trials, 2 running")}))
    assert "Executing, 3 min 05 s" in drawn
    assert "4 trials, 2 running" in drawn


def test_a_step_that_the_run_need_not_reach_has_no_state() -> None:
    drawn = node(svg.draw(SIMPLE, {"A": NodeState("Waiting")}), "D")
    assert drawn.get("class") == "graph-node graph-fail graph-absent"
    assert drawn.findall(f".//{NAMESPACE}path[@class='graph-icon']") == []


@pytest.mark.parametrize(
    ("outcome", "true", "false"),
    [(True, "taken", "left"), (False, "left", "taken"), (None, "open", "open")],
)
def test_the_edges_show_which_branch_the_run_took(outcome: bool | None, true: str, false: str) -> None:
    states = {"A": NodeState("Succeeded"), "B": NodeState("Succeeded", outcome=outcome)}
    assert edges(svg.draw(SIMPLE, states)) == [f"graph-edge graph-{name}" for name in ("taken", true, false)]


def test_edges_from_a_step_that_has_not_succeeded_are_open() -> None:
    assert set(edges(svg.draw(SIMPLE, {"A": NodeState("Failed")}))) == {"graph-edge graph-open"}


def test_a_file_is_an_image_with_a_title_and_a_description() -> None:
    tree = parsed(svg.draw(SIMPLE, {"A": NodeState("Succeeded", "3 s")}, title="The run"))
    assert (tree.get("role"), tree[0].text) == ("img", "The run")
    assert tree[1].text == (
        "A: processing, Succeeded, 3 s. B: condition; after A. C: function; after B is true. D: fail; after B is false."
    )


def test_a_part_of_a_page_is_a_list_of_links_with_names_and_states() -> None:
    drawn = svg.draw(
        SIMPLE, {"A": NodeState("Failed", "3 s", "out of memory")}, links={"A": "/step?a=1&b=2"}, standalone=False
    )
    tree = parsed(drawn)
    assert (tree.get("role"), tree.get("aria-label")) == ("list", svg.TITLE)
    items = [group for group in tree if group.get("role") == "listitem"]
    assert len(items) == 4
    link = items[0].find(f"{NAMESPACE}a")
    assert link.get("href") == "/step?a=1&b=2"
    assert link.get("aria-label") == "A: processing, Failed, 3 s, out of memory"
    assert items[1][0].get("role") == "img"
    assert items[1][0].get("aria-label") == "B: condition"


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", " JavaScript:alert(1)", "java\nscript:alert(1)", "data:text/html,x", "file:///etc"]
)
def test_a_link_that_is_not_of_the_web_is_refused(link: str) -> None:
    with pytest.raises(ValueError, match="is no link of the web"):
        svg.draw(SIMPLE, links={"A": link}, standalone=False)


@pytest.mark.parametrize("link", ["https://example.com/a:b", "/runs/arn:aws:x", "?step=A", "#A", "steps/A"])
def test_links_of_the_web_and_of_the_page_are_accepted(link: str) -> None:
    assert f'href="{link}"' in svg.draw(SIMPLE, links={"A": link}, standalone=False)


def test_the_drawing_ends_below_its_last_row() -> None:
    tree = parsed(svg.draw(SIMPLE))
    bottom = 3 * svg.PLAIN_HEIGHT + 2 * svg.GAP + 2 * svg.FILE_MARGIN
    assert tree.get("viewBox") == f"0 0 {tree.get('width')} {bottom}"


def test_states_move_no_box_when_they_change() -> None:
    early = svg.draw(SIMPLE, {"A": NodeState("Executing")})
    late = svg.draw(SIMPLE, {name: NodeState("Succeeded", "9 s", "a detail") for name in "ABC"})
    places = [[group.get("transform") for group in parsed(text)] for text in (early, late)]
    assert places[0] == places[1]
    assert parsed(early).get("viewBox") == parsed(late).get("viewBox")


def test_a_definition_without_steps_is_an_empty_drawing() -> None:
    assert texts(svg.draw(graph_of(definition()))) == []


def test_text_that_does_not_fit_is_cut_and_whole_in_the_tooltip() -> None:
    long = "CheckThatTheParametersAreWithinTheirLimits"
    drawn = svg.draw(graph_of(definition(job(long))))
    [title, _] = texts(drawn)
    assert title.endswith("…")
    assert long.startswith(title[:-1])
    assert f"<title>{long}: processing</title>" in drawn


@given(st.text(), st.floats(20, 300))
@settings(max_examples=100, deadline=None)
def test_cut_text_is_no_longer_than_its_line(text: str, width: float) -> None:
    fitted = words.fitted(text, width, 12)
    assert words.fitted(fitted, width, 12) == fitted


def test_every_name_of_the_pipeline_fits_into_its_box() -> None:
    assert not [text for text in texts(svg.draw(graph_of(reviewed()))) if "…" in text]
