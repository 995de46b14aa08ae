import io
import json
import re
import tarfile
import uuid
from datetime import UTC, datetime, timedelta
from statistics import median

import pytest
from botocore.exceptions import ClientError

from pipeline.local import faults
from tests.integration.conftest import ROLE, keys, read, wait_until

# Accuracy grows with the rate; the running best is printed last, after a better and a worse epoch.
TRAIN = """
    import argparse, json, os, pathlib
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float)
    parser.add_argument("--epochs", type=int)
    arguments = parser.parse_args()
    base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
    (base / "checkpoints" / os.environ["TRAINING_JOB_NAME"]).mkdir(parents=True)
    (base / "checkpoints" / os.environ["TRAINING_JOB_NAME"] / "last").write_text("checkpoint")
    (base / "model/model.json").write_text(json.dumps(vars(arguments)))
    print("read", (base / "input/data/index/part.json").read_text())
    for accuracy in (arguments.rate / 2, arguments.rate, arguments.rate / 3):
        print(f"validation:accuracy={accuracy:.4f} validation:best={arguments.rate:.4f}", flush=True)
"""
# Nine epochs, unless it is stopped: then it leaves what it has, as the trainer does.
EPOCHS = """
    import argparse, os, pathlib, signal, sys, time
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float)
    parser.add_argument("--epochs", type=int)
    arguments = parser.parse_args()
    base, epoch = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]), 0
    folder = base / "checkpoints" / os.environ["TRAINING_JOB_NAME"]
    folder.mkdir(parents=True)
    def save(*_):
        (folder / "saved").write_text(str(epoch))
        sys.exit(143)
    signal.signal(signal.SIGTERM, save)
    for epoch in range(1, arguments.epochs + 1):
        (base / "model/model.json").write_text(str(epoch))
        print(f"epoch={epoch} validation:best={arguments.rate * (1 - 0.5 ** epoch):.6f}", flush=True)
        time.sleep(PAUSE)
"""
# How long a trial waits after an epoch: one below the median of those before it waits for its stop.
PAUSE = """
    import pathlib, statistics
    def pause(rate, rates=pathlib.Path(RATES)):
        with rates.open("a") as file:
            file.write(f"{rate}\\n")
        before = [other for other in map(float, rates.read_text().split()) if other != rate]
        return 60 if before and rate < statistics.median(before) else 0.1
"""
DISTRIBUTED = """
    import os, pathlib, torch.distributed as distributed, torch
    distributed.init_process_group("gloo")
    total = torch.ones(1)
    distributed.all_reduce(total)
    base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
    rank, size = distributed.get_rank(), distributed.get_world_size()
    print(f"rank {rank} of {size} in {base.name} sum={total.item()}", flush=True)
    if distributed.get_rank() == 0:
        (base / "model/world").write_text(str(distributed.get_world_size()))
    distributed.destroy_process_group()
"""

WARM_START = {
    "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "parent"}],
    "WarmStartType": "IdenticalDataAndAlgorithm",
}


@pytest.fixture
def bucket(local_cloud):
    bucket = local_cloud.bucket()
    local_cloud.client("s3").put_object(Bucket=bucket, Key="index/part.json", Body=b"{}")
    return bucket


def definition(bucket, image, instances=1, **hyperparameters):
    return {
        "AlgorithmSpecification": {
            "TrainingImage": image,
            "TrainingInputMode": "File",
            "MetricDefinitions": [
                {"Name": name, "Regex": f"{name}=([0-9.]+)"} for name in ("validation:accuracy", "validation:best")
            ],
        },
        "RoleArn": ROLE,
        "InputDataConfig": [
            {
                "ChannelName": "index",
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/index"}},
            }
        ],
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/models"},
        "CheckpointConfig": {"S3Uri": f"s3://{bucket}/checkpoints", "LocalPath": "/opt/ml/checkpoints"},
        "ResourceConfig": {"InstanceCount": instances, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        "StaticHyperParameters": {
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": "/opt/ml/code",
            **hyperparameters,
        },
    }


def tuning(bucket, image, trials=3, strategy="Random", **hyperparameters):
    return {
        "HyperParameterTuningJobName": f"t-{uuid.uuid4().hex[:10]}",
        "HyperParameterTuningJobConfig": {
            "Strategy": strategy,
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "validation:best"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": trials, "MaxParallelTrainingJobs": 2},
            "ParameterRanges": {
                "ContinuousParameterRanges": [
                    {"Name": "rate", "MinValue": "0.1", "MaxValue": "0.9", "ScalingType": "Logarithmic"}
                ]
            },
            "RandomSeed": 7,
        },
        "TrainingJobDefinition": definition(bucket, image, epochs="2", **hyperparameters),
    }


def finish_tuning(sagemaker, request):
    sagemaker.create_hyper_parameter_tuning_job(**request)
    name = request["HyperParameterTuningJobName"]

    def ended():
        described = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        return described if described["HyperParameterTuningJobStatus"] in ("Completed", "Failed", "Stopped") else None

    return wait_until(ended)


def trials_of(sagemaker, name, **more):
    return sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName=name, **more)[
        "TrainingJobSummaries"
    ]


