"""An account that moto pretends, with the local cloud's CloudFormation before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from moto import mock_aws

from pipeline.aws.validation import validate_request, validate_response
from pipeline.local.cloudformation.service import CloudFormation
from pipeline.local.context import Context, ServiceError
from pipeline.local.store import Store
from pipeline.local.wire import errors, query
from tests.unit.pipeline.operations.conftest import no_account

__all__ = ["no_account"]

ACCOUNT = "111122223333"


class Pretended(Context):
    """A context whose clients are moto's, in this process, by the session of the test."""

    def session(self) -> Any:
        return boto3.DEFAULT_SESSION

    def client_of(self, session: Any, service: str) -> Any:
        return session.client(service)


class Raw:
    """A body, as urllib3 gives it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._body


Refuse = Callable[[str, str, str], None]


class Cloud:
    """CloudFormation over the wire format, and operations that fail on demand."""

    def __init__(self, store: Store) -> None:
        environment = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
        self.store = store
        self.context = Pretended(Path(), ACCOUNT, "us-east-1", store, environment)
        self.service = CloudFormation(self.context)
        self.refused: dict[str, tuple[str, str]] = {}
        self.session = boto3.Session(region_name="us-east-1")
        self.session.events.register_first("before-send.cloudformation", self.answer)

    def client(self, service: str) -> Any:
        return self.session.client(service)

    def answer(self, request: Any, **_: Any) -> AWSResponse:
        form = dict(parse_qsl(request.body.decode() if isinstance(request.body, bytes) else request.body))
        status, body = 200, ""
        try:
            operation, values = query.parse("cloudformation", form)
            if operation in self.refused:
                raise ServiceError(*self.refused[operation])
            handler = self.service.operations().get(operation)
            assert handler, f"{operation} is not answered"
            assert validate_request("cloudformation", operation, values) == []
            response = handler(values)
            assert validate_response("cloudformation", operation, response) == []
            body = query.answer("cloudformation", operation, response, "0")
        except ServiceError as error:
            status, body = error.status, errors.xml("query", error)
        return AWSResponse(request.url, status, {"Content-Type": query.CONTENT_TYPE}, Raw(body.encode()))


@pytest.fixture
def cloud(no_account: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    # An address that moto does not know: it would act on the requests too.
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", "http://cloudformation.invalid")
    store = Store(tmp_path / "cloud.sqlite")
    with mock_aws():
        cloud = Cloud(store)
        boto3.DEFAULT_SESSION = cloud.session
        yield cloud
        cloud.service.close()
    store.close()
