"""What the deploy function makes of the end of a change: verdict, smoke test, going back, clearing away."""

import dataclasses

import pytest
from botocore.exceptions import ReadTimeoutError

from steps.deploy import endpoint as endpoints
from steps.deploy.events import Version
from steps.deploy.settings import Clients, DeployError

BROKE = "An error occurred (ModelError) when calling the InvokeEndpoint operation: it broke"


def test_a_version_that_counts_as_its_evaluation_did_is_accepted_and_scales(account):
    account.settings = dataclasses.replace(account.settings, maximum_instance_count=9)
    account.deploy(account.register(golden=True))
    decision = account.changed()
    assert decision.decision == "accepted"
    assert "counts 1 of 1 golden photos as its evaluation did" in decision.reason
    assert account.tags()["verdict"] == "accepted"
    (target,) = account.aws.scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (4, 9)
    assert target["ResourceId"] == "endpoint/counting/variant/AllTraffic"
    (policy,) = account.aws.scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 600


def test_without_golden_photos_a_version_is_accepted_and_that_is_said(account):
    account.deploy(account.register())
    assert "no golden photos" in account.changed().reason


def test_it_is_judged_once(account):
    account.deploy(account.register(golden=True))
    account.changed()
    account.aws.runtime.error = True
    assert account.changed().decision == "unchanged"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"error": True}, "it broke"),
        ({"probabilities": {"0": 0.7, "1": 0.2, "2": 0.1}}, "a probability is 0.60 off"),
        ({"probabilities": {"0": 0.1, "1": 0.9}}, "probabilities of 0, 1, where 0, 1, 2 were evaluated"),
        ({"probabilities": {"0": 0.1, "1": float("nan"), "2": 0.7}}, "a probability is nan off"),
        ({"count": 0}, "counts 0 where the evaluation counted 2, with the same probabilities"),
        ({"busy": 99}, "busy"),
    ],
)
def test_a_version_whose_smoke_test_is_wrong_goes_back_at_once(account, fault, said, monkeypatch):
    monkeypatch.setattr("steps.deploy.smoke_test.RETRY_SECONDS", 0)
    first = account.deploy(account.register(golden=True))
    account.changed()
    account.deploy(account.register(golden=True))
    for name, value in fault.items():
        setattr(account.aws.runtime, name, value)
    decision = account.changed()
    assert decision.decision == "rolling-back"
    assert said in decision.reason
    update = account.updates[-1]
    assert update["EndpointConfigName"] == first.endpoint_config_name
    assert "AutoRollbackConfiguration" not in update["DeploymentConfig"]
    assert account.tags()["verdict"] == "rolled-back"
    # The end of going back is an event too, and nothing starts from the beginning.
    assert account.changed().decision == "unchanged"
    assert len(account.updates) == 2


def test_a_model_that_hangs_is_asked_once_for_eight_seconds_and_goes_back(account, monkeypatch):
    for mode, seconds in (("real-time", 8), ("serverless", 65)):
        config = Clients.connect(mode).runtime.meta.config
        assert (config.connect_timeout, config.read_timeout) == (8, seconds)
        assert config.retries["total_max_attempts"] == 1
    first = account.deploy(account.register(golden=True))
    account.changed()
    account.deploy(account.register(golden=True))

    def hangs(*_, **__):
        raise ReadTimeoutError(endpoint_url="https://runtime")

    monkeypatch.setattr(type(account.aws.runtime), "invoke_endpoint", hangs)
    decision = account.changed()
    assert decision.decision == "rolling-back"
    assert "Read timeout" in decision.reason
    assert account.updates[-1]["EndpointConfigName"] == first.endpoint_config_name


def test_a_slow_model_leaves_time_to_go_back(account):
    first = account.deploy(account.register(golden=True))
    account.changed()
    account.deploy(account.register(golden=True))
    decision = account.changed(seconds_left=59)
    assert decision.decision == "rolling-back"
    assert decision.reason == "version 2: smoke test: the endpoint is too slow: no time is left after 0 of 1 photos"
    assert account.updates[-1]["EndpointConfigName"] == first.endpoint_config_name


def test_a_version_that_answers_as_another_one_is_wrong(account, monkeypatch):
    account.deploy(account.register(golden=True))
    account.changed()
    before = account.endpoint.endpoint_config_name
    account.deploy(account.register(golden=True))
    monkeypatch.setattr(type(account.aws.runtime), "invoke_endpoint", serving_version_9)
    assert "version 9 answers, not 2" in account.changed().reason
    assert account.endpoint.endpoint_config_name == before