def finish_training(sagemaker, request):
    request = {**request, "TrainingJobName": f"job-{uuid.uuid4().hex[:10]}"}
    request["HyperParameters"] = request.pop("StaticHyperParameters")
    sagemaker.create_training_job(**request)

    def ended():
        described = sagemaker.describe_training_job(TrainingJobName=request["TrainingJobName"])
        return described if described["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") else None

    return wait_until(ended)


@pytest.mark.parametrize("strategy", ["Random", "Bayesian"])
def test_trials_are_ranked_by_the_latest_value_of_the_objective(local_cloud, sagemaker, bucket, strategy):
    request = tuning(bucket, local_cloud.image(TRAIN, "train.py"), strategy=strategy)
    described = finish_tuning(sagemaker, request)
    name = request["HyperParameterTuningJobName"]
    ranked = trials_of(sagemaker, name, SortBy="FinalObjectiveMetricValue", SortOrder="Descending")
    rates = [float(trial["TunedHyperParameters"]["rate"]) for trial in ranked]
    values = [trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for trial in ranked]
    assert described["HyperParameterTuningJobStatus"] == "Completed"
    assert described["TrainingJobStatusCounters"]["Completed"] == 3
    assert len(set(rates)) == 3
    assert all(0.1 <= rate <= 0.9 for rate in rates)
    assert rates == sorted(rates, reverse=True)
    assert values == pytest.approx(rates, abs=1e-4)
    assert described["BestTrainingJob"]["TrainingJobName"] == ranked[0]["TrainingJobName"]
    curve = metrics_of(local_cloud, ranked[0]["TrainingJobName"], "validation:accuracy")
    assert curve["SampleCount"] == 3
    assert curve["Maximum"] == pytest.approx(rates[0], abs=1e-4)


def metrics_of(local_cloud, job, metric):
    """Statistics of a training job's metric, in the request of the SDK's TrainingJobAnalytics."""
    now = datetime.now(UTC)

    def measured():
        points = local_cloud.client("cloudwatch").get_metric_statistics(
            Namespace="/aws/sagemaker/TrainingJobs",
            MetricName=metric,
            Dimensions=[{"Name": "TrainingJobName", "Value": job}],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(hours=1),
            Period=24 * 3600,
            Statistics=["SampleCount", "Maximum"],
        )["Datapoints"]
        # A period may end between two values.
        count = sum(point["SampleCount"] for point in points)
        return {"SampleCount": count, "Maximum": max(point["Maximum"] for point in points)} if count >= 3 else None

    return wait_until(measured)


def test_hyperband_stops_losing_trials_which_leave_their_model_and_still_rank(local_cloud, sagemaker, bucket):
    image = local_cloud.image(EPOCHS.replace("PAUSE", "0.4"), "train.py")
    request = tuning(bucket, image, trials=6, strategy="Hyperband")
    request["TrainingJobDefinition"]["StaticHyperParameters"]["epochs"] = "9"
    request["HyperParameterTuningJobConfig"]["StrategyConfig"] = {
        "HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 9}
    }
    described = finish_tuning(sagemaker, request)
    trials = trials_of(sagemaker, request["HyperParameterTuningJobName"])
    stopped = [trial for trial in trials if trial["TrainingJobStatus"] == "Stopped"]
    counters = described["TrainingJobStatusCounters"]
    assert described["HyperParameterTuningJobStatus"] == "Completed"
    assert (counters["Stopped"], counters["Completed"]) == (len(stopped), 6 - len(stopped))
    assert 1 <= len(stopped) <= 5
    assert described["ObjectiveStatusCounters"] == {"Succeeded": 6, "Pending": 0, "Failed": 0}
    ranked = trials_of(sagemaker, request["HyperParameterTuningJobName"], SortBy="FinalObjectiveMetricValue")
    assert {trial["TrainingJobName"] for trial in ranked} == {trial["TrainingJobName"] for trial in trials}
    s3 = local_cloud.client("s3")
    for trial in stopped:
        name = trial["TrainingJobName"]
        assert 1 <= int(read(s3, f"s3://{bucket}/checkpoints/{name}/saved")) < 9
        assert keys(s3, bucket, f"models/{name}/output/model.tar.gz")


