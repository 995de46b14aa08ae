"""The whole way at its smallest: bins, a run, an approval, an endpoint; then what AWS's own command line says of it."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import nbformat
import pyarrow.parquet as pq
import pytest
import yaml
from nbclient import NotebookClient
from rich.console import Console
from sklearn import metrics
from typer.testing import CliRunner

from pipeline import ROOT
from pipeline.cli import app
from pipeline.cli import demo_run as demo
from pipeline.cli.monitor import DRIFTED
from pipeline.connection import as_administrator, local_directory
from pipeline.operations.account.inbox import messages
from pipeline.operations.dataset import description as dataset
from pipeline.operations.models import lineage, registrations, registry
from pipeline.operations.runs import executions, progress
from pipeline.operations.serving import monitoring
from pipeline.settings import Settings
from pipeline.settings.file import load_settings
from tests.integration.conftest import CREDENTIAL_SECONDS, keys, read, wait_until

BINS = demo.Bins(source=None, count=160, seed=3)
PAGES = "http://127.0.0.1:1/?key=k"
TAGS = {"team": "vision", "cost-center": "4711"}


@pytest.fixture(scope="module")
def settings():
    values = load_settings(ROOT / "pipeline.yaml", "demo").model_dump()
    values["training"].update(epochs=1, progressive_resizing=0, image_size=32, batch_size=8)
    values["tuning"].update(trials=2, parallel=1)
    values["gate"].update(minimum_accuracy=0.0, maximum_rmse=10.0)
    values["local"].update(credential_seconds=CREDENTIAL_SECONDS)
    values["tags"] = TAGS
    # The monitor's role may read them there by this setting alone.
    truth = f"s3://{values['data']['bucket']}/labels/counts"
    values["monitoring"].update(truth=truth, truth_delay_hours=0, minimum_accuracy=1.0)
    return Settings.model_validate(values)


@pytest.fixture(scope="module")
def whole_run(local_cloud, settings):
    """What the demo printed."""
    console = Console(file=io.StringIO(), width=160)
    demo.run(settings, BINS, console, "python -m pipeline", lambda: PAGES)
    return console.file.getvalue()


def aws(*arguments, output="json"):
    """AWS's own command line, pointed at the local cloud by the environment alone."""
    command = Path(sys.executable).with_name("aws")
    done = subprocess.run(
        [str(command) if command.exists() else shutil.which("aws"), *arguments, "--output", output],
        capture_output=True,
        text=True,
        env=os.environ,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else {}


@pytest.fixture(scope="module")
def execution(whole_run):
    return aws("sagemaker", "list-pipeline-executions", "--pipeline-name", "bins")["PipelineExecutionSummaries"][-1]


@pytest.fixture(scope="module")
def steps(execution):
    answer = aws(
        "sagemaker", "list-pipeline-execution-steps", "--pipeline-execution-arn", execution["PipelineExecutionArn"]
    )
    return {step["StepName"]: step for step in answer["PipelineExecutionSteps"]}


def test_the_demo_says_what_came_of_it(whole_run):
    for words in (
        "version 1 of bins: Approved",
        "bins is InService with version 1",
        "this model",
        "largest class",
        "random",
        "truth",
        "report.html",
    ):
        assert words in whole_run, whole_run
    # The address of the pages comes first, to watch the run there, and last, since the pages go on.
    first, last = whole_run.index(PAGES), whole_run.rindex(PAGES)
    assert first < whole_run.index("✓ bins") < whole_run.index("Done in") < last


def test_all_steps_ran_and_the_gate_was_passed(execution, steps):
    assert execution["PipelineExecutionStatus"] == "Succeeded"
    assert set(steps) == {
        "CheckParameters",
        "QueryMetadata",
        "ShardImages",
        "TuneModel",
        "EvaluateModel",
        "QualityGate",
        "NewVersion",
        "RegisterModel",
        "DeployModel",
    }
    assert {step["StepStatus"] for step in steps.values()} == {"Succeeded"}
    assert steps["QualityGate"]["Metadata"]["Condition"]["Outcome"] == "True"
    assert steps["NewVersion"]["Metadata"]["Condition"]["Outcome"] == "True"


def test_the_trials_were_distributed_over_two_instances_and_the_best_is_named(steps):
    name = steps["TuneModel"]["Metadata"]["TuningJob"]["Arn"].rsplit("/", 1)[1]
    job = aws("sagemaker", "describe-hyper-parameter-tuning-job", "--hyper-parameter-tuning-job-name", name)
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"]["Completed"] == 2
    best = aws("sagemaker", "describe-training-job", "--training-job-name", job["BestTrainingJob"]["TrainingJobName"])
    assert best["ResourceConfig"]["InstanceCount"] == 2
    assert best["HyperParameters"]["sagemaker_torch_distributed_enabled"] == "true"
    events = aws(
        "logs",
        "filter-log-events",
        "--log-group-name",
        "/aws/sagemaker/TrainingJobs",
        "--log-stream-name-prefix",
        best["TrainingJobName"],
        "--filter-pattern",
        "processes",
    )["events"]
    assert any("2 processes on cpu" in event["message"] for event in events)


# Lists of resources, with the list and the ARN in the answer.
MADE = [
    ("list_pipelines", "PipelineSummaries", "PipelineArn"),
    ("list_processing_jobs", "ProcessingJobSummaries", "ProcessingJobArn"),
    ("list_hyper_parameter_tuning_jobs", "HyperParameterTuningJobSummaries", "HyperParameterTuningJobArn"),
    ("list_training_jobs", "TrainingJobSummaries", "TrainingJobArn"),
    ("list_transform_jobs", "TransformJobSummaries", "TransformJobArn"),
    ("list_models", "Models", "ModelArn"),
    ("list_endpoint_configs", "EndpointConfigs", "EndpointConfigArn"),
    ("list_endpoints", "Endpoints", "EndpointArn"),
    ("list_model_package_groups", "ModelPackageGroupSummaryList", "ModelPackageGroupArn"),
]


def test_everything_that_was_made_has_the_tags_of_the_settings(whole_run, local_cloud):
    sagemaker = local_cloud.client("sagemaker")
    arns = {member: [item[member] for item in getattr(sagemaker, list_)()[key]] for list_, key, member in MADE}
    arns["ModelPackageArn"] = [
        item["ModelPackageArn"]
        for item in sagemaker.list_model_packages(ModelPackageGroupName="bins")["ModelPackageSummaryList"]
    ]
    assert [member for member in arns if not arns[member]] in ([], ["TransformJobArn"])
    for arn in (arn for listed in arns.values() for arn in listed):
        tags = {tag["Key"]: tag["Value"] for tag in sagemaker.list_tags(ResourceArn=arn)["Tags"]}
        assert tags.items() >= TAGS.items(), arn
    [stack] = local_cloud.client("cloudformation").describe_stacks(StackName="bins-account")["Stacks"]
    assert {tag["Key"]: tag["Value"] for tag in stack["Tags"]} == TAGS
    function = local_cloud.client("lambda").get_function(FunctionName="bins-deploy")
    assert function["Tags"].items() >= TAGS.items()
    roles = local_cloud.client("iam").list_role_tags(RoleName="bins-job")["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in roles} == TAGS


def test_the_query_ran_in_athena(steps, local_cloud):
    queries = aws("athena", "list-query-executions", "--work-group", "bins")["QueryExecutionIds"]
    query = aws("athena", "get-query-execution", "--query-execution-id", queries[0])["QueryExecution"]
    assert query["Status"]["State"] == "SUCCEEDED"


@pytest.fixture(scope="module")
def package(whole_run):
    packages = aws("sagemaker", "list-model-packages", "--model-package-group-name", "bins")
    [summary] = packages["ModelPackageSummaryList"]
    return aws("sagemaker", "describe-model-package", "--model-package-name", summary["ModelPackageArn"])


@pytest.fixture(scope="module")
def evaluation_uri(package):
    return package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]


def test_the_registrys_metrics_are_those_of_the_predictions(package, evaluation_uri, local_cloud):
    assert package["ModelApprovalStatus"] == "Approved"
    s3 = local_cloud.client("s3")
    evaluation = json.loads(read(s3, evaluation_uri))
    jsonschema.validate(evaluation, json.loads((ROOT / "docs/evaluation.schema.json").read_text()))
    table = pq.read_table(io.BytesIO(read(s3, f"{evaluation_uri.rsplit('/', 1)[0]}/predictions.parquet"))).to_pydict()
    pair = table["quantity"], table["predicted"]
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(*pair, average="weighted", zero_division=0)
    classes, numbers = evaluation["multiclass_classification_metrics"], evaluation["regression_metrics"]
    labels = list(map(int, classes["confusion_matrix"]))
    matrix = [list(row.values()) for row in classes["confusion_matrix"].values()]
    assert matrix == metrics.confusion_matrix(*pair, labels=labels).tolist()
    for value, wanted in (
        (classes["accuracy"], metrics.accuracy_score(*pair)),
        (classes["weighted_precision"], precision),
        (classes["weighted_recall"], recall),
        (classes["weighted_f1"], f1),
        (numbers["mae"], metrics.mean_absolute_error(*pair)),
        (numbers["rmse"], metrics.root_mean_squared_error(*pair)),
        (numbers["r2"], metrics.r2_score(*pair)),
    ):
        assert value["value"] == pytest.approx(wanted, abs=1e-9)


def test_the_version_carries_its_evidence(package, evaluation_uri, execution, steps, local_cloud):
    card = json.loads(package["ModelCard"]["ModelCardContent"])
    evaluation = json.loads(read(local_cloud.client("s3"), evaluation_uri))
    accuracy = evaluation["multiclass_classification_metrics"]["accuracy"]["value"]
    assert card["evaluation_details"][0]["metric_groups"][0]["metric_data"][0]["value"] == accuracy
    origin = package["CustomerMetadataProperties"]
    assert origin["pipeline_execution_arn"] == execution["PipelineExecutionArn"]
    assert steps["TuneModel"]["Metadata"]["TuningJob"]["Arn"].endswith(f"/{origin['tuning_job']}")
    assert origin["dataset_sha256"] == evaluation["dataset"]["sha256"]
    assert origin["parameter_MaximumRmse"] == "10.0"
    query = aws("athena", "get-query-execution", "--query-execution-id", origin["query_execution_id"])
    assert query["QueryExecution"]["Status"]["State"] == "SUCCEEDED"
    assert "labels" in query["QueryExecution"]["Query"]
    assert package["MetadataProperties"]["GeneratedBy"] == execution["PipelineExecutionArn"]


def test_the_endpoint_counts_for_the_aws_command_line(whole_run, local_cloud, tmp_path):
    photo, answer = tmp_path / "photo.jpg", tmp_path / "answer.json"
    photo.write_bytes(read(local_cloud.client("s3"), "s3://bins-raw/bin-images/00001.jpg"))
    aws(
        "sagemaker-runtime",
        "invoke-endpoint",
        "--endpoint-name",
        "bins",
        "--content-type",
        "image/jpeg",
        "--body",
        f"fileb://{photo}",
        str(answer),
    )
    counted = json.loads(answer.read_text())
    assert counted["count"] in range(6)
    assert counted["model_version"] == "1"


@pytest.fixture(scope="module")
def call(whole_run, settings, tmp_path_factory):
    """The command line, with settings that judge few photos. Returns status, stdout and stderr."""
    values = yaml.safe_load((ROOT / "pipeline.yaml").read_text())
    by_truth = {name: getattr(settings.monitoring, name) for name in ("truth", "truth_delay_hours", "minimum_accuracy")}
    values["profiles"]["demo"] |= {"monitoring": {"minimum_photos": 10, **by_truth}, "tags": TAGS}
    file = tmp_path_factory.mktemp("settings") / "pipeline.yaml"
    file.write_text(yaml.safe_dump(values))

    def run(*arguments):
        done = CliRunner().invoke(app, ["--profile", "demo", "--settings", str(file), *arguments])
        return done.exit_code, done.stdout, done.stderr

    return run


@pytest.fixture(scope="module")
def counted(call, settings, tmp_path_factory):
    """What `predict` answers to every photo, by its name."""
    file = tmp_path_factory.mktemp("counts") / "counts.csv"
    status, out, error = call("predict", f"{settings.data.image_location}/bin-images/", "--json", "--csv", str(file))
    assert (status, error) == (0, f"wrote {file}\n")
    answers = json.loads(out)
    with file.open(newline="") as lines:
        written = [(row["photo"], int(row["count"]), row["model_version"]) for row in csv.DictReader(lines)]
    assert written == [(answer["source"], answer["count"], answer["model_version"]) for answer in answers]
    return {answer["source"].rsplit("/", 1)[-1]: answer for answer in answers}


def test_the_commands_count_the_same_with_the_endpoint_and_in_a_batch_where_a_bad_photo_stops_no_other(
    call, counted, settings, local_cloud, tmp_path
):
    s3, bucket, prefix = local_cloud.client("s3"), settings.data.bucket, f"{settings.data.prefix}/inbox"
    assert len(counted) == BINS.count
    chosen = sorted(counted)[:4]
    photos = {name: read(s3, f"{settings.data.image_location}/bin-images/{name}") for name in chosen}
    # Above what an endpoint takes: in the comments of the file.
    padding = b"\xff\xfe\xff\xff" + bytes(0xFFFD)
    large = photos[chosen[0]][:2] + padding * 107 + photos[chosen[0]][2:]
    for name, body in {**photos, "large.jpg": large, "notes.jpg": b"no photo"}.items():
        s3.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=body)
    file = tmp_path / "counts.csv"
    status, out, error = call("batch", f"s3://{bucket}/{prefix}/", "--csv", str(file))
    assert status == 1, error
    assert "version 1 over s3://" in error
    assert "notes.jpg: not a JPEG" in error
    with file.open(newline="") as lines:
        rows = {row["photo"]: row for row in csv.DictReader(lines)}
    # The endpoint and the batch job are the same container with the same model.
    wanted = {name: str(counted[name]["count"]) for name in chosen} | {"large.jpg": str(counted[chosen[0]]["count"])}
    assert {name: row["count"] for name, row in rows.items()} == {**wanted, "notes.jpg": ""}
    assert len(large) > 7_000_000
    assert all(name in out for name in wanted)


