import asyncio
import http.client
import os
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import proxy
from benchmarks.proxy import LOOPBACK, MAX_HEAD_BYTES, MalformedRequestError, RequestReader

GET = b"GET /bucket/a HTTP/1.1\r\nHost: 127.0.0.1:8333\r\n\r\n"
PUT = b"PUT /bucket/GET HTTP/1.1\r\ncontent-LENGTH:  12\r\n\r\nGET \r\n\r\nGET "
CHUNKED = (
    b"PUT /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;name=value\r\nGET \r\r\n1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nx-checksum: 1\r\n\r\n"
)
EMPTY = b"PUT /e HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
HEAD = b"HEAD /bucket/a HTTP/1.1\r\nContent-Length: 0\r\n\r\n"


@given(
    st.lists(st.sampled_from([GET, PUT, CHUNKED, EMPTY, HEAD]), max_size=8),
    st.lists(st.integers(1, 200), max_size=40),
)
def test_however_requests_are_cut_every_byte_is_passed_on_and_only_gets_wait(requests, cuts):
    sent, reader, pieces = b"".join(requests), RequestReader(), []
    rest = sent
    for cut in [*cuts, len(sent)]:
        pieces += reader.feed(rest[:cut])
        rest = rest[cut:]
    assert b"".join(piece for piece, _ in pieces) == sent
    assert [piece for piece, waits in pieces if waits] == [request for request in requests if request is GET]


@pytest.mark.parametrize(
    "data",
    [
        b"GET /" + b"a" * (MAX_HEAD_BYTES + 1),
        b"PUT / HTTP/1.1\r\nContent-Length: ten\r\n\r\n",
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ],
)
def test_what_is_no_request_is_refused(data):
    with pytest.raises(MalformedRequestError):
        list(RequestReader().feed(data))


@pytest.fixture
def behind_proxy(s3):
    """An S3 client whose requests pass a proxy that lets GETs wait for 50 ms."""
    upstream = urlsplit(os.environ["AWS_ENDPOINT_URL_S3"]).port
    with proxy.running(upstream, 0.05) as port:
        yield boto3.client("s3", endpoint_url=f"http://{LOOPBACK}:{port}")


def test_signed_requests_and_large_bodies_pass_unchanged(behind_proxy, s3, bucket):
    body = os.urandom(12_000_000)
    behind_proxy.put_object(Bucket=bucket, Key="large", Body=body)
    assert s3.get_object(Bucket=bucket, Key="large")["Body"].read() == body
    assert behind_proxy.get_object(Bucket=bucket, Key="large")["Body"].read() == body


def test_a_get_takes_at_least_as_long_as_it_has_to_wait(behind_proxy, s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"a")
    started = time.monotonic()
    behind_proxy.get_object(Bucket=bucket, Key="a")
    assert time.monotonic() - started >= 0.05


def test_many_connections_stay_open_side_by_side_and_serve_again(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"body")
    path = urlsplit(s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a"}))
    upstream = urlsplit(os.environ["AWS_ENDPOINT_URL_S3"])

    def fetch(port):
        connection = http.client.HTTPConnection(LOOPBACK, port)
        bodies = []
        for _ in range(3):
            connection.request("GET", f"{path.path}?{path.query}", headers={"Host": upstream.netloc})
            opened = connection.sock
            bodies.append(connection.getresponse().read())
            assert connection.sock is opened, "the connection was not kept alive"
        connection.close()
        return bodies

    with proxy.running(upstream.port, 0.01) as port, ThreadPoolExecutor(96) as threads:
        assert list(threads.map(fetch, [port] * 96)) == [[b"body"] * 3] * 96


def test_a_client_is_told_when_the_server_cannot_be_reached():
    async def ask():
        server = await proxy.serve(1, 0)  # nothing listens on port 1
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(GET)
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()
            server.close()

    assert asyncio.run(ask()) == b""


def test_requests_that_follow_a_get_wait_behind_it_in_their_order():
    async def ask():
        received = []

        async def answer(reader, writer):
            while data := await reader.read(1024):
                received.append(data)
            writer.close()

        upstream = await asyncio.start_server(answer, LOOPBACK, 0)
        server = await proxy.serve(upstream.sockets[0].getsockname()[1], 0.02)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for request in (PUT, GET, CHUNKED, GET, PUT):
            writer.write(request)
        sent = PUT + GET + CHUNKED + GET + PUT
        async with asyncio.timeout(120):
            while sum(map(len, received)) < len(sent):
                await asyncio.sleep(0.01)
        writer.close()
        server.close()
        upstream.close()
        return b"".join(received) == sent

    assert asyncio.run(ask())
