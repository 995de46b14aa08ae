"""The commands `models`, `models compare` and `lineage`: what they print for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from pipeline.cli.views import registry as views
from pipeline.operations.models import lineage
from pipeline.operations.models.evaluations import Champion, Difference, Evaluation
from pipeline.operations.models.lineage import Lineage, Link
from pipeline.operations.models.registry import Version
from pipeline.settings import Settings
from pipeline.settings.file import load_settings
from tests.answers import Answers
from tests.unit.pipeline.conftest import Call, plain
from tests.unit.pipeline.operations.models.evaluated import package, register

TRUTH = [1, 2, 3, 4] * 50
GOOD = [1, 2, 3, 5] * 50
BAD = [1, 2, 5, 2] * 50


@pytest.fixture
def settings(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings of an account that moto pretends, with an empty group."""
    monkeypatch.setenv("PIPELINE_PROFILE", "aws")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    document = load_settings(project / "pipeline.yaml", "aws")
    with mock_aws():
        boto3.client("sagemaker", region_name="us-east-1").create_model_package_group(ModelPackageGroupName="bins")
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=document.data.bucket)
        yield document


def words(out: str, start: str) -> list[str]:
    """The words of the one line that starts with `start`."""
    [line] = [line for line in out.splitlines() if line.split()[:1] == [start]]
    return line.split()


