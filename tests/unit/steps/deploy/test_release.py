"""What an approval approves is what serves: digests, copies, and rollbacks to them."""

import hashlib
from datetime import timedelta

import pytest
from moto.sagemaker.models import sagemaker_backends

from steps.contracts.names import package_of
from steps.deploy import release
from steps.deploy.settings import DeployError
from tests.unit.steps.deploy.account import ACCOUNT, REGION

MODEL = "bin-counting/models/{}/output/model.tar.gz"


def approve_later(version):
    """Move the last change of a version to a later time, as another approval does."""
    package = sagemaker_backends[ACCOUNT][REGION].model_packages[version.arn]
    package.last_modified_time = (package.last_modified_time or package.creation_time) + timedelta(hours=1)


def served(account):
    """The container of the model that the endpoint's configuration names."""
    config = account.sagemaker.describe_endpoint_config(EndpointConfigName=account.endpoint.endpoint_config_name)
    model = account.sagemaker.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
    return model, model["Containers"][0]


def content(account, uri):
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return account.aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def status(account, version):
    return account.sagemaker.describe_model_package(ModelPackageName=version.arn)


def test_the_endpoint_serves_a_copy_of_the_registered_model(account):
    version = account.register(golden=True)
    account.deploy(version)
    model, container = served(account)
    assert container["ModelDataUrl"].startswith("s3://bins/bin-counting/released/1-")
    assert content(account, container["ModelDataUrl"]) == b"model 1"
    assert "ModelPackageName" not in container
    assert package_of(model) == version.arn
    assert container["Environment"]["MODEL_VERSION"] == "1"
    assert {key.rsplit("/", 1)[1] for key in account.keys("bin-counting/released/1-")} == {
        "golden.json",
        "model.tar.gz",
    }


def test_a_model_that_is_changed_after_its_deployment_does_not_reach_the_endpoint(account):
    version = account.register(golden=True)
    account.deploy(version)
    account.put(MODEL.format(1), b"another model")
    account.changed()
    account.deploy(version)
    _, container = served(account)
    assert content(account, container["ModelDataUrl"]) == b"model 1"
    assert status(account, version)["ModelApprovalStatus"] == "Approved"


@pytest.mark.parametrize("name", [MODEL.format(2), "bin-counting/runs/2/golden.json"])
@pytest.mark.parametrize("present", [True, False])
def test_a_version_whose_objects_were_changed_before_its_deployment_is_rejected(account, name, present):
    first = account.register(golden=True)
    account.deploy(first)
    account.changed()
    second = account.register(golden=True)
    if present:
        account.put(name, b"another")
    else:
        account.aws.s3.delete_object(Bucket="bins", Key=name)
    decision = account.deploy(second)

    assert decision.decision == "rejected"
    expected = (
        f"s3://bins/{name} was changed after the registration of version 2: its SHA-256 is"
        f" {hashlib.sha256(b'another').hexdigest()}, and the version notes "
        if present
        else f"s3://bins/{name} of version 2 does not exist any more"
    )
    assert decision.reason.startswith(expected)
    assert status(account, second)["ModelApprovalStatus"] == "Rejected"
    assert account.updates == []
    assert account.changed().reason == "no version is due"


def test_a_version_without_digests_is_refused_and_says_what_to_do(account):
    version = account.register()
    account.properties[version.arn] = {}
    decision = account.deploy(version)
    assert decision.decision == "refused"
    assert "notes no model_sha256" in decision.reason
    assert "RegisterAgain=yes" in decision.reason
    assert status(account, version)["ModelApprovalStatus"] == "Approved"
    assert not account.exists()


def test_a_refusal_is_one_alert_per_approval_however_often_it_is_decided(account):
    version = account.register()
    account.properties[version.arn] = {}
    alerts = [account.deploy(version).alert for _ in range(2)]
    approve_later(version)
    alerts.append(account.deploy(version).alert)
    assert alerts[0] == alerts[1] != alerts[2]


