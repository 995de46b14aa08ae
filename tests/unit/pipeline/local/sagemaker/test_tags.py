"""Kind: a change of something that does not exist, taken as if it did.

Tags go to a resource by its ARN; one that is misspelt, deleted or of another kind has none, and the caller learns it.
"""

from __future__ import annotations

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