def test_hyperband_without_a_maximum_takes_the_epochs_hyperparameter_or_is_refused(local_cloud, sagemaker, bucket):
    request = tuning(bucket, local_cloud.image(TRAIN, "train.py"), trials=1, strategy="Hyperband")
    request["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxParallelTrainingJobs"] = 1
    assert finish_tuning(sagemaker, request)["HyperParameterTuningJobStatus"] == "Completed"
    request["HyperParameterTuningJobName"] += "-2"
    del request["TrainingJobDefinition"]["StaticHyperParameters"]["epochs"]
    with pytest.raises(ClientError, match="cannot be inferred"):
        sagemaker.create_hyper_parameter_tuning_job(**request)


@pytest.mark.parametrize("strategy", ["Random", "Bayesian"])
def test_auto_early_stopping_stops_trials_below_the_median_and_proposes_the_same_again(
    local_cloud, sagemaker, bucket, strategy, tmp_path
):
    rates = tmp_path / "rates"
    source = PAUSE.replace("RATES", repr(str(rates))) + EPOCHS.replace("PAUSE", "pause(arguments.rate)")
    image = local_cloud.image(source, "train.py")
    outcomes = []
    for _ in range(2):
        rates.write_text("")
        request = tuning(bucket, image, trials=4, strategy=strategy)
        request["TrainingJobDefinition"]["StaticHyperParameters"]["epochs"] = "3"
        request["HyperParameterTuningJobConfig"]["TrainingJobEarlyStoppingType"] = "Auto"
        request["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxParallelTrainingJobs"] = 1
        finish_tuning(sagemaker, request)
        trials = trials_of(sagemaker, request["HyperParameterTuningJobName"])
        outcomes.append([(trial["TunedHyperParameters"]["rate"], trial["TrainingJobStatus"]) for trial in trials])
    rates = [float(rate) for rate, _ in outcomes[0]]
    # The first epoch's values stand in the order of the rates, and a trial below the median ends there.
    expected = [
        "Completed",
        *("Stopped" if rate < median(rates[:n]) else "Completed" for n, rate in enumerate(rates) if n),
    ]
    assert [status for _, status in outcomes[0]] == expected
    assert "Stopped" in expected
    assert outcomes[1] == outcomes[0]


def test_the_same_seed_proposes_the_same_values(local_cloud, sagemaker, bucket):
    proposed = []
    for _ in range(2):
        request = tuning(bucket, local_cloud.image(TRAIN, "train.py"), trials=2)
        finish_tuning(sagemaker, request)
        trials = trials_of(sagemaker, request["HyperParameterTuningJobName"])
        proposed.append(sorted(trial["TunedHyperParameters"]["rate"] for trial in trials))
    assert proposed[0] == proposed[1]


def test_a_tuning_job_whose_trials_all_fail_fails_with_their_reason(local_cloud, sagemaker, bucket):
    image = local_cloud.image(
        """
        import os, pathlib, sys
        output = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "output"
        (output / "failure").write_text("shard train-000-000001.tar is damaged")
        sys.exit(1)
        """,
        "train.py",
    )
    described = finish_tuning(sagemaker, tuning(bucket, image, trials=2))
    assert described["HyperParameterTuningJobStatus"] == "Failed"
    assert "All training jobs failed" in described["FailureReason"]
    assert "shard train-000-000001.tar is damaged" in described["FailureReason"]


