"""Instances above an account's quotas are refused in AWS's words, and what is in use counts."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from pipeline.local.context import Context, ServiceError
from pipeline.local.sagemaker import quotas
from pipeline.local.sagemaker.quotas import Quotas
from pipeline.local.store import Store


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(tmp_path, "123456789012", "us-east-1", Store(tmp_path / "store"), {})


def training(count: int, instance_type: str = "ml.m5.large", *, spot: bool = False, status: str = "") -> dict[str, Any]:
    request: dict[str, Any] = {"ResourceConfig": {"InstanceType": instance_type, "InstanceCount": count}}
    if spot:
        request["EnableManagedSpotTraining"] = True
    return request | ({"TrainingJobStatus": status} if status else {})


def processing(count: int, instance_type: str = "ml.m5.large", status: str = "") -> dict[str, Any]:
    cluster = {"InstanceType": instance_type, "InstanceCount": count}
    request: dict[str, Any] = {"ProcessingResources": {"ClusterConfig": cluster}}
    return request | ({"ProcessingJobStatus": status} if status else {})


def test_the_refusal_has_awss_words(context: Context) -> None:
    context.store.put("processing-job", "running", processing(3, status="InProgress"))
    with pytest.raises(ServiceError) as raised:
        Quotas(context).check_processing(processing(2))
    assert raised.value.code == "ResourceLimitExceeded"
    assert raised.value.message.startswith(
        "The account-level service limit 'ml.m5.large for processing job usage' is 4 Instances, with current"
        " utilization of 3 Instances and a request delta of 2 Instances. Please use AWS Service Quotas"
    )


@pytest.mark.parametrize("status", ["Completed", "Failed", "Stopped"])
def test_what_has_ended_does_not_count(context: Context, status: str) -> None:
    context.store.put("processing-job", "ended", processing(4, status=status))
    Quotas(context).check_processing(processing(4))


def test_each_type_and_use_has_a_quota_of_its_own(context: Context) -> None:
    context.store.put("processing-job", "other type", processing(4, "ml.c5.xlarge", status="Stopping"))
    context.store.put("training-job", "other use", training(15, status="InProgress"))
    checked = Quotas(context)
    checked.check_processing(processing(4))
    checked.check_training(training(10, spot=True))
    with pytest.raises(ServiceError, match=r"'ml\.m5\.large for training job usage' is 15 Instances"):
        checked.check_training(training(1))
    with pytest.raises(ServiceError, match=r"'ml\.m5\.large for spot training job usage' is 10 Instances"):
        checked.check_training(training(11, spot=True))


def test_gpus_have_to_be_requested_first(context: Context) -> None:
    request = training(1, "ml.g5.2xlarge", spot=True)
    with pytest.raises(ServiceError, match=r"'ml\.g5\.2xlarge for spot training job usage' is 0 Instances"):
        Quotas(context).check_training(request)
    quotas.write(context.directory, {"ml.g5.2xlarge for spot training job usage": 1})
    Quotas(context).check_training(request)


def tuning(trials: int = 4, parallel: int = 2, instances: int = 1, ranges: int = 1) -> dict[str, Any]:
    given = [{"Name": f"r{number}", "MinValue": "0", "MaxValue": "1"} for number in range(ranges)]
    config = {
        "ResourceLimits": {"MaxNumberOfTrainingJobs": trials, "MaxParallelTrainingJobs": parallel},
        "ParameterRanges": {"ContinuousParameterRanges": given},
    }
    definition = {**training(instances), "AlgorithmSpecification": {"MetricDefinitions": []}}
    return {"HyperParameterTuningJobConfig": config, "TrainingJobDefinition": definition}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (tuning(parallel=11), "'Number of parallel training jobs per hyperparameter tuning job' is 10,"),
        (tuning(trials=751), "'Number of training jobs per hyperparameter tuning job' is 750,"),
        (tuning(ranges=31), "at most 30 hyperparameters; this one has 31"),
        (
            tuning(parallel=8, instances=2),
            "'ml.m5.large for training job usage' is 15 .* request delta of 16 Instances",
        ),
    ],
)
def test_a_tuning_job_has_limits_and_its_trials_count_together(
    context: Context, request_: dict[str, Any], message: str
) -> None:
    Quotas(context).check_tuning(tuning())
    with pytest.raises(ServiceError, match=message):
        Quotas(context).check_tuning(request_)


def test_an_update_of_an_endpoint_needs_its_new_fleet_besides_the_old_one(context: Context) -> None:
    config = {
        "EndpointConfigName": "c",
        "ProductionVariants": [{"InstanceType": "ml.c5.large", "InitialInstanceCount": 3}],
    }
    context.store.put("endpoint-config", "c", config)
    context.store.put("endpoint", "e", {"EndpointConfigName": "c", "EndpointStatus": "InService"})
    with pytest.raises(ServiceError, match="utilization of 3 Instances and a request delta of 3"):
        Quotas(context).check_endpoint(config)
    context.store.put("endpoint", "e", {"EndpointConfigName": "c", "EndpointStatus": "Failed"})
    Quotas(context).check_endpoint(config)
    Quotas(context).check_endpoint({"ProductionVariants": [{"ServerlessConfig": {}}]})


def test_two_requests_do_not_both_get_the_last_instance(context: Context) -> None:
    checked, refused = Quotas(context), []
    both = threading.Barrier(8)

    def create(number: int) -> None:
        both.wait(30)
        with checked.held():
            try:
                checked.check_processing(processing(1))
            except ServiceError as error:
                refused.append(error)
            else:
                context.store.put("processing-job", f"job-{number}", processing(1, status="InProgress"))

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(context.store.list("processing-job")), len(refused)) == (4, 4)


def test_a_quota_of_the_settings_takes_effect_at_once_and_ends_with_it(context: Context) -> None:
    checked, name = Quotas(context), "ml.m5.large for processing job usage"
    quotas.write(context.directory, {name: 1})
    with pytest.raises(ServiceError, match="is 1 Instances"):
        checked.check_processing(processing(2))
    quotas.write(context.directory, {})
    checked.check_processing(processing(2))
    assert quotas.limit(context.directory, name) == 4
