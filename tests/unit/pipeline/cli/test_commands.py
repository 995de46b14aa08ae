"""Commands against an account that moto pretends: what they print for people and for machines."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest

from pipeline.local import cloud, health
from pipeline.operations.dataset import description as dataset
from pipeline.operations.runs.executions import Execution
from pipeline.operations.runs.progress import Progress, StepRun
from steps.contracts.evaluation import Registration
from tests.answers import Answers
from tests.unit.pipeline.conftest import Call
from tests.unit.pipeline.operations.dataset.test_description import INDEX, summary
from tests.unit.pipeline.operations.models.evaluated import judged

NOW = datetime(2026, 1, 2, tzinfo=UTC)
DEFINITION = {"Version": "2020-12-01", "Parameters": [{"Name": "Epochs", "Type": "Integer"}], "Steps": []}


@pytest.fixture
def upserted(account: None) -> None:
    boto3.client("sagemaker", region_name="us-east-1").create_pipeline(
        PipelineName="bins",
        PipelineDefinition=json.dumps(DEFINITION),
        RoleArn="arn:aws:iam::123456789012:role/bins-pipeline",
        ClientRequestToken="x" * 32,
    )


@pytest.mark.usefixtures("upserted")
def test_a_started_run_is_printed_with_what_to_do_next(call: Call) -> None:
    outcome = call("start", "-p", "Epochs=3")
    [_, _, started, following] = outcome.out.splitlines()
    assert started.startswith("started: arn:aws:sagemaker:us-east-1:123456789012:pipeline/bins/execution/")
    assert following == f"next: python -m pipeline --profile aws watch {started.rsplit('/', 1)[-1]}"


@pytest.mark.usefixtures("upserted")
def test_a_wrong_parameter_is_a_line_each(call: Call) -> None:
    outcome = call("start", "-p", "Epochs=x", "-p", "Epoch=3")
    assert (outcome.code, outcome.error.splitlines()) == (
        1,
        ["Epochs needs a whole number, not 'x'", "the pipeline has no parameter Epoch; did you mean Epochs?"],
    )


@pytest.mark.usefixtures("account")
def test_a_remedy_keeps_the_profile_that_was_chosen(call: Call) -> None:
    assert call("start").error.endswith("create it: python -m pipeline --profile aws upsert\n")


@pytest.mark.usefixtures("upserted")
def test_runs_are_a_table_for_people_and_json_for_machines(call: Call) -> None:
    call("start", "--name", "first-try")
    assert "first-try" in call("runs").out
    [run] = json.loads(call("runs", "--json").out)
    assert run["name"] == "first-try"
    assert run["status"] == "Succeeded"


def withheld(run: str) -> None:
    """The evaluation of a run whose model is version 3 already."""
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="bins-123456789012")
    reason = "version 3 (PendingManualApproval) is this model already"
    same = Registration(wanted=0, version=3, package_arn="arn", status="PendingManualApproval", reason=reason)
    body = judged([1, 2], [1, 2], registration=same).model_dump_json()
    key = f"bin-counting/runs/{run}/evaluate/evaluation/evaluation.json"
    s3.put_object(Bucket="bins-123456789012", Key=key, Body=body.encode())


@pytest.mark.usefixtures("upserted")
def test_a_run_that_registered_nothing_is_listed_with_the_version_that_its_model_is(call: Call) -> None:
    run = json.loads(call("start", "--json").out)["arn"].rsplit("/", 1)[-1]
    assert "version 3" not in call("runs").out
    withheld(run)
    assert call("runs").out.splitlines()[1].rstrip().endswith("is version 3 already")


@pytest.mark.usefixtures("upserted")
def test_following_a_run_that_registered_nothing_ends_with_the_version_and_what_is_next(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    withheld("run1")
    call("start")
    for arguments in (["start", "--watch"], ["watch"]):
        following(monkeypatch, state("Succeeded", "Succeeded"))
        outcome = call(*arguments)
        assert outcome.code == 0
        assert outcome.out.splitlines()[-2:] == [
            "nothing was registered: version 3 (PendingManualApproval) is this model already;"
            " to register it again: registry.register_again, or RegisterAgain=yes for one run",
            "next: python -m pipeline --profile aws approve 3",
        ]
    following(monkeypatch, state("Failed", "Failed"))
    assert "registered" not in call("watch").error


@pytest.mark.usefixtures("upserted")
def test_a_run_that_registered_a_version_has_no_line_about_another(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    withheld("run1")
    last = state("Succeeded", "Succeeded")
    registered = StepRun("RegisterModel", "Succeeded", NOW, NOW, metadata={"RegisterModel": {"Arn": "arn:a:b/bins/4"}})
    following(monkeypatch, replace(last, steps=(*last.steps, registered)))
    assert "nothing was registered" not in call("start", "--watch").out


@pytest.mark.usefixtures("upserted")
def test_no_runs_and_no_models_are_reported(call: Call) -> None:
    boto3.client("sagemaker", region_name="us-east-1").create_model_package_group(ModelPackageGroupName="bins")
    assert call("runs").out.startswith("no runs yet\n")
    assert call("models").out == (
        "no versions in the group bins yet; a run that passes its gate registers one:"
        " python -m pipeline --profile aws start\n"
    )
    assert json.loads(call("models", "--json").out) == []


@pytest.mark.usefixtures("account")
def test_a_version_is_approved_once(call: Call) -> None:
    sagemaker = boto3.client("sagemaker", region_name="us-east-1")
    sagemaker.create_model_package_group(ModelPackageGroupName="bins")
    sagemaker.create_model_package(
        ModelPackageGroupName="bins",
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": [{"Image": "image", "ModelDataUrl": "s3://b/model.tar.gz"}],
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )
    first = call("approve", "latest", "-m", "good enough")
    cost, approved, following = first.out.splitlines()
    assert cost == (
        "the endpoint bins costs $0.20 an hour, $148.92 a month (ml.c5.xlarge), until it is deleted:"
        " python -m pipeline --profile aws delete"
    )
    assert (first.code, approved.split(":")[0]) == (0, "approved")
    assert following == "next: python -m pipeline --profile aws endpoint"
    second = call("approve", "1")
    assert second.out == ""
    assert (second.code, second.error) == (1, "version 1 is approved already; nothing was changed\n")
    [version] = json.loads(call("models", "--json").out)
    assert (version["status"], version["comment"]) == ("Approved", "good enough")
    assert "good enough" in call("models").out


@pytest.mark.usefixtures("account")
def test_what_is_no_jpeg_is_refused_before_anything_is_sent(call: Call, project: Path) -> None:
    (project / "notes.jpg").write_text("no photo")
    outcome = call("predict", "notes.jpg")
    assert (outcome.code, outcome.error) == (
        1,
        "notes.jpg: not a JPEG; the endpoint accepts JPEG photos only; to convert: python -m pipeline import\n",
    )


@pytest.mark.usefixtures("account")
def test_an_endpoint_that_is_not_there_is_answered_with_approve(call: Call) -> None:
    outcome = call("endpoint")
    assert outcome.code == 1
    assert outcome.error.endswith("approve a model: python -m pipeline --profile aws approve latest\n")


def test_check_prints_the_steps_and_that_all_is_well(call: Call) -> None:
    outcome = call("check", "--profile", "aws")
    assert outcome.code == 0, outcome.error
    names = [line.split()[0] for line in outcome.out.splitlines()[2:11]]
    assert names[:4] == ["CheckParameters", "CheckParametersFailed", "QueryMetadata", "ShardImages"]
    assert "parameters  ImageLocation, DataVersion, ShardVersion, TrainingVersion" in outcome.out
    assert "\nok  " in outcome.out


def test_check_without_credentials_reports_what_it_could_not_check_and_succeeds(call: Call) -> None:
    outcome = call("check", "--profile", "aws")
    assert (outcome.code, outcome.error) == (0, "")
    assert outcome.out.splitlines()[-1].startswith("not checked  account, roles, permissions, quotas, images, bucket, ")
    assert outcome.out.endswith("(no AWS credentials)\n")
    assert "not checked" not in call("check", "--profile", "aws", "--offline").out


@pytest.mark.usefixtures("account")
def test_a_failed_check_is_a_line_on_stderr_with_the_remedy_of_the_profile_and_exit_1(call: Call) -> None:
    answers = Answers()
    answers.error("iam.SimulatePrincipalPolicy", "AccessDenied", "no", status=403)
    answers.error("service-quotas.ListServiceQuotas", "AccessDeniedException", "no")
    answers.error("athena.GetWorkGroup", "InvalidRequestException", "WorkGroup bins is not found.")
    outcome = call("check", "--json")
    assert outcome.code == 1
    document = json.loads(outcome.out)
    assert document["bytes"] > 1000
    failed = [check["check"] for check in document["checks"] if check["status"] == "failed"]
    assert {"roles", "images", "bucket", "workgroup", "database", "deploy function"} <= set(failed)
    outcome = call("check")
    assert outcome.code == 1
    assert len(outcome.error.splitlines()) == len(failed)
    missing = "bucket: there is no bucket bins-123456789012; create it: python -m pipeline --profile aws bootstrap"
    assert missing in outcome.error.splitlines()


def test_check_and_definition_agree_on_the_bytes(call: Call) -> None:
    summary = json.loads(call("check", "--json").out)
    text = call("definition").out.rstrip("\n")
    assert summary["bytes"] == len(text)
    assert summary["parameters"] == [parameter["Name"] for parameter in json.loads(text)["Parameters"]]


def test_an_indented_definition_is_the_same_definition(call: Call) -> None:
    indented = call("definition", "--indent", "2").out
    assert len(indented.splitlines()) > 100, call("definition").error
    assert json.loads(indented) == json.loads(call("definition").out)


# --------------------------------------------------------------------------------------------- the local cloud


def test_the_local_cloud_is_not_for_a_profile_of_an_account(call: Call) -> None:
    outcome = call("local", "up", "--profile", "aws")
    assert (outcome.code, outcome.error) == (
        1,
        "the profile aws is of an AWS account; start the local cloud with --profile local\n",
    )


STATES = {
    "well": ([], [], "", False, 0, "running: pid 7"),
    "dead": (["S3"], [], "", False, 1, "no answer from: S3; mend it: python -m pipeline local up"),
    "both": (["AWS APIs", "S3"], [], "", False, 1, "no answer from: AWS APIs and S3; mend it"),
    "mended": ([], ["SIGKILL"], "", False, 0, "the object server had ended by SIGKILL; it was started again"),
    "given up": (["S3"], ["SIGKILL"], "the S3 door has ended again", False, 1, "the S3 door has ended again"),
    "ending": ([], [], "", True, 1, "it is about to end"),
}


@pytest.mark.parametrize(("silent", "restarts", "given_up", "stopping", "code", "line"), STATES.values(), ids=STATES)
def test_status_says_what_is_dead_and_what_was_started_again(
    call: Call, project: Path, monkeypatch: pytest.MonkeyPatch, silent, restarts, given_up, stopping, code, line
) -> None:
    """The kind: a dead part that nobody notices."""
    running = cloud.Cloud(project, 1, 2, "KEY", "secret", "us-east-1", "123456789012", pid=7, stopping=stopping)
    record = health.Health([health.Restart("2026-01-02T00:00:00Z", "object server", end) for end in restarts], given_up)
    monkeypatch.setattr(cloud, "state", lambda _: cloud.State(running, silent, record, None))
    outcome = call("local", "status")
    assert outcome.code == code
    assert line in outcome.out
    values = json.loads(call("local", "status", "--json").out)
    assert (values["answers"], values["silent"], len(values["restarts"])) == (code == 0, silent, len(restarts))
    assert "secret" not in str(values)


def test_status_names_the_process_that_starts_it_now(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud, "state", lambda _: cloud.State(None, [], health.Health(), 42))
    outcome = call("local", "status")
    assert (outcome.code, outcome.out) == (1, "not running; process 42 starts or stops it now; wait, and ask again\n")


def test_variables_for_clients_lead_past_proxies_and_profiles(
    call: Call, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kind: a shell's proxies and profiles, which would send requests and keys of the local cloud elsewhere."""
    running = cloud.Cloud(project, 1, 2, "KEY", "secret", "us-east-1", "123456789012", pid=7)
    monkeypatch.setattr(cloud, "find", lambda _: running)
    monkeypatch.setenv("no_proxy", "corp.example")
    for name in ("AWS_PROFILE", "AWS_USE_FIPS_ENDPOINT", "AWS_ENDPOINT_URL_STS"):
        monkeypatch.setenv(name, "x")
    lines = call("local", "env").out.splitlines()
    assert {"export NO_PROXY=corp.example,127.0.0.1;", "export no_proxy=corp.example,127.0.0.1;"} <= set(lines)
    assert {"unset AWS_PROFILE;", "unset AWS_USE_FIPS_ENDPOINT;", "unset AWS_ENDPOINT_URL_STS;"} <= set(lines)
    assert f"export AWS_CONFIG_FILE={os.devnull};" in lines