def test_bins_that_disagree_with_the_metadata_next_to_their_photos_are_listed(call, counted, settings, local_cloud):
    s3 = local_cloud.client("s3")
    names = sorted(counted)
    recorded = {
        name: json.loads(read(s3, f"{settings.data.image_location}/metadata/{name[:-4]}.json"))["EXPECTED_QUANTITY"]
        for name in names
    }
    status, out, error = call(
        "predict", f"{settings.data.image_location}/bin-images/", "--expected", "metadata", "--json"
    )
    assert status == 0, error
    compared = json.loads(out)
    classes = {int(count) for count in counted[names[0]]["probabilities"]}
    usable = [name for name in names if recorded[name] in classes]
    wrong = {name: recorded[name] for name in usable if counted[name]["count"] != recorded[name]}
    listed = {row["photo"].rsplit("/", 1)[-1]: row["recorded"] for row in compared["recount"]}
    assert (compared["photos"], compared["compared"]) == (len(names), len(usable))
    assert listed == wrong
    assert wrong


def test_a_batch_lists_the_bins_that_disagree_with_a_file_in_s3(call, counted, settings, local_cloud, tmp_path):
    s3, bucket, prefix = local_cloud.client("s3"), settings.data.bucket, f"{settings.data.prefix}/recount"
    right, wrong, unrecorded = sorted(counted)[:3]
    for name in (right, wrong, unrecorded):
        body = read(s3, f"{settings.data.image_location}/bin-images/{name}")
        s3.put_object(Bucket=bucket, Key=f"{prefix}/photos/shelf/{name}", Body=body)
    counts = {name: counted[name]["count"] for name in (right, wrong)}
    other = next(int(count) for count in counted[wrong]["probabilities"] if int(count) != counts[wrong])
    table = f"image_id;quantity\n{right[:-4]};{counts[right]}\nshelf/{wrong};{other}\nabsent;1\n"
    s3.put_object(Bucket=bucket, Key=f"{prefix}/records.csv", Body=table.encode())
    listed, page = tmp_path / "recount.csv", tmp_path / "recount.html"
    files = ["--expected", f"s3://{bucket}/{prefix}/records.csv", "--recount", str(listed), "--page", str(page)]
    status, out, error = call("batch", f"s3://{bucket}/{prefix}/photos/", *files)
    assert status == 0, error
    assert "1 of 2 photos disagrees with its record" in out
    assert f"1 photo without a record: shelf/{unrecorded}" in error
    assert "1 record without a photo: absent" in error
    with listed.open(newline="") as lines:
        rows = [(row["photo"], int(row["recorded"]), int(row["counted"])) for row in csv.DictReader(lines)]
    assert rows == [(f"shelf/{wrong}", other, counts[wrong])]
    assert 'src="data:image/jpeg;base64,' in page.read_text()


