"""What every kind of resource can do: be looked for, be made or brought up to date, be deleted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipeline.local.context import Context, random_id

Properties = Mapping[str, Any]


class Account:
    """The account's clients, each made once: a client costs more than a call."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._lock = threading.Lock()
        self._session: Any = None
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """The boto3 client of a service; clients may be shared between threads."""
        with self._lock:
            if service not in self._clients:
                self._session = self._session or self.context.session()
                self._clients[service] = self.context.client_of(self._session, service)
            return self._clients[service]

    def arn(self, service: str, resource: str, *, regional: bool = True) -> str:
        """ARN of one of the account's resources."""
        region = self.context.region if regional else ""
        return f"arn:aws:{service}:{region}:{self.context.account_id}:{resource}"


class Kind:
    """One type of resource. Its name is what it is found by; its physical id is what `Ref` gives.

    Methods raise botocore's ClientError where the service refuses.
    """

    naming = ""
    """The property that names it; empty where it has none."""
    known: frozenset[str] = frozenset()
    """The properties that may be set, besides `naming`."""
    replacing: frozenset[str] = frozenset()
    """Properties, besides `naming`, that cannot be changed in place."""
    forgotten = True
    """Whether it is gone after a restart of the local cloud, and is then made anew."""

    def __init__(self, account: Account) -> None:
        self.account = account

    def name(self, stack: str, logical: str, properties: Properties) -> str:
        """Its name, given or made up."""
        return str(properties.get(self.naming) or f"{stack}-{logical}-{random_id()}")

    def exists(self, name: str, properties: Properties) -> bool:
        """Whether it is there. What has no name of its own never is, before it is made."""
        raise NotImplementedError

    def put(self, name: str, properties: Properties) -> None:
        """Make it, or bring it up to date."""
        raise NotImplementedError

    def delete(self, name: str, properties: Properties) -> None:
        """Delete it; what is not there is deleted."""
        raise NotImplementedError

    def reference(self, name: str, properties: Properties) -> str:  # noqa: ARG002  # some kinds need them
        """What `Ref` gives."""
        return name

    def attributes(self, name: str, properties: Properties) -> dict[str, str]:  # noqa: ARG002
        """What `Fn::GetAtt` gives."""
        return {}


# Services' names for what is not there.
_MISSING = (
    "NoSuchBucket",
    "NoSuchBucketPolicy",
    "NoSuchEntity",
    "404",
    "NotFound",
    "NotFoundException",
    "EntityNotFoundException",
    "ResourceNotFoundException",
    "RepositoryNotFoundException",
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
)


def says_missing(error: Any) -> bool:
    """Whether a ClientError means that the thing is not there; Athena has only a message to say so."""
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    return str(code) in _MISSING or (code == "InvalidRequestException" and "is not found" in message)


@contextmanager
def unless_missing() -> Iterator[None]:
    """What is not there need not be deleted."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        if not says_missing(error):
            raise


def found(call: Callable[[], Any]) -> bool:
    """Whether a describing call finds something."""
    from botocore.exceptions import ClientError

    try:
        call()
    except ClientError as error:
        if says_missing(error):
            return False
        raise
    return True


def send(client: Any, operation: str, **request: Any) -> Any:
    """Call an operation, named as in the service's API, with what a template says: its numbers may be text.

    Text that is no number is left for botocore to refuse.
    """
    from botocore import xform_name

    shape = client.meta.service_model.operation_model(operation).input_shape
    return getattr(client, xform_name(operation))(**_typed(request, shape))


def _typed(value: Any, shape: Any) -> Any:  # noqa: PLR0911  # one return a type
    match shape.type_name:
        case "structure" if isinstance(value, dict):
            members = shape.members
            return {key: _typed(one, members[key]) if key in members else one for key, one in value.items()}
        case "list" if isinstance(value, list):
            return [_typed(one, shape.member) for one in value]
        case "map" if isinstance(value, dict):
            return {key: _typed(one, shape.value) for key, one in value.items()}
        case "boolean" if value in ("true", "false"):
            return value == "true"
        case "string" if isinstance(value, bool):
            return str(value).lower()
        case "string" if isinstance(value, int | float):
            return str(value)
        case "integer" | "long" | "float" | "double" if isinstance(value, str):
            kind = int if shape.type_name in ("integer", "long") else float
            try:
                return kind(value)
            except ValueError:
                return value
    return value


def picked(properties: Properties, *names: str) -> dict[str, Any]:
    """Those of the named properties that are set."""
    return {name: properties[name] for name in names if name in properties}
