"""The endpoint: what it serves, how it does, and waiting for a version."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import boto3
import pytest

from pipeline.account import deploy_function as serving
from pipeline.operations.runs.logs import Line
from pipeline.operations.serving import endpoint
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from tests.answers import Answers
from tests.unit.pipeline.account.stacks import alarms

PACKAGE = "arn:aws:sagemaker:us-east-1:111122223333:model-package/bins/3"


@pytest.fixture
def deployed(account: None, settings: Settings) -> None:
    sagemaker = boto3.client("sagemaker", region_name="us-east-1")
    role = settings.role_arn("serving")
    sagemaker.create_model(ModelName="m", ExecutionRoleArn=role, Containers=[{"ModelPackageName": PACKAGE}])
    variant = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.c5.xlarge"}
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=settings.endpoint.name, EndpointConfigName="c")


@pytest.mark.usefixtures("deployed")
def test_an_endpoint_is_described_with_the_version_it_serves(settings: Settings) -> None:
    found = endpoint.describe(settings)
    assert (found.name, found.status, found.config, found.version) == ("bins", "InService", "c", 3)


@pytest.mark.usefixtures("account")
def test_no_endpoint_is_answered_with_approve(settings: Settings) -> None:
    with pytest.raises(PipelineError, match="there is no endpoint bins; approve a model"):
        endpoint.describe(settings)


@pytest.mark.usefixtures("account")
def test_no_endpoint_though_a_version_is_approved_leads_to_what_the_deploy_function_says(settings: Settings) -> None:
    summary = {
        "ModelPackageArn": PACKAGE,
        "ModelPackageVersion": 3,
        "CreationTime": 0,
        "ModelPackageStatus": "Completed",
    }
    Answers().say("sagemaker.ListModelPackages", {"ModelPackageSummaryList": [summary]})
    with pytest.raises(PipelineError) as refused:
        endpoint.describe(settings)
    assert str(refused.value) == (
        "there is no endpoint bins, although version 3 is approved: its deployment is in progress or failed;"
        " see: python -m pipeline logs deploy"
    )


@pytest.mark.usefixtures("account")
def test_who_may_not_see_the_versions_still_learns_that_there_is_no_endpoint(settings: Settings) -> None:
    Answers().error("sagemaker.ListModelPackages", "AccessDeniedException", "no", status=403)
    with pytest.raises(PipelineError, match="there is no endpoint bins; approve a model"):
        endpoint.describe(settings)


@pytest.mark.usefixtures("deployed")
def test_waiting_ends_when_the_package_is_in_service(settings: Settings) -> None:
    assert endpoint.wait(settings, PACKAGE, timeout=5).package == PACKAGE


@pytest.mark.usefixtures("deployed")
def test_waiting_for_another_package_ends_in_time_and_says_what_is_served(settings: Settings) -> None:
    with pytest.raises(PipelineError, match=r"does not serve .*bins/4 after 0 s \(it is InService with .*bins/3\)"):
        endpoint.wait(settings, PACKAGE.replace("/3", "/4"), timeout=0.2, interval=0.05)


def tag(settings: Settings, **tags: str) -> None:
    sagemaker = boto3.client("sagemaker", region_name="us-east-1")
    arn = sagemaker.describe_endpoint(EndpointName=settings.endpoint.name)["EndpointArn"]
    pairs = [{"Key": name.replace("_", "-"), "Value": value} for name, value in tags.items()]
    sagemaker.add_tags(ResourceArn=arn, Tags=pairs)


@pytest.mark.usefixtures("deployed")
def test_waiting_for_a_version_that_was_rolled_back_ends_with_the_reason(settings: Settings) -> None:
    tag(settings, model_package_version="4", verdict="rolled-back", verdict_reason="the alarms rang")
    with pytest.raises(PipelineError, match="version 4 was rolled back: the alarms rang"):
        endpoint.wait(settings, PACKAGE.replace("/3", "/4"), timeout=5)


@pytest.mark.usefixtures("deployed")
def test_a_version_in_service_that_is_not_judged_yet_is_waited_for(settings: Settings) -> None:
    tag(settings, model_package_version="3", verdict="pending")
    with pytest.raises(PipelineError, match="after 0 s"):
        endpoint.wait(settings, PACKAGE, timeout=0.2, interval=0.05)


@pytest.mark.usefixtures("deployed")
def test_its_health_sums_up_the_hour_and_names_the_alarms(settings: Settings) -> None:
    cloudwatch = boto3.client("cloudwatch", region_name="us-east-1")
    for alarm in alarms(settings):
        cloudwatch.put_metric_alarm(**alarm)
    cloudwatch.set_alarm_state(AlarmName=settings.alarms[0], StateValue="ALARM", StateReason="too many")
    dimensions = [{"Name": "EndpointName", "Value": "bins"}, {"Name": "VariantName", "Value": "AllTraffic"}]
    for minutes, latency in ((5, 40_000.0), (20, 20_000.0), (600, 9_000_000.0)):
        at = datetime.now(UTC) - timedelta(minutes=minutes)
        for name, value in (("Invocations", 1.0), ("Invocation5XXErrors", 1.0), ("ModelLatency", latency)):
            datum = {"MetricName": name, "Dimensions": dimensions, "Timestamp": at, "Value": value}
            cloudwatch.put_metric_data(Namespace="AWS/SageMaker", MetricData=[datum])
    found = endpoint.health(settings)
    assert found.traffic == endpoint.Traffic(2, 0, 2, mean_milliseconds=30.0, slowest_milliseconds=40.0)
    assert [(alarm.name, alarm.state) for alarm in found.alarms] == [
        ("bins-endpoint-errors", "ALARM"),
        ("bins-endpoint-latency", "OK"),
    ]
    assert (found.errors, found.decisions) == ((), ())


@pytest.mark.usefixtures("deployed")
def test_the_deploy_functions_decisions_are_read_from_its_log(settings: Settings) -> None:
    logs = boto3.client("logs", region_name="us-east-1")
    group = f"/aws/lambda/{settings.deploy_function}"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    at = int(datetime.now(UTC).timestamp() * 1000)
    lines = [
        '{"request_id": "1", "decision": "updating", "reason": "the endpoint moves", "model_package_version": "4"}',
        '{"request_id": "2", "decision": "unchanged", "reason": "nothing", "model_package_version": "4"}',
        'END "decision"',
    ]
    events = [{"timestamp": at + number, "message": line} for number, line in enumerate(lines)]
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=events)
    (decided,) = endpoint.decisions(settings)
    assert (decided.decision, decided.version, decided.reason) == ("updating", "4", "the endpoint moves")


def test_the_deploy_function_reads_every_setting_of_the_endpoint(settings: Settings) -> None:
    from steps.deploy.settings import Settings as Function

    endpoint_settings = settings.endpoint.model_copy(update={"canary_percent": 25, "maximum_instance_count": 3})
    encryption = settings.encryption.model_copy(update={"kms_key": "1234"})
    vpc = {"subnets": ["subnet-01234567", "subnet-89abcdef"], "security_groups": ["sg-01234567"]}
    network = settings.network.model_copy(update=vpc)
    changes = {"endpoint": endpoint_settings, "encryption": encryption, "network": network}
    chosen = settings.model_copy(update=changes)
    read = Function.from_environment(serving.function_environment(chosen))
    assert (read.kms_key, read.canary_percent, read.maximum_instance_count) == ("1234", 25, 3)
    assert (read.subnets, read.security_groups) == (("subnet-01234567", "subnet-89abcdef"), ("sg-01234567",))
    assert read.alarms == settings.alarms
    assert read.capture_uri == settings.captures_uri


# ---------------------------------------------------------------- the kind: waiting for what nobody will do any more


def attempt(request: str, *lines: str, timed_out: bool = False, ended: bool = True) -> list[str]:
    late = [f"{request} Task timed out after 300.00 seconds"] if timed_out else []
    end = [f"END RequestId: {request}"] if ended else []
    return [f"START RequestId: {request} Version: 1", *lines, *late, *end]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], ""),
        (attempt("a", "boom") * 2, ""),
        ([*attempt("a", "boom") * 2, *attempt("a", "boom", ended=False)], ""),
        (attempt("a", "boom") * 3, "boom"),
        (attempt("a", timed_out=True, ended=False) * 3, "a Task timed out after 300.00 seconds"),
        ([*attempt("a", "one"), *attempt("b", "two"), *attempt("c", "three")], ""),
        ([*attempt("a", "boom") * 2, *attempt("a", '{"decision": "creating"}')], ""),
        ([*attempt("a", '{"decision": "unchanged"}'), *attempt("b", "boom", "REPORT x") * 3], "boom"),
        (attempt("a") * 3, "no reason in its log"),
    ],
)
def test_a_deployment_that_is_not_tried_again_is_noticed_in_the_log(lines: list[str], reason: str) -> None:
    assert endpoint.dead(lines) == reason


@pytest.mark.usefixtures("deployed")
def test_waiting_for_a_dead_deploy_function_ends_with_what_helps(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "LOG_SECONDS", 0.0)
    lines = [Line(datetime.now(UTC), "s", text) for text in attempt("a", "KeyError: 'image'") * 3]
    monkeypatch.setattr(endpoint, "_recent_lines", lambda settings, since: iter(lines))
    with pytest.raises(PipelineError, match=r"failed 3 times .*KeyError: 'image'; .*python -m pipeline deploy 4$"):
        endpoint.wait(settings, PACKAGE.replace("/3", "/4"), timeout=60, interval=0.05)
