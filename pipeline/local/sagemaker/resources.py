"""Describing and listing SageMaker's resources, and the errors for names that are missing or taken."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterable

from pipeline.aws.instances import own_disk_gigabytes
from pipeline.aws.validation.shapes import service_model
from pipeline.local.context import Request, ServiceError
from pipeline.local.store import Store
from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri


def invalid(message: str) -> ServiceError:
    """ValidationException, for a request that is refused."""
    return ServiceError("ValidationException", message)


def location(uri: str) -> S3Uri:
    """A request's S3 URI. Raises ServiceError for one that is none."""
    try:
        return S3Uri.parse(uri)
    except StepError as error:
        raise invalid(str(error)) from None


def check_volume(resources: Request) -> None:
    """Raise ServiceError for a storage volume larger than the type's own disks, which take its place."""
    instance_type, wanted = resources.get("InstanceType", ""), resources.get("VolumeSizeInGB", 0)
    size = own_disk_gigabytes(instance_type)
    if size is not None and wanted > size:
        # Assumed: AWS's own text is not in its documents; the condition is.
        raise invalid(f"VolumeSizeInGB {wanted} exceeds the local instance storage of {instance_type}, {size} GB.")


def not_found(message: str) -> ServiceError:
    """ResourceNotFound, as newer operations answer for a missing resource."""
    return ServiceError("ResourceNotFound", message)


def could_not_find(kind: str, arn: str) -> ServiceError:
    """ValidationException, as DescribeTrainingJob and operations of its age answer for a missing resource."""
    return invalid(f'Could not find {kind} "{arn}".')


def in_use(kind: str, arn: str) -> ServiceError:
    """ResourceInUse: the name is taken."""
    return ServiceError("ResourceInUse", f"{kind} already exists: {arn}")


def stored(store: Store, kind: str, name: str, missing: ServiceError) -> Request:
    """A document of the store. Raises `missing` if there is none."""
    document = store.get(kind, name)
    if document is None:
        raise missing
    return document


def described(operation: str, document: Request) -> Request:
    """The members of a document that the operation's answer has."""
    return chosen(document, service_model("sagemaker").operation_model(operation).output_shape.members)


def listing(
    operation: str,
    request: Request,
    documents: Iterable[Request],
    keys: dict[str, str],
    *,
    default: str = "CreationTime",
    order: str = "Descending",
) -> Request:
    """The answer of a List operation: documents in the order of the request, as summaries, one page of them.

    `keys` are the documents' members by the names that `SortBy` may have. Without `SortBy` the documents are ordered
    by `default`, without `SortOrder` by `order`. A summary has the members of the service's model.
    """
    members = service_model("sagemaker").operation_model(operation).output_shape.members
    ((key, shape),) = [(name, member) for name, member in members.items() if member.type_name == "list"]
    field = keys[request.get("SortBy", default)]
    present = [document for document in documents if document.get(field) is not None]
    present.sort(key=lambda document: document[field], reverse=request.get("SortOrder", order) == "Descending")
    return page(request, [chosen(document, shape.member.members) for document in present], key)


def page(request: Request, items: list[Request], key: str) -> Request:
    """One page of a list response: `MaxResults` (default 10, as in SageMaker) from `NextToken` on."""
    start = 0
    if token := request.get("NextToken"):
        try:
            start = int(base64.b64decode(token, validate=True))
        except (binascii.Error, ValueError):
            raise invalid("The NextToken is not valid.") from None
    size = request.get("MaxResults", 10)
    response: Request = {key: items[start : start + size]}
    if start + size < len(items):
        response["NextToken"] = base64.b64encode(str(start + size).encode()).decode()
    return response


# Members of List requests, or what they begin with, and the documents' members that they filter by.
_EQUAL = {"WarmPoolStatusEquals": "WarmPoolStatus", "TrainingPlanArnEquals": "TrainingPlanArn"}  # no job has them here
_TIMES = {"CreationTime": "CreationTime", "Created": "CreationTime", "LastModifiedTime": "LastModifiedTime"}


def selected(request: Request, items: Iterable[Request], name: str, status: str = "") -> list[Request]:
    """Filter by a part of the name, a status and times, as all List operations do.

    `name` and `status` are the documents' members. A document that was not changed has the time of its creation.
    """
    contained, begin = request.get("NameContains", "").lower(), request.get("PipelineNamePrefix", "")
    wanted = request.get("StatusEquals") if status else None
    return [
        item
        for item in items
        if contained in item[name].lower()
        and item[name].startswith(begin)
        and (not wanted or item[status] == wanted)
        and all(item.get(member) == request[filter_] for filter_, member in _EQUAL.items() if filter_ in request)
        and all(_within(request, prefix, item.get(member) or item["CreationTime"]) for prefix, member in _TIMES.items())
    ]


def _within(request: Request, prefix: str, at: float) -> bool:
    """Whether a time is between the request's `PREFIXAfter` and `PREFIXBefore`, if it has them."""
    return bool(request.get(f"{prefix}After", 0) <= at <= request.get(f"{prefix}Before", math.inf))


def chosen(document: Request, fields: Iterable[str]) -> Request:
    """Those of the fields that the document has."""
    return {field: document[field] for field in fields if document.get(field) is not None}


def name_of(arn_or_name: str) -> str:
    """The last part of an ARN, or the name itself."""
    return arn_or_name.rsplit("/", 1)[-1]