def test_a_container_that_is_busy_is_asked_again(account, monkeypatch):
    monkeypatch.setattr("steps.deploy.smoke_test.RETRY_SECONDS", 0)
    account.deploy(account.register(golden=True))
    account.aws.runtime.busy = 3
    assert account.changed().decision == "accepted"


def test_a_count_on_the_other_side_of_a_rounding_is_no_fault(account):
    # 0.1 x 0 + 0.2 x 1 + 0.7 x 2 = 1.6: nearer to the middle between 1 and 2 than other processors may round.
    account.deploy(account.register(golden=True))
    account.aws.runtime.count = 1
    assert account.changed().decision == "accepted"


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "NoSuchKey"), (b"{", "JSONDecodeError"), (b"[]", "TypeError"), (b'{"photos": []}', "no golden photos in")],
)
def test_a_version_whose_golden_photos_cannot_be_read_does_not_stay(account, content, said):
    account.deploy(account.register())
    account.changed()
    account.deploy(account.register(golden=True))
    (key,) = [key for key in account.keys("bin-counting/released/2-") if key.endswith("golden.json")]
    if content is None:
        account.aws.s3.delete_object(Bucket="bins", Key=key)
    else:
        account.put(key, content)
    decision = account.changed()
    assert decision.decision == "rolling-back"
    assert said in decision.reason


def test_a_verdict_that_comes_late_is_not_that_of_the_next_version(account):
    account.deploy(account.register(golden=True))
    account.changed()
    account.deploy(account.register(golden=True))
    third = account.register(golden=True)
    tried = account.endpoint.endpoint_config_name

    def third_is_deployed():
        # Another invocation has judged version 2 before this one did, and has gone on.
        account.deploy(third)
        account.in_service(tried)

    account.aws.runtime.meanwhile = third_is_deployed
    account.changed()
    account.in_service(account.updates[-1]["EndpointConfigName"])
    account.aws.runtime.error = True
    assert account.changed().reason == "version 3: smoke test: photo 00001: " + BROKE


def test_what_has_come_up_is_judged_before_the_next_version_takes_its_place(account):
    first = account.deploy(account.register(golden=True))
    account.changed()
    account.deploy(account.register(golden=True))
    # The approval of version 3 is faster than the event that version 2 has come up.
    account.aws.runtime.error = True
    account.approved(account.register(golden=True))
    assert [one.decision for one in account.recorded] == ["accepted", "rolling-back"]
    assert account.updates[1]["EndpointConfigName"] == first.endpoint_config_name


def test_an_update_that_begins_while_the_endpoint_is_read_is_no_way_back(account, monkeypatch):
    account.approved(account.register(golden=True))
    account.in_service()
    account.changed()
    second = account.register(golden=True)
    tags_of = endpoints.tags_of

    def tags_after_the_update(sagemaker, arn):
        monkeypatch.setattr(endpoints, "tags_of", tags_of)
        account.deploy(second)
        account.endpoint.endpoint_status = "Updating"
        return tags_of(sagemaker, arn)

    monkeypatch.setattr(endpoints, "tags_of", tags_after_the_update)
    account.recorded.clear()
    account.approved(second)
    assert account.recorded == []
    account.in_service()
    assert account.changed().decision == "accepted"
    assert account.tags()["model-package-version"] == str(second.number)


def test_going_back_that_does_not_come_up_is_recorded(account):
    first = account.register()
    account.deploy(first)
    account.changed()
    second = account.deploy(account.register())
    account.changed()
    account.set_status(Version.of(first.arn.replace("/1", "/2")), "Rejected")
    account.deploy(first, at_once=True)
    account.in_service(second.endpoint_config_name)
    account.endpoint.failure_reason = "no capacity"
    assert account.changed().reason == "version 1: no capacity"
    assert account.tags()["verdict"] == "rolled-back"
    assert account.changed().decision == "unchanged"


def test_scaling_comes_back_after_another_instance_type_was_gone_back_from(account):
    account.settings = dataclasses.replace(account.settings, maximum_instance_count=9)
    account.deploy(account.register(golden=True))
    account.changed()
    account.settings = dataclasses.replace(account.settings, instance_type="ml.c5.2xlarge")
    account.deploy(account.register(golden=True))
    account.aws.runtime.error = True
    assert account.changed().decision == "rolling-back"
    account.changed()
    (target,) = account.aws.scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert target["MaxCapacity"] == 9


