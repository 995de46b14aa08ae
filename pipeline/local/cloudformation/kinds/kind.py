"""A type of resource as a row of a table: its properties, and the operations that create, update and delete it."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.aws.responses import exists as describe_existing
from pipeline.aws.responses import ignore_missing
from pipeline.local.context import Context, random_id

Properties = Mapping[str, Any]
# Services whose resources have no tags in the local cloud.
_WITHOUT_TAGS = ("athena", "logs")


class Account:
    """The account's clients. Each is created once, since a client costs more than a call.

    `connect` returns a client that acts as the caller of the present operation, since CloudFormation creates resources
    with the permissions of the caller. Without it the clients are the root user's.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-iam-servicerole.html
    """

    def __init__(self, context: Context, connect: Callable[[str], Any] | None = None) -> None:
        self.context = context
        self._connect = connect
        self._lock = threading.Lock()
        self._session: Any = None
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """The boto3 client of a service; clients may be shared between threads."""
        if self._connect is not None:
            return self._connect(service)
        with self._lock:
            if service not in self._clients:
                self._session = self._session or self.context.session()
                self._clients[service] = self.context.client_of(self._session, service)
            return self._clients[service]

    def members(self, service: str, operation: str) -> Mapping[str, Any]:
        """The members of an operation's request, from botocore's model."""
        shape = self.client(service).meta.service_model.operation_model(operation).input_shape
        return {} if shape is None else shape.members

    def send(self, service: str, operation: str, request: Properties) -> Any:
        """Call an operation with those members of `request` that it has. Raises botocore's ClientError.

        Members match without regard to letter case: CloudFormation's ClientIdList is ClientIDList in IAM. Values
        become those of the member's type: a template's numbers may be text, and a policy is text in a request.
        """
        from botocore import xform_name

        members = self.members(service, operation)
        names = {name.lower(): name for name in members}
        given = {names[key.lower()]: value for key, value in request.items() if key.lower() in names}
        arguments = {name: _typed(value, members[name]) for name, value in given.items()}
        return getattr(self.client(service), xform_name(operation))(**arguments)


@dataclass(frozen=True)
class Operations:
    """Names of a service's operations."""

    describe: str
    create: str
    update: tuple[str, ...]
    delete: str
    recreate: bool = False
    """Whether an update deletes the resource and creates it again, since moto cannot change it."""
    setters: Mapping[str, str] = field(default_factory=dict)
    """Operations that follow a creation or an update, by the property that they set."""


