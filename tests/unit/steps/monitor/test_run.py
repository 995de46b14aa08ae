"""The monitor as a job: it reads captures in S3 and writes a report, metrics and a pipeline run."""

import base64
import json
import os
import subprocess
import sys
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta

import boto3
import moto
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError

from pipeline import ROOT
from steps.contracts.artifact import Calibration
from steps.contracts.drift import Drift
from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.monitor import alert, captures, serving
from steps.monitor.run import Window, evaluate, read_window, run
from steps.monitor.serving import ServedVersion
from steps.monitor.settings import Settings
from steps.photos.statistics import SCHEMA, Levels, measure, read_baseline, read_levels, row, write_baseline
from tests.unit.steps.arguments import MONITOR, flags_of
from tests.unit.steps.monitor.photos import darker, edited, jpegs, population

UNTIL = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
PHOTOS = 60
CALIBRATION = Calibration(
    temperature=1.2, level=0.9, least_probability=0.1, sure_accuracy=0.98, sure_confidence=0.7, bins=500
)


def answer(count=2, version="3", **calibrated):
    probabilities = {str(count): 0.75, "9": 0.25}
    return {"count": count, "probabilities": probabilities, "expected": 2.0, "model_version": version, **calibrated}


def line(sent, received, at=UNTIL - timedelta(minutes=5), content_type="image/jpeg", inference_id=None):
    """A line of SageMaker's data capture."""
    data = base64.b64encode(sent).decode()
    side = {"observedContentType": content_type, "mode": "INPUT", "data": data, "encoding": "BASE64"}
    other = {"observedContentType": "application/json", "mode": "OUTPUT", "data": received, "encoding": "JSON"}
    stamp = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    metadata = {"eventId": str(uuid.uuid4()), "inferenceTime": stamp}
    if inference_id is not None:
        metadata["inferenceId"] = inference_id
    captured = {"endpointInput": side, "endpointOutput": other}
    return json.dumps({"captureData": captured, "eventMetadata": metadata, "eventVersion": "0"})


def put(s3, bucket, lines, hour="2026/11/23/12", name="a.jsonl"):
    body = "\n".join(lines) if isinstance(lines, list) else lines
    s3.put_object(Bucket=bucket, Key=f"captures/bins/AllTraffic/{hour}/{name}", Body=body)


def settings(bucket, **more):
    chosen = {"captures": f"s3://{bucket}/captures", "hours": 2, "until": UNTIL, "minimum_photos": 50, **more}
    return Settings(**{**MONITOR, **chosen})


def counted(s3, bucket, hours=2):
    refused = Counter()
    place = S3Uri(bucket, "captures/bins/AllTraffic")
    return list(captures.read(place, UNTIL, hours, refused)), refused


@pytest.mark.parametrize(
    ("hours", "first", "number"),
    [(1, "2026/11/23/11", 3), (2, "2026/11/23/10", 4), (24, "2026/11/22/12", 26)],
)
def test_a_window_touches_every_hour_that_it_has_a_part_of_and_the_next(hours, first, number):
    folders = captures.hours_of(UNTIL, hours)
    assert (folders[0], folders[-1], len(folders)) == (first, "2026/11/23/13", number)


def test_a_window_that_ends_on_the_hour_looks_no_further_than_what_was_written_in_the_next_one():
    assert captures.hours_of(UNTIL.replace(minute=0), 1) == ["2026/11/23/11", "2026/11/23/12"]


def test_what_was_written_after_the_windows_end_belongs_to_it_by_its_own_time(s3, bucket):
    good = json.dumps(answer())
    late, other = line(b"late", good, at=UNTIL - timedelta(seconds=1)), line(b"other", good, at=UNTIL)
    put(s3, bucket, [late, other], hour="2026/11/23/13")
    photos, refused = counted(s3, bucket)
    assert [photo.jpeg for photo in photos] == [b"late"]
    assert not refused


