"""Errors in the form that the client of a request reads: JSON, CBOR, or one of three forms of XML.

A client that cannot parse an error shows HTML, and after a fault of the service (500, 502, 503, 504) it sends its
request again. So there is one place for the errors of all services, and an operation that the local cloud lacks is an
error of the client, after which none sends again:
https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from botocore.exceptions import UnknownServiceError
from werkzeug.wrappers import Request, Response

from pipeline.aws.validation.shapes import service_model
from pipeline.local.context import ServiceError, random_id
from pipeline.local.wire.requests import CBOR_PROTOCOL, FORM, service_of

JSON = "application/x-amz-json-1.1"
XML = "text/xml"
UNKNOWN = "UnknownOperationException"
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html and, for the other services with forms,
# https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/CommonErrors.html: "InvalidAction: The action or
# operation requested is invalid."
_UNKNOWN_OF_FORMS = "InvalidAction"
# Not one of 500, 502, 503 and 504, which clients send again (botocore's data/_retry.json).
NOT_IMPLEMENTED_STATUS = 501
_SIGNING_NAME = re.compile(r"Credential=[^/\s]+/\d{8}/[^/\s]+/([^/\s]+)/aws4_request")


def unknown(service: str, operation: str, reason: str = "") -> ServiceError:
    """The error for an operation that neither the local cloud nor moto has."""
    message = f"The local cloud does not answer {service}:{operation}{f': {reason}' if reason else '.'}"
    return ServiceError(UNKNOWN, message)


def failed(service: str, operation: str, error: Exception) -> ServiceError:
    """The error for a request on which moto fails: it would fail on it again."""
    message = f"The local cloud cannot answer this request of {service}:{operation}: {type(error).__name__}: {error}"
    return ServiceError("InternalFailure", message, NOT_IMPLEMENTED_STATUS)


def is_foreign(answer: Response) -> bool:
    """Whether an answer of moto's is its web framework's page, and no answer of the service."""
    body = answer.get_data().lstrip()[:15].lower()
    return answer.status_code >= 400 and answer.mimetype == "text/html" and (not body or body == b"<!doctype html>")


def response(request: Request, error: ServiceError, detail: Mapping[str, Any] | None = None) -> Response:
    """The answer to a request; `detail` are further members of an error in JSON."""
    if request.headers.get("Smithy-Protocol") == CBOR_PROTOCOL:
        # https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html#operation-error-serialization
        body = _cbor({"__type": error.code, "message": error.message})
        answer = Response(body, status=error.status, content_type="application/cbor")
        answer.headers["Smithy-Protocol"] = CBOR_PROTOCOL
        return answer
    protocol = "query" if request.mimetype == FORM else ""
    match = _SIGNING_NAME.search(request.headers.get("Authorization", ""))
    if match and not request.headers.get("X-Amz-Target"):
        protocol = _protocol(service_of(match[1]), protocol)
    if protocol in ("query", "ec2", "rest-xml"):
        return Response(xml(protocol, error), status=error.status, content_type=XML)
    members = {"__type": error.code, "message": error.message, "Message": error.message, **(detail or {})}
    answer = Response(json.dumps(members), status=error.status, content_type=JSON)
    answer.headers["x-amzn-ErrorType"] = error.code
    return answer


def _protocol(service: str, otherwise: str) -> str:
    """`ec2` or `rest-xml` for a service of that protocol, which has no other one."""
    try:
        protocol = str(service_model(service).metadata["protocol"])
    except (UnknownServiceError, ValueError):
        return otherwise
    return protocol if protocol in ("ec2", "rest-xml") else otherwise


def xml(protocol: str, error: ServiceError) -> str:
    """The body of an error of a service of the protocol `query`, `ec2` or `rest-xml`."""
    code = _UNKNOWN_OF_FORMS if error.code == UNKNOWN and protocol != "rest-xml" else error.code
    text = f"<Code>{escape(code)}</Code><Message>{escape(error.message)}</Message>"
    if protocol == "ec2":
        # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html#api-error-response
        return f"<Response><Errors><Error>{text}</Error></Errors><RequestID>{random_id(32)}</RequestID></Response>"
    side = "Receiver" if error.status >= 500 else "Sender"
    return (
        f"<ErrorResponse><Error><Type>{side}</Type>{text}</Error><RequestId>{random_id(32)}</RequestId></ErrorResponse>"
    )


def _cbor(members: Mapping[str, str]) -> bytes:
    """A map of texts; a text and a map of less than 2**32 bytes or pairs (RFC 8949, section 3.1)."""

    def text(value: str) -> bytes:
        encoded = value.encode()
        return b"\x7a" + len(encoded).to_bytes(4, "big") + encoded

    pairs = b"".join(text(name) + text(value) for name, value in members.items())
    return b"\xba" + len(members).to_bytes(4, "big") + pairs