def test_the_best_value_of_each_column_is_marked(
    call: Call, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    register(settings, "a", TRUTH, BAD)
    register(settings, "b", TRUTH, GOOD, champion=(1, BAD))
    out = call("models").out
    assert words(out, "2")[2:6] == ["0.7500*", "0.5000*", "0.2500*", "1.0000*"]
    assert words(out, "1")[2:6] == ["0.5000", "1.4142", "1.0000", "0.5000"]
    assert words(out, "2")[6:11] == ["+0.250", "to", "1", "grouped", "a" * 8]
    assert words(out, "1")[6] == "none"


def test_versions_are_linked_to_studio(call: Call, settings: Settings) -> None:
    Answers().say("sagemaker.ListDomains", {"Domains": [{"DomainId": "d-abc", "Status": "InService"}]})
    assert "in Studio" not in call("models").out
    register(settings, "a", TRUTH, GOOD)
    studio = "https://studio-d-abc.studio.us-east-1.sagemaker.aws/models/registered-models/bins/versions"
    assert call("models").out.splitlines()[-1] == f"the versions in Studio: {studio}"


def test_a_single_version_has_no_best_value(call: Call, settings: Settings) -> None:
    register(settings, "a", TRUTH, GOOD)
    assert "*" not in call("models").out


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal_and_no_figure_is_left_out(
    call: Call, settings: Settings, terminal: Callable[[int], None], columns: int
) -> None:
    terminal(columns)
    register(settings, "a", TRUTH, BAD)
    register(settings, "b", TRUTH, GOOD, champion=(1, BAD), split="random")
    call("reject", "1", "-m", "it counts four objects as two, which is what the bins at the far end hold most often")
    out = plain(call("models").out)
    assert max(map(len, out.splitlines())) <= columns
    for shown in ("0.7500*", "0.5000*", "0.2500*", "1.0000*", "+0.250 to 1", "random aaaaaaaa", "Rejected"):
        assert shown in out, out


def test_versions_that_were_evaluated_on_other_data_are_marked(call: Call, settings: Settings) -> None:
    register(settings, "a", TRUTH, BAD)
    register(settings, "b", TRUTH, GOOD)
    assert "not all were evaluated on the same data" not in call("models").out
    register(settings, "c", TRUTH, GOOD, sha256="b" * 64)
    assert "not all were evaluated on the same data" in call("models").out


def test_machines_get_a_flat_list_and_a_damaged_evaluation_is_a_line_on_stderr(call: Call, settings: Settings) -> None:
    register(settings, "a", TRUTH, GOOD)
    bucket = settings.data.bucket
    boto3.client("s3", region_name="us-east-1").put_object(Bucket=bucket, Key="runs/b/evaluation.json", Body=b"{")
    request = package(settings, f"s3://{bucket}/runs/b/evaluation.json")
    boto3.client("sagemaker", region_name="us-east-1").create_model_package(**request)
    outcome = call("models", "--json")
    damaged, good = json.loads(outcome.out)
    assert list(good)[:6] == ["version", "status", "accuracy", "rmse", "mae", "within_one"]
    assert (good["accuracy"], good["within_one"], good["package_status"]) == (0.75, 1.0, "Completed")
    assert damaged["accuracy"] is None
    assert outcome.code == 0
    [line] = outcome.error.splitlines()
    assert line.startswith(f"version 2: s3://{bucket}/runs/b/evaluation.json: not JSON")


def test_a_comparison_shows_metrics_classes_and_what_is_sure(call: Call, settings: Settings) -> None:
    register(settings, "a", TRUTH, BAD)
    register(settings, "b", TRUTH, GOOD)
    out = call("models", "compare", "1", "2").out
    accuracies = [line.split() for line in out.splitlines() if line.startswith("accuracy")]
    assert accuracies[0] == ["accuracy", "0.5000", "0.7500", "+0.2500"]
    assert accuracies[1][1] == "+0.2500"
    assert " ".join(accuracies[1]).endswith("version 2 is better")
    assert words(out, "MAE") == ["MAE", "1.0000", "0.2500", "-0.7500"]
    assert words(out, "3") == ["3", "50", "0.0000", "1.0000", "+1.0000"]
    assert "200 photos that both counted" in out
    assert "do not compare" not in out


def test_a_difference_that_may_be_chance_is_called_so(call: Call, settings: Settings) -> None:
    register(settings, "a", [1, 2, 3], [1, 2, 4])
    register(settings, "b", [1, 2, 3], [1, 4, 3])
    out = call("models", "compare", "1", "2").out
    assert out.count("may be chance") == 2
    assert "better" not in out


def test_classes_with_other_numbers_of_photos_show_both(call: Call, settings: Settings) -> None:
    register(settings, "a", [1, 1, 2], [1, 1, 2])
    register(settings, "b", [1, 2, 3], [1, 2, 3], sha256="b" * 64)
    out = call("models", "compare", "1", "2").out
    [once] = [line.split() for line in out.splitlines() if line.startswith("1       ")]
    assert once == ["1", "2", "/", "1", "1.0000", "1.0000", "+0.0000"]
    assert words(out, "3") == ["3", "-", "/", "1", "-", "1.0000", "-"]
    assert "1 photo that both counted" in out
    assert out.count("no difference") == 2
    assert "2 more had different labels in the two evaluations" in out


def test_a_comparison_on_other_data_says_that_figures_do_not_compare(call: Call, settings: Settings) -> None:
    register(settings, "a", TRUTH, BAD)
    register(settings, "b", TRUTH, GOOD, sha256="b" * 64)
    out = " ".join(call("models", "compare", "1", "2").out.split())
    assert "Evaluated on different data (the data sets differ: aaaaaaaaaaaa for version 1, bbbbbbbbbbbb for" in out
    assert "these figures do not compare" in out


def test_a_comparison_for_machines(call: Call, settings: Settings) -> None:
    register(settings, "a", TRUTH, BAD)
    register(settings, "b", TRUTH, GOOD)
    document = json.loads(call("models", "compare", "1", "latest", "--json").out)
    assert (document["first"]["version"], document["second"]["version"], document["comparable"]) == (1, 2, True)
    assert document["differences"]["accuracy"] == 0.25
    assert document["shared"]["photos"] == 200
    assert set(document["shared"]["accuracy"]) == {"value", "lower", "upper"}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("models", "compare", "1", "9"), "the group bins has no version 9; see them: python -m pipeline"),
        (("models", "compare", "1", "1"), "1 and 1 are both version 1; name two versions: python -m pipeline"),
        (("lineage", "9"), "the group bins has no version 9; see them: python -m pipeline"),
        (("lineage", "1"), "version 1 was not registered by a run of this pipeline"),
        (("lineage", "first"), "'first' is no version; write a number, a model package's ARN or latest"),
    ],
)
def test_what_cannot_be_shown_is_a_line_with_the_remedy(
    call: Call, settings: Settings, arguments: tuple[str, ...], line: str
) -> None:
    register(settings, "a", TRUTH, BAD)
    outcome = call(*arguments)
    assert (outcome.code, len(outcome.error.splitlines())) == (1, 1)
    assert outcome.error.startswith(line)