@pytest.fixture(scope="module")
def wrong(counted, settings, local_cloud):
    """The photo whose true count is another than its answer: all are captured, and all have a true count by then."""
    s3 = local_cloud.client("s3")
    bucket, prefix = settings.captures_uri.removeprefix("s3://").split("/", 1)

    def captured():
        bodies = [read(s3, f"s3://{bucket}/{key}") for key in keys(s3, bucket, f"{prefix}/{settings.endpoint.name}/")]
        return sum(body.count(b"\n") for body in bodies) >= len(counted)

    wait_until(captured)
    wrong, *right = sorted(counted)
    true_counts = [f"{name.rpartition('.')[0]},{counted[name]['count'] + (name == wrong)}" for name in (wrong, *right)]
    place = settings.monitoring.truth.removeprefix(f"s3://{bucket}/")
    s3.put_object(Bucket=bucket, Key=f"{place}/a.csv", Body="\n".join(["image_id,quantity", *true_counts]))
    return wrong


def test_a_schedule_makes_the_monitors_job_over_what_the_endpoint_saw(call, counted, wrong, settings, local_cloud):
    sagemaker = local_cloud.client("sagemaker")
    status, out, error = call("monitor", "--every", "cron(0 3 1 1 ? 2100)")
    assert (status, out.splitlines()[0].split(":")[0]) == (0, "created"), error
    few = settings.model_copy(update={"monitoring": settings.monitoring.model_copy(update={"minimum_photos": 10})})
    due = datetime.now(UTC) + timedelta(seconds=8)
    assert monitoring.schedule(few, f"at({due:%Y-%m-%dT%H:%M:%S})").change == "updated"

    def ended():
        jobs = sagemaker.list_processing_jobs(NameContains="bins-monitor-")["ProcessingJobSummaries"]
        names = [job["ProcessingJobName"] for job in jobs if job["ProcessingJobStatus"] in monitoring.TERMINAL]
        return [name for name in names if re.fullmatch(r"bins-monitor-[0-9a-f]{16}", name)]  # the execution's id

    [name] = wait_until(ended)
    watch = monitoring.describe(settings, name)
    assert (watch.status, watch.failure) == ("Completed", "")
    drift = watch.drift
    assert drift["until"] == f"{due:%Y-%m-%dT%H:%M:%S}Z"
    assert drift["photos"] >= len(counted)
    has_sure = counted[wrong].get("sure") is not None
    assert (drift["model_version"], drift["refused"], len(drift["features"])) == ("1", {}, 6 + has_sure)
    assert (drift["sure_share"] is not None) == has_sure
    truth = drift["truth"]
    assert (truth["photos"], truth["without_truth"]) == (len(counted), 0)
    assert truth["accuracy"] == pytest.approx(1 - 1 / len(counted))
    index = dataset.find(settings, "latest").index
    assert drift["baseline_photos"] == index.splits["test"].samples
    assert call("unschedule", "bins-monitor")[0] == 0
    metrics = local_cloud.client("cloudwatch").list_metrics(Namespace=monitoring.NAMESPACE)["Metrics"]
    names = {metric["MetricName"] for metric in metrics}
    assert {"Drift", "Photos", "PopulationStabilityIndex", "TruePhotos", "Accuracy", "RMSE"} <= names
    assert ("SureShare" in names) == has_sure
    # The alarm of the minimum, which is all photos.
    [message] = wait_until(lambda: [each for each in messages(local_directory()) if "Accuracy" in each.text])
    assert "The accuracy of endpoint bins by true counts is below 1.0. Look: python -m pipeline" in message.shown