def test_a_strategy_that_is_not_there_is_refused(local_cloud, sagemaker, bucket):
    request = tuning(bucket, local_cloud.image(TRAIN, "train.py"))
    request["HyperParameterTuningJobConfig"]["Strategy"] = "Grid"
    with pytest.raises(ClientError, match="Strategy Bayesian or Random or Hyperband of"):
        sagemaker.create_hyper_parameter_tuning_job(**request)


@pytest.mark.parametrize("more", [{"Autotune": {"Mode": "Enabled"}}, {"WarmStartConfig": WARM_START}])
def test_what_tuning_jobs_do_not_have_here_is_refused(local_cloud, sagemaker, bucket, more):
    request = tuning(bucket, local_cloud.image(TRAIN, "train.py"))
    with pytest.raises(ClientError, match=f"does not have {next(iter(more))}"):
        sagemaker.create_hyper_parameter_tuning_job(**request, **more)


def test_the_trials_of_an_isolated_tuning_job_say_so_and_read_their_channels(local_cloud, sagemaker, bucket):
    request = tuning(bucket, local_cloud.image(TRAIN, "train.py"), trials=1)
    network = {
        "EnableNetworkIsolation": True,
        "EnableInterContainerTrafficEncryption": True,
        "VpcConfig": {"SecurityGroupIds": ["sg-01234567"], "Subnets": ["subnet-01234567"]},
    }
    request["TrainingJobDefinition"].update(network)
    request["TrainingJobDefinition"]["InputDataConfig"][0]["InputMode"] = "FastFile"
    request["TrainingJobDefinition"]["OutputDataConfig"]["KmsKeyId"] = "key"
    request["TrainingJobDefinition"]["ResourceConfig"]["VolumeKmsKeyId"] = "key"
    job = finish_tuning(sagemaker, request)
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    (trial,) = trials_of(sagemaker, request["HyperParameterTuningJobName"])
    for described in (
        job["TrainingJobDefinition"],
        sagemaker.describe_training_job(TrainingJobName=trial["TrainingJobName"]),
    ):
        assert {key: described[key] for key in network} == network
        assert described["OutputDataConfig"]["KmsKeyId"] == described["ResourceConfig"]["VolumeKmsKeyId"] == "key"


