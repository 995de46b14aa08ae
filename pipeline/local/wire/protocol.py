"""AWS's protocols over HTTP: the operation of a request, and the form of answers and errors.

https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html, REST-JSON for EventBridge Scheduler (`rest`), the Query
protocol for CloudFormation (`query`), and REST paths for Lambda's Invoke and the runtime's InvokeEndpoint. Requests for
operations that `Services` does not own are passed to moto, in this process.
"""

from __future__ import annotations

import functools
import hmac
import io
import json
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from werkzeug.wrappers import Request, Response

from pipeline.local import faults
from pipeline.local.context import ServiceError, random_id
from pipeline.local.services import Services
from pipeline.local.wire import query, rest

log = logging.getLogger(__name__)

# Botocore's name of a service by the first part of X-Amz-Target.
TARGETS = {
    "SageMaker": "sagemaker",
    "AmazonAthena": "athena",
    "Logs_20140328": "logs",
    "AWSEvents": "events",
    "AmazonEC2ContainerRegistry_V20150921": "ecr",
}
JSON = "application/x-amz-json-1.1"
_FORM = "application/x-www-form-urlencoded"
_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")
_INVOKE_ENDPOINT = re.compile(r"/endpoints/([^/]+)/invocations")
_FUNCTIONS = re.compile(r"/2015-03-31/functions(?:/([^/]+)/configuration)?/?")
_INVOKE_FUNCTION = re.compile(r"/2015-03-31/functions/([^/]+)/invocations")
_BODY_LIMIT = 64 * 1024 * 1024
Wsgi = Callable[..., Iterable[bytes]]


@dataclass(frozen=True)
class Call:
    """A parsed request: service (as in IAM's actions), operation, members, and the function that answers it."""

    service: str
    operation: str
    request: dict[str, Any]
    respond: Callable[[], Response]


