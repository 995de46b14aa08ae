"""Kind: a filter, an order or a page of a List operation that is taken and not applied.

The tests walk the List operations that the local SageMaker answers and the members of their requests in botocore's
model: each member of the table of members has a case here by its name, and every case must change what is listed.
"""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.aws.validation.shapes import service_model
from pipeline.local import members
from pipeline.local.context import ServiceError
from pipeline.local.identity.caller import acting
from pipeline.local.services import Services
from tests.unit.pipeline.local.sagemaker.conftest import ARN

# Per operation: kind of the documents, member of the name, member of the status, and members of the request that name
# the resource whose parts are listed.
LISTED: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "ListProcessingJobs": ("processing-job", "ProcessingJobName", "ProcessingJobStatus", {}),
    "ListTrainingJobs": ("training-job", "TrainingJobName", "TrainingJobStatus", {}),
    "ListTransformJobs": ("transform-job", "TransformJobName", "TransformJobStatus", {}),
    "ListHyperParameterTuningJobs": (
        *("tuning-job", "HyperParameterTuningJobName", "HyperParameterTuningJobStatus"),
        {},
    ),
    "ListTrainingJobsForHyperParameterTuningJob": (
        *("training-job", "TrainingJobName", "TrainingJobStatus"),
        {"HyperParameterTuningJobName": "tuning"},
    ),
    "ListModels": ("model", "ModelName", "", {}),
    "ListEndpointConfigs": ("endpoint-config", "EndpointConfigName", "", {}),
    "ListEndpoints": ("endpoint", "EndpointName", "EndpointStatus", {}),
    "ListModelPackageGroups": ("model-package-group", "ModelPackageGroupName", "", {}),
    "ListModelPackages": (
        *("model-package", "ModelPackageName", "ModelApprovalStatus"),
        {"ModelPackageGroupName": "group"},
    ),
    "ListPipelines": ("pipeline", "PipelineName", "", {}),
    "ListPipelineExecutions": ("pipeline-execution", "PipelineExecutionArn", "", {"PipelineName": "bins"}),
}
# Operations whose lists have no filters in AWS's model.
PARTS = {"ListPipelineExecutionSteps", "ListPipelineParametersForExecution", "ListTags"}
# Versions have no names: test_pipelines.py has the filters, the order and the pages of their list.
VERSIONS = {"ListPipelineVersions"}
OPERATIONS = sorted(
    name for name in members.tables("sagemaker") or {} if name.startswith("List") and name not in VERSIONS
)
# Of three documents, alpha, beta and gamma, created at 1000, 2000 and 3000 seconds and changed 10 seconds later: those
# that a filter lets through.
STATUSES = {
    "ListModelPackages": ("Approved", "Rejected", "PendingManualApproval"),
    "ListEndpoints": ("InService", "Failed", "Creating"),
}
CASES: dict[str, tuple[Any, str]] = {
    "NameContains": ("ALPH", "a"),
    "PipelineNamePrefix": ("alph", "a"),
    "CreationTimeAfter": (1500, "bg"),
    "CreationTimeBefore": (1500, "a"),
    "CreatedAfter": (1500, "bg"),
    "CreatedBefore": (2500, "ab"),
    "LastModifiedTimeAfter": (2005, "bg"),
    "LastModifiedTimeBefore": (2005, "a"),
    "WarmPoolStatusEquals": ("InUse", ""),
    "TrainingPlanArnEquals": (f"{ARN}:training-plan/p", ""),
    "ModelPackageType": ("Unversioned", ""),
    "ManagedBy": ("AWS", ""),
    "PipelineVersionAlias": ("live", "b"),
    "StatusEquals": (0, "a"),
    "ModelApprovalStatus": (1, "b"),
    "MaxResults": (2, "two"),
}
OBJECTIVE = {"MetricName": "accuracy", "Type": "Maximize"}


def document(operation: str, name: str, number: int) -> dict[str, Any]:
    """A stored resource; the number is that of its place in the order of the names."""
    kind, name_member, status_member, _ = LISTED[operation]
    created = 1000.0 * (number + 1)
    status = STATUSES.get(operation, ("Completed", "Failed", "InProgress"))[number]
    content: dict[str, Any] = {name_member: name, "CreationTime": created, "LastModifiedTime": created + 10}
    content |= {status_member: status} if status_member else {}
    arn = f"{ARN}:{kind}/{name}"
    more: dict[str, dict[str, Any]] = {
        "ListHyperParameterTuningJobs": {
            "HyperParameterTuningJobConfig": {"HyperParameterTuningJobObjective": OBJECTIVE, "Strategy": "Random"},
            "Trials": [],
        },
        "ListTrainingJobsForHyperParameterTuningJob": {
            "FinalMetricDataList": [{"MetricName": "accuracy", "Value": float(-number), "Timestamp": created}]
        },
        "ListModelPackages": {"ModelPackageGroupName": "group", "ModelPackageVersion": number + 1},
        "ListPipelineExecutions": {
            "PipelineExecutionArn": f"{ARN}:pipeline/bins/execution/{name}",
            "PipelineName": "bins",
            "PipelineExecutionStatus": "Succeeded",
            "PipelineVersionId": number + 1,
        },
    }
    return {f"{name_member.removesuffix('Name')}Arn": arn, **content, **more.get(operation, {})}