def test_photos_are_read_one_by_one_or_several_in_a_request(s3, bucket):
    single, several = jpegs()[0], [base64.b64encode(jpeg).decode() for jpeg in jpegs()[1:3]]
    answers = json.dumps({"predictions": [answer(1), answer(4)]})
    put(
        s3,
        bucket,
        [
            line(single, json.dumps(answer())),
            line(json.dumps({"images": several}).encode(), answers, content_type="application/json"),
            line(json.dumps({"image": several[0]}).encode(), json.dumps(answer(5)), content_type="application/json"),
        ],
    )
    photos, refused = counted(s3, bucket)
    assert [photo.answer.count for photo in photos] == [2, 1, 4, 5]
    assert [photo.photos_in_request for photo in photos] == [1, 2, 2, 1]
    assert [photo.jpeg for photo in photos] == [single, *jpegs()[1:3], jpegs()[1]]
    assert (photos[0].answer.confidence, photos[0].answer.model_version) == (0.75, "3")
    assert (photos[0].answer.sure, photos[0].answer.prediction_set, photos[0].inference_id) == (None, None, "")
    assert not refused


def test_an_answer_has_what_the_calibration_adds_and_the_id_of_its_request(s3, bucket):
    calibrated = json.dumps(answer(sure=True, prediction_set=[2, 3]))
    put(s3, bucket, [line(b"x", calibrated, inference_id="photo-1")])
    [photo], refused = counted(s3, bucket)
    assert (photo.answer.sure, photo.answer.prediction_set, photo.inference_id) == (True, (2, 3), "photo-1")
    assert photo.at == UNTIL - timedelta(minutes=5)
    assert not refused


@pytest.mark.parametrize(
    ("answers", "share"),
    [
        ([{"sure": True}, {"sure": True}, {"sure": False}, {"sure": True}], 0.75),
        ([{"sure": True}, {}, {"sure": False}, {"sure": True}], None),
        ([{}, {}, {}, {}], None),
    ],
    ids=["calibrated", "mixed", "not calibrated"],
)
def test_the_share_of_sure_answers_is_that_of_answers_which_all_tell(s3, bucket, answers, share):
    lines = [line(jpeg, json.dumps(answer(**more))) for jpeg, more in zip(jpegs(), answers, strict=False)]
    put(s3, bucket, lines)
    window = read_window(settings(bucket), "3")
    assert window.sure_share == share
    assert ("sure" in window.columns) == (share is not None)
    if share is not None:
        assert window.columns["sure"].tolist() == [1, 1, 0, 1]


def test_only_the_window_is_read(s3, bucket):
    good = json.dumps(answer())
    put(s3, bucket, [line(b"x", good, at=UNTIL - timedelta(hours=2, seconds=1))], hour="2026/11/23/10")
    put(s3, bucket, [line(b"x", good, at=UNTIL - timedelta(hours=2))], hour="2026/11/23/10", name="b.jsonl")
    put(s3, bucket, [line(b"x", good, at=UNTIL)])
    put(s3, bucket, ["never listed"], hour="2026/11/23/09")
    photos, refused = counted(s3, bucket)
    assert len(photos) == 1
    assert not refused


def test_what_cannot_be_used_is_counted_by_its_reason_and_the_rest_goes_on(s3, bucket):
    good = json.dumps(answer())
    lines = [
        "{not json",
        json.dumps({"captureData": {}}),
        line(b"x", json.dumps({"error": "refused"})),
        line(b"a,b", good, content_type="text/csv"),
        line(json.dumps({"images": ["AA==", "AA=="]}).encode(), good, content_type="application/json"),
        "[" * 100_000,
        line(b"x", good),
        "",
    ]
    put(s3, bucket, lines)
    photos, refused = counted(s3, bucket)
    assert len(photos) == 1
    assert refused == {
        captures.DAMAGED: 4,
        captures.OTHER: 1,
        captures.UNPAIRED: 1,
    }


def test_a_line_without_an_end_costs_no_memory_and_the_next_one_is_read(s3, bucket, monkeypatch):
    monkeypatch.setattr(captures, "LONGEST_LINE", 100_000)
    monkeypatch.setattr(captures, "CHUNK", 10_000)
    good = line(b"x", json.dumps(answer()))
    put(s3, bucket, "y" * 1_000_000 + "\n" + good + "\n" + good)
    photos, refused = counted(s3, bucket)
    assert len(photos) == 2
    assert refused == {captures.LONG: 1}


def test_a_sample_is_measured_and_photos_of_other_versions_are_not(s3, bucket):
    lines = [line(jpeg, json.dumps(answer())) for jpeg in jpegs()[:PHOTOS]]
    lines += [line(jpegs()[0], json.dumps(answer(version="2"))), line(b"no photo", json.dumps(answer()))]
    put(s3, bucket, lines)
    window = read_window(settings(bucket, maximum_photos=20), "3")
    assert (window.photos, window.other_versions) == (PHOTOS + 1, 1)
    assert len(window.columns["brightness"]) == 20
    again = read_window(settings(bucket, maximum_photos=20), "3")
    assert (window.columns["bytes"] == again.columns["bytes"]).all()
    every = read_window(settings(bucket), "3")
    assert len(every.columns["brightness"]) == PHOTOS
    assert every.refused == {"photo cannot be decoded": 1}