@dataclass(frozen=True)
class Kind:
    """A type of resource. Subclasses add behaviour that the table cannot express.

    Texts in `identity`, `ref` and `get_att` may contain {name}, {path}, {host}, {account}, {region} and {reference}.
    """

    service: str
    operations: Operations
    properties: frozenset[str]
    """The properties that may be set besides `naming`; others are refused."""
    naming: str = ""
    """The property with the resource's name."""
    nested_naming: tuple[str, str] = ("", "")
    """The property that contains the name, and the name's member there."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Members of requests by property, where the names differ in more than letter case."""
    identity: Mapping[str, Any] = field(default_factory=dict)
    """Further members of requests, such as an ARN."""
    defaults: Properties = field(default_factory=dict)
    """Values of properties that are not set."""
    listed: tuple[str, str] = ("", "")
    """The list in the describing operation's answer, if it has one, and the member of an item with the name."""
    replacing: frozenset[str] = frozenset()
    """Properties besides `naming` that cannot be changed in place."""
    ref: str = "{name}"
    """The value of `Ref`."""
    get_att: Mapping[str, str] = field(default_factory=dict)
    """The values of `Fn::GetAtt`."""
    persistent: bool = False
    """Whether the resource outlives a restart of the local cloud; others are created again."""

    def name(self, stack: str, logical: str, properties: Properties) -> str:
        """The resource's name: from its properties, or generated."""
        container, member = self.nested_naming
        named = properties[container].get(member) if container else properties.get(self.naming)
        return str(named or f"{stack}-{logical}-{random_id()}")

    def exists(self, account: Account, name: str, properties: Properties) -> bool:
        """Whether there is a resource of this name. Raises botocore's ClientError."""
        answer = describe_existing(lambda: self._send(account, self.operations.describe, name, properties, {}))
        if answer is None:
            return False
        key, member = self.listed
        return any(item[member] == name for item in answer[key]) if key else True

    def put(self, account: Account, name: str, properties: Properties, tags: Sequence[Properties] = ()) -> None:
        """Create the resource with `tags`, or bring it up to date. Raises botocore's ClientError."""
        exists = self.exists(account, name, properties)
        if exists and self.operations.recreate:
            self.delete(account, name, properties)
            exists = False
        operations = self.operations.update if exists else (self.operations.create,)
        request = self.request(account, name, properties)
        if tags and not exists and self.has_tags(account):
            request = {"Tags": list(tags), **request}
        follows = [operation for key, operation in self.operations.setters.items() if key in properties]
        for operation in (*operations, *follows):
            self._send(account, operation, name, properties, request)
        self.after_put(account, name, properties)

    def has_tags(self, account: Account) -> bool:
        """Whether the resource is created with the tags of its stack."""
        members = account.members(self.service, self.operations.create)
        return self.service not in _WITHOUT_TAGS and "tags" in {name.lower() for name in members}

    def delete(self, account: Account, name: str, properties: Properties) -> None:
        """Delete the resource, if it exists. Raises botocore's ClientError."""
        with ignore_missing():
            self.before_delete(account, name, properties)
            self._send(account, self.operations.delete, name, properties, properties)

    def reference(self, account: Account, name: str, properties: Properties) -> str:
        """The value of `Ref`."""
        return str(self._filled(self.ref, account, name, properties))

    def attributes(self, account: Account, name: str, properties: Properties) -> dict[str, str]:
        """The values of `Fn::GetAtt`."""
        return {key: self._filled(text, account, name, properties) for key, text in self.get_att.items()}

    def request(self, account: Account, name: str, properties: Properties) -> dict[str, Any]:  # noqa: ARG002
        """All members that the creating and updating operations may have."""
        request = {self.renamed.get(key, key): value for key, value in {**self.defaults, **properties}.items()}
        container, member = self.nested_naming
        if container:
            request[container] = {**properties[container], member: name}
        return request

    def after_put(self, account: Account, name: str, properties: Properties) -> None:
        """Bring further parts of the resource up to date."""

    def before_delete(self, account: Account, name: str, properties: Properties) -> None:
        """Delete parts of the resource that the service does not delete with it."""

    def _send(self, account: Account, operation: str, name: str, properties: Properties, request: Properties) -> Any:
        members = {member.lower() for member in account.members(self.service, operation)}
        naming = {self.renamed.get(self.naming, self.naming): name} if self.naming else {}
        identity = {
            key: self._filled(value, account, name, properties)
            for key, value in self.identity.items()
            if key.lower() in members
        }
        return account.send(self.service, operation, {**request, **naming, **identity})

    def _filled(self, template: Any, account: Account, name: str, properties: Properties) -> Any:
        if isinstance(template, list):
            return [self._filled(item, account, name, properties) for item in template]
        if not isinstance(template, str):
            return template
        values = {
            "name": name,
            "path": properties.get("Path", "/"),
            "host": name.removeprefix("https://"),
            "account": account.context.account_id,
            "region": account.context.region,
        }
        if "{reference}" in template:
            values["reference"] = self.reference(account, name, properties)
        return template.format(**values)


def _typed(value: Any, shape: Any) -> Any:  # noqa: PLR0911  # one return per type
    """A property's value as a member of `shape`. A value of a wrong type is left for botocore to refuse."""
    match shape.type_name:
        case "structure" if isinstance(value, dict):
            names = {name.lower(): name for name in shape.members}
            renamed = {names.get(key.lower(), key): item for key, item in value.items()}
            members = shape.members
            return {key: _typed(item, members[key]) if key in members else item for key, item in renamed.items()}
        case "list" if isinstance(value, list):
            return [_typed(item, shape.member) for item in value]
        case "map" if isinstance(value, list):
            # Tags of a stack, which some services write as a map.
            return {str(item["Key"]): str(item["Value"]) for item in value}
        case "map" if isinstance(value, dict):
            return {key: _typed(item, shape.value) for key, item in value.items()}
        case "boolean" if value in ("true", "false"):
            return value == "true"
        case "string" if isinstance(value, bool):
            return str(value).lower()
        case "string" if isinstance(value, int | float):
            return str(value)
        case "string" if isinstance(value, dict):
            return json.dumps(value)
        case "integer" | "long" | "float" | "double" if isinstance(value, str):
            with contextlib.suppress(ValueError):
                return int(value) if shape.type_name in ("integer", "long") else float(value)
    return value
