import json
import uuid

import pytest
from botocore.exceptions import ClientError

from tests.integration.conftest import ROLE, keys, read, wait_until

COPY = """
    import json, os, pathlib, sys
    base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
    config = json.loads((base / "config/resourceconfig.json").read_text())
    lines = sorted(p.read_text() for p in (base / "processing/input/letters").rglob("*") if p.is_file())
    print("host", config["current_host"], "of", len(config["hosts"]), "reads", lines, "with", sys.argv[1:])
    target = base / "processing/output/copies" / (config["current_host"] + ".txt")
    target.write_text("".join(lines))
"""


def job(local_cloud, bucket, image, **changes):
    """A request for a job that reads the letters and writes the copies."""
    return {
        "ProcessingJobName": f"job-{uuid.uuid4().hex[:12]}",
        "RoleArn": ROLE,
        "AppSpecification": {
            "ImageUri": image,
            "ContainerEntrypoint": ["python3", "program.py"],
            "ContainerArguments": ["--a", "1"],
        },
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
        },
        "ProcessingInputs": [
            {
                "InputName": "letters",
                "S3Input": {
                    "S3Uri": f"s3://{bucket}/letters",
                    "LocalPath": "/opt/ml/processing/input/letters",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
        ],
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": "copies",
                    "S3Output": {
                        "S3Uri": f"s3://{bucket}/copies",
                        "LocalPath": "/opt/ml/processing/output/copies",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ]
        },
        **changes,
    }


@pytest.fixture
def bucket(local_cloud):
    bucket = local_cloud.bucket()
    for letter in "abcd":
        local_cloud.client("s3").put_object(Bucket=bucket, Key=f"letters/{letter}.txt", Body=letter.encode())
    local_cloud.client("s3").put_object(Bucket=bucket, Key="letters-of-another-job/x.txt", Body=b"x")
    return bucket


def finish(sagemaker, request):
    sagemaker.create_processing_job(**request)
    name = request["ProcessingJobName"]

    def ended():
        described = sagemaker.describe_processing_job(ProcessingJobName=name)
        return described if described["ProcessingJobStatus"] not in ("InProgress", "Stopping") else None

    return wait_until(ended)


def test_a_job_reads_its_input_and_leaves_its_output(local_cloud, sagemaker, bucket):
    described = finish(sagemaker, job(local_cloud, bucket, local_cloud.image(COPY)))
    assert described["ProcessingJobStatus"] == "Completed"
    assert read(local_cloud.client("s3"), f"s3://{bucket}/copies/algo-1.txt") == b"abcd"


def test_a_network_and_keys_are_kept_and_shown(local_cloud, sagemaker, bucket):
    network = {
        "EnableNetworkIsolation": False,
        "EnableInterContainerTrafficEncryption": True,
        "VpcConfig": {"SecurityGroupIds": ["sg-01234567"], "Subnets": ["subnet-01234567"]},
    }
    request = job(local_cloud, bucket, local_cloud.image(COPY), NetworkConfig=network)
    request["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"] = "key"
    request["ProcessingOutputConfig"]["KmsKeyId"] = "key"
    described = finish(sagemaker, request)
    assert described["ProcessingJobStatus"] == "Completed"
    assert described["NetworkConfig"] == network
    assert described["ProcessingResources"] == request["ProcessingResources"]
    assert described["ProcessingOutputConfig"]["KmsKeyId"] == "key"