def drift(**more):
    window = {name: values[:300] for name, values in population(darker).items()}

    return evaluate(
        settings("bucket", **more),
        ServedVersion("3", "s3://b/baseline.parquet"),
        population(),
        Window(window, 300, 0, Counter(), 0.8),
    )


def test_the_drifted_features_are_named():
    result = drift()
    assert result.verdict == "drift"
    assert "brightness" in result.drifted
    assert "pixels" not in result.drifted
    assert Drift.model_validate_json(result.model_dump_json()) == result


def test_too_few_photos_are_not_compared():
    result = drift(minimum_photos=301)
    assert (result.verdict, result.features) == ("too-few", [])


def test_a_fall_of_the_share_of_sure_counts_is_a_drift_by_itself():
    """Less than half as many sure counts: their stability index is below `minimum_psi`."""
    baseline = {**population(), "sure": (np.arange(len(population()["sure"])) % 8 == 0).astype(np.int8)}
    window = {name: np.tile(values, 4) for name, values in baseline.items()}
    window["sure"] = (np.arange(len(window["sure"])) % 20 == 0).astype(np.int8)
    served = ServedVersion("3", "s3://b/baseline.parquet")
    result = evaluate(settings("bucket"), served, baseline, Window(window, len(window["sure"]), 0, Counter()))
    assert (result.verdict, result.drifted) == ("drift", ["sure"])
    (sure,) = (feature for feature in result.features if feature.name == "sure")
    assert sure.psi < result.minimum_psi


def test_an_empty_window_is_not_compared():
    served = ServedVersion("3", "s3://b/baseline.parquet")
    result = evaluate(settings("bucket", minimum_photos=1), served, population(), Window({}, 0, 0, Counter()))
    assert (result.verdict, result.compared, result.features) == ("too-few", 0, [])


@pytest.fixture
def account(monkeypatch):
    """moto's account, with a pipeline."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with moto.mock_aws():
        yield boto3.client("sagemaker", region_name="us-east-1")


@pytest.mark.usefixtures("account")
def test_metrics_are_put_for_the_endpoint_and_each_feature():
    cloudwatch = boto3.client("cloudwatch", region_name="us-east-1")
    alert.put_metrics(cloudwatch, "BinCounting", drift())
    metrics = cloudwatch.list_metrics(Namespace="BinCounting")["Metrics"]
    names = sorted({metric["MetricName"] for metric in metrics})
    assert names == ["Drift", "Photos", "PopulationStabilityIndex", "SureShare"]
    features = {d["Value"] for metric in metrics for d in metric["Dimensions"] if d["Name"] == "Feature"}
    assert features == {"predicted", "confidence", "sure", "brightness", "sharpness", "pixels", "bytes"}


class Pipelines:
    """ListPipelineExecutions and StartPipelineExecution: runs by status and days before the window's end."""

    def __init__(self, *runs, error=""):
        self.runs, self.error, self.started = runs, error, []

    def get_paginator(self, operation):
        assert operation == "list_pipeline_executions"
        return self

    def paginate(self, PipelineName, SortBy, SortOrder, **_):
        assert (SortBy, SortOrder) == ("CreationTime", "Descending")
        runs = [
            {
                "PipelineExecutionArn": f"arn:run-{number}",
                "PipelineExecutionStatus": status,
                "StartTime": UNTIL - timedelta(days=days),
            }
            for number, (status, days) in enumerate(self.runs)
        ]
        return [{"PipelineExecutionSummaries": runs}]

    def start_pipeline_execution(self, **request):
        if self.error:
            raise ClientError({"Error": {"Code": self.error, "Message": "no"}}, "StartPipelineExecution")
        self.started.append(request)
        return {"PipelineExecutionArn": "arn:run"}