def test_a_version_that_is_rejected_for_a_change_twice_is_two_alerts(account):
    version = account.register()
    account.aws.s3.delete_object(Bucket="bins", Key=MODEL.format(1))
    alerts = [account.deploy(version).alert]
    account.set_status(version, "Approved")
    approve_later(version)
    alerts.append(account.deploy(version).alert)
    assert all(alerts)
    assert len(set(alerts)) == 2


def test_golden_photos_need_a_digest_too(account):
    version = account.register(golden=True)
    del account.properties[version.arn]["golden_sha256"]
    assert "notes no golden_sha256" in account.deploy(version).reason


def test_the_copy_is_of_the_object_that_was_read_whatever_is_written_meanwhile(account, monkeypatch):
    version = account.register()
    s3 = account.aws.s3
    get_object = s3.get_object

    def overtaken(**place):
        answer = get_object(**place)
        account.put(MODEL.format(1), b"another model")
        return answer

    monkeypatch.setattr(s3, "get_object", overtaken)
    account.deploy(version)
    monkeypatch.undo()
    _, container = served(account)
    assert content(account, container["ModelDataUrl"]) == b"model 1"


def test_a_version_of_a_group_that_was_created_again_is_another_release(account):
    version = account.register()
    first = release.describe(account.aws, account.settings, version)
    account.properties[version.arn]["model_sha256"] = "0" * 64
    assert release.describe(account.aws, account.settings, version).model != first.model


# ------------------------------------------------------------------------------------------------------ rolling back


def test_a_rollback_rejects_the_later_versions_and_deploys_at_once(account):
    first, second, third = account.register(), account.register(), account.register("PendingManualApproval")
    account.deploy(second)
    account.in_service()
    account.changed()
    account.recorded.clear()
    decision = account.roll_back(first, "dark photos")
    assert (decision.decision, decision.model_package_version) == ("updating", "1")
    assert [(item.decision, item.model_package_version) for item in account.recorded] == [("rejected", "2")]
    described = status(account, second)
    assert (described["ModelApprovalStatus"], described["ApprovalDescription"]) == ("Rejected", "dark photos")
    assert status(account, third)["ModelApprovalStatus"] == "PendingManualApproval"
    assert account.tags()["verdict"] == "accepted"


def test_a_rollback_to_a_version_that_cannot_serve_changes_nothing(account):
    first, second = account.register(), account.register()
    account.deploy(second)
    account.in_service()
    account.changed()
    account.put(MODEL.format(1), b"another model")
    with pytest.raises(DeployError, match="was changed after the registration of version 1"):
        account.roll_back(first)
    account.set_status(first, "Rejected")
    with pytest.raises(DeployError, match="version 1 is Rejected; only an approved version"):
        account.roll_back(first)
    assert status(account, second)["ModelApprovalStatus"] == "Approved"
    assert account.updates == []


def test_a_rollback_during_a_change_has_rejected_the_later_versions_already(account):
    first, second = account.register(), account.register()
    account.deploy(second)
    account.endpoint.endpoint_status = "Updating"
    with pytest.raises(DeployError, match="is Updating; deploy version 1 again after that"):
        account.roll_back(first)
    assert status(account, second)["ModelApprovalStatus"] == "Rejected"


def test_an_object_that_s3_does_not_copy_in_one_request_is_refused_and_its_version_stays_approved(account, monkeypatch):
    monkeypatch.setattr(release, "LARGEST_COPY", len(b"model 1") - 1)
    version = account.register()
    decision = account.deploy(version)
    assert (decision.decision, decision.reason) == (
        "refused",
        f"s3://bins/{MODEL.format(1)} of version 1 has 7 bytes, and S3 copies at most 6 in one request; register a"
        " smaller model",
    )
    assert status(account, version)["ModelApprovalStatus"] == "Approved"
    assert account.keys("bin-counting/released/") == []
