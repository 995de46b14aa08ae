"""`report` and `eda`: a page from S3 becomes a file, and a browser opens only where it is asked for."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Any

import boto3
import pytest

from pipeline.operations.models import pages
from pipeline.operations.runs import executions, outputs, progress
from pipeline.operations.runs.executions import Execution
from pipeline.operations.runs.progress import Progress, StepRun
from pipeline.settings import Settings
from tests.unit.pipeline.cli.test_registry import settings
from tests.unit.pipeline.cli.test_start import NOW
from tests.unit.pipeline.conftest import Call
from tests.unit.pipeline.operations.models.evaluated import register

__all__ = ["settings"]

RUN = Execution("arn:aws:sagemaker:us-east-1:123456789012:pipeline/bins/execution/ab12cd34ef56", "Succeeded", NOW)


@pytest.fixture
def steps(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> dict[str, StepRun]:
    """The steps of the latest run, whose jobs wrote to places of the bucket."""
    reached = {
        name: StepRun(name, "Succeeded", metadata={"ProcessingJob": {"Arn": f"arn:x/{name}"}})
        for name in ("QueryMetadata", "ExploreData", "EvaluateModel")
    }

    class SageMaker:
        def describe_processing_job(self, ProcessingJobName: str) -> Any:
            declared = [
                {
                    "OutputName": output,
                    "S3Output": {"S3Uri": f"s3://{settings.data.bucket}/{ProcessingJobName}/{output}"},
                }
                for output in ("summary", "evaluation", "exploration")
            ]
            return {"ProcessingOutputConfig": {"Outputs": declared}}

    def resolve(settings: Settings, reference: str) -> Execution:
        assert reference in ("latest", RUN.id, RUN.arn, "123456789012")
        return RUN

    monkeypatch.setattr(executions, "resolve", resolve)
    monkeypatch.setattr(progress, "read", lambda settings, arn: Progress(RUN, tuple(reached.values()), ()))
    monkeypatch.setattr(outputs, "client", lambda settings, service: SageMaker())
    return reached


def put(key: str, body: bytes) -> None:
    boto3.client("s3", region_name="us-east-1").put_object(Bucket="bins-123456789012", Key=key, Body=body)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    urls: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: urls.append(url) or True)
    return urls


@pytest.mark.parametrize("words", [["report"], ["report", "latest"], ["report", RUN.id], ["report", "123456789012"]])
def test_a_runs_report_becomes_a_file_whose_path_is_the_answer(
    call: Call, project: Path, steps: Any, opened: list[str], words: list[str]
) -> None:
    put("EvaluateModel/evaluation/report.html", b"<p>\xc3\xa4</p>")
    outcome = call(*words)
    path = project / "reports" / f"report-{RUN.id}.html"
    assert (outcome.code, outcome.out) == (0, f"{path.resolve()}\n"), outcome.error
    assert path.read_bytes() == b"<p>\xc3\xa4</p>"
    assert opened == []


def test_a_versions_report_is_next_to_its_evaluation(call: Call, project: Path, settings: Settings) -> None:
    register(settings, "a", [1, 2], [1, 2])
    missing = call("report", "1")
    assert (missing.code, missing.error.count("\n")) == (1, 1)
    uri = missing.error.split()[3]
    assert uri.endswith("/report.html")
    put(uri.split("/", 3)[3], b"one")
    assert call("report", "1").code == 0
    assert (project / "reports/report-version-1.html").read_bytes() == b"one"
    assert call("report", "7").error.startswith("the group bins has no version 7")


def test_the_page_about_the_data_is_that_of_the_query(call: Call, project: Path, steps: Any, opened: list[str]) -> None:
    put("QueryMetadata/summary/eda.html", b"data")
    outcome = call("eda", "--open", "--to", "deep/er/mine.html")
    path = (project / "deep/er/mine.html").resolve()
    assert (outcome.code, outcome.out, opened) == (0, f"{path}\n", [path.as_uri()])
    assert path.read_bytes() == b"data"


def test_a_machine_without_a_browser_says_so_after_the_path(
    call: Call, steps: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("QueryMetadata/summary/eda.html", b"data")
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    outcome = call("eda", "--open")
    assert outcome.code == 1
    assert outcome.out.endswith(f"eda-{RUN.id}.html\n")
    assert outcome.error == "there is no browser here; open the file on a machine that has one\n"


@pytest.mark.parametrize("status", ["Executing", "Failed", "Waiting"])
def test_a_run_that_has_no_page_yet_is_one_line(call: Call, steps: dict[str, StepRun], status: str) -> None:
    steps["EvaluateModel"] = StepRun("EvaluateModel", status)
    error = call("report").error
    assert error == (
        f"the run {RUN.id} has no report (EvaluateModel: {status}); use another run: python -m pipeline --profile aws"
        " runs\n"
    )
    del steps["EvaluateModel"]
    assert "EvaluateModel: not part of it" in call("report").error


def test_a_file_that_cannot_be_written_is_one_line(call: Call, project: Path, steps: Any) -> None:
    put("EvaluateModel/evaluation/report.html", b"x")
    (project / "notes").write_text("")
    error = call("report", "--to", "notes/page.html").error
    assert error.startswith("notes/page.html cannot be written (")
    assert error.endswith("name another file: --to FILE\n")


def test_every_page_has_the_name_that_its_step_writes() -> None:
    from steps.contracts import evaluation
    from steps.query import page

    assert (pages.REPORT, pages.EDA) == (evaluation.REPORT, page.NAME)


def test_the_page_of_the_exploration_is_another_than_that_of_the_query(call: Call, project: Path, steps: Any) -> None:
    put("ExploreData/exploration/exploration.html", b"everything")
    put("QueryMetadata/summary/eda.html", b"a page")
    for words, name, content in ((["--explored"], "exploration", b"everything"), ([], "eda", b"a page")):
        outcome = call("eda", *words)
        assert outcome.code == 0, outcome.error
        path = Path(outcome.out.strip())
        assert (path.name, path.read_bytes()) == (f"{name}-{RUN.id}.html", content)


def test_a_run_that_explored_nothing_says_so(call: Call, project: Path, steps: dict[str, StepRun]) -> None:
    del steps["ExploreData"]
    outcome = call("eda", "--explored")
    assert outcome.code == 1
    assert "has explored no data; set explore.enabled (ExploreData: not part of it)" in outcome.error
