"""From a model package to an endpoint that answers: approval, its event, deployment, update, and a restart."""

import io
import json
import tarfile
import uuid
import zipfile
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from pipeline.local import cloud
from steps.contracts.errors import StepError
from steps.evaluate import versions
from steps.evaluate.versions import Identity, Version
from tests.integration.conftest import ACCOUNT, ROLE, wait_until

SERVE = """
    import http.server, json, os, pathlib
    model = (pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "model/model.json").read_text()
    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, status, body, attributes=None):
            self.send_response(status)
            if attributes:
                self.send_header("X-Amzn-SageMaker-Custom-Attributes", "seen:" + attributes)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def do_GET(self):
            self.answer(200, b"")
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if body == b"bad":
                return self.answer(400, b'{"error": "not a JPEG"}')
            answer = {"model": model, "bytes": len(body), "version": os.environ.get("MODEL_VERSION")}
            if attributes := self.headers.get("X-Amzn-SageMaker-Custom-Attributes"):
                answer["attributes"] = attributes
            self.answer(200, json.dumps(answer).encode(), attributes)
        def log_message(self, *_):
            pass
    address = (os.environ["SAGEMAKER_BIND_TO_HOST"], int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
    http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""


def archive(content):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        entry = tarfile.TarInfo("model.json")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def group(sagemaker):
    name = f"g-{uuid.uuid4().hex[:10]}"
    sagemaker.create_model_package_group(ModelPackageGroupName=name)
    return name


@pytest.fixture
def package(local_cloud, sagemaker, group):
    """A function that registers a version of `group`. Returns its ARN."""
    bucket = local_cloud.bucket()

    def register(content=b"first", image=None, **more):
        key = f"{uuid.uuid4().hex}/model.tar.gz"
        local_cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=archive(content))
        container = {
            "Image": image or local_cloud.image(SERVE, "serve.py"),
            "ModelDataUrl": f"s3://{bucket}/{key}",
            "Environment": {"A": "1"},
        }
        return sagemaker.create_model_package(
            ModelPackageGroupName=group,
            InferenceSpecification={
                "Containers": [container],
                "SupportedContentTypes": ["image/jpeg"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
            **more,
        )["ModelPackageArn"]

    return register


def approve(sagemaker, arn):
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="good")


def deploy(sagemaker, arn, endpoint=None, version="1"):
    """Create or update an endpoint that serves a package. Returns its name."""
    name = f"m-{uuid.uuid4().hex[:10]}"
    container = {"ModelPackageName": arn, "Environment": {"MODEL_VERSION": version}}
    sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
    variant = {"VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.c5.large"}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    if endpoint is None:
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        return name
    sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=name)
    return endpoint


def settled(sagemaker, endpoint):
    def ended():
        described = sagemaker.describe_endpoint(EndpointName=endpoint)
        return described if described["EndpointStatus"] in ("InService", "Failed") else None

    return wait_until(ended)


def ask(local_cloud, endpoint, body=b"photo"):
    answer = local_cloud.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=endpoint, Body=body, ContentType="image/jpeg"
    )
    return json.loads(answer["Body"].read())


def test_versions_count_up_and_an_approval_shows(sagemaker, group, package):
    first, second = package(), package(ModelApprovalStatus="Approved")
    approve(sagemaker, first)
    listed = sagemaker.list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"]
    assert [entry["ModelPackageVersion"] for entry in listed] == [1, 2]
    assert {entry["ModelApprovalStatus"] for entry in listed} == {"Approved"}
    assert second.endswith(f"/{group}/2")
    assert sagemaker.describe_model_package(ModelPackageName=first)["ApprovalDescription"] == "good"


def test_versions_since_a_time_come_in_the_order_and_the_pages_that_are_asked_for(sagemaker, group, package):
    arns = [package() for _ in range(3)]
    created = sagemaker.describe_model_package(ModelPackageName=arns[1])["CreationTime"]

    def listed(**request):
        pages = sagemaker.get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=group, SortBy="CreationTime", PaginationConfig={"PageSize": 1}, **request
        )
        return [[package["ModelPackageArn"] for package in page["ModelPackageSummaryList"]] for page in pages]

    assert listed(SortOrder="Ascending") == [[arn] for arn in arns]
    assert listed(SortOrder="Descending") == [[arn] for arn in reversed(arns)]
    after = created + timedelta(milliseconds=1)
    assert [arn for page in listed(SortOrder="Ascending", CreationTimeBefore=created) for arn in page] == arns[:2]
    assert [arn for page in listed(SortOrder="Ascending", CreationTimeAfter=after) for arn in page] == arns[2:]
    assert listed(SortOrder="Ascending", CreationTimeAfter=created + timedelta(hours=1)) == [[]]


def test_the_evaluation_finds_the_version_that_is_the_same_model(sagemaker, group, package):
    images = {"evaluation_image": "train:e1", "serving_image": "serve:s1"}
    recorded = {"dataset_sha256": "d" * 64, "decision": "argmax", **images}
    before = datetime.now(UTC) - timedelta(seconds=5)
    same = package(CustomerMetadataProperties=recorded)
    package(CustomerMetadataProperties={**recorded, "evaluation_image": "train:e2"})
    package()
    container = sagemaker.describe_model_package(ModelPackageName=same)["InferenceSpecification"]["Containers"][0]
    identity = Identity(artifact=container["ModelDataUrl"], **recorded)
    assert versions.find(group, identity, before) == Version(1, same, "PendingManualApproval")
    assert versions.find(group, identity, None) == Version(1, same, "PendingManualApproval")
    assert versions.find(group, identity, before + timedelta(hours=1)) is None
    sagemaker.update_model_package(ModelPackageArn=same, ModelApprovalStatus="Rejected")
    assert versions.find(group, identity, before).status == "Rejected"
    sagemaker.delete_model_package(ModelPackageName=same)
    assert versions.find(group, identity, before) is None
    with pytest.raises(StepError, match="none-such cannot be read for a version of this model"):
        versions.find("none-such", identity, before)


def test_a_group_that_is_not_there_is_named(sagemaker):
    with pytest.raises(ClientError, match="none-such"):
        sagemaker.create_model_package(ModelPackageGroupName="none-such")


def test_a_version_that_nobody_approved_cannot_be_deployed(sagemaker, package):
    with pytest.raises(ClientError, match="not approved"):
        deploy(sagemaker, package())


def test_an_endpoint_answers_with_the_model_and_environment_of_its_package(local_cloud, sagemaker, package):
    arn = package(b"my model")
    approve(sagemaker, arn)
    endpoint = deploy(sagemaker, arn, version="7")
    described = settled(sagemaker, endpoint)
    assert described["EndpointStatus"] == "InService"
    assert described["ProductionVariants"][0]["VariantName"] == "AllTraffic"
    assert ask(local_cloud, endpoint) == {"model": "my model", "bytes": 5, "version": "7"}


def test_a_containers_refusal_is_a_model_error_with_its_own_status(local_cloud, sagemaker, package):
    arn = package()
    approve(sagemaker, arn)
    endpoint = deploy(sagemaker, arn)
    settled(sagemaker, endpoint)
    runtime = local_cloud.client("sagemaker-runtime")
    with pytest.raises(ClientError, match="no production variant Shadow"):
        runtime.invoke_endpoint(EndpointName=endpoint, Body=b"photo", TargetVariant="Shadow")
    with pytest.raises(ClientError, match="does not have TargetModel of InvokeEndpoint"):
        runtime.invoke_endpoint(EndpointName=endpoint, Body=b"photo", TargetModel="m.tar.gz")
    answer = runtime.invoke_endpoint(
        EndpointName=endpoint, Body=b"photo", TargetVariant="AllTraffic", CustomAttributes="trace=1"
    )
    assert answer["CustomAttributes"] == "seen:trace=1"
    assert json.loads(answer["Body"].read())["attributes"] == "trace=1"
    with pytest.raises(runtime.exceptions.ModelError) as caught:
        runtime.invoke_endpoint(EndpointName=endpoint, Body=b"bad")
    assert caught.value.response["OriginalStatusCode"] == 400
    assert "not a JPEG" in caught.value.response["OriginalMessage"]


def test_an_endpoint_that_is_not_there_is_named(local_cloud):
    with pytest.raises(ClientError, match="Endpoint none of account"):
        ask(local_cloud, "none")


def test_an_update_moves_the_traffic_to_the_new_version(local_cloud, sagemaker, package):
    first, second = package(b"first"), package(b"second")
    approve(sagemaker, first)
    approve(sagemaker, second)
    endpoint = deploy(sagemaker, first)
    settled(sagemaker, endpoint)
    deploy(sagemaker, second, endpoint)
    assert ask(local_cloud, endpoint)["model"] == "first"
    settled(sagemaker, endpoint)
    assert ask(local_cloud, endpoint)["model"] == "second"


def test_a_version_whose_container_does_not_start_leaves_the_old_one_serving(local_cloud, sagemaker, package):
    good, bad = package(b"good"), package(b"bad", image=local_cloud.image("raise SystemExit(1)"))
    approve(sagemaker, good)
    approve(sagemaker, bad)
    endpoint = deploy(sagemaker, good)
    before = settled(sagemaker, endpoint)
    deploy(sagemaker, bad, endpoint)
    after = settled(sagemaker, endpoint)
    assert after["EndpointStatus"] == "InService"
    assert after["EndpointConfigName"] == before["EndpointConfigName"]
    assert "did not pass the ping health check" in after["FailureReason"]
    assert ask(local_cloud, endpoint)["model"] == "good"


def test_a_first_deployment_that_does_not_start_has_failed(local_cloud, sagemaker, package):
    arn = package(image=local_cloud.image("raise SystemExit(1)"))
    approve(sagemaker, arn)
    described = settled(sagemaker, deploy(sagemaker, arn))
    assert described["EndpointStatus"] == "Failed"
    assert "ping health check" in described["FailureReason"]


@pytest.fixture
def recorded(local_cloud, group):
    """A rule on approvals in `group`, and the events that its function was given."""
    source = """
