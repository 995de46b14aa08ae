"""Signatures that botocore makes are verified, and any change of what they cover is noticed."""

from __future__ import annotations

import dataclasses
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from pipeline.local.s3 import signatures
from pipeline.local.s3.calls import call_of
from pipeline.local.s3.framing import Head, parse_head
from pipeline.local.s3.signatures import ALGORITHM, Keys, SignatureError, signature_of, signed_request, verify

HOST = "127.0.0.1:8771"
KEYS = Credentials("AKID", "secret", "a token/+=")


def signed(method: str = "PUT", path: str = "/bucket/key", body: bytes = b"body", *, in_url: bool = False) -> Head:
    """The head of a request that botocore has signed."""
    request = AWSRequest(
        method, f"http://{HOST}{path}", data=b"" if in_url else body, headers={"x-amz-meta-a": " two  words "}
    )
    signer = S3SigV4QueryAuth(KEYS, "s3", "eu-west-1", expires=60) if in_url else S3SigV4Auth(KEYS, "s3", "eu-west-1")
    signer.add_auth(request)
    prepared = request.prepare()
    headers = {
        name.lower(): value.decode() if isinstance(value, bytes) else value for name, value in prepared.headers.items()
    }
    url = urlsplit(prepared.url)
    target = f"{url.path}?{url.query}" if url.query else url.path
    return Head(b"", method, target, {**headers, "host": HOST}, len(body), True)


def check(head: Head, secret: str = "secret", body: bytes | None = b"body") -> None:
    signature = signature_of(head.headers, call_of(head).query)
    assert signature is not None
    verify(signature, secret, head, body)


MALFORMED = "AuthorizationHeaderMalformed"
PATHS = ["/bucket/key", "/bucket/a%20b/%C3%BC%2A~", "/bucket?delete", "/bucket?prefix=a%2Fb&list-type=2&x=", "/"]


@pytest.mark.parametrize("in_url", [False, True])
@pytest.mark.parametrize("path", PATHS)
def test_a_request_as_botocore_signs_it_is_genuine(path, in_url):
    head = signed(path=path, in_url=in_url)
    check(head)
    check(head, body=None)
    signature = signature_of(head.headers, call_of(head).query)
    assert (signature.access_key, signature.region, signature.token) == ("AKID", "eu-west-1", "a token/+=")
    assert signature.presigned is in_url


@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="/."), min_size=1, max_size=20))
def test_any_key_is_signed_as_botocore_does(key):
    from urllib.parse import quote

    check(signed(path="/bucket/" + quote(key, safe="~")))


@pytest.mark.parametrize(
    "change",
    [
        {"method": "DELETE"},
        {"target": "/bucket/other"},
        {"target": "/bucket/key?versionId=1"},
    ],
)
def test_a_changed_request_is_noticed(change):
    with pytest.raises(SignatureError) as raised:
        check(dataclasses.replace(signed(), **change))
    assert (raised.value.code, raised.value.status) == ("SignatureDoesNotMatch", 403)


def test_a_changed_header_host_or_secret_is_noticed():
    head = signed()
    for headers in ({"x-amz-meta-a": "other"}, {"host": "elsewhere"}, {"x-amz-security-token": "other"}):
        with pytest.raises(SignatureError, match="does not match"):
            check(dataclasses.replace(head, headers={**head.headers, **headers}))
    with pytest.raises(SignatureError, match="does not match"):
        check(head, secret="other")


def test_a_changed_body_is_noticed_where_it_is_read():
    with pytest.raises(SignatureError) as raised:
        check(signed(), body=b"other")
    assert raised.value.code == "XAmzContentSHA256Mismatch"


@pytest.mark.parametrize(
    ("in_url", "later", "code"),
    [(False, 16 * 60, "RequestTimeTooSkewed"), (False, -16 * 60, "RequestTimeTooSkewed"), (True, 61, "AccessDenied")],
)
def test_an_old_signature_is_refused(monkeypatch, in_url, later, code):
    head = signed(in_url=in_url)
    now = signatures.time.time()
    monkeypatch.setattr(signatures.time, "time", lambda: now + later)
    with pytest.raises(SignatureError) as raised:
        check(head)
    assert raised.value.code == code


@pytest.mark.parametrize(
    ("headers", "query", "code"),
    [
        ({"authorization": "Bearer x"}, {}, MALFORMED),
        ({"authorization": f"{ALGORITHM} Credential=a, SignedHeaders=b, Signature=c"}, {}, MALFORMED),
        ({"authorization": "AWS4-ECDSA-P256-SHA256 Credential=a"}, {}, MALFORMED),
        (
            {"authorization": f"{ALGORITHM} Credential=A/20260101/r/ec2/aws4_request, SignedHeaders=host, Signature=a"},
            {},
            MALFORMED,
        ),
        ({}, {"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": "x"}, "AuthorizationQueryParametersError"),
        ({"authorization": "AWS a:b"}, {"X-Amz-Algorithm": "x"}, "InvalidArgument"),
        ({}, {"Signature": "a", "X-Amz-Algorithm": "x"}, "InvalidArgument"),
    ],
)  # fmt: skip
def test_what_is_no_signature_is_refused(headers, query, code):
    with pytest.raises(SignatureError) as raised:
        signature_of(headers, query)
    assert (raised.value.code, raised.value.status) == (code, 400)


def test_older_signatures_are_read_but_not_verified_here():
    for headers, query in (
        ({"authorization": "AWS AKID:abc="}, {}),
        ({}, {"AWSAccessKeyId": "AKID", "Signature": "abc="}),
    ):
        signature = signature_of(headers, query)
        assert (signature.access_key, signature.region) == ("AKID", "")
        with pytest.raises(SignatureError, match="AWS4-HMAC-SHA256"):
            verify(signature, "secret", signed(), None)


def test_no_signature_is_an_anonymous_request():
    assert signature_of({"host": HOST}, {}) is None


@given(st.binary(max_size=50), st.sampled_from(["", "token"]))
def test_a_request_of_the_doors_own_is_genuine(body, token):
    raw = signed_request("POST /bucket?delete=", HOST, "us-east-1", Keys("AKID", "secret", token), body)
    end = raw.index(b"\r\n\r\n") + 4
    head = parse_head(raw[:end])
    assert (raw[end:], head.length) == (body, len(body))
    check(head, body=body)
