"""The command `cost`: what it prints, writes and refuses."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError
from rich.console import Console

from pipeline.cli.output import print_parts
from pipeline.cli.views.cost import basis, duration, quantity
from pipeline.operations.cost import actual, measured
from pipeline.operations.cost.actual import Cost
from pipeline.operations.cost.money import Bill, Item, Price, Range
from pipeline.operations.cost.words import usd
from pipeline.operations.runs.executions import Execution
from pipeline.settings import Settings
from tests.answers import Answers
from tests.unit.pipeline.conftest import Call
from tests.unit.pipeline.operations.cost.conftest import PRICES, START

RUN = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/bins/execution/run1"
PRICE = Price("ml.g5.2xlarge", Decimal("1.515"), "hour", "us-east-1", "https://aws.example", date(2020, 1, 1))
BILL = Bill(
    (
        Item("ShardImages", "", Range.of(0), "", None, "cached from run run0: free"),
        Item("TuneModel, trial 1", "2 x ml.g5.2xlarge", Range.of(2), "h", PRICE, "spot saved 70%"),
        Item("EvaluateModel", "ml.x.large", Range.of(1), "h", None, "so far", "no price for ml.x.large: add it"),
    )
)


@pytest.fixture
def aws(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The profile that lives in an account."""
    monkeypatch.setenv("PIPELINE_PROFILE", "aws")
    monkeypatch.setenv("COLUMNS", "140")