def test_instances_share_an_input_by_key_when_asked(local_cloud, sagemaker, bucket):
    request = job(local_cloud, bucket, local_cloud.image(COPY))
    request["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = 2
    request["ProcessingInputs"][0]["S3Input"]["S3DataDistributionType"] = "ShardedByS3Key"
    assert finish(sagemaker, request)["ProcessingJobStatus"] == "Completed"
    s3 = local_cloud.client("s3")
    assert [read(s3, f"s3://{bucket}/copies/algo-{n}.txt") for n in (1, 2)] == [b"ac", b"bd"]


def test_the_log_is_in_cloudwatch_with_the_arguments_it_ran_with(local_cloud, sagemaker, bucket):
    request = job(local_cloud, bucket, local_cloud.image(COPY))
    finish(sagemaker, request)
    answer = local_cloud.client("logs").filter_log_events(
        logGroupName="/aws/sagemaker/ProcessingJobs", logStreamNamePrefix=f"{request['ProcessingJobName']}/"
    )
    assert [event["message"] for event in answer["events"]] == [
        "host algo-1 of 1 reads ['a', 'b', 'c', 'd'] with ['--a', '1']"
    ]


def test_the_configuration_names_the_output_uri(local_cloud, sagemaker, bucket):
    image = local_cloud.image(
        """
        import json, os, pathlib
        base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
        config = json.loads((base / "config/processingjobconfig.json").read_text())
        (base / "processing/output/copies/config.json").write_text(json.dumps(config["ProcessingOutputConfig"]))
        """
    )
    finish(sagemaker, job(local_cloud, bucket, image))
    config = json.loads(read(local_cloud.client("s3"), f"s3://{bucket}/copies/config.json"))
    assert config["Outputs"][0]["S3Output"]["S3Uri"] == f"s3://{bucket}/copies"


def test_a_failed_job_says_what_its_container_said(local_cloud, sagemaker, bucket):
    image = local_cloud.image(
        """
        import os, pathlib, sys
        message = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "output/message"
        message.parent.mkdir(parents=True, exist_ok=True)
        message.write_text("photo 17 is no JPEG")
        sys.exit(3)
        """
    )
    described = finish(sagemaker, job(local_cloud, bucket, image))
    assert described["ProcessingJobStatus"] == "Failed"
    assert described["ExitMessage"] == "photo 17 is no JPEG"
    assert described["FailureReason"] == "AlgorithmError: photo 17 is no JPEG, exit code: 3"


@pytest.mark.parametrize(
    ("what", "reason"),
    [("image", "test:none is not published"), ("input", "No S3 objects found under S3 URL 's3://")],
)
def test_what_is_missing_is_named(local_cloud, sagemaker, bucket, what, reason):
    request = job(local_cloud, bucket, local_cloud.image(COPY))
    if what == "image":
        request["AppSpecification"]["ImageUri"] = request["AppSpecification"]["ImageUri"].split(":")[0] + ":none"
    else:
        request["ProcessingInputs"][0]["S3Input"]["S3Uri"] = f"s3://{bucket}/nothing"
    described = finish(sagemaker, request)
    assert described["ProcessingJobStatus"] == "Failed"
    assert reason in described["FailureReason"]


def test_a_job_that_takes_too_long_is_ended(local_cloud, sagemaker, bucket):
    image = local_cloud.image("import time; time.sleep(600)")
    described = finish(sagemaker, job(local_cloud, bucket, image, StoppingCondition={"MaxRuntimeInSeconds": 1}))
    assert described["ProcessingJobStatus"] == "Failed"
    assert "longer than 1 seconds" in described["FailureReason"]


def test_a_job_can_be_stopped(local_cloud, sagemaker, bucket):
    request = job(local_cloud, bucket, local_cloud.image("import time; print('here', flush=True); time.sleep(600)"))
    sagemaker.create_processing_job(**request)
    name = request["ProcessingJobName"]
    wait_until(lambda: list((local_cloud.settings.directory / "logs").rglob(f"{name}*")))
    sagemaker.stop_processing_job(ProcessingJobName=name)
    status = wait_until(
        lambda: sagemaker.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"] == "Stopped"
    )
    assert status
    assert keys(local_cloud.client("s3"), bucket, "copies") == []


def test_a_job_gets_nothing_of_the_users_environment(local_cloud, sagemaker, bucket):
    image = local_cloud.image("import os; print(sorted(n for n in os.environ if n.startswith(('PYTEST', 'GIT'))))")
    request = job(local_cloud, bucket, image)
    finish(sagemaker, request)
    answer = local_cloud.client("logs").filter_log_events(
        logGroupName="/aws/sagemaker/ProcessingJobs", logStreamNamePrefix=request["ProcessingJobName"]
    )
    assert "[]" in [e["message"] for e in answer["events"]]


def test_a_request_that_the_service_would_refuse_is_refused(sagemaker, local_cloud, bucket):
    request = job(local_cloud, bucket, local_cloud.image(COPY))
    request["ProcessingResources"]["ClusterConfig"]["InstanceType"] = "ml.unknown"
    with pytest.raises(ClientError, match="InstanceType"):
        sagemaker.create_processing_job(**request)


def test_a_jobs_name_is_taken_once(local_cloud, sagemaker, bucket):
    request = job(local_cloud, bucket, local_cloud.image(COPY))
    finish(sagemaker, request)
    with pytest.raises(sagemaker.exceptions.ResourceInUse):
        sagemaker.create_processing_job(**request)


def test_instances_above_the_accounts_quota_are_refused(local_cloud, sagemaker, bucket):
    request = job(local_cloud, bucket, local_cloud.image("print(1)"))
    request["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = 5
    with pytest.raises(sagemaker.exceptions.ResourceLimitExceeded, match="processing job usage' is 4"):
        sagemaker.create_processing_job(**request)


def test_what_no_code_here_reads_is_refused_by_name(local_cloud, sagemaker, bucket):
    request = job(local_cloud, bucket, local_cloud.image("print(1)"))
    request["ExperimentConfig"] = {"ExperimentName": "bins"}
    with pytest.raises(ClientError, match="does not have ExperimentConfig of CreateProcessingJob"):
        sagemaker.create_processing_job(**request)


@pytest.mark.parametrize("path", ["/opt/ml/input", "/opt/ml/processing", "/opt/ml/processing/../model"])
@pytest.mark.parametrize("place", ["ProcessingInputs", "Outputs"])
def test_paths_outside_of_the_processing_folder_are_refused(local_cloud, sagemaker, bucket, path, place):
    request = job(local_cloud, bucket, local_cloud.image("print(1)"))
    if place == "Outputs":
        request["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["LocalPath"] = path
    else:
        request["ProcessingInputs"][0]["S3Input"]["LocalPath"] = path
    with pytest.raises(ClientError, match=r"must begin with /opt/ml/processing/"):
        sagemaker.create_processing_job(**request)


def test_a_volume_larger_than_the_types_own_disks_is_refused(local_cloud, sagemaker, bucket):
    request = job(local_cloud, bucket, local_cloud.image("print(1)"))
    request["ProcessingResources"]["ClusterConfig"] |= {"InstanceType": "ml.g4dn.xlarge", "VolumeSizeInGB": 126}
    with pytest.raises(ClientError, match=r"VolumeSizeInGB 126 exceeds .* of ml\.g4dn\.xlarge, 125 GB"):
        sagemaker.create_processing_job(**request)


def test_an_image_with_its_code_below_opt_ml_fails(local_cloud, sagemaker, bucket):
    uri = local_cloud.image("print(1)")
    folder = local_cloud.settings.directory / "images" / "test" / uri.rpartition(":")[2]
    dockerfile = folder / "containers" / "test" / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("FROM x\n", "FROM x\nENV PYTHONPATH=/opt/ml/code\n"))
    request = job(local_cloud, bucket, uri)
    del request["ProcessingInputs"]
    described = finish(sagemaker, request)
    assert described["ProcessingJobStatus"] == "Failed"
    assert "lies in /opt/ml/code, and /opt/ml with all its subdirectories is reserved" in described["FailureReason"]