def serving_version_9(runtime, **request):
    import io
    import json

    answer = {"count": 2, "probabilities": runtime.probabilities, "expected": 1.6, "model_version": "9"}
    return {"Body": io.BytesIO(json.dumps(answer).encode())}


def test_a_first_version_whose_smoke_test_is_wrong_is_cleared_away(account):
    version = account.register(golden=True)
    account.deploy(version, approved_at="2026-11-23T10:00:00Z")
    account.aws.runtime.error = True
    assert account.changed().decision == "cleaned-up"
    assert not account.exists()
    assert account.changed("DELETING").decision == "unchanged"
    # The approval's event a second time makes no second attempt; a new approval does.
    assert account.deploy(version, approved_at="2026-11-23T10:00:00Z").decision == "unchanged"
    assert account.deploy(version, approved_at="2026-11-23T10:30:00Z").decision == "creating"


def test_a_first_deployment_that_does_not_come_up_is_cleared_away_and_not_tried_for_ever(account):
    account.deploy(account.register(), approved_at="2026-11-23T10:00:00Z")
    account.endpoint.endpoint_status = "Failed"
    account.endpoint.failure_reason = "the ping health check"
    decision = account.changed("FAILED")
    assert decision.decision == "cleaned-up"
    assert "the ping health check" in decision.reason
    assert not account.exists()
    assert account.changed("FAILED").decision == "unchanged"
    assert not account.exists()


def test_a_version_waiting_behind_a_failed_first_deployment_makes_the_endpoint_anew(account):
    account.deploy(account.register())
    account.register()
    account.endpoint.endpoint_status = "Failed"
    with pytest.raises(DeployError, match="deploy version 2 after that"):
        account.changed("FAILED")
    assert [decision.decision for decision in account.recorded] == ["cleaned-up"]
    # Lambda invokes it again with the same event.
    decision = account.changed("FAILED")
    assert (decision.decision, decision.model_package_version) == ("creating", "2")


def test_a_version_waiting_behind_a_first_one_that_counts_wrong_makes_the_endpoint_anew(account):
    account.deploy(account.register(golden=True))
    account.register()
    account.aws.runtime.error = True
    with pytest.raises(DeployError, match="deploy version 2 after that"):
        account.changed()
    # Lambda invokes it again with the same event, of an endpoint that was in service then.
    assert account.changed().decision == "creating"
    # A person who deletes the new endpoint wants none: what never served before does not count any more.
    account.sagemaker.delete_endpoint(EndpointName="counting")
    assert account.changed("DELETING").decision == "unchanged"


def failures(account):
    """Failures that the alarm counts."""
    metrics = account.aws.cloudwatch.list_metrics(Namespace="BinCounting", MetricName="EndpointFailures")["Metrics"]
    return [metric["Dimensions"] for metric in metrics]


def test_an_endpoint_that_fails_after_it_has_served_is_created_again_with_its_version(account):
    version = account.register(golden=True)
    account.deploy(version)
    account.changed()
    account.endpoint.endpoint_status = "Failed"
    account.endpoint.failure_reason = "the host was lost"
    with pytest.raises(DeployError, match="deploy version 1 again after that"):
        account.changed("FAILED")
    assert account.recorded[-1].decision == "replacing"
    assert "(the host was lost); version 1 is deployed again" in account.recorded[-1].reason
    assert failures(account) == [[{"Name": "EndpointName", "Value": "counting"}]]
    assert not account.exists()
    # Lambda invokes it again with the same event; the next event of the deletion finds nothing to do.
    assert account.changed("FAILED").decision == "creating"
    account.in_service()
    assert account.changed().decision == "accepted"
    account.sagemaker.delete_endpoint(EndpointName="counting")
    assert account.changed("DELETING").decision == "unchanged"


def test_the_version_that_served_is_restored_and_not_the_one_that_was_rolled_back_from_it(account):
    first = account.deploy(account.register(golden=True))
    account.changed()
    account.deploy(account.register(golden=True))
    account.aws.runtime.error = True
    assert account.changed().decision == "rolling-back"
    account.aws.runtime.error = False
    account.in_service(first.endpoint_config_name)
    account.endpoint.endpoint_status = "Failed"
    with pytest.raises(DeployError, match="deploy version 1 again after that"):
        account.changed("FAILED")
    decision = account.changed("FAILED")
    assert (decision.decision, decision.model_package_version) == ("creating", "1")


