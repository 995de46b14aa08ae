"""AWS's protocols over HTTP: the operation of a request, and the form of answers and errors.

https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html, REST-JSON for EventBridge Scheduler (`rest`), the Query
protocol for CloudFormation (`query`), and REST paths for Lambda's Invoke and the runtime's InvokeEndpoint. Requests for
operations that `Services` does not own are passed to moto, in this process.
"""

from __future__ import annotations

import base64
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
from pipeline.local.sagemaker.serving import CUSTOM_ATTRIBUTES
from pipeline.local.services import Services
from pipeline.local.wire import errors, query, requests
from pipeline.local.wire import signature as signatures
from pipeline.local.wire.requests import FORM, Protocol
from pipeline.local.wire.signature import SignatureError

log = logging.getLogger(__name__)

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


def moto_application() -> Wsgi:
    """Moto's server, which raises what it fails with instead of answering with a page in HTML."""
    from moto.server import DomainDispatcherApplication, create_backend_app

    def create(service: str | None) -> Any:
        if service is None:
            raise NotImplementedError("there is no such service here")
        backend = create_backend_app(service)
        backend.config["PROPAGATE_EXCEPTIONS"] = True
        return backend

    return DomainDispatcherApplication(create)  # type: ignore[no-any-return]


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
        try:
            response = self._ask_moto(answer, request)
        except ServiceError as error:
            response = errors.response(request, error)
        if answer.service == "iam" and not answer.operation.startswith(_READING):
            self._identity.authorizer.changed()
        return response(environ, start_response)

    def _ask_moto(self, call: Call, request: Request) -> Response:
        """Moto's answer. Raises ServiceError for what moto does not have, and for a request on which it fails."""
        try:
            answer = Response.from_app(self._moto, self._environ_for_moto(call, request), buffered=True)
        except NotImplementedError as error:
            # An action that moto lacks ends with these words; the other ones name a part of the request.
            reason = "" if str(error).endswith("action has not been implemented") else str(error)
            raise errors.unknown(call.service, call.operation, reason) from None
        except Exception as error:
            log.exception("moto fails on %s:%s", call.service, call.operation)
            raise errors.failed(call.service, call.operation, error) from error
        if errors.is_foreign(answer):
            raise errors.unknown(call.service, call.operation)
        return answer

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
                self._services.prepare(call.service, call.operation, call.request)
                return call
            return call.respond(caller)
        except SignatureError as error:
            code = _AUTHENTICATION_CODES[error.kind][0 if request.mimetype == FORM else 1]
            return errors.response(request, ServiceError(code, str(error), 403))
        except ServiceError as error:
            return errors.response(request, error)
        except Exception as error:
            log.exception("%s %s %s", request.method, request.path, request.headers.get("X-Amz-Target", ""))
            reason = self._services.context.reason(error)
            return errors.response(request, ServiceError("InternalFailure", reason, 500))

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
            respond = functools.partial(self._invoke_function, members)
        elif self._services.owns(service, operation):
            answer = self._query_response if parsed.protocol == "form" else self._json_response
            respond = functools.partial(answer, service, operation, members)
        return Call(service, operation, members, respond, signing_name, parsed.protocol)

    def _json_response(self, service: str, operation: str, body: dict[str, Any], caller: Caller) -> Response:
        answer = self._services.call(service, operation, body, caller)
        content_type = "application/json" if service == "scheduler" else errors.JSON
        return Response(json.dumps(answer), content_type=content_type)

    def _query_response(self, service: str, operation: str, body: dict[str, Any], caller: Caller) -> Response:
        result = self._services.call(service, operation, body, caller)
        return Response(query.answer(service, operation, result, random_id(32)), content_type=query.CONTENT_TYPE)

    def _invoke_endpoint(self, members: dict[str, Any], request: Request, caller: Caller) -> Response:
        name = members["EndpointName"]
        self._services.authorize(caller, "sagemaker-runtime", "InvokeEndpoint", members)
        if missing := problems("sagemaker-runtime", "InvokeEndpoint", members):
            raise ServiceError("ValidationError", " ".join(missing))
        variant, answer = self._services.endpoints.invoke(name, request.get_data(), members)
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
            return errors.response(request, ServiceError("ModelError", message, 424), detail)
        response = Response(answer.body, content_type=answer.content_type)
        response.headers["x-Amzn-Invoked-Production-Variant"] = variant
        if "CustomAttributes" in members or answer.custom_attributes:
            # "If your code does not set this value in the response, an empty value is returned" (botocore's model).
            response.headers[CUSTOM_ATTRIBUTES] = answer.custom_attributes
        return response

    def _invoke_function(self, members: dict[str, Any], caller: Caller) -> Response:
        self._services.authorize(caller, "lambda", "Invoke", members)
        if missing := problems("lambda", "Invoke", members):
            raise ServiceError("InvalidParameterValueException", " ".join(missing))
        functions, name = self._services.functions, members["FunctionName"]
        qualifier, payload = members.get("Qualifier", ""), members.get("Payload") or b"null"
        client = _client_context(members.get("ClientContext"))
        try:
            json.loads(payload)
        except ValueError as error:
            message = f"Could not parse request body into json: {error}"
            raise ServiceError("InvalidRequestContentException", message) from None
        match members.get("InvocationType", "RequestResponse"):
            case "Event":
                functions.invoke_later(name, payload, qualifier, client)
                return Response(status=202)
            case "DryRun":
                functions.check(name, qualifier)
                return Response(status=204)
            case "RequestResponse":
                result = functions.invoke(name, payload, qualifier=qualifier, client=client)
            case unknown:
                raise ServiceError("InvalidParameterValueException", f"There is no invocation type {unknown}.")
        response = Response(result.payload, content_type="application/json")
        response.headers["X-Amz-Executed-Version"] = result.version
        if members.get("LogType") == "Tail":
            response.headers["X-Amz-Log-Result"] = base64.b64encode(result.tail).decode()
        if result.error is not None:
            response.headers["X-Amz-Function-Error"] = result.error
        return response


def _client_context(text: str | None) -> dict[str, Any] | None:
    """The JSON of a ClientContext. Raises ServiceError."""
    if text is None:
        return None
    try:
        context = json.loads(base64.b64decode(text, validate=True))
    except ValueError:
        context = None
    if not isinstance(context, dict):
        # The error is Lambda's for a malformed body; that it is the same for this header is assumed.
        raise ServiceError(
            "InvalidRequestContentException", "Client context must be a valid Base64-encoded JSON object."
        )
    return context