@pytest.fixture
def bill(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that has not ended, with a missing price and an old one."""
    cost = Cost(Execution(RUN, "Executing", START), BILL, ("a note",))
    monkeypatch.setattr(actual, "read", lambda settings, reference, prices, now: cost)


def row(out: str, start: str) -> str:
    [line] = [line for line in out.splitlines() if line.startswith(start)]
    return " ".join(line.split())


@pytest.mark.usefixtures("aws")
def test_an_estimate_shows_lines_sums_prices_and_assumptions(call: Call, project: Path) -> None:
    (project / "mine.yaml").write_text(PRICES)
    outcome = call("cost", "--offline", "--photos", "100000", "--prices", "mine.yaml")
    assert outcome.code == 0, outcome.error
    out = outcome.out
    assert out.startswith("100,000 photos of 57 KB: as given by --photos\n")
    assert row(out, "TuneModel").startswith("TuneModel 12 x ml.g5.2xlarge (12 trials, spot)")
    assert row(out, "endpoint") == "endpoint ml.c5.xlarge 730 h 148.92"
    assert row(out, "ml.g5.2xlarge") == "ml.g5.2xlarge us-east-1 1.515 hour 2026-09-25 [1]"
    assert row(out, "Athena, data scanned") == "Athena, data scanned us-east-1 5 TB 2026-09-25 [2]"
    assert "[2] https://aws.example/services\n" in out
    assert "python -m benchmarks shard-resize" in " ".join(out.split())
    for start in ("a run  ", "a month  ", "a run takes "):
        assert row(out, start)


@pytest.mark.usefixtures("aws")
def test_an_estimate_is_written_for_machines_with_numbers_that_add_up(call: Call) -> None:
    document = json.loads(call("cost", "--offline", "--photos", "100000", "--json").out)
    run, month = document["run"], document["month"]
    for end in ("low", "high"):
        for bill in (run, month):
            assert bill["usd"][end] == pytest.approx(sum(item["usd"][end] for item in bill["items"]), abs=1e-5)
    assert run["complete"]
    assert run["seconds"]["low"] < run["seconds"]["high"]
    dated = [price for price in document["prices"] if price["date"]]
    assert all(price["source"].startswith("https://") and not price["basis"] for price in dated)
    assert all(price["basis"] and not price["source"] for price in document["prices"] if price not in dated)
    assert {item["price"] for item in run["items"]} <= {price["what"] for price in document["prices"]}
    assert document["photos"]["train"] == 80_000


@pytest.mark.usefixtures("aws")
def test_a_missing_price_is_named_in_a_line_and_the_sum_is_incomplete(call: Call, project: Path) -> None:
    assert "ml.c5.4xlarge: 0.816, " in PRICES
    (project / "mine.yaml").write_text(PRICES.replace("ml.c5.4xlarge: 0.816, ", ""))
    outcome = call("cost", "--offline", "--photos", "1000", "--prices", "mine.yaml")
    assert outcome.code == 0, outcome.error
    assert "no price for ml.c5.4xlarge in us-east-1: add it to mine.yaml" in outcome.out
    assert row(outcome.out, "ShardImages").endswith("no price")
    assert row(outcome.out, "a run, incomplete")
    assert row(outcome.out, "a month  ")


def test_the_local_profile_is_estimated_though_its_cloud_does_not_run(call: Call) -> None:
    outcome = call("cost", "--profile", "local")
    assert outcome.code == 0, outcome.error
    out = " ".join(outcome.out.split())
    assert "as many as the public data set has (the local cloud is not running)" in out
    assert "this profile runs on this machine and costs nothing: amounts are at AWS's prices" in out


@pytest.mark.usefixtures("aws")
def test_without_credentials_the_estimate_assumes_and_the_reason_is_given(call: Call) -> None:
    outcome = call("cost")
    assert outcome.code == 0, outcome.error
    assert "(no AWS credentials were found)" in outcome.out


@pytest.fixture
def answers(aws: None, monkeypatch: pytest.MonkeyPatch) -> Answers:
    """An account's answers, with credentials to ask for them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    return Answers()


def test_without_a_network_aws_is_asked_once_and_the_estimate_assumes(call: Call, answers: Answers) -> None:
    answers.raises("sts.GetCallerIdentity", EndpointConnectionError(endpoint_url="https://sts.us-east-1.example/"))
    outcome = call("cost")
    assert outcome.code == 0, outcome.error
    out = " ".join(outcome.out.split())
    reason = "AWS cannot be reached at https://sts.us-east-1.example/ (EndpointConnectionError)"
    assert f"as many as the public data set has ({reason}); set the number: --photos N" in out
    assert "the training rate is assumed" in out
    assert set(answers.asked) == {"sts.GetCallerIdentity"}


def test_expired_credentials_are_a_failure_with_two_remedies(call: Call, answers: Answers) -> None:
    answers.error("sts.GetCallerIdentity", "ExpiredToken", "The security token is expired", status=403)
    outcome = call("cost")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.error.endswith(
        "the AWS credentials have expired; sign in again: aws sso login, or set AWS_PROFILE;"
        " without AWS: python -m pipeline --profile aws cost --offline\n"
    )


@pytest.mark.usefixtures("aws")
def test_the_training_rate_is_that_of_earlier_trials_where_there_are_some(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = "training rate: 500 to 1,000 photos/s, measured in 2 trials of run run1"

    def rate(settings: Settings) -> tuple[Range, str]:
        return Range.of(500, 1000), note

    monkeypatch.setattr("pipeline.cli.cost._unreachable", lambda options: "")
    monkeypatch.setattr(measured, "training_rate", rate)
    assert note in call("cost", "--photos", "100000").out
    outputs = [
        call("cost", "--photos", "100000", "--json", *more).out
        for more in ((), ("--photos-per-second", "800"), ("--offline",))
    ]
    assert ["training step on A10G" in output for output in outputs] == [False, False, True]


@pytest.mark.usefixtures("bill")
def test_a_run_shows_the_cost_of_each_part_and_its_doubts(call: Call) -> None:
    outcome = call("cost", "latest")
    assert outcome.code == 0, outcome.error
    out = outcome.out
    assert out.startswith("run run1  Executing\n")
    assert row(out, "ShardImages") == "ShardImages cached from run run0: free 0.00"
    assert row(out, "TuneModel") == "TuneModel, trial 1 2 x ml.g5.2xlarge (spot saved 70%) 2 h 3.03"
    assert row(out, "EvaluateModel") == "EvaluateModel ml.x.large (so far) 1 h no price"
    assert row(out, "total, incomplete") == "total, incomplete 3.03"
    assert "the run has not ended: this is its cost so far" in out
    assert "no price for ml.x.large: add it" in out
    assert "1 of 1 prices are more than a year old (oldest: 2020-01-01): check them" in out
    assert "a note" in out


@pytest.mark.usefixtures("bill")
def test_a_run_is_written_for_machines(call: Call) -> None:
    document = json.loads(call("cost", "latest", "--json").out)
    assert (document["run"], document["status"], document["complete"]) == (RUN, "Executing", False)
    assert document["usd"] == {"low": 3.03, "high": 3.03}
    assert [item["usd"] for item in document["items"]] == [{"low": 0, "high": 0}, {"low": 3.03, "high": 3.03}, None]
    assert document["missing"] == ["no price for ml.x.large: add it"]


@pytest.mark.usefixtures("bill")
@pytest.mark.parametrize(
    "option", [("--photos", "9"), ("--average-kilobytes", "9"), ("--photos-per-second", "9"), ("--offline",)]
)
def test_an_option_for_an_estimate_is_refused_for_a_run(call: Call, option: tuple[str, ...]) -> None:
    outcome = call("cost", "latest", *option)
    assert outcome.code == 1
    assert outcome.error == f"{option[0]} is for an estimate; leave it out, or leave RUN out\n"


@pytest.mark.usefixtures("aws")
def test_a_price_file_of_another_form_is_refused_in_a_line(call: Call, project: Path) -> None:
    (project / "mine.yaml").write_text("prices")
    outcome = call("cost", "--offline", "--prices", "mine.yaml")
    assert outcome.code == 1
    assert outcome.error.startswith("mine.yaml: the file: input should be a valid dictionary")
    assert outcome.error.count("\n") == 1


def test_a_price_without_a_dated_source_shows_its_basis() -> None:
    undated = replace(PRICE, what="ml.c5.xlarge", source="", date=None, basis="in proportion to the size")
    console = Console(width=100, file=io.StringIO())
    bill = Bill(tuple(Item("part", "what", Range.of(1), "h", price) for price in (PRICE, undated)))
    print_parts(console, *basis(bill, (), ()))
    assert isinstance(console.file, io.StringIO)
    out = console.file.getvalue()
    assert row(out, "ml.g5.2xlarge") == "ml.g5.2xlarge us-east-1 1.515 hour 2020-01-01 [1]"
    assert row(out, "ml.c5.xlarge") == "ml.c5.xlarge us-east-1 1.515 hour no date [2]"
    assert "[2] in proportion to the size\n" in out


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (Range.of(0), "0.00"),
        (Range.of("0.0049"), "< 0.01"),
        (Range.of("0.005"), "0.01"),
        (Range.of("1.005"), "1.01"),
        (Range.of("1234.5"), "1,234.50"),
        (Range.of("0.001", "12"), "< 0.01 to 12.00"),
        (Range.of("1.001", "1.002"), "1.00"),
    ],
)
def test_amounts_are_rounded_to_cents_and_less_is_not_nothing(amount: Range, shown: str) -> None:
    assert usd(amount) == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (Range.of(730), "730"),
        (Range.of("5.4", "72.034"), "5.40 to 72.03"),
        (Range.of("535.234"), "535"),
        (Range.of("0.00102"), "0.0010"),
        (Range.of("0.00000002"), "< 0.0001"),
    ],
)
def test_quantities_are_as_short_as_they_are_of_use(amount: Range, shown: str) -> None:
    assert quantity(amount) == shown


def test_times_are_in_minutes_and_hours() -> None:
    assert duration(Range.of(20, 7860)) == "20 s to 2 h 11 min"


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(("budget", "is_warned"), [(100, True), (10_000, False)])
def test_a_month_that_may_exceed_the_budget_has_a_note(call: Call, project: Path, budget: int, is_warned: bool) -> None:
    settings = project / "pipeline.yaml"
    alerts = f"alerts: {{email: team@example.com, monthly_budget: {budget}.0}}\nprofiles:"
    settings.write_text(settings.read_text().replace("profiles:", alerts))
    outcome = call("cost", "--offline", "--photos", "1000")
    assert outcome.code == 0, outcome.error
    assert ("more than alerts.monthly_budget, 100.00" in " ".join(outcome.out.split())) == is_warned
