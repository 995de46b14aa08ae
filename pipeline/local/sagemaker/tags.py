"""Tags of SageMaker's resources, by ARN.

A resource that does not exist has none: AddTags, ListTags and DeleteTags refuse it with a ValidationException, as
https://github.com/aws/amazon-sagemaker-feedback/issues/108 shows for the first two; the text is assumed.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.local.context import Request
from pipeline.local.sagemaker.resources import invalid, page
from pipeline.local.store import Store

KIND = "tags"
# The member with the ARN, by kind of document in the store.
_ARNS = {
    "endpoint": "EndpointArn",
    "endpoint-config": "EndpointConfigArn",
    "model": "ModelArn",
    "model-package": "ModelPackageArn",
    "model-package-group": "ModelPackageGroupArn",
    "pipeline": "PipelineArn",
    "pipeline-execution": "PipelineExecutionArn",
    "processing-job": "ProcessingJobArn",
    "training-job": "TrainingJobArn",
    "transform-job": "TransformJobArn",
    "tuning-job": "HyperParameterTuningJobArn",
}
# The type of resource in an ARN, where it is not the kind.
_PREFIXES = {"pipeline-execution": "pipeline", "tuning-job": "hyper-parameter-tuning-job"}


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
        if arn:
            put_tags(self._store, arn, request.get("Tags", []))

    def _arn(self, request: Request) -> str:
        """The ARN as its resource has it: some have names in lower case. Raises ServiceError without a resource."""
        wanted = request["ResourceArn"]
        for kind, member in _ARNS.items():
            for document in self._store.list(kind) if f":{_PREFIXES.get(kind, kind)}/" in wanted else ():
                own, name = str(document[member]), str(document.get(f"{member.removesuffix('Arn')}Name", ""))
                # No other case: the caller's policies were asked about this ARN.
                begin, _, last = own.rpartition("/")
                if wanted == own or (name.lower() == last and wanted == f"{begin}/{name}"):
                    return own
        raise invalid(f'Could not find resource with ARN "{wanted}".')

    def _tags(self, arn: str) -> list[Request]:
        """The tags of a resource. A version "uses the tags associated with the model group", besides its own.

        https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateModelPackage.html
        """
        tags = tags_of(self._store, arn)
        group, separator, version = arn.replace(":model-package/", ":model-package-group/").rpartition("/")
        if separator and ":model-package/" in arn and version.isdecimal():
            tags = tags_of(self._store, group) | tags
        return as_list(tags)

    def _add(self, request: Request) -> Request:
        arn = self._arn(request)
        put_tags(self._store, arn, request["Tags"])
        return {"Tags": self._tags(arn)}

    def _list(self, request: Request) -> Request:
        return page({"MaxResults": 50, **request}, self._tags(self._arn(request)), "Tags")

    def _delete(self, request: Request) -> Request:
        def change(tags: dict[str, str]) -> None:
            for key in request["TagKeys"]:
                tags.pop(key, None)

        _change(self._store, self._arn(request), change)
        return {}


def tags_of(store: Store, arn: str) -> dict[str, str]:
    """The tags that were put for a resource."""
    return dict(store.get(KIND, arn) or {})


def put_tags(store: Store, arn: str, added: list[Request]) -> None:
    """Add tags to a resource's."""
    if added:
        _change(store, arn, lambda tags: tags.update({tag["Key"]: tag["Value"] for tag in added}))


def _change(store: Store, arn: str, change: Callable[[dict[str, str]], None]) -> None:
    """Change the tags of a resource, atomically: the deploy function and a person may add theirs at the same time."""
    store.create(KIND, arn, {})
    store.update(KIND, arn, change)


def delete_tagged(store: Store, kind: str, name: str, arn: str) -> None:
    """Delete a resource and its tags: a new one of the same name has none."""
    store.delete(kind, name)
    store.delete(KIND, arn)


def as_list(tags: dict[str, str]) -> list[Request]:
    """Tags as a list of keys and values, in the order of the keys."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
