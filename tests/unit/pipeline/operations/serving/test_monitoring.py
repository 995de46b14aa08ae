"""The monitor's job: its request, its schedule, and where nothing can be watched."""

from __future__ import annotations

import json
import re

import boto3
import pytest

from pipeline.aws.validation import validate_request
from pipeline.operations.serving import monitoring
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from tests.unit.pipeline.operations.conftest import KEY
from tests.unit.pipeline.operations.preflight.conftest import changed


def arguments(request: dict) -> dict[str, str]:  # type: ignore[type-arg]
    words = request["AppSpecification"]["ContainerArguments"]
    return dict(zip(words[::2], words[1::2], strict=True))


def test_the_job_is_one_that_the_service_takes_and_that_the_step_understands(settings: Settings) -> None:
    from steps.monitor.__main__ import main

    request = monitoring.job_request(settings, "20261123-120000", "2026-11-23T12:00:00Z", retrain=True)
    assert validate_request("sagemaker", "CreateProcessingJob", request) == []
    said = arguments(request)
    assert (said["--endpoint"], said["--retrain"]) == ("bins", "bins")
    assert said["--captures"] == settings.captures_uri
    with pytest.MonkeyPatch.context() as patch:
        given = []
        patch.setattr("steps.monitor.__main__.run", given.append)
        patch.setattr("sys.argv", ["monitor", *request["AppSpecification"]["ContainerArguments"]])
        main()
    assert (given[0].hours, given[0].minimum_photos, given[0].cooldown_days) == (24, 200, 7)


def test_true_counts_are_arguments_of_the_job_only_where_they_are_set(settings: Settings) -> None:
    from steps.monitor.settings import Settings as StepSettings
    from steps.runtime.arguments import parse

    assert not {name for name in arguments(monitoring.job_request(settings, "x")) if "truth" in name}
    chosen = {"truth": "s3://labels/counts", "truth_delay_hours": 48, "minimum_true_photos": 20}
    watched = changed(settings, "monitoring", **chosen, minimum_accuracy=0.8, minimum_sure_accuracy=0.95)
    request = monitoring.job_request(watched, "x")
    assert validate_request("sagemaker", "CreateProcessingJob", request) == []
    read = parse(StepSettings, request["AppSpecification"]["ContainerArguments"])
    assert {name: getattr(read, name) for name in chosen} == chosen
    assert (read.minimum_accuracy, read.minimum_set_coverage, read.minimum_sure_accuracy) == (0.8, 0.0, 0.95)


def test_the_job_has_the_tags_of_the_settings(settings: Settings) -> None:
    tagged = settings.model_copy(update={"tags": {"team": "vision"}})
    request = monitoring.job_request(tagged, "20261123-120000")
    assert request["Tags"] == [{"Key": "team", "Value": "vision"}]
    assert validate_request("sagemaker", "CreateProcessingJob", request) == []


def test_the_job_runs_in_the_vpc_and_encrypts_what_it_keeps(secure: Settings) -> None:
    request = monitoring.job_request(secure, "x")
    assert validate_request("sagemaker", "CreateProcessingJob", request) == []
    # One instance, which calls S3 and CloudWatch.
    vpc = {"SecurityGroupIds": ["sg-01234567"], "Subnets": ["subnet-01234567"]}
    assert request["NetworkConfig"] == {"EnableNetworkIsolation": False, "VpcConfig": vpc}
    assert request["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"] == KEY
    assert request["ProcessingOutputConfig"]["KmsKeyId"] == KEY


def test_a_job_on_disks_that_take_no_key_asks_for_none(secure: Settings) -> None:
    monitor = secure.monitoring.model_copy(update={"instance_type": "ml.m5d.large"})
    request = monitoring.job_request(secure.model_copy(update={"monitoring": monitor}), "x")
    assert "VolumeKmsKeyId" not in request["ProcessingResources"]["ClusterConfig"]
    assert request["ProcessingOutputConfig"]["KmsKeyId"] == KEY


def test_a_drift_starts_nothing_unless_it_is_asked_for(settings: Settings) -> None:
    assert "--retrain" not in arguments(monitoring.job_request(settings, "x"))


@pytest.mark.usefixtures("account")
def test_the_schedule_makes_the_job_itself_with_a_name_and_a_window_of_each_time(settings: Settings) -> None:
    scheduler = boto3.client("scheduler", region_name="us-east-1")
    done = monitoring.schedule(settings, "cron(0 3 * * ? *)", timezone="Europe/Berlin")
    assert done.change == "created"
    made = scheduler.get_schedule(Name="bins-monitor", GroupName="bins")
    assert made["Target"]["Arn"] == "arn:aws:scheduler:::aws-sdk:sagemaker:createProcessingJob"
    filled = re.sub("<aws.scheduler.execution-id>", "0123-abc", made["Target"]["Input"])
    filled = filled.replace("<aws.scheduler.scheduled-time>", "2026-11-23T02:00:00Z")
    request = json.loads(filled)
    assert validate_request("sagemaker", "CreateProcessingJob", request) == []
    assert request["ProcessingJobName"] == "bins-monitor-0123-abc"
    assert arguments(request)["--until"] == "2026-11-23T02:00:00Z"
    assert monitoring.schedule(settings, "cron(0 3 * * ? *)", timezone="Europe/Berlin").change == "unchanged"


@pytest.mark.parametrize("change", [{"capture_percent": 0}, {"mode": "serverless"}])
def test_where_nothing_is_captured_that_is_said(settings: Settings, change: dict[str, object]) -> None:
    endpoint = settings.endpoint.model_copy(update=change)
    blind = settings.model_copy(update={"endpoint": endpoint})
    with pytest.raises(PipelineError, match="nothing is captured"):
        monitoring.start(blind)
    with pytest.raises(PipelineError, match="nothing is captured"):
        monitoring.schedule(blind, "rate(1 day)")


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("retrain", [True, False])
def test_the_schedule_is_found_with_what_a_drift_starts(settings: Settings, retrain: bool) -> None:
    assert monitoring.find_schedule(settings) is None
    monitoring.schedule(settings, "rate(1 day)", retrain=retrain)
    described = monitoring.find_schedule(settings)
    assert described is not None
    assert (described[0].name, described[0].expression, described[1]) == ("bins-monitor", "rate(1 day)", retrain)


def test_a_window_has_the_limits_of_its_field(settings: Settings) -> None:
    assert monitoring.of_last_hours(settings, 2).monitoring.hours == 2
    with pytest.raises(PipelineError, match="a window of 745 hours: "):
        monitoring.of_last_hours(settings, 745)
