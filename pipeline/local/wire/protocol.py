"""AWS's protocols over HTTP: the operation of a request, and the form of answers and errors.

https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html, REST-JSON for EventBridge Scheduler (`rest`), the Query
protocol for CloudFormation (`query`), and REST paths for Lambda's Invoke and the runtime's InvokeEndpoint. Requests for
operations that `Services` does not own are passed to moto, in this process.
"""

from __future__ import annotations

import functools
import io
import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from werkzeug.wrappers import Request, Response

from pipeline.aws.validation.shapes import service_model
from pipeline.local.context import ServiceError, random_id
from pipeline.local.identity.caller import Caller
from pipeline.local.identity.identity import CREDENTIALS_PATH
from pipeline.local.identity.sessions import ExpiredTokenError, InvalidTokenError
from pipeline.local.members import problems
from pipeline.local.services import Services
from pipeline.local.wire import query, requests
from pipeline.local.wire import signature as signatures
from pipeline.local.wire.requests import FORM, Protocol
from pipeline.local.wire.signature import SignatureError

log = logging.getLogger(__name__)

JSON = "application/x-amz-json-1.1"
_BODY_LIMIT = 64 * 1024 * 1024
Wsgi = Callable[..., Iterable[bytes]]
# AWS's codes of requests that are not signed, or not as they should be: by the Query protocol, and by the others.
# https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
_AUTHENTICATION_CODES = {
    "missing": ("MissingAuthenticationToken", "MissingAuthenticationTokenException"),
    "incomplete": ("IncompleteSignature", "IncompleteSignatureException"),
    "unknown": ("InvalidClientTokenId", "UnrecognizedClientException"),
    "mismatch": ("SignatureDoesNotMatch", "InvalidSignatureException"),
    "expired": ("ExpiredToken", "ExpiredTokenException"),
}
# Services of no region, whose clients sign for us-east-1.
_GLOBAL = ("iam", "sts", "budgets", "organizations")
_READING = ("Get", "List", "Simulate", "Generate")


@dataclass(frozen=True)
class Call:
    """A parsed request: botocore's name of the service, operation, members, and the function that answers it.

    `respond` is None for an operation that moto answers.
    """

    service: str
    operation: str
    request: dict[str, Any]
    respond: Callable[[Caller], Response] | None
    signing_name: str
    protocol: Protocol


