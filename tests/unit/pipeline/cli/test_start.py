"""`start`: what it says of the cache and of the cost before it starts a run, and what `--fresh` sets and refuses."""

from __future__ import annotations

import json
import re
import sys
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from pipeline.cli import output, runs
from pipeline.operations.caching import reuse
from pipeline.operations.cost import before
from pipeline.operations.runs import progress
from pipeline.operations.runs.executions import Execution
from pipeline.operations.runs.progress import Progress, Saving, StepRun
from steps.contracts.errors import PipelineError
from tests.answers import Answers
from tests.unit.pipeline.cli.test_commands import following
from tests.unit.pipeline.conftest import Call
from tests.unit.pipeline.operations.runs_of_a_pipeline import NOW, definition

ARN = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/bins/execution/ab12cd34ef56"
VERSIONS = ["DataVersion", "ShardVersion", "TrainingVersion"]


@pytest.fixture
def account(account: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account, in a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def sagemaker(account: None) -> Any:
    """A client, with the pipeline in the account."""
    client = boto3.client("sagemaker", region_name="us-east-1")
    client.create_pipeline(
        PipelineName="bins",
        PipelineDefinition=json.dumps(definition()),
        RoleArn="arn:aws:iam::123456789012:role/bins-pipeline",
        ClientRequestToken="x" * 32,
    )
    return client


def started(sagemaker: Any) -> list[dict[str, str]]:
    """The parameters of each run."""
    runs = sagemaker.list_pipeline_executions(PipelineName="bins")["PipelineExecutionSummaries"]
    listed = [
        sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=run["PipelineExecutionArn"])
        for run in runs
    ]
    return [{entry["Name"]: entry["Value"] for entry in answer.get("PipelineParameters", [])} for answer in listed]


def test_without_an_earlier_run_the_table_says_that_all_of_it_runs(call: Call, sagemaker: Any) -> None:
    outcome = call("start")
    lines = outcome.out.splitlines()
    assert outcome.code == 0, outcome.error
    steps = ("QueryMetadata", "ShardImages", "TuneModel")
    assert [line.split()[:2] for line in lines[1:4]] == [[step, "runs"] for step in steps]
    assert "from the cache: nothing" in lines
    assert lines[-1].startswith("next: python -m pipeline --profile aws watch ")


@pytest.mark.parametrize("operation", ["ListPipelineExecutions", "ListPipelineExecutionSteps"])
def test_a_denied_request_is_a_warning_and_the_run_starts(call: Call, sagemaker: Any, operation: str) -> None:
    call("start")
    answers = Answers()
    action = f"sagemaker:{operation}"
    answers.error(f"sagemaker.{operation}", "AccessDeniedException", f"User is not authorized to perform: {action}")
    outcome = call("start")
    assert outcome.code == 0
    [line] = outcome.error.splitlines()
    assert line == (f"no forecast of the steps from the cache: access denied: these credentials may not {action}")
    assert "started: " in outcome.out


def test_a_definition_that_is_of_another_form_is_a_line_and_the_run_starts(call: Call, sagemaker: Any) -> None:
    odd = {"Parameters": [], "Steps": [{"Type": "Processing", "CacheConfig": {"Enabled": True}}]}
    sagemaker.update_pipeline(PipelineName="bins", PipelineDefinition=json.dumps(odd))
    outcome = call("start")
    assert outcome.code == 0
    assert outcome.error == (
        "no forecast of the steps from the cache: a definition has an unknown form (KeyError: 'Name')\n"
    )


