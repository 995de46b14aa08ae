"""The deploy function's decisions against moto's registry and endpoints: botocore checks each request."""

import dataclasses
from datetime import UTC, datetime

import pytest

from steps.contracts.names import STATE_TAGS
from steps.deploy.events import Version, read_request
from steps.deploy.settings import DeployError
from tests.unit.steps.deploy.account import ROLE


@pytest.mark.parametrize(
    ("status", "decision"), [("PendingManualApproval", "awaiting-approval"), ("Rejected", "rejected")]
)
def test_a_version_that_is_not_approved_changes_nothing(account, status, decision):
    assert account.deploy(account.register(status)).decision == decision
    assert not account.exists()
    assert account.sagemaker.list_models()["Models"] == []


def test_the_first_approved_version_makes_the_endpoint_as_the_settings_say(account):
    version = account.register()
    made = account.deploy(version)
    assert made.decision == "creating"
    described = account.sagemaker.describe_endpoint_config(EndpointConfigName=made.endpoint_config_name)
    (variant,) = described["ProductionVariants"]
    assert (variant["InstanceType"], variant["InitialInstanceCount"]) == ("ml.c5.xlarge", 4)
    model = account.sagemaker.describe_model(ModelName=variant["ModelName"])
    assert model["ExecutionRoleArn"] == ROLE
    (container,) = model["Containers"]
    assert container["Environment"] == {"MODEL_VERSION": "1", "MODEL_PACKAGE_ARN": version.arn}
    assert account.tags() == {
        "model-package-version": "1",
        "endpoint-config": made.endpoint_config_name,
        "previous-endpoint-config": "",
        "tried-at": "",
        "verdict": "pending",
        "verdict-reason": "",
        "judged-config": "",
    }


def tag_group(account, tags):
    group = account.sagemaker.describe_model_package_group(ModelPackageGroupName="bins")["ModelPackageGroupArn"]
    account.sagemaker.add_tags(ResourceArn=group, Tags=[{"Key": key, "Value": tags[key]} for key in tags])


def own_tags(account, arn):
    tags = account.sagemaker.list_tags(ResourceArn=arn)["Tags"]
    return {tag["Key"]: tag["Value"] for tag in tags if tag["Key"] not in STATE_TAGS}


def test_what_a_version_serves_with_has_the_tags_of_its_group(account):
    tag_group(account, {"team": "vision", "never-served-version": "7", "aws:cloudformation:stack-name": "s"})
    made = account.deploy(account.register())
    described = account.sagemaker.describe_endpoint_config(EndpointConfigName=made.endpoint_config_name)
    model = account.sagemaker.describe_model(ModelName=described["ProductionVariants"][0]["ModelName"])
    for arn in (account.endpoint.arn, described["EndpointConfigArn"], model["ModelArn"]):
        assert own_tags(account, arn) == {"team": "vision"}


def test_another_tag_of_the_group_reaches_an_endpoint_that_serves_the_version_already(account):
    version = account.register()
    account.deploy(version)
    account.in_service()
    tag_group(account, {"team": "vision"})
    assert account.deploy(version).decision == "unchanged"
    assert own_tags(account, account.endpoint.arn) == {"team": "vision"}


def test_an_endpoint_keeps_room_for_the_functions_own_tags(account):
    tag_group(account, {f"tag-{number:02}": "x" for number in range(50)})
    account.deploy(account.register())
    assert len(account.tags()) == 50


def test_an_approval_deploys_what_was_waiting(account):
    version = account.register("PendingManualApproval")
    assert account.deploy(version).decision == "awaiting-approval"
    account.set_status(version, "Approved")
    assert account.deploy(version, approved_at="2020-11-23T10:00:00Z").decision == "creating"


