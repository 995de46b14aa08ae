"""The deploy function against moto's registry and endpoints: botocore checks each request, moto keeps the state."""

import json

import boto3
import moto
import pytest
from moto.sagemaker.models import sagemaker_backends
from moto.sagemaker.responses import SageMakerResponse

from steps.deploy.handler import handle
from steps.deploy.settings import DeployError

ACCOUNT, REGION, GROUP = "123456789012", "us-east-1", "bins"
ENVIRONMENT = {
    "ENDPOINT_NAME": "counting",
    "MODEL_PACKAGE_GROUP": GROUP,
    "SERVING_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/bins-serving",
    "INSTANCE_TYPE": "ml.c5.xlarge",
    "INSTANCE_COUNT": "2",
}


def endpoint():
    return sagemaker_backends[ACCOUNT][REGION].endpoints["counting"]


def update_endpoint(response):
    """UpdateEndpoint, which moto has not."""
    wanted = json.loads(response.body)
    assert wanted["EndpointName"] == "counting"
    endpoint().endpoint_config_name = wanted["EndpointConfigName"]
    return json.dumps({"EndpointArn": endpoint().arn})


@pytest.fixture
def sagemaker(monkeypatch):
    for name, value in {**ENVIRONMENT, "AWS_DEFAULT_REGION": REGION}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setattr(SageMakerResponse, "update_endpoint", update_endpoint, raising=False)
    with moto.mock_aws():
        client = boto3.client("sagemaker")
        client.create_model_package_group(ModelPackageGroupName=GROUP)
        yield client


def register(sagemaker, status="Approved"):
    container = {"Image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/x:1", "ModelDataUrl": "s3://bins/model.tar.gz"}
    return sagemaker.create_model_package(
        ModelPackageGroupName=GROUP,
        InferenceSpecification={
            "Containers": [container],
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        ModelApprovalStatus=status,
    )["ModelPackageArn"]


def deploy(arn):
    return handle({"model_package_arn": arn}, None)


def endpoint_event(status, name="counting"):
    detail = {"EndpointName": name, "EndpointStatus": status}
    return {"detail-type": "SageMaker Endpoint State Change", "source": "aws.sagemaker", "detail": detail}


def tags(sagemaker):
    arn = sagemaker.describe_endpoint(EndpointName="counting")["EndpointArn"]
    # moto appends a tag that is there; SageMaker replaces its value.
    return {tag["Key"]: tag["Value"] for tag in sagemaker.list_tags(ResourceArn=arn)["Tags"]}


def test_the_endpoint_serves_the_approved_version_as_the_settings_say(sagemaker):
    arn = register(sagemaker)
    output = deploy(arn)
    assert output["decision"] == "creating"
    made = sagemaker.describe_endpoint(EndpointName="counting")
    assert made["EndpointConfigName"] == output["endpoint_config_name"]
    (variant,) = sagemaker.describe_endpoint_config(EndpointConfigName=output["endpoint_config_name"])[
        "ProductionVariants"
    ]
    assert (variant["InstanceType"], variant["InitialInstanceCount"]) == ("ml.c5.xlarge", 2)
    model = sagemaker.describe_model(ModelName=variant["ModelName"])
    assert model["ExecutionRoleArn"] == ENVIRONMENT["SERVING_ROLE_ARN"]
    assert model["Containers"] == [{"ModelPackageName": arn, "Environment": {"MODEL_VERSION": "1"}}]
    assert tags(sagemaker) == {"model-package-version": "1"}


def test_an_approval_in_the_registry_deploys_what_was_waiting(sagemaker):
    arn = register(sagemaker, "PendingManualApproval")
    assert deploy(arn)["decision"] == "awaiting-approval"
    assert sagemaker.list_endpoints()["Endpoints"] == []
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    event = {"detail-type": "SageMaker Model Package State Change", "detail": {"ModelPackageArn": arn}}
    assert handle(event, None)["decision"] == "creating"


def test_the_next_version_updates_the_endpoint_and_its_tag(sagemaker):
    deploy(register(sagemaker))
    output = deploy(register(sagemaker))
    assert output["decision"] == "updating"
    assert sagemaker.describe_endpoint(EndpointName="counting")["EndpointConfigName"] == output["endpoint_config_name"]
    assert tags(sagemaker) == {"model-package-version": "2"}


def test_a_rejected_version_makes_room_for_the_one_before(sagemaker):
    first, second = register(sagemaker), register(sagemaker)
    deploy(second)
    assert deploy(first)["decision"] == "superseded"
    sagemaker.update_model_package(ModelPackageArn=second, ModelApprovalStatus="Rejected")
    assert deploy(second)["decision"] == "rejected"
    assert deploy(first)["decision"] == "updating"


def test_a_version_approved_while_the_endpoint_was_busy_is_deployed_when_that_has_ended(sagemaker):
    deploy(register(sagemaker))
    second = register(sagemaker)
    endpoint().endpoint_status = "Updating"
    with pytest.raises(DeployError, match="counting is Updating"):
        deploy(second)
    assert handle(endpoint_event("UPDATING"), None)["decision"] == "unchanged"
    endpoint().endpoint_status = "InService"
    output = handle(endpoint_event("IN_SERVICE"), None)
    assert (output["decision"], output["model_package_version"]) == ("updating", "2")


def test_a_version_that_was_rolled_back_is_not_tried_for_ever(sagemaker):
    before = deploy(register(sagemaker))
    deploy(register(sagemaker))
    endpoint().endpoint_config_name = before["endpoint_config_name"]
    assert handle(endpoint_event("IN_SERVICE"), None)["decision"] == "unchanged"
    assert sagemaker.describe_endpoint(EndpointName="counting")["EndpointConfigName"] == before["endpoint_config_name"]


def test_a_version_waiting_behind_a_failed_first_deployment_makes_the_endpoint_anew(sagemaker):
    deploy(register(sagemaker))
    register(sagemaker)
    endpoint().endpoint_status = "Failed"
    with pytest.raises(DeployError, match="being deleted"):
        handle(endpoint_event("FAILED"), None)
    # Lambda invokes it again with the same event.
    output = handle(endpoint_event("FAILED"), None)
    assert (output["decision"], output["model_package_version"]) == ("creating", "2")


def test_an_endpoint_that_a_person_deleted_stays_deleted(sagemaker):
    deploy(register(sagemaker))
    sagemaker.delete_endpoint(EndpointName="counting")
    assert handle(endpoint_event("DELETING"), None)["decision"] == "unchanged"
    assert sagemaker.list_endpoints()["Endpoints"] == []


def test_an_endpoint_event_with_nothing_approved_changes_nothing(sagemaker):
    register(sagemaker, "PendingManualApproval")
    output = handle(endpoint_event("IN_SERVICE"), None)
    assert (output["decision"], output["reason"]) == ("unchanged", "no version is approved")


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (endpoint_event("IN_SERVICE", "other"), "this function deploys to counting"),
        ({"detail-type": "SageMaker Endpoint State Change", "detail": {}}, "EndpointStatus"),
        ({"detail-type": "Scheduled Event", "detail": {}}, "names no version"),
    ],
)
def test_an_event_about_something_else_is_refused(sagemaker, event, said):
    with pytest.raises(DeployError, match=said):
        handle(event, None)