def test_an_unexpected_error_of_the_forecast_stops_no_start(
    call: Call, sagemaker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of threads")

    monkeypatch.setattr(reuse, "forecast", fail)
    outcome = call("start")
    assert outcome.code == 0
    assert outcome.error.startswith("no forecast of the steps from the cache: unexpected RuntimeError: out of threads")


def test_fresh_sets_the_versions_and_says_for_how_long_and_how_to_keep_them(call: Call, sagemaker: Any) -> None:
    outcome = call("start", "--fresh", "ShardImages", "-p", "Epochs=3")
    assert outcome.code == 0, outcome.error
    [parameters] = started(sagemaker)
    version = parameters["ShardVersion"]
    assert version.startswith("fresh-2")
    assert parameters == {"Epochs": "3", "ShardVersion": version, "TrainingVersion": version}
    lines = outcome.out.splitlines()
    assert f"set for this run only: ShardVersion, TrainingVersion = {version}" in lines
    assert any(line.endswith("then: python -m pipeline --profile aws upsert") for line in lines)
    assert sum("asked for by --fresh" in line for line in lines) == 2


def test_fresh_may_come_again(call: Call, sagemaker: Any) -> None:
    assert call("start", "--fresh", "TuneModel", "--fresh", "QueryMetadata").code == 0
    assert list(started(sagemaker)[0]) == VERSIONS


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--fresh", "ShardImage"], "--fresh: there is no cached step ShardImage; did you mean ShardImages?"),
        (
            ["--fresh", "EvaluateModel"],
            "EvaluateModel runs every time; --fresh takes QueryMetadata, ShardImages, TuneModel or all",
        ),
        (
            ["--fresh", "all", "-p", "ShardVersion=2"],
            "--fresh all and -p ShardVersion=2 both set ShardVersion; leave one of them out",
        ),
        (["-p", "Epoch=3"], "the pipeline has no parameter Epoch; did you mean Epochs?"),
    ],
)
def test_a_wrong_option_is_a_line_and_starts_nothing(
    call: Call, sagemaker: Any, arguments: list[str], line: str
) -> None:
    outcome = call("start", *arguments)
    assert (outcome.code, outcome.out, outcome.error) == (1, "", f"{line}\n")
    assert started(sagemaker) == []


def test_a_pipeline_from_before_the_versions_is_to_be_brought_up_to_date(call: Call, sagemaker: Any) -> None:
    old = definition()
    old["Parameters"] = old["Parameters"][:1]
    sagemaker.update_pipeline(PipelineName="bins", PipelineDefinition=json.dumps(old))
    outcome = call("start", "--fresh", "TuneModel")
    assert outcome.error == (
        "the pipeline bins has no parameter TrainingVersion yet, which --fresh sets; bring it up to date:"
        " python -m pipeline --profile aws upsert\n"
    )
    assert started(sagemaker) == []


def test_json_holds_the_run_what_was_set_and_what_is_expected(call: Call, sagemaker: Any) -> None:
    outcome = call("start", "--json", "--fresh", "TuneModel")
    document = json.loads(outcome.out)
    assert document["arn"].startswith("arn:aws:sagemaker:")
    assert list(document["set"]) == ["TrainingVersion"]
    expected = {step["step"]: step["outcome"] for step in document["expected"]}
    assert expected == dict.fromkeys(
        ["QueryMetadata", "ShardImages", "TuneModel", "EvaluateModel", "QualityGate", "RegisterModel"], "runs"
    )
    assert document["forecast_problem"] == ""