def test_a_drift_starts_a_run_that_queries_the_data_again_and_the_same_window_is_the_same_request():
    pipelines = Pipelines(("Succeeded", 8), ("Failed", 9))
    assert alert.retrain(pipelines, "bins", drift(), 7) == "arn:run"
    alert.retrain(pipelines, "bins", drift(), 7)
    first, second = pipelines.started
    assert first["PipelineParameters"] == [{"Name": "DataVersion", "Value": "drift-20261123T123000Z"}]
    assert first["ClientRequestToken"] == second["ClientRequestToken"]
    assert "brightness" in first["PipelineExecutionDescription"]
    from pipeline.aws.validation import validate_request

    assert validate_request("sagemaker", "StartPipelineExecution", first) == []


def test_while_a_run_is_under_way_no_other_is_started():
    pipelines = Pipelines(("Executing", 8), ("Succeeded", 9))
    assert alert.retrain(pipelines, "bins", drift(), 7) == ""
    assert pipelines.started == []


@pytest.mark.parametrize("status", ["Succeeded", "Failed", "Stopped"])
def test_a_drift_that_lasts_starts_no_second_run_in_the_cool_down_and_says_which_was_the_first(status, caplog):
    pipelines = Pipelines((status, 6.9), ("Succeeded", 30))
    assert alert.retrain(pipelines, "bins", drift(), 7) == ""
    assert pipelines.started == []
    assert f"bins was started already (arn:run-0, {status}); no other run before 2026-11-23T14:54+00:00" in caplog.text
    assert alert.retrain(pipelines, "bins", drift(), 6) == "arn:run"


def test_a_run_that_cannot_be_started_is_an_error_with_the_pipelines_name():
    with pytest.raises(StepError, match=r"the pipeline bins cannot be started.*AccessDenied"):
        alert.retrain(Pipelines(error="AccessDeniedException"), "bins", drift(), 7)


class Account(Pipelines):
    """An endpoint that serves version 3, CloudWatch, and the pipeline's runs."""

    def __init__(self, baseline, **more):
        super().__init__(**more)
        self.baseline, self.metrics, self.refuses_metrics = baseline, {}, False

    def describe_endpoint(self, EndpointName):
        return {"EndpointConfigName": "c"}

    def describe_endpoint_config(self, EndpointConfigName):
        return {"ProductionVariants": [{"ModelName": "m"}]}

    def describe_model(self, ModelName):
        return {"ModelName": "m", "Containers": [{"ModelPackageName": "arn:aws:sagemaker:::model-package/bins/3"}]}

    def describe_model_package(self, ModelPackageName):
        return {"DriftCheckBaselines": {"ModelDataQuality": {"Statistics": {"S3Uri": self.baseline}}}}

    def put_metric_data(self, Namespace, MetricData):
        if self.refuses_metrics:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no metrics"}}, "PutMetricData")
        self.metrics |= {datum["MetricName"]: datum["Value"] for datum in MetricData}


@pytest.fixture
def watched(s3, bucket, monkeypatch, tmp_path):
    """A function that runs the job on photos, against a baseline of the usual ones."""
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    usual = [row(str(number), 2, 0.75, measure(jpeg)) for number, jpeg in enumerate(jpegs()[:PHOTOS])]
    write_baseline(tmp_path / "baseline", usual)
    s3.upload_file(str(tmp_path / "baseline"), bucket, "baseline.parquet")
    account = Account(f"s3://{bucket}/baseline.parquet")
    monkeypatch.setattr(boto3, "client", lambda service: account)

    def watch(photos, **more):
        put(s3, bucket, [line(jpeg, json.dumps(answer())) for jpeg in photos])
        run(settings(bucket, **more))

    return account, watch, tmp_path / "processing" / "output" / "report"


def dark():
    return [edited(jpeg, darker) for jpeg in jpegs()[:PHOTOS]]


def test_a_drift_is_reported_measured_and_sets_off_one_run(watched):
    account, watch, output = watched
    watch(dark(), retrain="bins")
    result = Drift.model_validate_json((output / "drift.json").read_text())
    assert result.verdict == "drift"
    for feature in result.features:
        assert sum(part.baseline for part in feature.bins) == pytest.approx(1)
        assert sum(part.window for part in feature.bins) == pytest.approx(1)
    assert "Brightness: " in (output / "report.html").read_text()
    assert (account.metrics["Drift"], account.metrics["Photos"]) == (1.0, PHOTOS)
    [started] = account.started
    assert started["PipelineName"] == "bins"
    assert "at endpoint bins" in started["PipelineExecutionDescription"]


