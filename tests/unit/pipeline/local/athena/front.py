"""Athena over HTTP for tests, as fixtures: its operations are ours, everything else is answered by moto's server."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from pipeline.local.athena import Athena, Connection, S3Access
from pipeline.local.context import ServiceError
from pipeline.local.store import Store

JSON = "application/x-amz-json-1.1"


@dataclass
class Front:
    """A running server; `athena` can be replaced, as by a restart."""

    url: str
    athena: Athena
    store: Store
    access: S3Access
    connection: Connection
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """A boto3 client of this server, made once."""
        if service not in self._clients:
            self._clients[service] = boto3.client(service, endpoint_url=self.url)
        return self._clients[service]


@contextmanager
def serve(folder: Path, access: S3Access) -> Iterator[Front]:
    """The server on a free port of 127.0.0.1."""
    moto = DomainDispatcherApplication(create_backend_app)

    def application(environment: Any, start: Any) -> Any:
        request = Request(environment)
        service, _, operation = request.headers.get("X-Amz-Target", "").partition(".")
        if service != "AmazonAthena":
            return moto(environment, start)
        return _answer(front.athena, operation, request)(environment, start)

    server = make_server("127.0.0.1", 0, application, threaded=True)
    url = f"http://127.0.0.1:{server.port}"
    glue = boto3.client(
        "glue",
        endpoint_url=url,
        region_name=access.region,
        aws_access_key_id=access.access_key,
        aws_secret_access_key=access.secret_key,
    )
    s3 = boto3.client(
        "s3",
        endpoint_url=access.endpoint,
        region_name=access.region,
        aws_access_key_id=access.access_key,
        aws_secret_access_key=access.secret_key,
    )
    store = Store(folder / "store.sqlite")
    connection = Connection(glue, s3, access)
    front = Front(url, Athena(store, lambda: connection, lambda *_: None), store, access, connection)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield front
    finally:
        server.shutdown()
        thread.join()
        front.athena.close()
        store.close()


def _answer(athena: Athena, operation: str, request: Request) -> Response:
    handler = athena.operations().get(operation)
    try:
        if handler is None:
            raise ServiceError("UnknownOperationException", f"the local Athena has no {operation}")
        return Response(json.dumps(handler(json.loads(request.get_data()))), content_type=JSON)
    except ServiceError as error:
        body = json.dumps({"__type": error.code, "message": error.message})
        return Response(body, error.status, content_type=JSON)


@pytest.fixture(scope="session")
def front(s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """The local Athena and moto's Glue behind one endpoint, for the session."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    access = S3Access(
        os.environ["AWS_ENDPOINT_URL_S3"],
        os.environ["AWS_ACCESS_KEY_ID"],
        os.environ["AWS_SECRET_ACCESS_KEY"],
        "us-east-1",
    )
    with serve(tmp_path_factory.mktemp("athena"), access) as running:
        yield running


@pytest.fixture(scope="module")
def aws(front: Front) -> Iterator[Front]:
    """Every AWS client of this process talks to the local Athena (and to the S3 server)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", front.url)
        boto3.setup_default_session()
        yield front
    boto3.setup_default_session()
