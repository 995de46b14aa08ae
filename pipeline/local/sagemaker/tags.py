"""Tags of SageMaker's resources, by ARN."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.local.context import Request
from pipeline.local.sagemaker.resources import page
from pipeline.local.store import Store

KIND = "tags"


class Tags:
    """AddTags, ListTags, DeleteTags, and the Tags of Create requests."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def operations(self) -> dict[str, Callable[[Request], Request]]:
        """Handlers by operation."""
        return {"AddTags": self._add, "ListTags": self._list, "DeleteTags": self._delete}

    def add_created(self, request: Request, response: Request) -> None:
        """Store the tags of a Create request for its new resource."""
        arn = next((value for key, value in response.items() if key.endswith("Arn")), None)
        if arn and request.get("Tags"):
            self._add({"ResourceArn": arn, "Tags": request["Tags"]})

    def _tags(self, arn: str) -> dict[str, str]:
        return dict(self._store.get(KIND, arn) or {})

    def _add(self, request: Request) -> Request:
        tags = self._tags(request["ResourceArn"]) | {tag["Key"]: tag["Value"] for tag in request["Tags"]}
        self._store.put(KIND, request["ResourceArn"], tags)
        return {"Tags": _listed(tags)}

    def _list(self, request: Request) -> Request:
        return page({"MaxResults": 50, **request}, _listed(self._tags(request["ResourceArn"])), "Tags")

    def _delete(self, request: Request) -> Request:
        tags = self._tags(request["ResourceArn"])
        self._store.put(KIND, request["ResourceArn"], {k: v for k, v in tags.items() if k not in request["TagKeys"]})
        return {}


def delete_tagged(store: Store, kind: str, name: str, arn: str) -> None:
    """Delete a resource and its tags: a new one of the same name has none."""
    store.delete(kind, name)
    store.delete(KIND, arn)


def _listed(tags: dict[str, str]) -> list[Request]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