def test_a_later_version_goes_behind_a_canary_that_the_alarms_watch_and_is_noted(account):
    account.settings = dataclasses.replace(account.settings, alarms=("errors", "latency"), canary_percent=30)
    first = account.deploy(account.register())
    second = account.deploy(account.register())
    assert second.decision == "updating"
    (update,) = account.updates
    policy = update["DeploymentConfig"]["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert policy["Type"] == "CANARY"
    assert policy["CanarySize"] == {"Type": "INSTANCE_COUNT", "Value": 1}
    alarms = update["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]
    assert alarms == [{"AlarmName": "errors"}, {"AlarmName": "latency"}]
    tags = account.tags()
    assert (tags["model-package-version"], tags["verdict"]) == ("2", "pending")
    assert tags["previous-endpoint-config"] == first.endpoint_config_name


def test_the_same_event_twice_is_one_deployment(account):
    version = account.register()
    assert [account.deploy(version).decision for _ in range(2)] == ["creating", "unchanged"]
    account.endpoint.endpoint_status = "Creating"
    assert account.deploy(version).decision == "unchanged"
    assert account.updates == []


def test_of_two_approvals_the_later_version_wins_whatever_the_order(account):
    first, second = account.register(), account.register()
    assert account.deploy(second).decision == "creating"
    assert account.deploy(first).decision == "superseded"
    account.set_status(second, "Rejected")
    assert account.deploy(second).decision == "rejected"
    assert account.deploy(first).decision == "updating"


def test_other_settings_are_a_change_of_the_same_version(account):
    version = account.register()
    account.deploy(version)
    account.settings = dataclasses.replace(account.settings, instance_type="ml.c5.2xlarge")
    assert account.deploy(version).decision == "updating"


def test_more_care_is_no_change(account):
    version = account.register()
    account.deploy(version)
    account.settings = dataclasses.replace(account.settings, canary_seconds=900, alarms=("another",))
    assert account.deploy(version).decision == "unchanged"


def test_a_busy_endpoint_is_an_error_so_that_the_event_comes_again(account):
    account.deploy(account.register())
    account.endpoint.endpoint_status = "Updating"
    with pytest.raises(DeployError, match="is Updating; deploy version 2 again"):
        account.deploy(account.register())


def test_a_failed_endpoint_is_cleared_away(account):
    version = account.register()
    account.deploy(version)
    account.endpoint.endpoint_status = "Failed"
    with pytest.raises(DeployError, match="being deleted"):
        account.deploy(version)
    assert account.deploy(version).decision == "creating"


def test_a_version_of_another_group_is_refused(account):
    arn = account.register().arn.replace("/bins/", "/cats/")
    with pytest.raises(DeployError, match="not in the group bins"):
        account.deploy(Version.of(arn))


def test_a_version_that_was_rolled_back_is_tried_again_only_for_a_new_approval(account):
    account.deploy(account.register())
    account.changed()
    before = account.endpoint.endpoint_config_name
    second = account.register()
    account.deploy(second, approved_at="2020-11-23T10:00:00Z")
    account.in_service(before)
    assert account.changed().decision == "rolled-back"
    assert account.deploy(second, approved_at="2020-11-23T10:00:00Z").decision == "unchanged"
    assert account.deploy(second, approved_at="2020-11-23T11:00:00Z").decision == "updating"


def test_no_time_in_an_event_makes_an_approval_that_the_registry_has_not(account, monkeypatch):
    account.deploy(account.register())
    account.changed()
    before = account.endpoint.endpoint_config_name
    second = account.register()
    account.deploy(second, approved_at="9999-01-01T00:00:00Z")
    account.in_service(before)
    assert account.changed().decision == "rolled-back"
    for time in ("9999-01-01T00:00:00Z", "~"):
        assert account.deploy(second, approved_at=time).decision == "unchanged"

    describe = account.sagemaker.describe_model_package
    again = datetime(2100, 1, 1, tzinfo=UTC)

    def approved_again(**request):
        return {**describe(**request), "LastModifiedTime": again}

    monkeypatch.setattr(account.sagemaker, "describe_model_package", approved_again)
    assert account.deploy(second, approved_at="2100-01-01T00:00:00Z").decision == "updating"


@pytest.mark.parametrize("extra", [{}, {"at_once": True}, {"restores": True}, {"comment": "x"}])
def test_no_event_of_the_deploy_function_brings_another_version_than_the_latest_approved(account, extra):
    first, second, pending = account.register(), account.register(), account.register("PendingManualApproval")
    rejected = account.register("Rejected")
    account.deploy(second)
    account.changed()
    config = account.endpoint.endpoint_config_name
    for version in (first, pending, rejected):
        for event in (
            {"model_package_arn": version.arn, **extra},
            {"detail": {"ModelPackageArn": version.arn, "ModelApprovalStatus": "Approved"}, "time": "9999", **extra},
        ):
            decision = account.deploy(**vars(read_request(event))).decision
            assert decision in ("superseded", "awaiting-approval", "rejected")
    assert (account.updates, account.endpoint.endpoint_config_name) == ([], config)


def test_a_person_goes_back_at_once_whatever_the_alarms_say(account):
    account.settings = dataclasses.replace(account.settings, alarms=("errors",))
    first, second = account.register(), account.register()
    account.set_status(second, "Rejected")
    account.deploy(first)
    account.set_status(second, "Approved")
    account.deploy(second)
    account.set_status(second, "Rejected")
    assert account.deploy(first, at_once=True).decision == "updating"
    config = account.updates[-1]["DeploymentConfig"]
    assert config["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["Type"] == "ALL_AT_ONCE"
    assert "AutoRollbackConfiguration" not in config
    assert account.tags()["verdict"] == "accepted"


def test_a_fleet_that_scales_keeps_its_size_through_an_update(account):
    account.settings = dataclasses.replace(account.settings, maximum_instance_count=20)
    account.deploy(account.register())
    account.endpoint.production_variants[0]["DesiredInstanceCount"] = 12
    account.deploy(account.register())
    (update,) = account.updates
    assert update["RetainAllVariantProperties"] is True
    assert update["ExcludeRetainedVariantProperties"] == [{"VariantPropertyType": "DataCaptureConfig"}]
    routing = update["DeploymentConfig"]["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert routing["CanarySize"]["Value"] == 1


def test_scaling_ends_before_the_instance_type_changes(account):
    account.settings = dataclasses.replace(account.settings, maximum_instance_count=20)
    version = account.register()
    account.deploy(version)
    account.changed()
    targets = account.aws.scaling.describe_scalable_targets
    assert len(targets(ServiceNamespace="sagemaker")["ScalableTargets"]) == 1
    account.settings = dataclasses.replace(account.settings, instance_type="ml.c5.4xlarge")
    account.deploy(version)
    assert targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
    assert "RetainAllVariantProperties" not in account.updates[-1]


def test_a_serverless_endpoint_gets_nothing_that_the_service_refuses_it(account):
    account.settings = dataclasses.replace(
        account.settings, mode="serverless", alarms=("errors",), capture_uri="s3://bins/captures", capture_percent=10
    )
    made = account.deploy(account.register())
    described = account.sagemaker.describe_endpoint_config(EndpointConfigName=made.endpoint_config_name)
    (variant,) = described["ProductionVariants"]
    assert variant["ServerlessConfig"] == {"MemorySizeInMB": 3072, "MaxConcurrency": 5}
    assert "InstanceType" not in variant
    assert not described.get("DataCaptureConfig")
    account.deploy(account.register())
    assert set(account.updates[-1]) == {"EndpointName", "EndpointConfigName"}


def test_a_version_that_serves_scales_as_the_settings_say_now(account):
    version = account.register()
    account.deploy(version)
    account.changed()
    account.settings = dataclasses.replace(account.settings, maximum_instance_count=7)
    assert account.deploy(version).decision == "unchanged"
    (target,) = account.aws.scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert target["MaxCapacity"] == 7


def test_an_endpoint_on_instances_does_not_become_a_serverless_one(account):
    account.deploy(account.register())
    account.changed()
    account.settings = dataclasses.replace(account.settings, mode="serverless")
    with pytest.raises(DeployError, match="delete the endpoint, then deploy again"):
        account.deploy(account.register())
    assert not account.updates