@pytest.mark.parametrize("arguments", [("models",), ("models", "compare", "1", "2"), ("lineage", "1")])
def test_without_credentials_the_line_says_how_to_sign_in(
    call: Call, project: Path, arguments: tuple[str, ...]
) -> None:
    outcome = call(*arguments, "--profile", "aws")
    assert outcome.error.splitlines()[-1] == (
        "no AWS credentials were found; sign in: aws sso login or aws configure, or set AWS_PROFILE"
    )
    assert outcome.code == 1


NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
VERSION = Version("arn", 3, "Approved", "Completed", NOW, "counts well", "s3://b/evaluation.json", "run1", Evaluation())
LINKS = (
    Link(
        "run",
        "arn:aws:sagemaker:r:1:pipeline/bins/execution/run1",
        True,
        facts={"status": "Succeeded", "started": NOW, "parameters": {"Epochs": "3"}},
    ),
    Link("training_job", "trial-2", True, facts={"hyperparameters": {"rate": '"0.1"', "sagemaker_region": "x"}}),
    Link("images", "", facts={"query": "1.dkr.ecr.r.amazonaws.com/bins/processing:query-1"}),
    Link("query", "q-1", False, "no longer exists"),
    Link("index", "s3://b/index", True, facts={"photos": {"train": 8000, "test": 20}, "scanned_bytes": 1_500_000}),
)


@pytest.fixture
def walked(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_PROFILE", "aws")
    monkeypatch.setattr(lineage, "read", lambda settings, reference: Lineage(VERSION, LINKS))


@pytest.mark.usefixtures("walked")
def test_a_lineage_is_a_list_of_links_for_people(call: Call) -> None:
    out = call("lineage", "3").out
    assert out.startswith("version 3  Approved  registered 2026-01-0")
    for shown in ("counts well", "run  run1", "Succeeded", "Epochs=3", "training job  trial-2", "rate=0.1"):
        assert shown in out
    for shown in ("no longer exists", "train=8,000, test=20", "1.5 MB"):
        assert shown in out
    assert "query  processing:query-1" in out
    assert "sagemaker_region" not in out


@pytest.mark.usefixtures("walked")
def test_a_lineage_is_an_object_of_links_for_machines(call: Call) -> None:
    document = json.loads(call("lineage", "3", "--json").out)
    assert document["version"]["status"] == "Approved"
    assert document["links"]["query"] == {"id": "q-1", "exists": False, "note": "no longer exists"}
    assert document["links"]["run"]["parameters"] == {"Epochs": "3"}
    assert document["links"]["run"]["started"] == "2026-01-02T03:04:00+00:00"
    assert document["links"]["training_job"]["hyperparameters"]["sagemaker_region"] == "x"


def test_where_all_versions_are_equal_none_is_the_best(
    call: Call, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kind: a mark or sign without a meaning, as a star in every row and "-0.000"."""
    monkeypatch.setenv("COLUMNS", "200")
    for digest in "abc":
        register(settings, digest, TRUTH, GOOD)
    assert "0.7500*" not in call("models").out
    register(settings, "d", TRUTH, BAD)
    assert call("models").out.count("0.7500*") == 3


@pytest.mark.parametrize(
    ("value", "text"), [(-1e-9, "+0.000"), (-0.0004, "+0.000"), (0.0, "+0.000"), (-0.0006, "-0.001")]
)
def test_a_difference_of_nothing_has_no_minus(value: float, text: str) -> None:
    version = Version(
        "arn",
        2,
        "Approved",
        "Completed",
        datetime(2026, 1, 2, tzinfo=UTC),
        "",
        "",
        "",
        Evaluation(accuracy=0.5, champion=Champion(1, Difference(value, -0.1, 0.1), Difference(value, -0.1, 0.1))),
    )
    assert views._champion(version).plain == f"{text} to 1"
    assert views.number(0.5).plain == "0.5000"
