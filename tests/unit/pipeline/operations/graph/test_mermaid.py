"""The drawing as Mermaid: its lines by the rules of flowcharts, whatever the texts are."""

from __future__ import annotations

import html
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.operations.graph import mermaid
from pipeline.operations.graph.layout import graph_of
from pipeline.operations.graph.states import NodeState
from tests.unit.pipeline.operations.graph.definitions import definition, job, reviewed

# A quoted label without a quote, a bracket or a sign that begins markup; `#40;` is a code, <br/> a new line.
LABEL = r'"((?:[\w .,:·-]|#\d+;|<br/>)*)"'
LINES = (
    r"flowchart TD",
    rf"    step\d+(?:\[{LABEL}\]|\{{\{{{LABEL}\}}\}}|\(\[{LABEL}\]\))",
    r'    step\d+ -->(?:\|"(?:true|false)"\|)? step\d+',
    r"    classDef \w+ [\w:#,-]+",
    r"    class step\d+(?:,step\d+)* \w+",
)


def labels(text: str) -> list[list[str]]:
    """The lines of each box, with their codes as signs again."""
    found_labels = re.findall(rf"^    step\d+\W+{LABEL}", text, re.MULTILINE)
    return [
        [html.unescape(re.sub(r"#(\d+);", r"&#\1;", line)) for line in label.split("<br/>")] for label in found_labels
    ]


def test_the_pipeline_is_a_flowchart() -> None:
    assert mermaid.draw(graph_of(reviewed())).splitlines() == [
        "flowchart TD",
        '    step1{{"Check parameters<br/>CheckParameters · condition"}}',
        '    step2(["Parameters refused<br/>CheckParametersFailed · fail"])',
        '    step3["Query metadata<br/>QueryMetadata · processing"]',
        '    step4["Shard images<br/>ShardImages · processing"]',
        '    step5["Tune model<br/>TuneModel · tuning"]',
        '    step6["Evaluate model<br/>EvaluateModel · processing"]',
        '    step7{{"Quality gate<br/>QualityGate · condition"}}',
        '    step8(["Gate not passed<br/>QualityGateFailed · fail"])',
        '    step9{{"New version#63;<br/>NewVersion · condition"}}',
        '    step10["Register model<br/>RegisterModel · version"]',
        '    step11["Deploy model<br/>DeployModel · function"]',
        '    step1 -->|"false"| step2',
        "    step3 --> step4",
        "    step4 --> step5",
        "    step5 --> step6",
        "    step6 --> step7",
        '    step7 -->|"false"| step8',
        "    step6 --> step9",
        '    step9 -->|"true"| step10',
        "    step10 --> step11",
    ]


def test_states_are_lines_of_the_boxes_and_classes() -> None:
    states = {
        "A": NodeState("Succeeded", cached=True, detail="saved 4.2 s"),
        "B": NodeState("Executing", "3 min 05 s"),
        "C": NodeState("Waiting"),
    }
    drawn = mermaid.draw(graph_of(definition(job("A"), job("B", "A"), job("C", "B"))), states)
    assert labels(drawn) == [
        ["A", "processing", "from the cache", "saved 4.2 s"],
        ["B", "processing", "Executing, 3 min 05 s"],
        ["C", "processing", "Waiting"],
    ]
    assert re.findall(r"^    class (.+)$", drawn, re.MULTILINE) == ["step1 succeeded", "step2 running"]


@given(st.text(), st.text(min_size=1), st.text(), st.text(), st.text())
@settings(max_examples=200, deadline=None)
def test_every_line_is_one_of_a_flowchart_whatever_the_texts_are(
    name: str, kind: str, shown: str, status: str, detail: str
) -> None:
    graph = graph_of(definition(job(name, kind=kind, DisplayName=shown), job(f"{name}2", name)))
    drawn = mermaid.draw(graph, {name: NodeState(status, "1 s", detail)})
    assert [line for line in drawn.split("\n")[:-1] if not any(re.fullmatch(rule, line) for rule in LINES)] == []


def test_signs_of_mermaid_and_of_markdown_become_codes_of_characters() -> None:
    title = '1. "end" <b>&#35;</b> [x](y) `z` %%{init}%% - |;'
    drawn = mermaid.draw(graph_of(definition(job("A", DisplayName=title))))
    assert labels(drawn)[0][0] == title
    assert "1#46; #34;end#34;" in drawn


def test_a_dash_and_a_point_stay_inside_words_and_numbers_only() -> None:
    drawn = mermaid.draw(graph_of(definition(job("my-step", DisplayName="- took 4.2 s."))))
    assert '"#45; took 4.2 s#46;<br/>my-step · processing"' in drawn