def test_a_training_job_leaves_model_checkpoints_metrics_and_its_way(local_cloud, sagemaker, bucket):
    request = definition(bucket, local_cloud.image(TRAIN, "train.py"), rate="0.6", epochs="2")
    described = finish_training(sagemaker, request)
    name, s3 = described["TrainingJobName"], local_cloud.client("s3")
    assert described["TrainingJobStatus"] == "Completed"
    metrics = {metric["MetricName"]: metric["Value"] for metric in described["FinalMetricDataList"]}
    assert metrics == pytest.approx({"validation:accuracy": 0.2, "validation:best": 0.6})
    assert keys(s3, bucket, "checkpoints/") == [f"checkpoints/{name}/last"]
    assert described["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{bucket}/models/{name}/output/model.tar.gz"
    with tarfile.open(fileobj=io.BytesIO(read(s3, described["ModelArtifacts"]["S3ModelArtifacts"]))) as archive:
        assert json.load(archive.extractfile("model.json")) == {"rate": 0.6, "epochs": 2}
    statuses = [transition["Status"] for transition in described["SecondaryStatusTransitions"]]
    assert statuses == ["Starting", "Downloading", "Training", "Uploading", "Completed"]


def test_what_a_job_leaves_in_its_output_folder_is_an_archive_beside_the_model(local_cloud, sagemaker, bucket):
    image = local_cloud.image(
        """
        import os, pathlib
        base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
        (base / "model/model.json").write_text("{}")
        (base / "output/data/profile").mkdir()
        (base / "output/data/profile/operators.txt").write_text("aten::mm")
        """,
        "train.py",
    )
    described = finish_training(sagemaker, definition(bucket, image))
    assert described["TrainingJobStatus"] == "Completed", described.get("FailureReason")
    output = described["ModelArtifacts"]["S3ModelArtifacts"].replace("model.tar.gz", "output.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(read(local_cloud.client("s3"), output))) as archive:
        assert archive.extractfile("profile/operators.txt").read() == b"aten::mm"


def test_a_job_without_output_leaves_no_archive_of_it(local_cloud, sagemaker, bucket):
    request = definition(bucket, local_cloud.image(TRAIN, "train.py"), rate="0.6", epochs="2")
    name = finish_training(sagemaker, request)["TrainingJobName"]
    assert keys(local_cloud.client("s3"), bucket, f"models/{name}/") == [f"models/{name}/output/model.tar.gz"]


def test_instances_are_one_distributed_job_under_torchrun(local_cloud, sagemaker, bucket):
    image = local_cloud.image(DISTRIBUTED, "train.py")
    request = definition(bucket, image, instances=2, sagemaker_torch_distributed_enabled="true")
    described = finish_training(sagemaker, request)
    assert described["TrainingJobStatus"] == "Completed", described.get("FailureReason")
    events = local_cloud.client("logs").filter_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs",
        logStreamNamePrefix=f"{described['TrainingJobName']}/",
        filterPattern="rank",
    )["events"]
    assert {event["message"] for event in events} == {"rank 0 of 2 in algo-1 sum=2.0", "rank 1 of 2 in algo-2 sum=2.0"}


def test_smddp_is_refused_with_the_reason(local_cloud, sagemaker, bucket):
    image = local_cloud.image(TRAIN, "train.py")
    request = definition(bucket, image, sagemaker_distributed_dataparallel_enabled="true")
    described = finish_training(sagemaker, request)
    assert described["TrainingJobStatus"] == "Failed"
    assert "SMDDP exists in AWS's images" in described["FailureReason"]


def test_a_stopped_job_was_asked_to_end_first_and_keeps_what_it_saved(local_cloud, sagemaker, bucket):
    image = local_cloud.image(
        """
        import os, pathlib, signal, sys, time
        base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
        def save(*_):
            (base / "checkpoints/saved").write_text("on SIGTERM")
            (base / "model/model.json").write_text("{}")
            sys.exit(0)
        signal.signal(signal.SIGTERM, save)
        print("validation:best=0.5", flush=True)
        time.sleep(600)
        """,
        "train.py",
    )
    request = {**definition(bucket, image), "TrainingJobName": f"job-{uuid.uuid4().hex[:10]}"}
    request["HyperParameters"] = request.pop("StaticHyperParameters")
    sagemaker.create_training_job(**request)
    name = request["TrainingJobName"]
    wait_until(lambda: sagemaker.describe_training_job(TrainingJobName=name).get("FinalMetricDataList"))
    sagemaker.stop_training_job(TrainingJobName=name)
    wait_until(lambda: sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == "Stopped")
    assert read(local_cloud.client("s3"), f"s3://{bucket}/checkpoints/saved") == b"on SIGTERM"
    assert keys(local_cloud.client("s3"), bucket, f"models/{name}")


# Counts up in its checkpoint folder, two files at a time, and saves where it is when it is asked to end.
RESUMED = """
    import os, pathlib, signal, sys, time
    base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
    folder = base / "checkpoints" / os.environ["TRAINING_JOB_NAME"]
    folder.mkdir(parents=True, exist_ok=True)
    resumed = sorted(path.name for path in folder.iterdir())
    print("resumed from", resumed, "on a machine with", sorted(path.name for path in base.glob("scratch*")), flush=True)
    (base / "scratch").write_text("of this machine")
    step = int(resumed[-1]) if resumed else 0
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(1))
    while step < 100 and not stopping:
        step += 1
        (folder / f"{step:04d}").write_text("state")
        if step > 2:
            (folder / f"{step - 2:04d}").unlink()
        print(f"validation:best={step / 1000}", flush=True)
        time.sleep(0 if resumed else SECONDS)
    while STUBBORN and stopping:
        time.sleep(1)
    if stopping:
        sys.exit(143)
    print("validation:best=0.5", flush=True)
    (base / "model/model.json").write_text(str(step))
"""


def resumed(local_cloud, seconds, stubborn=False):
    """The image of RESUMED, with so many seconds per step before it resumes; a stubborn one outlives SIGTERM."""
    source = RESUMED.replace("STUBBORN", str(stubborn)).replace("SECONDS", str(seconds))
    return local_cloud.image(source, "train.py")


@pytest.fixture
def interrupted(local_cloud):
    """Begins to interrupt spot instances by a plan."""
    directory = local_cloud.settings.directory

    def begin(**plan):
        faults.write(directory, faults.Plan(**plan))

    yield begin
    faults.write(directory, faults.Plan())


def spot(request, run=600, wait=900):
    stopping = {"MaxRuntimeInSeconds": run, "MaxWaitTimeInSeconds": wait}
    return {**request, "EnableManagedSpotTraining": True, "StoppingCondition": stopping}


def messages(local_cloud, name, pattern):
    events = local_cloud.client("logs").filter_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=f"{name}/", filterPattern=pattern
    )["events"]
    return [event["message"] for event in events]