def test_the_command_watches_now_and_a_baseline_of_few_photos_is_not_judged_unless_it_is_asked_for(
    call, wrong, settings, local_cloud
):
    status, out, error = call("monitor")
    # Since a true count is another than its answer.
    assert status == DRIFTED, error
    assert "photos of version 1" in out
    assert "is below the minimum of 100.0%" in out
    assert call("monitor", "--last")[:2] == (status, out)
    assert "brightness" in out
    assert f"report: {settings.root_uri}/monitor/" in out
    request = monitoring.job_request(settings, "as-many-as-usual")
    local_cloud.client("sagemaker").create_processing_job(**request)
    watch = monitoring.wait(settings, monitoring.describe(settings, request["ProcessingJobName"]), interval=0.2)
    assert (watch.drift["verdict"], watch.drift["features"]) == ("too-few", [])


def test_the_commands_show_the_endpoint_and_that_there_is_nothing_to_go_back_to(call, counted):
    status, out, _ = call("endpoint")
    lines = [line.split() for line in out.splitlines()]
    assert status == 0
    assert lines[0][:2] == ["bins", "InService"]
    assert ["version", "1"] in [line[:2] for line in lines]
    assert ["last", "deployment", "version", "1", "accepted"] in [
        [word.rstrip(":") for word in line[:5]] for line in lines
    ]
    status, _, error = call("rollback", "--yes")
    assert (status, error) == (1, "no version before 1 is approved; there is none to roll back to\n")


