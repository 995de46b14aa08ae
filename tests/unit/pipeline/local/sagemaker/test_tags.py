"""Kind: a change of something that does not exist, taken as if it did.

Tags go to a resource by its ARN; one that is misspelt, deleted or of another kind has none, and the caller learns it.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.local.context import ServiceError
from pipeline.local.services import Services
from tests.unit.pipeline.local.sagemaker.conftest import ARN, call

TAGS = [{"Key": "team", "Value": "bins"}]
GROUP = f"{ARN}:model-package-group/Bins"


@pytest.mark.parametrize(
    "arn",
    [
        f"{ARN}:model-package-group/Bin",
        f"{ARN}:model-package-group/Bins/1",
        f"{ARN}:model-package/Bins",
        f"{ARN}:training-job/Bins",
        f"{ARN}:domain/d-1",
        GROUP.replace("us-east-1", "us-west-2"),
    ],
)
def test_what_does_not_exist_has_no_tags(services: Services, arn: str) -> None:
    call(services, "CreateModelPackageGroup", ModelPackageGroupName="Bins", Tags=TAGS)
    for operation, more in (("AddTags", {"Tags": TAGS}), ("ListTags", {}), ("DeleteTags", {"TagKeys": ["team"]})):
        with pytest.raises(ServiceError, match="Could not find resource") as refused:
            call(services, operation, ResourceArn=arn, **more)
        assert refused.value.code == "ValidationException"
    assert call(services, "ListTags", ResourceArn=GROUP)["Tags"] == TAGS


def test_a_deleted_resource_has_no_tags(services: Services) -> None:
    call(services, "CreateModelPackageGroup", ModelPackageGroupName="Bins", Tags=TAGS)
    call(services, "DeleteModelPackageGroup", ModelPackageGroupName="Bins")
    with pytest.raises(ServiceError, match="Could not find resource"):
        call(services, "ListTags", ResourceArn=GROUP)


def test_tags_are_added_replaced_and_removed(services: Services) -> None:
    call(services, "CreateModelPackageGroup", ModelPackageGroupName="Bins", Tags=TAGS)
    more = [{"Key": "team", "Value": "counts"}, {"Key": "stage", "Value": "test"}]
    assert call(services, "AddTags", ResourceArn=GROUP, Tags=more)["Tags"] == more[::-1]
    call(services, "DeleteTags", ResourceArn=GROUP, TagKeys=["team", "unknown"])
    assert call(services, "ListTags", ResourceArn=GROUP)["Tags"] == more[1:]


def test_tags_that_are_added_at_the_same_time_are_all_there(services: Services) -> None:
    call(services, "CreateModelPackageGroup", ModelPackageGroupName="Bins")
    keys = [f"tag-{number:02}" for number in range(40)]
    begin = threading.Barrier(8)

    def add(some: list[str]) -> None:
        begin.wait()
        for key in some:
            call(services, "AddTags", ResourceArn=GROUP, Tags=[{"Key": key, "Value": "x"}])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, [keys[place::8] for place in range(8)]))
    assert [tag["Key"] for tag in call(services, "ListTags", ResourceArn=GROUP)["Tags"]] == keys


@pytest.mark.parametrize(
    ("kind", "member", "arn"),
    [
        ("training-job", "TrainingJobArn", f"{ARN}:training-job/Train-1"),
        ("processing-job", "ProcessingJobArn", f"{ARN}:processing-job/Query-1"),
        ("tuning-job", "HyperParameterTuningJobArn", f"{ARN}:hyper-parameter-tuning-job/tune"),
        ("transform-job", "TransformJobArn", f"{ARN}:transform-job/batch"),
        ("endpoint", "EndpointArn", f"{ARN}:endpoint/bins"),
        ("endpoint-config", "EndpointConfigArn", f"{ARN}:endpoint-config/bins"),
        ("model", "ModelArn", f"{ARN}:model/bins"),
        ("model-package", "ModelPackageArn", f"{ARN}:model-package/bins/3"),
        ("pipeline", "PipelineArn", f"{ARN}:pipeline/bins"),
        ("pipeline-execution", "PipelineExecutionArn", f"{ARN}:pipeline/bins/execution/abcdefghijkl"),
    ],
)
def test_every_kind_of_resource_has_tags(services: Services, kind: str, member: str, arn: str) -> None:
    services.context.store.put(kind, "x", {member: arn})
    call(services, "AddTags", ResourceArn=arn, Tags=TAGS)
    assert call(services, "ListTags", ResourceArn=arn)["Tags"] == TAGS


def test_an_arn_in_another_case_is_another_resource(services: Services) -> None:
    services.context.store.put("model", "Bins", {"ModelName": "Bins", "ModelArn": f"{ARN}:model/bins"})
    for own in ("bins", "Bins"):
        call(services, "AddTags", ResourceArn=f"{ARN}:model/{own}", Tags=TAGS)
    for other in (f"{ARN}:model/BINS", f"{ARN}:model/bINS"):
        with pytest.raises(ServiceError, match="Could not find resource"):
            call(services, "AddTags", ResourceArn=other, Tags=TAGS)


def test_a_version_has_the_tags_of_its_group(services: Services) -> None:
    call(services, "CreateModelPackageGroup", ModelPackageGroupName="Bins", Tags=TAGS)
    arn = f"{ARN}:model-package/Bins/1"
    services.context.store.put("model-package", "Bins/1", {"ModelPackageArn": arn})
    assert call(services, "ListTags", ResourceArn=arn)["Tags"] == TAGS
    call(services, "AddTags", ResourceArn=GROUP, Tags=[{"Key": "team", "Value": "counts"}])
    assert call(services, "ListTags", ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "counts"}]


def test_a_version_of_a_group_is_not_created_with_tags(services: Services) -> None:
    call(services, "CreateModelPackageGroup", ModelPackageGroupName="Bins")
    with pytest.raises(ServiceError, match="those of its group"):
        call(services, "CreateModelPackage", ModelPackageGroupName="Bins", Tags=TAGS)