def test_a_version_that_was_rejected_meanwhile_is_not_restored(account):
    first, second = account.register(), account.register()
    account.deploy(second)
    account.changed()
    account.endpoint.endpoint_status = "Failed"
    with pytest.raises(DeployError):
        account.changed("FAILED")
    account.set_status(second, "Rejected")
    decision = account.changed("FAILED")
    assert (decision.decision, decision.model_package_version) == ("creating", str(first.number))


def test_a_failed_endpoint_that_is_still_being_deleted_is_waited_for(account):
    account.deploy(account.register())
    account.changed()
    account.endpoint.endpoint_status = "Failed"
    delete, account.aws.sagemaker.delete_endpoint = account.aws.sagemaker.delete_endpoint, lambda **_: None
    with pytest.raises(DeployError):
        account.changed("FAILED")
    account.endpoint.endpoint_status = "Deleting"
    with pytest.raises(DeployError, match="is being deleted; deploy version 1 again after that"):
        account.changed("FAILED")
    delete(EndpointName="counting")
    assert account.changed("FAILED").decision == "creating"


def test_a_mix_of_configurations_returns_to_the_version_before_once(account):
    first = account.deploy(account.register(golden=True))
    account.changed()
    third = account.register(golden=True)
    account.deploy(third)
    account.endpoint.endpoint_status = "UpdateRollbackFailed"
    account.endpoint.failure_reason = "no capacity"
    with pytest.raises(DeployError, match="is UpdateRollbackFailed; deploy version 2 again after its repair"):
        account.deploy(third)
    decision = account.changed("UPDATE_ROLLBACK_FAILED")
    assert (decision.decision, decision.reason) == ("rolling-back", "version 2: no capacity")
    assert account.updates[-1]["EndpointConfigName"] == first.endpoint_config_name
    assert len(failures(account)) == 1
    account.endpoint.endpoint_status = "UpdateRollbackFailed"
    with pytest.raises(DeployError, match="serves a mix of configurations, also after the return from version 2"):
        account.changed("UPDATE_ROLLBACK_FAILED")
    assert len(account.updates) == 2


def test_an_endpoint_still_being_deleted_does_not_lose_the_version_that_waits(account):
    account.deploy(account.register())
    account.register()
    account.endpoint.endpoint_status = "Failed"
    delete, account.aws.sagemaker.delete_endpoint = account.aws.sagemaker.delete_endpoint, lambda **_: None
    with pytest.raises(DeployError, match="deploy version 2 after that"):
        account.changed("FAILED")
    account.endpoint.endpoint_status = "Deleting"
    with pytest.raises(DeployError, match="is being deleted; deploy version 2 after that"):
        account.changed("FAILED")
    delete(EndpointName="counting")
    assert account.changed("FAILED").decision == "creating"


def test_a_version_that_the_alarms_rolled_back_is_recorded_with_the_reason_and_not_tried_for_ever(account):
    first = account.deploy(account.register())
    account.changed()
    account.deploy(account.register())
    account.in_service(first.endpoint_config_name)
    account.endpoint.failure_reason = "the alarms errors are in ALARM state"
    decision = account.changed()
    assert decision.decision == "rolled-back"
    assert "version 2: the alarms errors" in decision.reason
    assert account.changed().decision == "unchanged"
    assert len(account.updates) == 1


def test_a_version_approved_while_the_endpoint_was_busy_is_deployed_when_that_has_ended(account):
    account.deploy(account.register(golden=True))
    second = account.register()
    account.endpoint.endpoint_status = "Updating"
    with pytest.raises(DeployError, match="counting is Updating"):
        account.deploy(second)
    assert account.changed("UPDATING").decision == "unchanged"
    account.in_service()
    decision = account.changed()
    assert (decision.decision, decision.model_package_version) == ("updating", "2")
    assert [one.decision for one in account.recorded] == ["unchanged", "accepted", "updating"]


def test_an_endpoint_that_a_person_deleted_stays_deleted(account):
    account.deploy(account.register())
    account.sagemaker.delete_endpoint(EndpointName="counting")
    assert account.changed("DELETING").decision == "unchanged"
    assert not account.exists()


def test_nothing_approved_is_nothing_to_do(account):
    account.deploy(account.register())
    account.changed()
    for package in account.sagemaker.list_model_packages(ModelPackageGroupName="bins")["ModelPackageSummaryList"]:
        account.sagemaker.update_model_package(
            ModelPackageArn=package["ModelPackageArn"], ModelApprovalStatus="Rejected"
        )
    assert account.changed().decision == "unchanged"


def test_an_event_about_another_endpoint_is_refused(account):
    with pytest.raises(DeployError, match="this function deploys to counting"):
        account.changed(name="other")
