"""What SageMaker's resources have in common: names, describing, listing, and the errors for both."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any

from pipeline.local.errors import ServiceError

Request = dict[str, Any]


def not_found(what: str) -> ServiceError:
    """The error for a resource that is not there.

    Describe operations of older resources answer ValidationException "Could not find ...", newer ones
    ResourceNotFound: each caller says which in its own words.
    """
    return ServiceError("ResourceNotFound", what)


def could_not_find(kind: str, arn: str) -> ServiceError:
    """ValidationException of DescribeTrainingJob's generation."""
    return ServiceError("ValidationException", f'Could not find {kind} "{arn}".')


def in_use(kind: str, arn: str) -> ServiceError:
    """The error for a name that is taken."""
    return ServiceError("ResourceInUse", f"{kind} already exists: {arn}")


def page(request: Request, items: list[Request], key: str) -> Request:
    """One page of a list response: `MaxResults` (default 10, as in SageMaker) from `NextToken` on."""
    start = 0
    if token := request.get("NextToken"):
        try:
            start = int(base64.b64decode(token, validate=True))
        except (binascii.Error, ValueError):
            raise ServiceError("ValidationException", "The NextToken is not valid.") from None
    size = request.get("MaxResults", 10)
    response: Request = {key: items[start : start + size]}
    if start + size < len(items):
        response["NextToken"] = base64.b64encode(str(start + size).encode()).decode()
    return response


def ordered(request: Request, items: Iterable[Request], fields: dict[str, str], default: str) -> list[Request]:
    """Sort by the field that `SortBy` names (newest or largest first unless `SortOrder` is Ascending)."""
    field = fields[request.get("SortBy", default)]
    present = [item for item in items if item.get(field) is not None]
    return sorted(present, key=lambda item: item[field], reverse=request.get("SortOrder", "Descending") == "Descending")


def selected(request: Request, items: Iterable[Request], name: str, status: str = "") -> list[Request]:
    """Filter by NameContains, StatusEquals and the creation time, as the List operations do."""
    kept = []
    for item in items:
        if request.get("NameContains", "").lower() not in item[name].lower():
            continue
        if status and request.get("StatusEquals") and item[status] != request["StatusEquals"]:
            continue
        created = item["CreationTime"]
        if created < request.get("CreationTimeAfter", 0) or created > request.get("CreationTimeBefore", float("inf")):
            continue
        kept.append(item)
    return kept


def chosen(document: Request, fields: Iterable[str]) -> Request:
    """The named fields, as far as they are there: a summary of a description."""
    return {field: document[field] for field in fields if document.get(field) is not None}


def name_of(arn_or_name: str) -> str:
    """The last part of an ARN, or the name itself."""
    return arn_or_name.rsplit("/", 1)[-1]