def test_a_spot_job_resumes_on_an_empty_machine_from_its_checkpoints(local_cloud, sagemaker, bucket, interrupted):
    # After 10 to 30 steps: a machine that is busy takes longer for as many.
    interrupted(spot_interruptions=1, spot_after_lines=20, notice_seconds=30)
    request = definition(bucket, resumed(local_cloud, 0.1))
    described = finish_training(sagemaker, spot(request))
    name = described["TrainingJobName"]
    assert described["TrainingJobStatus"] == "Completed", described.get("FailureReason")
    statuses = [transition["Status"] for transition in described["SecondaryStatusTransitions"]]
    attempt = ["Starting", "Downloading", "Training"]
    assert statuses == [*attempt, "Interrupted", *attempt, "Uploading", "Completed"]
    first, second = messages(local_cloud, name, "resumed")
    assert first == "resumed from [] on a machine with []"
    saved = re.fullmatch(r"resumed from \['(\d+)', '(\d+)'\] on a machine with \[\]", second)
    assert saved, second  # not more files: S3 has no deleted checkpoints
    assert int(saved[2]) == int(saved[1]) + 1
    left = keys(local_cloud.client("s3"), bucket, "checkpoints/")
    assert left == [f"checkpoints/{name}/0099", f"checkpoints/{name}/0100"]
    assert 1 <= described["BillableTimeInSeconds"] <= described["TrainingTimeInSeconds"] + 1
    assert faults.counts(local_cloud.settings.directory) == {faults.INTERRUPTED: 1}


def test_an_instance_that_does_not_end_in_time_is_taken_away(local_cloud, sagemaker, bucket, interrupted):
    interrupted(spot_interruptions=1, spot_after_lines=4, notice_seconds=1)
    image = resumed(local_cloud, 0.04, stubborn=True)
    described = finish_training(sagemaker, spot(definition(bucket, image)))
    assert described["TrainingJobStatus"] == "Completed", described.get("FailureReason")
    assert len(messages(local_cloud, described["TrainingJobName"], "resumed")) == 2


def test_a_job_that_asks_for_no_spot_instances_is_not_interrupted(local_cloud, sagemaker, bucket, interrupted):
    interrupted(spot_interruptions=1, spot_after_lines=4)
    image = resumed(local_cloud, 0.02)
    described = finish_training(sagemaker, definition(bucket, image))
    assert "Interrupted" not in [entry["Status"] for entry in described["SecondaryStatusTransitions"]]


def test_a_spot_job_waits_for_capacity_no_longer_than_its_wait_time(local_cloud, sagemaker, bucket, interrupted):
    interrupted(capacity_errors=1000)
    image = local_cloud.image(TRAIN, "train.py")
    # The first jobs of a plan have capacity.
    for _ in range(5):
        described = finish_training(sagemaker, spot(definition(bucket, image, rate="0.6", epochs="2"), run=5, wait=5))
        if described["TrainingJobStatus"] == "Stopped":
            break
    assert described["SecondaryStatus"] == "MaxWaitTimeExceeded"
    waits = [entry["StatusMessage"] for entry in described["SecondaryStatusTransitions"]]
    assert faults.WAITING_MESSAGE in waits
    assert "TrainingTimeInSeconds" not in described


def test_a_job_without_capacity_fails_as_sagemaker_reports_it(local_cloud, sagemaker, bucket, interrupted):
    interrupted(capacity_errors=1000)
    image = local_cloud.image(TRAIN, "train.py")
    reasons = [finish_training(sagemaker, definition(bucket, image, rate="0.6", epochs="2")) for _ in range(5)]
    assert faults.CAPACITY_REASON in {described.get("FailureReason") for described in reasons}


