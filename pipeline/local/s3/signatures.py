"""Signatures of requests that the door answers by itself; the object server verifies those that are passed on.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from base64 import b64encode
from calendar import timegm
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from pipeline.local.s3.framing import Head

ALGORITHM = "AWS4-HMAC-SHA256"
# S3 accepts a difference between the clocks of 15 minutes, and a presigned URL for at most seven days.
_SKEW_SECONDS = 15 * 60
_LONGEST_SECONDS = 7 * 24 * 3600
_TIME = "%Y%m%dT%H%M%SZ"
_UNSIGNED = "UNSIGNED-PAYLOAD"
_IN_URL = "X-Amz-Signature"
_HEADER = re.compile(rf"{ALGORITHM}\s+Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]+)")
_OLD_HEADER = re.compile(r"AWS (?P<key>[^:\s]+):\S+")


class SignatureError(Exception):
    """The request's signature is missing, malformed, wrong or too old; with S3's code, status and message."""

    def __init__(self, code: str, status: int, message: str) -> None:
        super().__init__(message)
        self.code, self.status, self.message = code, status, message


@dataclass(slots=True)
class Signature:
    """How a request is signed. `region` is empty for the older versions of signatures, which have none."""

    access_key: str
    region: str
    token: str
    presigned: bool
    version: str
    credential: str = ""
    signed_headers: str = ""
    value: str = ""
    time: str = ""


def signature_of(headers: Mapping[str, str], query: Mapping[str, str]) -> Signature | None:
    """The signature in the header or in the URL, not verified; None for an anonymous request. Raises SignatureError."""
    authorization = headers.get("authorization")
    if query and (authorization is not None) + ("X-Amz-Algorithm" in query) + ("Signature" in query) > 1:
        raise SignatureError(
            "InvalidArgument",
            400,
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string"
            " parameter or the Authorization header should be specified",
        )
    if authorization is not None:
        return _in_header(authorization, headers)
    if "X-Amz-Algorithm" in query:
        token = query.get("X-Amz-Security-Token", "")
        return _of_scope(
            query.get("X-Amz-Credential", ""),
            query.get("X-Amz-SignedHeaders", ""),
            query.get("X-Amz-Signature", ""),
            query.get("X-Amz-Date", ""),
            token,
            presigned=True,
        )
    if "Signature" in query:
        token = query.get("x-amz-security-token", "")
        return Signature(query.get("AWSAccessKeyId", ""), "", token, True, "AWS")
    return None


def _in_header(authorization: str, headers: Mapping[str, str]) -> Signature:
    token = headers.get("x-amz-security-token", "")
    if match := _HEADER.fullmatch(authorization):
        moment = headers.get("x-amz-date", "")
        credential, signed, value = match.groups()
        return _of_scope(credential, signed, value, moment, token, presigned=False)
    if match := _OLD_HEADER.fullmatch(authorization):
        return Signature(match["key"], "", token, False, "AWS")
    raise SignatureError(
        "AuthorizationHeaderMalformed", 400, "The authorization header that you provided is not valid."
    )


def _of_scope(credential: str, signed: str, value: str, moment: str, token: str, *, presigned: bool) -> Signature:
    scope = credential.rsplit("/", 4)
    if len(scope) != 5 or scope[3:] != ["s3", "aws4_request"]:
        code = "AuthorizationQueryParametersError" if presigned else "AuthorizationHeaderMalformed"
        raise SignatureError(code, 400, "The credential is not of the form KEY/DATE/REGION/s3/aws4_request.")
    return Signature(scope[0], scope[2], token, presigned, ALGORITHM, credential, signed, value, moment)


def verify(signature: Signature, secret: str, head: Head, body: bytes | None) -> None:
    """Verify a signature of version 4. Raises SignatureError.

    `body` is the request's whole body; None if it has not been read, and then the hash in the header is believed.
    """
    if signature.version != ALGORITHM:
        raise SignatureError("InvalidRequest", 400, f"Please use {ALGORITHM}.")
    parameters = parse_qsl(head.target.partition("?")[2], keep_blank_values=True, errors="surrogateescape")
    _check_time(signature, dict(parameters))
    if "host" not in signature.signed_headers.split(";"):
        raise SignatureError("AccessDenied", 403, "The header host must be signed.")
    payload = _payload(signature, head.headers, body)
    expected = _value(secret, signature, f"{head.method} {head.target}", head.headers, payload)
    if not hmac.compare_digest(expected, signature.value):
        raise SignatureError(
            "SignatureDoesNotMatch",
            403,
            "The request signature we calculated does not match the signature you provided. Check your key and signing"
            " method.",
        )


@dataclass(frozen=True, slots=True)
class Keys:
    """Credentials of the door's own requests; `token` is empty for the root user."""

    access_key: str
    secret: str
    token: str = ""