def test_a_version_leads_back_to_its_raw_data(package, settings):
    links = {link.kind: link for link in lineage.read(settings, "1").links}
    assert [kind for kind, link in links.items() if link.note] in ([], ["commit"])
    assert links["run"].facts["status"] == "Succeeded"
    assert links["run"].facts["parameters"]["MaximumRmse"] == "10.0"
    assert links["training_job"].facts["hyperparameters"]["architecture"] == "shufflenet_v2_x0_5"
    assert links["index"].facts["sha256"] == package["CustomerMetadataProperties"]["dataset_sha256"]
    assert links["query"].facts["state"] == "SUCCEEDED"
    assert (links["raw_photos"].id, links["raw_photos"].exists) == (settings.data.image_location, True)
    assert links["raw_photos"].facts["data_version"] == BINS.version


def followed(settings, **parameters):
    """A run of the same bins to its end: as it stands then, its steps by name, and the names of the cached ones."""
    execution = executions.start(settings, {"DataVersion": BINS.version, **parameters})
    *_, last = progress.follow(settings, execution.arn, interval=0.5)
    steps = {step.name: step for step in last.steps}
    return last.execution, steps, {name for name, step in steps.items() if step.cached_from}


CACHED = {"QueryMetadata", "ShardImages", "TuneModel"}