@pytest.mark.parametrize(("photos", "retrain"), [("usual", "bins"), ("dark", "")], ids=["no drift", "not asked for"])
def test_no_run_is_started_without_a_drift_or_unasked(watched, photos, retrain):
    account, watch, _ = watched
    watch(dark() if photos == "dark" else jpegs()[:PHOTOS], retrain=retrain)
    assert account.metrics["Drift"] == float(photos == "dark")
    assert account.started == []


def test_an_account_that_refuses_metrics_trains_all_the_same_and_the_job_fails_with_its_report(watched):
    account, watch, output = watched
    account.refuses_metrics = True
    with pytest.raises(ClientError, match="no metrics"):
        watch(dark(), retrain="bins")
    assert len(account.started) == 1
    assert (output / "drift.json").exists()


def truth_with(s3, bucket, quantity):
    """A photo of 48 hours before with its true count in a table, and the settings by which it is compared."""
    earlier = UNTIL - timedelta(hours=48)
    captured = line(b"x", json.dumps(answer()), at=earlier - timedelta(minutes=5), inference_id="a")
    put(s3, bucket, [captured], hour=f"{earlier:%Y/%m/%d/%H}")
    s3.put_object(Bucket=bucket, Key="truth/a.csv", Body=f"image_id,quantity\na,{quantity}\n")
    return {"truth": f"s3://{bucket}/truth", "truth_delay_hours": 48}


@pytest.mark.parametrize("quantity", ["two", "--5", "9" * 5000], ids=["a word", "two signs", "5,000 digits"])
def test_a_quantity_that_is_no_number_hides_no_drift(s3, bucket, watched, quantity):
    account, watch, output = watched
    with pytest.raises(StepError, match=f"line 2 has quantity '{quantity[:40]}'"):
        watch(dark(), retrain="bins", **truth_with(s3, bucket, quantity))
    assert Drift.model_validate_json((output / "drift.json").read_text()).verdict == "drift"
    assert account.metrics["Drift"] == 1.0
    assert len(account.started) == 1


def test_a_wrong_table_of_true_counts_hides_no_drift_and_fails_the_job_after_its_report(s3, bucket, watched):
    account, watch, output = watched
    asked = truth_with(s3, bucket, "two")
    with pytest.raises(StepError, match="line 2 has quantity 'two'"):
        watch(jpegs()[:PHOTOS], **asked)
    assert (account.metrics["Drift"], account.metrics["Photos"]) == (0.0, PHOTOS)
    assert "TruePhotos" not in account.metrics
    assert "Not compared: " in (output / "report.html").read_text()
    s3.put_object(Bucket=bucket, Key="truth/a.csv", Body="image_id,quantity\na,2\n")
    watch(jpegs()[:PHOTOS], **asked)
    assert Drift.model_validate_json((output / "drift.json").read_text()).truth.photos == 1
    assert account.metrics["Accuracy"] == 1.0


def test_the_cool_down_is_the_settings(watched):
    account, watch, _ = watched
    account.runs = [("Succeeded", 2)]
    watch(dark(), retrain="bins", cooldown_days=3)
    assert account.started == []
    watch(dark(), retrain="bins", cooldown_days=1)
    assert len(account.started) == 1


def test_a_missing_endpoint_is_named(account):
    with pytest.raises(StepError, match="endpoint bins does not exist"):
        serving.find(account, "bins")


def test_the_versions_own_baseline_is_found(account, monkeypatch):
    statistics = {"ContentType": "x", "S3Uri": "s3://b/evaluation/baseline.parquet"}
    package = {"DriftCheckBaselines": {"ModelDataQuality": {"Statistics": statistics}}}
    monkeypatch.setattr(account, "describe_model_package", lambda ModelPackageName: package)
    arn = "arn:aws:sagemaker:us-east-1:123456789012:model-package/bins/4"
    role = "arn:aws:iam::123456789012:role/serving"
    account.create_model(ModelName="m", ExecutionRoleArn=role, Containers=[{"ModelPackageName": arn}])
    variant = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.c5.xlarge"}
    account.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    account.create_endpoint(EndpointName="bins", EndpointConfigName="c")
    assert serving.find(account, "bins") == ServedVersion("4", "s3://b/evaluation/baseline.parquet")
    assert serving.find(account, "bins", "s3://b/other").baseline == "s3://b/other"
    package.clear()
    with pytest.raises(StepError, match="version 4 has no baseline"):
        serving.find(account, "bins")


def test_a_wrong_argument_is_the_jobs_failure_reason(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SAGEMAKER_BASE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "steps.monitor", *flags_of(MONITOR), "--until", "noon"]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=240, check=False)
    assert done.returncode == 1
    assert "--until is 'noon': write a time like" in (tmp_path / "output" / "message").read_text()