# --------------------------------------------------------------------------- the kind: money is spent unannounced


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal in which somebody can answer."""
    monkeypatch.setattr(output, "may_ask", lambda: True)
    monkeypatch.setattr(runs, "may_ask", lambda: True)


def test_the_range_and_the_time_come_before_the_start(call: Call, sagemaker: Any) -> None:
    lines = call("start").out.splitlines()
    [place] = [place for place, line in enumerate(lines) if line.startswith("this run: $")]
    assert re.match(r"this run: \$[\d.,]+ to \$[\d.,]+ and .+ to .+; for 535,234 photos, ", lines[place])
    assert lines[place + 1] == "its basis: python -m pipeline --profile aws cost"
    assert lines[place + 2].startswith("started: ")


@pytest.mark.usefixtures("person")
@pytest.mark.parametrize(("answer", "runs_started"), [("y\n", 1), ("n\n", 0), ("\n", 0), ("", 0)])
def test_in_a_terminal_only_a_yes_starts(call: Call, sagemaker: Any, answer: str, runs_started: int) -> None:
    outcome = call("start", stdin=answer)
    assert "Start it? [y/N]" in outcome.error
    assert len(started(sagemaker)) == runs_started
    assert outcome.code == (0 if runs_started else 1)


@pytest.mark.usefixtures("person")
@pytest.mark.parametrize("arguments", [["--yes"], ["-y"], ["--json"], ["--yes", "--fresh", "all"]])
def test_yes_and_json_are_never_asked(call: Call, sagemaker: Any, arguments: list[str]) -> None:
    outcome = call("start", *arguments, stdin="n\n")
    assert (outcome.code, "Start it?" in outcome.error, len(started(sagemaker))) == (0, False, 1)


@pytest.mark.parametrize(
    ("stdin", "stderr", "ci", "asks"),
    [
        (True, True, None, True),
        (True, True, "false", True),
        (True, True, "", True),
        (True, True, "true", False),
        (True, True, "1", False),
        (False, True, None, False),
        (True, False, None, False),
    ],
)
def test_only_a_terminal_outside_of_ci_is_asked(
    monkeypatch: pytest.MonkeyPatch, stdin: bool, stderr: bool, ci: str | None, asks: bool
) -> None:
    monkeypatch.delenv("CI", raising=False)
    if ci is not None:
        monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: stdin))
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: stderr))
    assert output.may_ask() is asks


def test_an_estimate_that_fails_is_a_warning_and_the_run_starts(
    call: Call, sagemaker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PipelineError("no such price; add it")

    monkeypatch.setattr(before, "of_run", fail)
    outcome = call("start")
    assert (outcome.code, outcome.error) == (0, "no estimate of the cost: no such price\n")
    assert len(started(sagemaker)) == 1


def test_the_cost_is_part_of_the_json(call: Call, sagemaker: Any) -> None:
    cost = json.loads(call("start", "--json").out)["cost"]
    assert 0 < cost["usd"]["low"] < cost["usd"]["high"]
    assert 0 < cost["seconds"]["low"] < cost["seconds"]["high"]
    assert cost["photos"]["total"] == 535_234
    assert cost["endpoint"] is None


def test_the_run_is_linked_to_studio_for_people_and_for_machines(call: Call, sagemaker: Any) -> None:
    Answers().say("sagemaker.ListDomains", {"Domains": [{"DomainId": "d-abc", "Status": "InService"}]})
    studio = "https://studio-d-abc.studio.us-east-1.sagemaker.aws/pipelines/view/bins/executions"
    *_, run, link, _ = call("start").out.splitlines()
    assert link == f"the run in Studio: {studio}/{run.rsplit('/', 1)[-1]}/graph"
    document = json.loads(call("start", "--json").out)
    [linked] = document["links"]
    assert linked == {"place": "in Studio", "address": f"{studio}/{document['arn'].rsplit('/', 1)[-1]}/graph"}


def test_without_the_permission_for_links_the_run_starts_without_a_word(call: Call, sagemaker: Any) -> None:
    Answers().error("sagemaker.ListDomains", "AccessDeniedException", "not authorized: sagemaker:ListDomains")
    outcome = call("start")
    assert (outcome.code, outcome.error) == (0, "")
    assert "in Studio" not in outcome.out


# --------------------------------------------------------------------------------------------------- following it


@pytest.fixture
def cached(monkeypatch: pytest.MonkeyPatch) -> Progress:
    """A run with a cached step, whose source took an hour for 23 cents."""
    source = ARN.replace("ab12cd34ef56", "zy98xw76vu54")
    run = Execution(ARN, "Succeeded", NOW, NOW)
    saving = Saving(3600.0, 3600, Decimal("0.23"))
    monkeypatch.setattr(
        "pipeline.operations.caching.savings.Savings.of", lambda self, step, arn: saving if arn == source else None
    )
    return Progress(run, (StepRun("QueryMetadata", "Succeeded", NOW, NOW, cached_from=source),), ())


def test_following_names_the_run_and_ends_with_the_sum(
    call: Call, sagemaker: Any, cached: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    following(monkeypatch, cached)
    call("start")
    lines = call("watch").out.splitlines()
    assert lines[1].endswith("QueryMetadata: Succeeded (from the cache of run zy98xw76vu54; saved $0.23, 1 h 00 min)")
    assert lines[-1] == "from the cache: QueryMetadata; saved about $0.23 and 1 h 00 min"


def test_with_json_the_sum_is_not_among_the_json(
    call: Call, sagemaker: Any, cached: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    following(monkeypatch, cached)
    outcome = call("start", "--watch", "--json")
    assert "saved" not in json.loads(outcome.out)
    assert outcome.error.splitlines()[-1] == "from the cache: QueryMetadata; saved about $0.23 and 1 h 00 min"


def test_the_state_as_json_has_what_a_cached_step_saved(
    call: Call, sagemaker: Any, cached: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "read", lambda settings, arn: cached)
    call("start")
    [step] = json.loads(call("watch", "--once", "--json").out)["steps"]
    assert step["saving"] == {"seconds": 3600.0, "billed_seconds": 3600, "usd": 0.23}