def fill(services: Services, operation: str) -> None:
    """Store the three documents, in another order than that of their names."""
    kind = LISTED[operation][0]
    for number, name in ((2, "gamma"), (0, "alpha"), (1, "beta")):
        services.context.store.put(kind, name, document(operation, name, number))
    if operation == "ListTrainingJobsForHyperParameterTuningJob":
        config = {"HyperParameterTuningJobObjective": OBJECTIVE}
        trials = [{"name": name, "values": {}} for name in ("gamma", "alpha", "beta")]
        tuning = {
            "HyperParameterTuningJobConfig": config,
            "Trials": trials,
            "HyperParameterTuningJobStatus": "Completed",
        }
        services.context.store.put("tuning-job", "tuning", {"HyperParameterTuningJobName": "tuning", **tuning})
    if operation == "ListModelPackages":
        services.context.store.put("model-package-group", "group", {"ModelPackageGroupName": "group"})
    if operation == "ListPipelineExecutions":
        services.context.store.put("pipeline", "bins", {"PipelineName": "bins", "PipelineArn": f"{ARN}:pipeline/bins"})
        version = {"PipelineName": "bins", "PipelineVersionId": 2, "PipelineVersionAliases": ["live"]}
        services.context.store.put("pipeline-version", "bins/2", version)


def listed(services: Services, operation: str, **request: Any) -> tuple[str, str | None]:
    """First letters of the names that are listed, in order; and the next page's token."""
    _, name_member, _, place = LISTED[operation]
    handler = services.table["sagemaker"][operation]
    with acting(services.identity.root):
        answer = handler({**place, **request})
    (items,) = [value for value in answer.values() if isinstance(value, list)]
    arns = f"{name_member.removesuffix('Name').removesuffix('Arn')}Arn"
    return "".join(item[arns].rsplit("/", 1)[-1][0] for item in items), answer.get("NextToken")


def filters() -> list[tuple[str, str]]:
    """Every member of every request, but those that name a resource and those of order and page."""
    model = service_model("sagemaker")
    pairs = []
    for operation in OPERATIONS:
        table = (members.tables("sagemaker") or {})[operation]
        for name in model.operation_model(operation).input_shape.members:
            named = name in LISTED.get(operation, ("", "", "", {}))[3] or operation in PARTS
            if name in table.read and not named and name not in ("SortBy", "SortOrder", "NextToken"):
                pairs.append((operation, name))
    return pairs


def test_every_list_operation_has_its_documents_here() -> None:
    assert set(OPERATIONS) == set(LISTED) | PARTS


@pytest.mark.parametrize(("operation", "member"), filters())
def test_every_filter_changes_what_is_listed(services: Services, operation: str, member: str) -> None:
    fill(services, operation)
    value, wanted = CASES[member]
    if member in ("StatusEquals", "ModelApprovalStatus"):
        value = STATUSES.get(operation, ("Completed", "Failed", "InProgress"))[value]
    letters, _ = listed(services, operation, **{member: value})
    everything, _ = listed(services, operation)
    assert sorted(everything) == ["a", "b", "g"]
    if wanted == "two":
        assert len(letters) == 2
    else:
        assert "".join(sorted(letters)) == wanted


@pytest.mark.parametrize("operation", sorted(LISTED))
def test_every_order_of_the_model_is_applied_both_ways(services: Services, operation: str) -> None:
    fill(services, operation)
    shape = service_model("sagemaker").operation_model(operation).input_shape
    orders = shape.members["SortBy"].enum
    assert set(orders) > {"CreationTime"}
    for by in orders:
        rising, _ = listed(services, operation, SortBy=by, SortOrder="Ascending")
        falling, _ = listed(services, operation, SortBy=by, SortOrder="Descending")
        assert rising == falling[::-1]
        if by != "Status":
            # A trial that failed has no value, and is not listed by it.
            assert rising == ("ga" if by == "FinalObjectiveMetricValue" else "abg")


@pytest.mark.parametrize("operation", sorted(LISTED))
def test_pages_have_every_item_once_and_in_order(services: Services, operation: str) -> None:
    fill(services, operation)
    request: dict[str, Any] = {"SortBy": "CreationTime", "SortOrder": "Ascending", "MaxResults": 1}
    letters, token = listed(services, operation, **request)
    for _ in range(2):
        more, token = listed(services, operation, **request, NextToken=token)
        letters += more
    assert (letters, token) == ("abg", None)
    with pytest.raises(ServiceError, match="NextToken"):
        listed(services, operation, NextToken="no token")


def test_without_a_group_only_packages_without_a_version_are_listed_unless_the_request_names_a_type(
    services: Services,
) -> None:
    fill(services, "ListModelPackages")
    handler = services.table["sagemaker"]["ListModelPackages"]
    count = lambda request: len(handler(request)["ModelPackageSummaryList"])  # noqa: E731
    assert [count(request) for request in ({}, {"ModelPackageType": "Unversioned"})] == [0, 0]
    assert [count({"ModelPackageType": kind}) for kind in ("Versioned", "Both")] == [3, 3]