def test_the_report_of_too_few_photos_names_both_numbers(tmp_path):
    from steps.monitor.report import write_report

    write_report(tmp_path / "report.html", drift(minimum_photos=301), population(), {})
    page = (tmp_path / "report.html").read_text()
    assert "300 usable photos in the window" in page
    assert "at least 301 of each are required" in page


def test_the_report_shows_each_feature(tmp_path):
    from steps.monitor.report import write_report

    window = {name: values[:300] for name, values in population(darker).items()}
    hostile = drift().model_copy(update={"endpoint": "<script>alert(1)</script>", "refused": {"<script>": 1}})
    write_report(tmp_path / "report.html", hostile, population(), window)
    page = (tmp_path / "report.html").read_text()
    assert "<script" not in page
    assert "Endpoint &lt;script&gt;alert(1)&lt;/script&gt;, version 3" in page
    assert page.count("<svg") == 7
    assert "<td>Sure counts<br>" in page.replace(" drifted", "")
    assert "Brightness: " in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_a_baseline_is_read_as_it_was_written(tmp_path):
    rows = [row(str(number), 2, 0.5, measure(jpeg)) for number, jpeg in enumerate(jpegs()[:5])]
    write_baseline(tmp_path / "b", rows)
    baseline = read_baseline((tmp_path / "b").read_bytes(), "b")
    assert baseline["brightness"].tolist() == [measured["brightness"] for measured in rows]
    assert "sure" not in baseline
    assert read_levels((tmp_path / "b").read_bytes(), "b") is None
    calibrated = [{**measured, "sure": number > 1} for number, measured in enumerate(rows)]
    write_baseline(tmp_path / "b", calibrated, CALIBRATION)
    assert read_baseline((tmp_path / "b").read_bytes(), "b")["sure"].tolist() == [0, 0, 1, 1, 1]
    assert read_levels((tmp_path / "b").read_bytes(), "b") == Levels(sets=0.9, sure=0.98)
    write_baseline(tmp_path / "b", [])
    with pytest.raises(StepError, match="the baseline holds no photo"):
        read_baseline((tmp_path / "b").read_bytes(), "b")
    with pytest.raises(StepError, match="b: not a baseline"):
        read_baseline(b"PAR1", "b")


def test_a_baseline_of_an_earlier_evaluation_has_no_column_of_sure_counts(tmp_path):
    rows = [row(str(number), 2, 0.5, measure(jpeg)) for number, jpeg in enumerate(jpegs()[:5])]
    earlier = pa.Table.from_pylist(rows, SCHEMA).drop_columns(["sure"])
    pq.write_table(earlier, tmp_path / "b")
    baseline = read_baseline((tmp_path / "b").read_bytes(), "b")
    assert list(baseline) == ["predicted", "confidence", "brightness", "sharpness", "pixels", "bytes"]
    assert read_levels((tmp_path / "b").read_bytes(), "b") is None


def test_levels_that_are_damaged_are_an_error_with_the_baselines_name(tmp_path):
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({"set_level": "much"}), tmp_path / "b")
    with pytest.raises(StepError, match="s3://b/x: the levels of the calibration cannot be read"):
        read_levels((tmp_path / "b").read_bytes(), "s3://b/x")


def test_a_feature_that_the_baseline_or_the_window_lacks_is_not_compared():
    window = {name: values[:300] for name, values in population(darker).items()}
    served = ServedVersion("3", "s3://b/baseline.parquet")
    without = {name: values for name, values in population().items() if name != "sure"}
    for baseline, seen in ((without, window), (population(), {n: v for n, v in window.items() if n != "sure"})):
        result = evaluate(settings("bucket"), served, baseline, Window(seen, 300, 0, Counter()))
        assert "sure" not in [feature.name for feature in result.features]
        assert "brightness" in result.drifted


def test_darkness_blur_and_size_are_what_the_numbers_say():
    from tests.unit.steps.monitor.photos import blurred, same

    jpeg = jpegs()[3]
    before, dark, soft = (measure(edited(jpeg, edit)) for edit in (same, darker, blurred))
    assert dark.brightness == pytest.approx(0.7 * before.brightness, rel=0.03)
    assert soft.sharpness < before.sharpness / 2
    assert soft.pixels == before.pixels
    assert soft.bytes < before.bytes