@pytest.mark.parametrize(
    ("stopping", "is_spot"),
    [
        ({"MaxRuntimeInSeconds": 600}, True),
        ({"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 599}, True),
        ({"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 900}, False),
    ],
)
def test_a_wait_time_that_does_not_fit_is_refused(sagemaker, local_cloud, bucket, stopping, is_spot):
    request = definition(bucket, local_cloud.image(TRAIN, "train.py"))
    request |= {"StoppingCondition": stopping, "EnableManagedSpotTraining": is_spot, "TrainingJobName": "refused"}
    request["HyperParameters"] = request.pop("StaticHyperParameters")
    with pytest.raises(ClientError, match="Invalid MaxWaitTimeInSeconds"):
        sagemaker.create_training_job(**request)


LIST = """
    import os, pathlib
    base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
    names = sorted(path.relative_to(base / "input/data/listed").as_posix() for path in base.rglob("listed/**/*.tar"))
    (base / "model/names").write_text(" ".join(names))
"""


def manifest_channel(local_cloud, bucket, *names):
    """A channel of the shards that a manifest lists, and the shards a, b and c."""
    s3 = local_cloud.client("s3")
    for name in ("a", "b", "c"):
        s3.put_object(Bucket=bucket, Key=f"shards/set/{name}.tar", Body=b"x")
    s3.put_object(
        Bucket=bucket, Key="set.json", Body=json.dumps([{"prefix": f"s3://{bucket}/shards/"}, *names]).encode()
    )
    source = {"S3DataType": "ManifestFile", "S3Uri": f"s3://{bucket}/set.json"}
    return {"ChannelName": "listed", "DataSource": {"S3DataSource": source}}


def test_a_channel_with_a_manifest_has_the_objects_that_it_lists(local_cloud, sagemaker, bucket):
    request = definition(bucket, local_cloud.image(LIST, "train.py"))
    request["InputDataConfig"].append(manifest_channel(local_cloud, bucket, "set/a.tar", "set/c.tar"))
    described = finish_training(sagemaker, request)
    assert described["TrainingJobStatus"] == "Completed", described.get("FailureReason")
    artifact = read(local_cloud.client("s3"), described["ModelArtifacts"]["S3ModelArtifacts"])
    with tarfile.open(fileobj=io.BytesIO(artifact)) as archive:
        assert archive.extractfile("names").read() == b"set/a.tar set/c.tar"


def test_a_channel_whose_manifest_lists_a_missing_object_fails_the_job(local_cloud, sagemaker, bucket):
    request = definition(bucket, local_cloud.image(LIST, "train.py"))
    request["InputDataConfig"].append(manifest_channel(local_cloud, bucket, "set/d.tar"))
    described = finish_training(sagemaker, request)
    assert described["TrainingJobStatus"] == "Failed"
    assert described["FailureReason"].startswith("ClientError: ")


def test_a_sharded_channel_gives_each_instance_its_part_and_is_described_to_it(local_cloud, sagemaker, bucket):
    s3 = local_cloud.client("s3")
    for number in range(4):
        s3.put_object(Bucket=bucket, Key=f"parts/{number}", Body=b"{}")
    image = local_cloud.image(
        """
        import json, os, pathlib
        base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
        print(base.name, "has", sorted(path.name for path in (base / "input/data/parts").iterdir()), flush=True)
        print("channel", (base / "input/config/inputdataconfig.json").read_text(), flush=True)
        """,
        "train.py",
    )
    request = definition(bucket, image, instances=2, sagemaker_torch_distributed_enabled="true")
    source = {
        "S3DataType": "S3Prefix",
        "S3Uri": f"s3://{bucket}/parts",
        "S3DataDistributionType": "ShardedByS3Key",
    }
    channel = {"ChannelName": "parts", "ContentType": "application/json", "DataSource": {"S3DataSource": source}}
    request["InputDataConfig"] = [channel]
    described = finish_training(sagemaker, request)
    assert described["TrainingJobStatus"] == "Completed", described.get("FailureReason")
    name = described["TrainingJobName"]
    assert sorted(messages(local_cloud, name, "has")) == ["algo-1 has ['0', '2']", "algo-2 has ['1', '3']"]
    (channel,) = {line.partition(" ")[2] for line in messages(local_cloud, name, "channel")}
    assert json.loads(channel)["parts"] == {
        "TrainingInputMode": "File",
        "S3DistributionType": "ShardedByS3Key",
        "RecordWrapperType": "None",
        "ContentType": "application/json",
    }