def test_a_reset_names_what_it_leaves(call: Call, project: Path) -> None:
    folder = project / "cloud"
    folder.mkdir()
    values = {"api_port": 1, "s3_port": 2, "access_key": "", "secret_key": "", "region": "", "account_id": ""}
    for name, text in (("cloud.json", json.dumps(values)), ("notes.md", "mine")):
        (folder / name).write_text(text)
    assert "not its own, and still there: notes.md" in call("local", "reset", "--yes").out
    assert os.listdir(folder) == ["notes.md"]


def test_status_of_no_local_cloud_is_1(call: Call) -> None:
    assert (call("local", "status").code, call("local", "down").code) == (1, 0)
    assert json.loads(call("local", "status", "--json").out)["running"] is False


def test_reset_asks_first(call: Call, project: Path) -> None:
    folder = Path(os.environ["PIPELINE_LOCAL_DIR"])
    folder.mkdir()
    (folder / "cloud.json").write_text("{}")
    assert call("local", "reset", stdin="n\n").code == 1
    assert folder.exists()


def test_the_demo_is_not_for_a_profile_of_an_account(call: Call) -> None:
    outcome = call("demo", "--profile", "aws")
    assert (outcome.code, outcome.error.splitlines()[-1]) == (
        1,
        "the demo runs in the local cloud only; use --profile demo",
    )


