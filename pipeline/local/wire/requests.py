"""Service, operation and members of any request, by botocore's models.

Services have one protocol or several: a JSON target, a CBOR path, a form, or REST.
"""

from __future__ import annotations

import io
import json
import re
import zlib
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote

from botocore.exceptions import UnknownServiceError
from werkzeug.wrappers import Request

from pipeline.aws.validation.shapes import service_model
from pipeline.local.context import ServiceError
from pipeline.local.wire import query, rest

Protocol = Literal["json", "cbor", "form", "rest"]
FORM = "application/x-www-form-urlencoded"
# Botocore's names of services that sign as another name.
_SIGNING_NAMES = {"monitoring": "cloudwatch", "servicequotas": "service-quotas", "tagging": "resourcegroupstaggingapi"}
CBOR_PROTOCOL = "rpc-v2-cbor"
_CBOR = re.compile(r"/service/([^/]+)/operation/([^/]+)")
# Services of SageMaker that sign as it; their requests have no target.
_OF_SAGEMAKER = (
    *("sagemaker-runtime", "sagemaker-featurestore-runtime", "sagemaker-metrics", "sagemaker-a2i-runtime"),
    *("sagemaker-edge", "sagemaker-geospatial"),
)
_INVOKE_ENDPOINT = re.compile(r"/endpoints/([^/]+)/invocations")


# A queue's URL is the address of old clients of SQS.
_PATHS = {"sqs": re.compile(r"/(\d{12}/[A-Za-z0-9_.-]{1,80})?")}
_ROOT = re.compile("/")
_BODY_LIMIT = 64 * 1024 * 1024


@dataclass(frozen=True)
class Parsed:
    """A request: botocore's name of the service, the operation, its members, and the protocol that it was read by."""

    service: str
    operation: str
    members: dict[str, Any]
    protocol: Protocol


def service_of(signing_name: str) -> str:
    """Botocore's name of a service that signs under this name."""
    return _SIGNING_NAMES.get(signing_name, signing_name)


def parse(signing_name: str, request: Request) -> Parsed:
    """Read a signed request. Raises ServiceError for one that is none of the service's.

    Requests that could be read in two ways are refused: moto reads them again.
    """
    service = service_of(signing_name)
    path = str(request.environ.get("RAW_URI", request.path)).partition("?")[0]
    if service == "sagemaker" and request.method == "POST" and (match := _INVOKE_ENDPOINT.fullmatch(path)):
        members = {"EndpointName": unquote(match[1]), **_headers(request)}
        return Parsed("sagemaker-runtime", "InvokeEndpoint", members, "rest")
    if service == "s3":
        raise ServiceError("InvalidRequest", "Requests to S3 go to its own port: AWS_ENDPOINT_URL_S3.", 400)
    if not re.fullmatch(r"[a-z0-9-]{1,64}", service):
        raise ServiceError("UnknownOperationException", f"There is no service {service!r}.", 404)
    try:
        model = service_model(service)
    except UnknownServiceError:
        raise ServiceError("UnknownOperationException", f"There is no service {service}.", 404) from None
    target = request.headers.get("X-Amz-Target", "")
    if target or (match := _CBOR.fullmatch(path)):
        _require_plain(service, path, request, is_cbor=not target)
        prefix, _, operation = target.partition(".") if target else (match[1], "", match[2])  # type: ignore[index]
        if prefix != model.metadata.get("targetPrefix") or operation not in model.operation_names:
            raise ServiceError("UnknownOperationException", f"{service} has no operation {prefix}.{operation}.", 404)
        if target:
            return Parsed(service, operation, _json(request), "json")
        return Parsed(service, operation, _cbor(request), "cbor")
    # Each service has protocols of its own, and moto would read a form of another's.
    if request.mimetype == FORM and not {"query", "ec2"}.isdisjoint(model.metadata["protocols"]):
        _require_plain(service, path, request)
        pairs = parse_qsl(body_of(request).decode(errors="replace"), keep_blank_values=True)
        form = dict(pairs)
        if len(form) != len(pairs):
            raise ServiceError("MalformedQueryString", "A member of the request is given twice.")
        return Parsed(service, *query.parse(service, form), "form")
    if model.metadata["protocol"] == "rest-json":
        if service != "scheduler" and "%2f" in path.lower():
            # moto reads the decoded path.
            raise ServiceError("ValidationException", f"A name has no slash: {path}")
        parsed = rest.parse(service, request.method, path, request.args, body_of(request), headers=request.headers)
        return Parsed(service, *parsed, "rest")
    raise ServiceError("UnknownOperationException", _unanswered(service, request, path), 404)


def _unanswered(service: str, request: Request, path: str) -> str:
    """What the local cloud does not answer, by its operation if it is one of SageMaker's other services."""
    for other in _OF_SAGEMAKER if service == "sagemaker" else ():
        if operation := rest.operation_of(other, request.method, path):
            return f"The local cloud does not answer {other}:{operation}."
    return f"The local cloud does not answer {request.method} {path} of {service}."


def body_of(request: Request) -> bytes:
    """The body, decompressed: boto3 compresses large metrics. Raises ServiceError."""
    data = request.get_data()
    encoding = request.headers.get("Content-Encoding", "")
    if not encoding:
        return data
    if encoding != "gzip":
        raise ServiceError("SerializationException", f"The local cloud reads no Content-Encoding {encoding}.")
    decompressor = zlib.decompressobj(wbits=31)
    try:
        body = decompressor.decompress(data, _BODY_LIMIT)
    except zlib.error as error:
        raise ServiceError("SerializationException", f"The request is not valid gzip: {error}") from None
    if not decompressor.eof or decompressor.unused_data:
        raise ServiceError("SerializationException", f"The request is no gzip member of at most {_BODY_LIMIT} bytes.")
    return body


def _require_plain(service: str, path: str, request: Request, *, is_cbor: bool = False) -> None:
    """Refuse a path or a query string that names another operation than the target or the form."""
    if not is_cbor and not _PATHS.get(service, _ROOT).fullmatch(path):
        raise ServiceError("UnknownOperationException", f"{service} has no path {path}.", 404)
    if request.query_string:
        raise ServiceError("UnknownOperationException", f"Requests of {service} have no query string.", 404)


def _headers(request: Request) -> dict[str, str]:
    """Members of InvokeEndpoint that are headers, besides the body's."""
    members = service_model("sagemaker-runtime").operation_model("InvokeEndpoint").input_shape.members
    located = {
        shape.serialization["name"].lower(): name
        for name, shape in members.items()
        if shape.serialization.get("location") == "header"
    }
    # Header names arrive in the server's own capitals.
    return {located[name.lower()]: value for name, value in request.headers.items() if name.lower() in located}


def _json(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(body_of(request) or b"{}")
    except ValueError as error:
        raise ServiceError("SerializationException", f"The request is not valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise ServiceError("SerializationException", "The request is no JSON object.")
    return body


def _cbor(request: Request) -> dict[str, Any]:
    """https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html; botocore reads its data items."""
    from botocore.parsers import RpcV2CBORParser

    body = body_of(request)
    if not body:
        return {}
    try:
        value = RpcV2CBORParser().parse_data_item(io.BufferedReader(io.BytesIO(body)))
    except Exception as error:
        raise ServiceError("SerializationException", f"The request is not valid CBOR: {error}") from None
    if not isinstance(value, dict):
        raise ServiceError("SerializationException", "The request is no CBOR map.")
    return value