class Application:
    """The WSGI application. A request is authenticated, parsed into a Call, and answered."""

    def __init__(self, services: Services, moto: Wsgi) -> None:
        self._services = services
        self._moto = moto
        self._access_key = services.context.environment["AWS_ACCESS_KEY_ID"]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request."""
        request = Request(environ)
        request.max_content_length = _BODY_LIMIT
        response = self._answer(request)
        if response is None:
            return self._moto(environ, start_response)
        response.headers["x-amzn-RequestId"] = random_id(32)
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response | None:
        """The answer; None if moto answers the request."""
        # Clients of the Query protocol send forms, and read errors in XML.
        error_response = _query_error if request.mimetype == _FORM else _error
        try:
            scope = self._authenticate(request)
            call = self._parse(scope, request)
            operation = call.operation if call else request.headers.get("X-Amz-Target", request.path)
            if throttled := faults.of(self._services.context.directory).refusal(scope, operation):
                raise throttled
            return None if call is None else call.respond()
        except ServiceError as error:
            return error_response(error)
        except Exception as error:
            log.exception("%s %s %s", request.method, request.path, request.headers.get("X-Amz-Target", ""))
            return error_response(ServiceError("InternalFailure", f"{type(error).__name__}: {error}", 500))

    def _authenticate(self, request: Request) -> str:
        """The service that the request is signed for. Raises ServiceError for another access key than this cloud's."""
        credential = _CREDENTIAL.search(request.headers.get("Authorization", ""))
        if credential is None or not hmac.compare_digest(credential[1], self._access_key):
            message = "The access key is not this local cloud's: eval $(python -m pipeline local env)"
            raise ServiceError("UnrecognizedClientException", message, 403)
        return credential[3]

    def _parse(self, scope: str, request: Request) -> Call | None:  # noqa: PLR0911  # one return per protocol
        """The call in a request; None for an operation of moto's. Raises ServiceError for an unknown operation."""
        target, _, operation = request.headers.get("X-Amz-Target", "").partition(".")
        service = TARGETS.get(target, "")
        if service and self._services.owns(service, operation):
            return self._call(service, operation, _json(request), JSON)
        if request.method == "POST" and (match := _INVOKE_ENDPOINT.fullmatch(request.path)):
            name = unquote(match[1])
            respond = functools.partial(self._invoke_endpoint, name, request)
            return Call("sagemaker", "InvokeEndpoint", {"EndpointName": name}, respond)
        if request.method == "POST" and (match := _INVOKE_FUNCTION.fullmatch(request.path)):
            name = unquote(match[1]).rsplit(":function:", 1)[-1]
            respond = functools.partial(self._invoke_function, name, request)
            return Call("lambda", "InvokeFunction", {"FunctionName": name}, respond)
        if scope == "cloudformation":
            form = dict(parse_qsl(request.get_data(as_text=True), keep_blank_values=True))
            operation, body = query.parse(scope, form)
            return Call(scope, operation, body, functools.partial(self._query_response, scope, operation, body))
        if scope == "scheduler":
            path = str(request.environ.get("RAW_URI", request.path)).partition("?")[0]
            operation, body = rest.parse(scope, request.method, path, request.args, request.get_data())
            return self._call(scope, operation, body, "application/json")
        if request.method in ("POST", "PUT") and (match := _FUNCTIONS.fullmatch(request.path)):
            self._configure_function(unquote(match[1] or ""), request)
            return None
        if scope in {"sagemaker", "athena", "logs"}:
            message = f"The local cloud does not answer {request.method} {request.path}."
            raise ServiceError("UnknownOperationException", message, 404)
        return None

    def _call(self, service: str, operation: str, body: dict[str, Any], content_type: str) -> Call:
        def respond() -> Response:
            answer = self._services.call(service, operation, body)
            return Response(json.dumps(answer), content_type=content_type)

        return Call(service, operation, body, respond)

    def _query_response(self, service: str, operation: str, body: dict[str, Any]) -> Response:
        answer = query.answer(service, operation, self._services.call(service, operation, body), random_id(32))
        return Response(answer, content_type=query.CONTENT_TYPE)

    def _invoke_endpoint(self, name: str, request: Request) -> Response:
        headers = {"Content-Type": request.content_type or "application/octet-stream"}
        if accept := request.headers.get("Accept"):
            headers["Accept"] = accept
        variant, answer = self._services.endpoints.invoke(name, request.get_data(), headers)
        if answer.status >= 400:
            text = answer.body.decode(errors="replace")
            group = f"/aws/sagemaker/Endpoints/{name}"
            message = (
                f'Received client error ({answer.status}) from primary with message "{text}". See {group}'
                f" in account {self._services.context.account_id} for more information."
            )
            detail = {
                "OriginalStatusCode": answer.status,
                "OriginalMessage": text,
                "LogStreamArn": self._services.context.arn("logs", f"log-group:{group}"),
            }
            return _error(ServiceError("ModelError", message, 424), detail)
        response = Response(answer.body, content_type=answer.content_type)
        response.headers["x-Amzn-Invoked-Production-Variant"] = variant
        return response

    def _invoke_function(self, name: str, request: Request) -> Response:
        payload = request.get_data() or b"null"
        match request.headers.get("X-Amz-Invocation-Type", "RequestResponse"):
            case "Event":
                self._services.functions.invoke_later(name, payload)
                return Response(status=202)
            case "DryRun":
                self._services.functions.check(name)
                return Response(status=204)
            case "RequestResponse":
                result = self._services.functions.invoke(name, payload)
            case unknown:
                raise ServiceError("InvalidParameterValueException", f"There is no invocation type {unknown}.")
        response = Response(result.payload, content_type="application/json")
        response.headers["X-Amz-Executed-Version"] = "$LATEST"
        if result.error is not None:
            response.headers["X-Amz-Function-Error"] = result.error
        return response

    def _configure_function(self, name: str, request: Request) -> None:
        """Read a function's dead-letter queue from a request to moto, which does not store it."""
        data = request.get_data()
        request.environ["wsgi.input"] = io.BytesIO(data)
        try:
            body = json.loads(data or b"{}")
        except ValueError:
            return  # moto refuses it
        if isinstance(body, dict):
            self._services.functions.configure(name or body.get("FunctionName", ""), body, created=not name)


def _json(request: Request) -> dict[str, Any]:
    try:
        body: dict[str, Any] = json.loads(request.get_data() or b"{}")
    except ValueError as error:
        raise ServiceError("SerializationException", f"The request is not valid JSON: {error}") from None
    return body


def _query_error(error: ServiceError) -> Response:
    body = query.error(error.code, error.message, error.status, random_id(32))
    return Response(body, status=error.status, content_type=query.CONTENT_TYPE)


def _error(error: ServiceError, detail: dict[str, Any] | None = None) -> Response:
    body = {"__type": error.code, "message": error.message, "Message": error.message, **(detail or {})}
    response = Response(json.dumps(body), status=error.status, content_type=JSON)
    response.headers["x-amzn-ErrorType"] = error.code
    return response