# ------------------------------------------------------------------------------------------------ following a run


def following(monkeypatch: pytest.MonkeyPatch, *states: Progress | BaseException) -> None:
    """Let the run of `start --watch` and `watch` go through `states`."""

    def follow(*_: object, **__: object) -> Iterator[Progress]:
        for state in states:
            if isinstance(state, BaseException):
                raise state
            yield state

    monkeypatch.setattr("pipeline.operations.runs.progress.follow", follow)
    monkeypatch.setattr("pipeline.operations.runs.progress.looks", follow)


def state(status: str, step: str) -> Progress:
    job = {"ProcessingJob": {"Arn": "arn:aws:sagemaker:us-east-1:123456789012:processing-job/j"}}
    run = Execution("arn:aws:sagemaker:us-east-1:123456789012:pipeline/bins/execution/run1", status, NOW)
    ended = None if step == "Executing" else NOW
    return Progress(run, (StepRun("QueryMetadata", step, NOW, ended, failure="no bins there", metadata=job),), ())


@pytest.mark.usefixtures("upserted")
def test_following_a_run_that_succeeds_ends_with_0(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    following(monkeypatch, state("Executing", "Executing"), state("Succeeded", "Succeeded"))
    outcome = call("start", "--watch")
    assert outcome.code == 0
    cost, basis, *lines = outcome.out.splitlines()
    assert cost.startswith("this run: $")
    assert basis.startswith("its basis: ")
    assert [line.split(" ", 1)[1] for line in lines] == [
        "run run1",
        "QueryMetadata: Executing",
        "QueryMetadata: Succeeded in 0.0 s",
        "run1 succeeded in 0.0 s.",
    ]


@pytest.mark.usefixtures("upserted")
def test_following_a_run_that_fails_ends_with_1_the_reason_and_the_log(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    following(monkeypatch, state("Failed", "Failed"))
    call("start")
    outcome = call("watch")
    assert outcome.code == 1
    assert outcome.error.splitlines()[1:] == [
        "QueryMetadata: no bins there",
        "Its log: python -m pipeline --profile aws logs QueryMetadata --run run1",
        "its job in the AWS console: https://us-east-1.console.aws.amazon.com/sagemaker/home?region=us-east-1"
        "#/processing-jobs/j",
    ]


@pytest.mark.usefixtures("upserted")
def test_a_run_that_ended_is_linked_to_studio(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    following(monkeypatch, state("Succeeded", "Succeeded"))
    Answers().say("sagemaker.ListDomains", {"Domains": [{"DomainId": "d-abc", "Status": "InService"}]})
    call("start")
    assert call("watch").out.splitlines()[-1] == (
        "the run in Studio: https://studio-d-abc.studio.us-east-1.sagemaker.aws/pipelines/view/bins/executions/run1/graph"
    )


@pytest.mark.usefixtures("upserted")
@pytest.mark.parametrize("states", [[], [state("Executing", "Executing")]])
@pytest.mark.parametrize("words", [["start", "--watch"], ["watch"], ["start", "--watch", "--json"]])
def test_an_interrupted_watch_reports_that_the_run_goes_on(
    call: Call, monkeypatch: pytest.MonkeyPatch, states: list[Progress], words: list[str]
) -> None:
    call("start")
    following(monkeypatch, *states, KeyboardInterrupt())
    outcome = call(*words)
    assert outcome.code == 130
    lines = outcome.error.splitlines()[-3:]
    run = lines[0].split()[2]
    assert lines == [
        f"the run {run} goes on",
        f"to follow it: python -m pipeline --profile aws watch {run}",
        f"to stop it: python -m pipeline --profile aws stop {run}",
    ]


@pytest.mark.usefixtures("upserted")
@pytest.mark.parametrize(("status", "code"), [("Succeeded", 0), ("Failed", 1)])
def test_with_json_a_run_is_events_that_end_with_its_outcome(
    call: Call, monkeypatch: pytest.MonkeyPatch, status: str, code: int
) -> None:
    call("start")
    following(monkeypatch, state("Executing", "Executing"), state(status, status))
    outcome = call("watch", "--json")
    events = [json.loads(line) for line in outcome.out.splitlines()]
    names = [event["event"] for event in events]
    assert (names[0], names[-1], outcome.code) == ("state", "ended", code)
    assert {"step", "run"} <= set(names)
    assert events[-1]["outcome"]["succeeded"] is (status == "Succeeded")
    assert events[-1]["steps"][0]["name"] == "QueryMetadata"


@pytest.mark.usefixtures("upserted")
def test_once_a_run_is_its_tree_and_the_command_ends(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    call("start")
    # moto does not answer for the steps of a run.
    monkeypatch.setattr("pipeline.operations.runs.progress.read", lambda *_: state("Executing", "Executing"))
    outcome = call("watch", "--once")
    assert outcome.code == 0
    assert outcome.out.startswith("run run1  Executing")
    assert "● QueryMetadata" in outcome.out


@pytest.mark.usefixtures("upserted")
def test_an_interrupted_stream_of_events_reports_that_the_run_goes_on(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("start")
    following(monkeypatch, state("Executing", "Executing"), KeyboardInterrupt())
    outcome = call("watch", "--json")
    assert outcome.code == 130
    assert json.loads(outcome.out.splitlines()[0])["event"] == "state"
    assert "to follow it: " in outcome.error


@pytest.mark.usefixtures("upserted")
def test_with_json_stdout_holds_json_alone(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    following(monkeypatch, state("Succeeded", "Succeeded"))
    outcome = call("start", "--watch", "--json")
    assert json.loads(outcome.out)["arn"].startswith("arn:aws:sagemaker:")
    assert "run1 succeeded" in outcome.error


@pytest.mark.usefixtures("account")
def test_a_data_set_is_tables_for_people_and_json_for_machines(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    data = dataset.DataSet("s3://b/indexes/0", INDEX, summary("s3://b/indexes/0"))
    monkeypatch.setattr(dataset, "find", lambda settings, reference: data)

    seen = call("dataset", "latest").out

    rows = [line.split() for line in seen.splitlines()]
    assert ["train", "30", "83.3%", "80.0%", "1", "1.0", "1.0", "MB"] in rows
    assert ["1", "10", "3", "0", "1.500"] in rows
    assert ["truncated", "1", "ShardImages", "7"] in rows
    assert ["with", "training,", "in", "a", "random", "split", "6", "(100.0%)", "3", "(50.0%)"] in rows
    assert "written by this run  6 photos" in seen
    document = json.loads(call("dataset", "latest", "--json").out)
    assert document["index"]["splits"]["train"]["shards"][0]["uri"] == "s3://b/train.tar"
    assert document["summary"]["rejects"] == {"truncated": ["7"]}


@pytest.mark.usefixtures("account")
def test_an_index_that_is_named_by_its_place_is_shown_without_what_a_run_left_out(call: Call) -> None:
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="some-bucket")
    shard = INDEX.splits["train"].shards[0].model_copy(update={"samples": 28, "excluded": ["3", "9"]})
    train = INDEX.splits["train"].model_copy(update={"shards": [shard], "class_counts": {1: 9, 2: 19}})
    index = INDEX.model_copy(update={"splits": {**INDEX.splits, "train": train}})
    s3.put_object(Bucket="some-bucket", Key="index/index.json", Body=index.model_dump_json().encode())

    seen = call("dataset", "s3://some-bucket/index").out

    assert "2 photos in these shards, removed or written again since" in seen
    assert "left out" not in seen
    assert json.loads(call("dataset", "s3://some-bucket/index", "--json").out)["summary"] is None


@pytest.mark.usefixtures("account")
def test_a_data_set_that_is_not_there_is_one_line(call: Call) -> None:
    outcome = call("dataset", "s3://no-such-bucket/index")
    assert outcome.code == 1
    assert outcome.error.startswith("there is no s3://no-such-bucket/index/index.json; a run's data set: python -m ")
    assert outcome.error.count("\n") == 1