def signed_request(line: str, host: str, region: str, keys: Keys, body: bytes = b"") -> bytes:
    """The bytes of a request of the door's own. `line` is METHOD /PATH?QUERY."""
    moment = time.strftime(_TIME, time.gmtime())
    payload = hashlib.sha256(body).hexdigest()
    headers = {"host": host, "x-amz-content-sha256": payload, "x-amz-date": moment}
    if keys.token:
        headers["x-amz-security-token"] = keys.token
    if body:
        headers |= {"content-md5": b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()}
    credential = f"{keys.access_key}/{moment[:8]}/{region}/s3/aws4_request"
    names = ";".join(sorted(headers))
    signature = Signature(keys.access_key, region, keys.token, False, ALGORITHM, credential, names, "", moment)
    value = _value(keys.secret, signature, line, headers, payload)
    headers["authorization"] = f"{ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={value}"
    if body:
        headers["content-length"] = str(len(body))
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{line} HTTP/1.1\r\n{fields}\r\n".encode("latin-1") + body


def resigned(head: Head, headers: Mapping[str, str], region: str, keys: Keys) -> bytes:
    """The head of a request with other headers, signed in the header; its body stays as it is."""
    path, _, query = head.target.partition("?")
    parameters = parse_qsl(query, keep_blank_values=True, errors="surrogateescape")
    kept = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in parameters if not name.startswith("X-Amz-"))
    line = f"{head.method} {path}{'?' if kept else ''}{kept}"
    moment = time.strftime(_TIME, time.gmtime())
    payload = head.headers.get("x-amz-content-sha256", _UNSIGNED)
    fields = {**headers, "x-amz-content-sha256": payload, "x-amz-date": moment}
    fields = {name: value for name, value in fields.items() if name not in ("authorization", "x-amz-security-token")}
    if keys.token:
        fields["x-amz-security-token"] = keys.token
    credential = f"{keys.access_key}/{moment[:8]}/{region}/s3/aws4_request"
    names = ";".join(sorted(name for name in fields if name == "host" or name.startswith("x-amz-")))
    signature = Signature(keys.access_key, region, keys.token, False, ALGORITHM, credential, names, "", moment)
    value = _value(keys.secret, signature, line, fields, payload)
    fields["authorization"] = f"{ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={value}"
    lines = [f"{line} HTTP/1.1", *(f"{name}: {text}" for name, text in fields.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def _value(secret: str, signature: Signature, line: str, headers: Mapping[str, str], payload: str) -> str:
    """The signature that a request should have, in hexadecimal digits."""
    method, _, target = line.partition(" ")
    path, _, query = target.partition("?")
    parameters = parse_qsl(query, keep_blank_values=True, errors="surrogateescape")
    scope = "/".join(signature.credential.rsplit("/", 4)[1:])
    canonical = "\n".join(
        [
            method,
            quote(unquote_to_bytes(path), safe="/~"),
            "&".join(sorted(f"{_quoted(name)}={_quoted(value)}" for name, value in parameters if name != _IN_URL)),
            *(f"{name}:{' '.join(headers.get(name, '').split())}" for name in signature.signed_headers.split(";")),
            "",
            signature.signed_headers,
            payload,
        ]
    )
    text = "\n".join([ALGORITHM, signature.time, scope, hashlib.sha256(canonical.encode("latin-1")).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.new(key, part.encode("latin-1"), hashlib.sha256).digest()
    return key.hex()


def _check_time(signature: Signature, parameters: Mapping[str, str]) -> None:
    try:
        signed_at = timegm(time.strptime(signature.time, _TIME))
        lifetime = int(parameters["X-Amz-Expires"]) if signature.presigned else _SKEW_SECONDS
    except (ValueError, KeyError):
        raise SignatureError("AccessDenied", 403, "The time of the signature is missing or malformed.") from None
    age = time.time() - signed_at
    if signature.presigned and not 0 <= lifetime <= _LONGEST_SECONDS:
        raise SignatureError("AuthorizationQueryParametersError", 400, "X-Amz-Expires must be less than a week.")
    if signature.presigned and age > lifetime:
        raise SignatureError("AccessDenied", 403, "Request has expired")
    if age < -_SKEW_SECONDS or (not signature.presigned and age > lifetime):
        raise SignatureError(
            "RequestTimeTooSkewed", 403, "The difference between the request time and the current time is too large."
        )


def _payload(signature: Signature, headers: Mapping[str, str], body: bytes | None) -> str:
    """The hash of the body, as it is part of the signed text."""
    stated = headers.get("x-amz-content-sha256", _UNSIGNED if signature.presigned else "")
    if body is None or stated == _UNSIGNED:
        return stated
    if stated != hashlib.sha256(body).hexdigest():
        raise SignatureError(
            "XAmzContentSHA256Mismatch",
            400,
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )
    return stated


def _quoted(text: str) -> str:
    return quote(text, safe="~", errors="surrogateescape")