import json, os, boto3
def handle(event, context):
    boto3.client("s3").put_object(Bucket=os.environ["BUCKET"], Key=event["id"], Body=json.dumps(event))
"""
    bucket, name = local_cloud.bucket(), f"f-{uuid.uuid4().hex[:10]}"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as code:
        code.writestr("record.py", source)
    function = local_cloud.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.12",
        Role=ROLE,
        Handler="record.handle",
        Code={"ZipFile": buffer.getvalue()},
        Timeout=30,
        Environment={"Variables": {"BUCKET": bucket}},
    )["FunctionArn"]
    pattern = {
        "source": ["aws.sagemaker"],
        "detail": {"ModelPackageGroupName": [group], "ModelApprovalStatus": ["Approved"]},
    }
    events = local_cloud.client("events")
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "f", "Arn": function}])
    local_cloud.client("lambda").add_permission(
        FunctionName=name, StatementId="rule", Action="lambda:InvokeFunction", Principal="events.amazonaws.com"
    )
    s3 = local_cloud.client("s3")

    def read():
        listed = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
        return [json.load(s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"]) for entry in listed]

    read.function = name
    return read


def test_an_approval_reaches_the_function_that_a_rule_names_and_a_rejection_does_not(sagemaker, package, recorded):
    approved, rejected = package(), package()
    sagemaker.update_model_package(ModelPackageArn=rejected, ModelApprovalStatus="Rejected")
    approve(sagemaker, approved)
    events = wait_until(recorded)
    assert [event["detail"]["ModelPackageArn"] for event in events] == [approved]
    assert events[0]["detail-type"] == "SageMaker Model Package State Change"
    assert "ModelApprovalStatus" in events[0]["detail"]["UpdatedModelPackageFields"]


def test_a_functions_error_comes_back_as_lambda_words_it(local_cloud, recorded):
    answer = local_cloud.client("lambda").invoke(FunctionName=recorded.function, Payload=b'{"no": "id"}')
    assert answer["FunctionError"] == "Unhandled"
    assert json.load(answer["Payload"])["errorType"] == "KeyError"


def test_everything_is_there_again_after_down_and_up(local_cloud, sagemaker, group, package):
    arn = package(b"kept")
    approve(sagemaker, arn)
    endpoint = deploy(sagemaker, arn)
    settled(sagemaker, endpoint)
    directory = local_cloud.settings.directory
    assert cloud.down(directory)
    assert cloud.find(directory) is None
    assert not cloud.down(directory)
    cloud.up(directory, ACCOUNT.id, ACCOUNT.region)
    assert sagemaker.describe_model_package(ModelPackageName=arn)["ModelApprovalStatus"] == "Approved"
    assert sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"] == "InService"
    assert ask(local_cloud, endpoint)["model"] == "kept"


def test_a_request_that_is_sent_again_registers_no_second_version(sagemaker, package):
    first = package(ClientToken="once")
    assert package(ClientToken="once") == first
    assert package(ClientToken="twice") != first


def test_a_client_token_is_of_its_group(sagemaker, package):
    first = package(ClientToken="same")
    described = sagemaker.describe_model_package(ModelPackageName=first)
    other = f"g-{uuid.uuid4().hex[:10]}"
    sagemaker.create_model_package_group(ModelPackageGroupName=other)
    second = sagemaker.create_model_package(
        ModelPackageGroupName=other, ClientToken="same", InferenceSpecification=described["InferenceSpecification"]
    )["ModelPackageArn"]
    assert second.endswith(f"model-package/{other}/1")


def test_a_pipeline_is_created_once_per_token_and_listed_by_the_time_of_its_creation(sagemaker):
    name = f"m-{uuid.uuid4().hex[:10]}"
    definition = json.dumps(
        {
            "Version": "2020-12-01",
            "Parameters": [],
            "Steps": [{"Name": "End", "Type": "Fail", "Arguments": {"ErrorMessage": "end"}}],
        }
    )
    request = {"PipelineName": name, "PipelineDefinition": definition, "RoleArn": ROLE, "ClientRequestToken": "t" * 32}
    arn = sagemaker.create_pipeline(**request)["PipelineArn"]
    assert sagemaker.create_pipeline(**request)["PipelineArn"] == arn
    with pytest.raises(ClientError, match="must be unique"):
        sagemaker.create_pipeline(**{**request, "ClientRequestToken": "u" * 32})
    created = sagemaker.describe_pipeline(PipelineName=name)["CreationTime"]
    later = created + timedelta(seconds=1)
    assert sagemaker.list_pipelines(PipelineNamePrefix=name, CreatedAfter=later)["PipelineSummaries"] == []
    assert len(sagemaker.list_pipelines(PipelineNamePrefix=name, CreatedBefore=later)["PipelineSummaries"]) == 1


def test_a_model_card_that_does_not_follow_the_schema_is_refused(package):
    card = {"ModelCardStatus": "Draft", "ModelCardContent": json.dumps({"model_overview": {"inference": 3}})}
    with pytest.raises(ClientError, match=r"does not follow the schema of model cards: .*model_overview"):
        package(ModelCard=card)


def test_an_image_that_does_not_run_as_root_is_named_in_the_endpoints_log(local_cloud, sagemaker, package):
    arn = package(b"my model")
    approve(sagemaker, arn)
    (container,) = sagemaker.describe_model_package(ModelPackageName=arn)["InferenceSpecification"]["Containers"]
    repository, _, tag = container["Image"].partition("/")[2].partition(":")
    folder = local_cloud.settings.directory / "images" / repository / tag
    (dockerfile,) = folder.glob("containers/*/Dockerfile")
    before = dockerfile.read_text()
    dockerfile.write_text(f"{before}USER 10001\n")
    try:
        endpoint = deploy(sagemaker, arn)
        settled(sagemaker, endpoint)
    finally:
        dockerfile.write_text(before)
    events = local_cloud.client("logs").filter_log_events(
        logGroupName=f"/aws/sagemaker/Endpoints/{endpoint}", filterPattern="root"
    )["events"]
    assert "the image's USER is 10001" in events[0]["message"]


def test_an_alarm_by_metric_math_is_refused(local_cloud):
    expression = {"Id": "total", "Expression": "SUM(METRICS())", "ReturnData": True}
    alarm = {"AlarmName": "math", "EvaluationPeriods": 1, "ComparisonOperator": "GreaterThanThreshold", "Threshold": 1}
    with pytest.raises(ClientError, match="does not have Metrics of PutMetricAlarm"):
        local_cloud.client("cloudwatch").put_metric_alarm(**alarm, Metrics=[expression])