class Application:
    """The WSGI application. A request is authenticated, parsed into a Call, decided, and answered."""

    def __init__(self, services: Services, moto: Wsgi) -> None:
        self._services = services
        self._identity = services.identity
        self._moto = moto

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request."""
        request = Request(environ)
        request.max_content_length = _BODY_LIMIT
        answer = self._answer(request)
        if isinstance(answer, Response):
            answer.headers["x-amzn-RequestId"] = random_id(32)
            return answer(environ, start_response)
        body = self._moto(self._environ_for_moto(answer, request), start_response)
        if answer.service == "iam" and not answer.operation.startswith(_READING):
            self._identity.authorizer.changed()
        return body

    def _environ_for_moto(self, call: Call, request: Request) -> dict[str, Any]:
        """A request that moto can read as the decided call only.

        moto finds service, region, account and operation in many places (path, query string, body, headers, user
        agent), in an order of its own. So it gets an environment with nothing but the parts that were decided on.
        """
        context, metadata = self._services.context, service_model(call.service).metadata
        body = requests.body_of(request)
        content_type, query_string = {
            # A named action keeps moto from looking for one in the body. A form has its own.
            "json": (f"application/x-amz-json-{metadata.get('jsonVersion', '1.1')}", f"Action={call.operation}"),
            "cbor": ("application/cbor", f"Action={call.operation}"),
            "form": (FORM, ""),
            "rest": ("application/json", request.query_string.decode("latin-1")),
        }[call.protocol]
        scope = f"{context.environment['AWS_ACCESS_KEY_ID']}/20000101/{context.region}/{call.signing_name}/aws4_request"
        path = request.environ["PATH_INFO"]
        environ = {
            name: value for name, value in request.environ.items() if name.startswith(("wsgi.", "SERVER_", "REMOTE_"))
        }
        environ |= {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query_string,
            "CONTENT_TYPE": content_type,
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_HOST": request.host,
            "HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature={'0' * 64}",
            "wsgi.input": io.BytesIO(body),
        }
        headers = ("X-Amz-Date", "Smithy-Protocol", "Accept", *(("X-Amz-Target",) if call.protocol == "json" else ()))
        for header in headers:
            if value := request.headers.get(header):
                environ[f"HTTP_{header.upper().replace('-', '_')}"] = value
        return environ

    def _answer(self, request: Request) -> Response | Call:
        """The answer, or the call that moto answers."""
        # Clients of the Query protocol send forms, and read errors in XML.
        is_form = request.mimetype == FORM
        error_response = _query_error if is_form else _error
        try:
            if request.path.startswith(CREDENTIALS_PATH):
                return self._container_credentials(request)
            signing_name, caller = self._authenticate(request)
            call = self._parse(signing_name, request)
            if call.respond is None:
                self._services.validate(call.service, call.operation, call.request)
                self._services.authorize(caller, call.service, call.operation, call.request)
                if missing := problems(call.service, call.operation, call.request):
                    raise ServiceError("ValidationError", " ".join(missing))
                if call.service == "lambda":
                    self._configure_function(call)
                return call
            return call.respond(caller)
        except SignatureError as error:
            code = _AUTHENTICATION_CODES[error.kind][0 if is_form else 1]
            return error_response(ServiceError(code, str(error), 403))
        except ServiceError as error:
            return error_response(error)
        except Exception as error:
            log.exception("%s %s %s", request.method, request.path, request.headers.get("X-Amz-Target", ""))
            return error_response(ServiceError("InternalFailure", self._services.context.reason(error), 500))

    def _container_credentials(self, request: Request) -> Response:
        """Credentials of a container's role, for who knows the container's token."""
        handle, token = request.path.removeprefix(CREDENTIALS_PATH), request.headers.get("Authorization", "")
        credentials = self._identity.container_credentials(handle, token)
        if credentials is None:
            return Response(json.dumps({"message": "no such credentials"}), status=403, content_type="application/json")
        return Response(json.dumps(credentials), content_type="application/json")

    def _authenticate(self, request: Request) -> tuple[str, Caller]:
        """The signing name of the service and the caller. Raises SignatureError."""
        signature = signatures.read(request)
        try:
            token = request.headers.get("X-Amz-Security-Token", "")
            caller, secret_key = self._identity.secret_of(signature.access_key, token)
        except ExpiredTokenError:
            raise SignatureError("expired", "The security token included in the request is expired") from None
        except InvalidTokenError:
            message = (
                "The security token included in the request is invalid. The access key is not this local cloud's:"
                " eval $(python -m pipeline local env)"
            )
            raise SignatureError("unknown", message) from None
        signatures.verify(request, signature, secret_key)
        region = self._services.context.region
        if signature.region != region and signature.service not in _GLOBAL:
            raise SignatureError("mismatch", f"Credential should be scoped to a valid region; this cloud is {region}.")
        return signature.service, caller

    def _parse(self, signing_name: str, request: Request) -> Call:
        """The call in a request. Raises ServiceError for an unknown operation."""
        parsed = requests.parse(signing_name, request)
        service, operation, members = parsed.service, parsed.operation, parsed.members
        respond: Callable[[Caller], Response] | None = None
        if service == "sagemaker-runtime":
            respond = functools.partial(self._invoke_endpoint, members, request)
        elif service == "lambda" and operation == "Invoke":
            respond = functools.partial(self._invoke_function, members, request)
        elif self._services.owns(service, operation):
            answer = self._query_response if parsed.protocol == "form" else self._json_response
            respond = functools.partial(answer, service, operation, members)
        return Call(service, operation, members, respond, signing_name, parsed.protocol)

    def _json_response(self, service: str, operation: str, body: dict[str, Any], caller: Caller) -> Response:
        answer = self._services.call(service, operation, body, caller)
        content_type = "application/json" if service == "scheduler" else JSON
        return Response(json.dumps(answer), content_type=content_type)

    def _query_response(self, service: str, operation: str, body: dict[str, Any], caller: Caller) -> Response:
        result = self._services.call(service, operation, body, caller)
        return Response(query.answer(service, operation, result, random_id(32)), content_type=query.CONTENT_TYPE)

    def _invoke_endpoint(self, members: dict[str, Any], request: Request, caller: Caller) -> Response:
        name = members["EndpointName"]
        self._services.authorize(caller, "sagemaker-runtime", "InvokeEndpoint", members)
        if missing := problems("sagemaker-runtime", "InvokeEndpoint", members):
            raise ServiceError("ValidationError", " ".join(missing))
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

    def _invoke_function(self, members: dict[str, Any], request: Request, caller: Caller) -> Response:
        name = members["FunctionName"].rsplit(":function:", 1)[-1]
        self._services.authorize(caller, "lambda", "Invoke", members)
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

    def _configure_function(self, call: Call) -> None:
        """Read a function's dead-letter queue from a request to moto, which does not store it."""
        if call.operation in ("CreateFunction", "UpdateFunctionConfiguration"):
            created = call.operation == "CreateFunction"
            self._services.functions.configure(call.request["FunctionName"], call.request, created=created)


def _query_error(error: ServiceError) -> Response:
    body = query.error(error.code, error.message, error.status, random_id(32))
    return Response(body, status=error.status, content_type=query.CONTENT_TYPE)


def _error(error: ServiceError, detail: dict[str, Any] | None = None) -> Response:
    body = {"__type": error.code, "message": error.message, "Message": error.message, **(detail or {})}
    response = Response(json.dumps(body), status=error.status, content_type=JSON)
    response.headers["x-amzn-ErrorType"] = error.code
    return response