def test_a_second_run_takes_all_that_is_cached_and_a_gate_out_of_reach_fails_it_with_the_numbers(
    whole_run, settings, local_cloud
):
    run, steps, cached = followed(settings, MinimumAccuracy="0.99")
    assert (run.status, cached) == ("Failed", CACHED)
    assert "The model was not registered: accuracy" in run.failure
    assert "(at least 0.99 wanted)" in run.failure
    assert "0.0000 (at most 0.01 allowed; champion: version 1, which is this model), accuracy of" in run.failure
    assert re.search(r" the surest 50% of the photos [01]\.\d{4} \(no threshold\)$", run.failure)
    assert not {"RegisterModel", "DeployModel"} & set(steps)
    assert len(registry.versions(settings, 10)) == 1


def test_a_second_run_of_a_cached_model_registers_nothing_though_its_gate_asks_for_a_gain(
    whole_run, settings, local_cloud, call
):
    run, steps, cached = followed(settings, MaximumAccuracyLoss="-0.01")
    assert (run.status, cached) == ("Succeeded", CACHED)
    assert set(steps) == CACHED | {"CheckParameters", "EvaluateModel", "QualityGate", "NewVersion"}
    outcomes = [steps[name].metadata["Condition"]["Outcome"] for name in ("QualityGate", "NewVersion")]
    assert outcomes == ["True", "False"]
    assert len(registry.versions(settings, 10)) == 1
    same = registrations.of_run(settings, run)
    assert (same.withheld, same.version, same.status) == (True, 1, "Approved")
    document = json.loads(read(local_cloud.client("s3"), registrations.evaluation_uri(settings, run.id)))
    assert document["champion"]["this_model"] is True
    assert document["gate"]["accuracy_loss"] == -0.01
    status, out, _ = call("watch", run.id)
    assert status == 0
    registration, report = out.splitlines()[-2:]
    assert registration == (
        "nothing was registered: version 1 (Approved) is this model already;"
        " to register it again: registry.register_again, or RegisterAgain=yes for one run"
    )
    assert report.startswith("its report: ")
    [row] = [line for line in call("runs")[1].splitlines() if line.startswith(run.id)]
    assert row.rstrip().endswith("is version 1 already")


