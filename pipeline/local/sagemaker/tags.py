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
        if arn and request.get("Tags"):
            self._put(arn, request["Tags"])

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

    def _tags(self, arn: str) -> dict[str, str]:
        return dict(self._store.get(KIND, arn) or {})

    def _put(self, arn: str, added: list[Request]) -> dict[str, str]:
        tags = self._tags(arn) | {tag["Key"]: tag["Value"] for tag in added}
        self._store.put(KIND, arn, tags)
        return tags

    def _add(self, request: Request) -> Request:
        return {"Tags": _listed(self._put(self._arn(request), request["Tags"]))}

    def _list(self, request: Request) -> Request:
        return page({"MaxResults": 50, **request}, _listed(self._tags(self._arn(request))), "Tags")

    def _delete(self, request: Request) -> Request:
        arn = self._arn(request)
        tags = self._tags(arn)
        self._store.put(KIND, arn, {k: v for k, v in tags.items() if k not in request["TagKeys"]})
        return {}


def delete_tagged(store: Store, kind: str, name: str, arn: str) -> None:
    """Delete a resource and its tags: a new one of the same name has none."""
    store.delete(kind, name)
    store.delete(KIND, arn)


def _listed(tags: dict[str, str]) -> list[Request]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
