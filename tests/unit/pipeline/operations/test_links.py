"""Links to Studio and AWS's console for an account, and to this machine's console for the local cloud."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import ROOT
from pipeline.operations import links
from pipeline.operations.account import consoles
from pipeline.operations.links import Link
from pipeline.operations.runs.progress import StepRun
from pipeline.settings import Settings
from pipeline.settings.file import load_settings
from tests.answers import Answers

RUN = "arn:aws:sagemaker:us-east-1:111122223333:pipeline/bins/execution/ab12cd34ef56"
PROCESSING = "arn:aws:sagemaker:us-east-1:111122223333:processing-job/pipelines-x"
TUNING = "arn:aws:sagemaker:us-east-1:111122223333:hyper-parameter-tuning-job/t"
HOME = "https://us-east-1.console.aws.amazon.com/sagemaker/home?region=us-east-1#"


@pytest.fixture
def answers(account: None) -> Answers:
    return Answers()


@pytest.fixture
def local() -> Settings:
    return load_settings(ROOT / "pipeline.yaml", "local")


def domains(answers: Answers, **statuses: str) -> None:
    listed = [{"DomainId": name.replace("_", "-"), "Status": status} for name, status in statuses.items()]
    answers.say("sagemaker.ListDomains", {"Domains": listed})


def test_a_run_and_the_versions_are_linked_to_the_only_domain(settings: Settings, answers: Answers) -> None:
    domains(answers, d_old="Deleting", d_one="InService", d_bad="Failed")
    (run,), (models,) = links.for_run(settings, RUN), links.for_models(settings)
    studio = "https://studio-d-one.studio.us-east-1.sagemaker.aws"
    assert run == Link("in Studio", f"{studio}/pipelines/view/{settings.name}/executions/ab12cd34ef56/graph")
    assert models.address == f"{studio}/models/registered-models/{settings.registry.group}/versions"
    assert run.line == f"in Studio: {run.address}"


@pytest.mark.parametrize("statuses", [{}, {"d_one": "InService", "d_two": "InService"}, {"d_one": "Pending"}])
def test_without_a_domain_and_with_several_there_is_no_link(
    settings: Settings, answers: Answers, statuses: dict[str, str]
) -> None:
    domains(answers, **statuses)
    assert links.for_run(settings, RUN) == ()


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException"])
def test_a_refusal_is_no_link_and_no_failure(settings: Settings, answers: Answers, code: str) -> None:
    answers.error("sagemaker.ListDomains", code, "User is not authorized to perform: sagemaker:ListDomains")
    assert links.domain(settings) == ""
    assert links.for_models(settings) == ()


def test_domains_are_read_to_the_last_page(settings: Settings, answers: Answers) -> None:
    first = {"Domains": [{"DomainId": "d-one", "Status": "InService"}], "NextToken": "more"}
    answers.say("sagemaker.ListDomains", first, times=1)
    domains(answers, d_two="InService")
    assert links.domain(settings) == ""


def test_jobs_and_the_endpoint_are_linked_without_a_request(settings: Settings) -> None:
    step = StepRun("ShardImages", "Failed", metadata={"ProcessingJob": {"Arn": PROCESSING}})
    assert links.of_step(settings, step) == (Link("in the AWS console", f"{HOME}/processing-jobs/pipelines-x"),)
    tune = StepRun("TuneModel", "Failed", metadata={"TuningJob": {"Arn": TUNING}})
    assert [link.address for link in links.of_step(settings, tune)] == [f"{HOME}/hyper-tuning-jobs/t"]
    assert [link.address for link in links.of_step(settings, tune, "t-001")] == [f"{HOME}/jobs/t-001"]
    assert links.of_step(settings, StepRun("QualityGate", "Succeeded")) == ()
    assert [link.address for link in links.for_endpoint(settings)] == [f"{HOME}/endpoints/{settings.endpoint.name}"]


def test_the_local_cloud_is_linked_to_its_console_where_that_runs(
    local: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_LOCAL_DIR", str(tmp_path))
    step = StepRun("ShardImages", "Failed", metadata={"ProcessingJob": {"Arn": PROCESSING}})
    assert (links.for_run(local, RUN), links.of_step(local, step), links.of_endpoint(local)) == ((), (), ())
    file = consoles.file_of(tmp_path, "local")
    file.parent.mkdir()
    # This very process stands for the console.
    consoles.write(file, 8799, "s3cret")
    (run,) = links.for_run(local, RUN)
    assert run == Link("in the console", "http://127.0.0.1:8799/runs/ab12cd34ef56?key=s3cret")
    assert [link.address for link in links.for_models(local)] == ["http://127.0.0.1:8799/models?key=s3cret"]
    assert [link.address for link in links.for_endpoint(local)] == ["http://127.0.0.1:8799/endpoint?key=s3cret"]
    assert links.for_run(local.of_profile("demo"), RUN) == ()