def test_the_same_model_is_registered_again_where_that_is_asked_for(whole_run, settings, local_cloud):
    run, steps, cached = followed(settings, RegisterAgain="yes")
    arn = steps["RegisterModel"].arn("RegisterModel")
    try:
        assert (run.status, cached) == ("Succeeded", CACHED)
        versions = registry.versions(settings, 10)
        assert [version.status for version in versions] == ["PendingManualApproval", "Approved"]
        assert versions[0].arn == arn
        assert registrations.of_run(settings, run).version == 1
    finally:
        # The other tests are about one version; operators, as whom the demo ends, delete none.
        with as_administrator():
            local_cloud.client("sagemaker").delete_model_package(ModelPackageName=arn)


def test_the_data_set_of_a_run_is_read_by_its_name(execution, settings, local_cloud):
    run = execution["PipelineExecutionArn"].rsplit("/", 1)[1]
    data = dataset.find(settings, run)
    assert sum(split.samples for split in data.index.splits.values()) > 100
    assert data.summary.leakage.split.same_bin == 0
    assert data.summary.kept == 0


def test_the_notebook_opens_the_run_its_trials_and_its_predictions(whole_run, execution, tmp_path):
    folder, run = ROOT / "docs", execution["PipelineExecutionArn"].rsplit("/", 1)[1]
    notebook = nbformat.read(folder / "explore.ipynb", as_version=4)
    # Other tests may have started runs and registered versions since.
    for was, chosen in (('RUN = "latest"', f'RUN = "{run}"'), ('VERSION = "latest"', 'VERSION = "1"')):
        [cell] = [cell for cell in notebook.cells if f"\n{was}" in cell.source]
        cell.source = re.sub(rf"^{was}", chosen, cell.source, flags=re.MULTILINE)
    # Its kernel is another process: what it reads is in the environment, as for a person.
    environment = {**os.environ, "PIPELINE_PROFILE": "demo", "MPLCONFIGDIR": str(tmp_path), "IPYTHONDIR": str(tmp_path)}
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute(env=environment)
    text, pictures = "", 0
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        text += output.get("text") or output.get("data", {}).get("text/plain", "")
        pictures += "image/png" in output.get("data", {})
    for words in (
        f"run {run} of bins",
        "ShardImages",
        "above-maximum",
        "learning-rate",
        "version 1, Approved",
        "quantity",
    ):
        assert words in text, text
    assert pictures == 6


def test_after_down_and_up_an_approval_still_finds_its_function(whole_run, local_cloud):
    def pipeline(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "pipeline", *arguments], capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout

    assert pipeline("local", "down") == "stopped\n"
    assert pipeline("local", "up").startswith("running: pid ")
    rules = aws("events", "list-rules")["Rules"]
    assert {rule["Name"] for rule in rules} >= {"bins-deploy-on-approval", "bins-deploy-after-change"}
    for rule in rules:
        [target] = aws("events", "list-targets-by-rule", "--rule", rule["Name"])["Targets"]
        assert aws("lambda", "get-function", "--function-name", target["Arn"])["Configuration"]["State"] == "Active"
