"""Kind: an answer that the client of its protocol cannot parse, or sends its request again for.

What is not there (an operation that nobody implements, a path of no operation, a service without a backend) and what
moto fails on is answered once, with a code and one line of text, in each of AWS's protocols. The clients are botocore's
own, with their own retries, in front of an HTTP server that counts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.parsers import create_parser
from moto.backends import get_backend
from moto.core.models import botocore_stubber
from werkzeug.serving import make_server
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request, Response

from pipeline.aws.validation.shapes import service_model
from pipeline.local.context import Context, ServiceError
from pipeline.local.server import QuietHandler
from pipeline.local.services import Services
from pipeline.local.store import Store
from pipeline.local.wire import errors
from pipeline.local.wire.protocol import Application, moto_application

ACCOUNT = "123456789012"
# One per protocol and way to be missing: service, operation, its members.
MISSING: list[tuple[str, str, dict[str, Any]]] = [
    ("cloudwatch", "DescribeAnomalyDetectors", {}),  # CBOR
    ("events", "ListEndpoints", {}),  # JSON
    ("dynamodb", "ListContributorInsights", {}),  # JSON 1.0, with a checksum of the answer
    ("iam", "GetContextKeysForCustomPolicy", {"PolicyInputList": ["{}"]}),  # Query
    ("ec2", "DescribeCapacityBlocks", {}),  # EC2's form of Query
    ("lambda", "ListCodeSigningConfigs", {}),  # REST-JSON
    ("route53", "ListHostedZones", {}),  # REST-XML
    ("gamelift", "ListFleets", {}),  # a service that moto does not have
    ("sagemaker", "ListApps", {}),
    ("sagemaker-runtime", "InvokeEndpointAsync", {"EndpointName": "e", "InputLocation": "s3://b/k"}),
    ("sagemaker-metrics", "BatchGetMetrics", {"MetricQueries": []}),
    ("athena", "ListNotebookMetadata", {"WorkGroup": "primary"}),
    ("cloudformation", "ListTypes", {}),
]


class Cloud:
    """A server of the APIs that counts requests."""

    def __init__(self, directory: Path) -> None:
        self.requests = 0
        keys = {"AWS_ACCESS_KEY_ID": "ROOTKEY", "AWS_SECRET_ACCESS_KEY": "secret"}
        environment = {**keys, "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}
        self._services = Services(Context(directory, ACCOUNT, "us-east-1", Store(directory / "s"), environment))
        self._application = Application(self._services, moto_application())
        self._server = make_server("127.0.0.1", 0, self._count, threaded=True, request_handler=QuietHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def _count(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.requests += 1
        return self._application(environ, start_response)

    def refusal(self, service: str, operation: str, members: dict[str, Any]) -> ClientError:
        client = boto3.client(
            service,
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{self._server.server_port}",
            aws_access_key_id="ROOTKEY",
            aws_secret_access_key="secret",
            config=Config(retries={"mode": "standard", "max_attempts": 4}, parameter_validation=False),
        )
        methods = {api: method for method, api in client.meta.method_to_api_mapping.items()}
        with pytest.raises(ClientError) as refused:
            getattr(client, methods[operation])(**members)
        return refused.value

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._services.close()


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    monkeypatch.setenv("MOTO_ACCOUNT_ID", ACCOUNT)
    monkeypatch.setattr(botocore_stubber, "enabled", False)
    opened = Cloud(tmp_path)
    yield opened
    opened.close()


@pytest.mark.parametrize(("service", "operation", "members"), MISSING)
def test_what_is_not_there_is_answered_once(
    cloud: Cloud, service: str, operation: str, members: dict[str, Any]
) -> None:
    refused = cloud.refusal(service, operation, members)
    assert cloud.requests == 1
    error = refused.response["Error"]
    assert error["Code"] in ("UnknownOperationException", "InvalidAction")
    assert error["Message"].startswith("The local cloud ")
    assert "<" not in error["Message"]
    assert 400 <= refused.response["ResponseMetadata"]["HTTPStatusCode"] < 500


@pytest.mark.parametrize(
    ("service", "operation", "method"),
    [("events", "ListRules", "list_rules"), ("lambda", "ListFunctions", "list_functions"), ("iam", "ListRoles", "")],
)
def test_what_moto_fails_on_is_answered_once(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, service: str, operation: str, method: str
) -> None:
    region = "us-east-1" if method else "aws"
    monkeypatch.setattr(get_backend(service)[ACCOUNT][region], method or "list_roles", _fails)
    refused = cloud.refusal(service, operation, {})
    assert cloud.requests == 1
    assert refused.response["Error"]["Code"] == "InternalFailure"
    assert f"cannot answer this request of {service}:{operation}: KeyError" in refused.response["Error"]["Message"]


def _fails(*_: Any, **__: Any) -> None:
    raise KeyError("p99")


@pytest.mark.parametrize(
    ("service", "operation", "protocol", "headers"),
    [
        ("cloudwatch", "ListMetrics", "smithy-rpc-v2-cbor", {"Smithy-Protocol": "rpc-v2-cbor"}),
        ("cloudformation", "DescribeStacks", "query", {"Content-Type": "application/x-www-form-urlencoded"}),
        ("ec2", "DescribeVpcs", "ec2", {"Content-Type": "application/x-www-form-urlencoded"}),
        ("route53", "ListHostedZones", "rest-xml", {}),
        ("lambda", "ListFunctions", "rest-json", {}),
        ("sagemaker", "ListModels", "json", {"X-Amz-Target": "SageMaker.ListModels"}),
    ],
)
def test_an_error_is_read_by_the_client_of_each_protocol(
    service: str, operation: str, protocol: str, headers: dict[str, str]
) -> None:
    signed = f"AWS4-HMAC-SHA256 Credential=K/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
    environ = EnvironBuilder(method="POST", headers={"Authorization": signed, **headers}).get_environ()
    text = "Stack <bins> & \u00fc: not there " + "x" * 300
    answer = errors.response(Request(environ), ServiceError("ValidationError", text, 409))
    received = {"status_code": answer.status_code, "headers": dict(answer.headers), "body": answer.get_data()}
    shape = service_model(service).operation_model(operation).output_shape
    parsed = create_parser(protocol).parse(received, shape)
    assert (parsed["Error"]["Code"], parsed["Error"]["Message"]) == ("ValidationError", text)


@pytest.mark.parametrize(
    ("answer", "foreign"),
    [
        (Response("<!doctype html>\n<title>500</title>", 500, content_type="text/html"), True),
        (Response("", 404, content_type="text/html; charset=utf-8"), True),
        (Response("<ErrorResponse/>", 404, content_type="text/html"), False),  # moto's XML has this type too
        (Response("<!doctype html>", 200, content_type="text/html"), False),
        (Response('{"__type": "NotFound"}', 404, content_type="application/json"), False),
        (Response("", 404, content_type="application/json"), False),
    ],
)
def test_a_page_of_the_web_framework_is_no_answer_of_a_service(answer: Response, foreign: bool) -> None:
    assert errors.is_foreign(answer) is foreign
