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

from pipeline.cli.views.cost import hours, price_table, print_prices, quantity, sources, usd
from pipeline.operations.cost import actual, measured
from pipeline.operations.cost.actual import Cost
from pipeline.operations.cost.measured import Measured
from pipeline.operations.cost.money import Bill, Item, Price, Range
from pipeline.operations.runs.executions import Execution
from pipeline.settings import Settings
from tests.answers import Answers
from tests.unit.pipeline.conftest import Call
from tests.unit.pipeline.operations.cost.conftest import PRICES
from tests.unit.pipeline.operations.cost.test_billing import START

RUN = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/bins/execution/run1"
READ = ("us-east-1", "https://aws.example", date(2020, 1, 1), True)
PRICE = Price("ml.g5.2xlarge training", Decimal("1.515"), "hour", *READ)
BILL = Bill(
    (
        Item("ShardImages", "", Range.of(0), "", None, "cached from run run0: nothing"),
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
    """A run that goes on, with a price that is not known and one that is old."""
    cost = Cost(Execution(RUN, "Executing", START), BILL, Decimal("2.5"), ("a note",))
    monkeypatch.setattr(actual, "read", lambda settings, reference, prices, now: cost)


def row(out: str, start: str) -> str:
    [line] = [line for line in out.splitlines() if line.startswith(start)]
    return " ".join(line.split())


@pytest.mark.usefixtures("aws")
def test_an_estimate_shows_lines_sums_prices_and_what_it_rests_on(call: Call, project: Path) -> None:
    (project / "mine.yaml").write_text(PRICES)
    outcome = call("cost", "--offline", "--photos", "100000", "--runs", "4", "--prices", "mine.yaml")
    assert outcome.code == 0, outcome.error
    out = outcome.out
    assert out.startswith("100,000 photos of 57 KB: as given by --photos\n")
    assert row(out, "TuneModel").startswith("TuneModel 12 x ml.g5.2xlarge (spot)")
    assert row(out, "endpoint") == "endpoint 1 x ml.c5.xlarge 730 h 148.92"
    assert row(out, "ml.g5.2xlarge training") == "ml.g5.2xlarge training 1.515 hour 2026-09-25 [1]"
    assert row(out, "ml.m5.large processing") == "ml.m5.large processing 0.115 hour 2026-10-01 [3] not confirmed"
    assert "[3] https://aws.example/other\n" in out
    assert "python -m benchmarks shard-resize" in " ".join(out.split())
    for start in ("a run  ", "a month  ", "a month with 4 runs  "):
        assert row(out, start)


@pytest.mark.usefixtures("aws")
def test_an_estimate_is_written_for_machines_with_numbers_that_add_up(call: Call) -> None:
    found = json.loads(call("cost", "--offline", "--photos", "100000", "--runs", "3", "--json").out)
    run, month = found["run"], found["month"]
    for end in ("low", "high"):
        assert run["usd"][end] == pytest.approx(sum(one["usd"][end] for one in run["items"]), abs=1e-5)
        assert found["month_with_runs"][end] == pytest.approx(month["usd"][end] + 3 * run["usd"][end], abs=1e-5)
    assert run["complete"]
    assert run["seconds"]["low"] < run["seconds"]["high"]
    read = [one for one in found["prices"] if one["date"]]
    assert all(one["source"].startswith("https://") and one["basis"] is None for one in read)
    assert all(one["basis"] and one["source"] is None for one in found["prices"] if one not in read)
    assert {one["price"] for one in run["items"]} <= {one["what"] for one in found["prices"]}
    assert found["photos"]["train"] == 80_000


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(("budget", "warned"), [(100, True), (10_000, False)])
def test_a_month_that_may_exceed_the_budget_is_said_so(call: Call, project: Path, budget: int, warned: bool) -> None:
    settings = project / "pipeline.yaml"
    alerts = f"alerts: {{email: team@example.com, monthly_budget: {budget}.0}}\nprofiles:"
    settings.write_text(settings.read_text().replace("profiles:", alerts))
    outcome = call("cost", "--offline", "--photos", "1000")
    assert outcome.code == 0, outcome.error
    assert ("more than alerts.monthly_budget, which is 100.00" in outcome.out) == warned


@pytest.mark.usefixtures("aws")
def test_a_price_that_is_not_known_is_named_in_a_line_and_the_sums_are_incomplete(call: Call, project: Path) -> None:
    assert "ml.c5.4xlarge: 0.816, " in PRICES
    (project / "mine.yaml").write_text(PRICES.replace("ml.c5.4xlarge: 0.816, ", ""))
    outcome = call("cost", "--offline", "--photos", "1000", "--prices", "mine.yaml")
    assert outcome.code == 0, outcome.error
    assert "no price for ml.c5.4xlarge in us-east-1 (processing): add it to mine.yaml" in outcome.out
    assert row(outcome.out, "ShardImages").endswith("no price")
    assert row(outcome.out, "a run, incomplete")
    assert row(outcome.out, "a month  ")
    assert row(outcome.out, "a month with 1 run, incomplete")


def test_the_local_profile_is_estimated_though_its_cloud_does_not_run(call: Call) -> None:
    outcome = call("cost", "--profile", "local")
    assert outcome.code == 0, outcome.error
    out = " ".join(outcome.out.split())
    assert "as many as the public data set has (the local cloud is not running)" in out
    assert "this profile runs on this machine and costs nothing: amounts are what AWS would ask" in out


@pytest.mark.usefixtures("aws")
def test_without_credentials_an_estimate_is_made_from_the_file_and_says_so(call: Call) -> None:
    outcome = call("cost")
    assert outcome.code == 0, outcome.error
    assert "no AWS credentials: prices are the file's" in outcome.out


@pytest.fixture
def answers(aws: None, monkeypatch: pytest.MonkeyPatch) -> Answers:
    """An account's answers, for which there are credentials."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    return Answers()


def test_without_a_network_it_is_looked_for_once_and_the_estimate_is_made_without(call: Call, answers: Answers) -> None:
    answers.raises("sts.GetCallerIdentity", EndpointConnectionError(endpoint_url="https://sts.us-east-1.example/"))
    outcome = call("cost")
    assert outcome.code == 0, outcome.error
    out = " ".join(outcome.out.split())
    reason = "AWS cannot be reached at https://sts.us-east-1.example/ (EndpointConnectionError)"
    assert f"as many as the public data set has ({reason}); say how many: --photos N" in out
    assert f"{reason}: prices are the file's" in out
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
    def trained(settings: Settings) -> Measured:
        return Measured(Range.of(500, 1000), "trained at 500 to 1,000 photos/s by 2 trials of run run1")

    monkeypatch.setattr(measured, "training_rate", trained)
    assert "trained at 500 to 1,000 photos/s by 2 trials of run run1" in call("cost", "--photos", "100000").out
    names = [
        {one["name"] for one in json.loads(call("cost", "--photos", "100000", "--json", *more).out)["assumptions"]}
        for more in ((), ("--photos-per-second", "800"), ("--offline",))
    ]
    assert ["a training step on A10G" in one for one in names] == [False, False, True]


@pytest.mark.usefixtures("bill")
def test_a_run_shows_what_each_part_cost_and_what_is_doubtful(call: Call) -> None:
    outcome = call("cost", "latest", "--offline")
    assert outcome.code == 0, outcome.error
    out = outcome.out
    assert out.startswith("run run1  Executing\n")
    assert row(out, "ShardImages") == "ShardImages cached from run run0: nothing 0.00"
    assert row(out, "TuneModel") == "TuneModel, trial 1 2 x ml.g5.2xlarge (spot saved 70%) 2 h 3.03"
    assert row(out, "EvaluateModel") == "EvaluateModel ml.x.large (so far) 1 h no price"
    assert row(out, "in all, incomplete") == "in all, incomplete 3.03"
    assert "spot capacity saved 2.50 USD" in out
    assert "the run has not ended: this is what it has cost so far" in out
    assert "no price for ml.x.large: add it" in out
    assert "1 of 1 prices are more than a year old (from 2020-01-01 on): check them" in out
    assert "a note" in out


@pytest.mark.usefixtures("bill")
def test_a_run_is_written_for_machines(call: Call) -> None:
    found = json.loads(call("cost", "latest", "--offline", "--json").out)
    assert (found["run"], found["status"], found["complete"]) == (RUN, "Executing", False)
    assert found["usd"] == {"low": 3.03, "high": 3.03}
    assert [one["usd"] for one in found["items"]] == [{"low": 0, "high": 0}, {"low": 3.03, "high": 3.03}, None]
    assert found["missing"] == ["no price for ml.x.large: add it"]
    assert found["spot_saved_usd"] == 2.5


@pytest.mark.usefixtures("bill")
@pytest.mark.parametrize("option", [("--photos", "9"), ("--average-kilobytes", "9"), ("--photos-per-second", "9")])
def test_what_is_of_an_estimate_is_refused_for_a_run(call: Call, option: tuple[str, str]) -> None:
    outcome = call("cost", "latest", *option)
    assert outcome.code == 1
    assert outcome.error == f"{option[0]} is of an estimate; leave it out, or leave RUN out\n"


@pytest.mark.usefixtures("aws")
def test_a_price_file_that_is_none_is_refused_in_a_line(call: Call, project: Path) -> None:
    (project / "mine.yaml").write_text("prices")
    outcome = call("cost", "--offline", "--prices", "mine.yaml")
    assert outcome.code == 1
    assert outcome.error.startswith("mine.yaml: the file: input should be a valid dictionary")
    assert outcome.error.count("\n") == 1


def test_prices_of_two_regions_say_which_is_which() -> None:
    elsewhere = replace(PRICE, region="eu-central-1")
    console = Console(width=100, file=io.StringIO())
    for prices in ([PRICE], [PRICE, elsewhere]):
        console.print(price_table(prices))
    assert isinstance(console.file, io.StringIO)
    out = console.file.getvalue()
    assert "price in us-east-1" in out
    assert "ml.g5.2xlarge training in eu-central-1" in out
    assert sources([PRICE, elsewhere]) == ["https://aws.example"]


def test_a_price_that_was_not_read_shows_no_date_but_what_it_rests_on() -> None:
    prices = [PRICE, replace(PRICE, source="", date=None, confirmed=False, basis="by its size")]
    console = Console(width=100, file=io.StringIO())
    print_prices(console, prices)
    assert isinstance(console.file, io.StringIO)
    out = " ".join(console.file.getvalue().split())
    assert "hour not read [2]" in out
    assert "[2] by its size" in out
    assert "not confirmed" not in out


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
    assert hours(Range.of(20, 7860)) == "1 min to 2 h 11 min"
