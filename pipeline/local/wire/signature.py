"""Signature Version 4: who signed a request, for which service, and whether the signature is genuine.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html. Botocore's own signer
computes the signature that a request must have.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from calendar import timegm
from dataclasses import dataclass
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from werkzeug.wrappers import Request

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=([^/,\s]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request"
    r",\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})"
)
UNSIGNED = "UNSIGNED-PAYLOAD"
_STAMP = "%Y%m%dT%H%M%SZ"
# AWS accepts a request for five minutes after its timestamp.
LIFE_SECONDS = 300


class SignatureError(Exception):
    """The request is not signed, or not as its key signs; `kind` names the error of AWS's that this is."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Signature:
    """The parts of an Authorization header. `service` is the signing name, such as monitoring for CloudWatch."""

    access_key: str
    date: str
    region: str
    service: str
    headers: frozenset[str]
    value: str


def read(request: Request) -> Signature:
    """The request's signature. Raises SignatureError without one."""
    header = request.headers.get("Authorization", "")
    if not header:
        raise SignatureError("missing", "Request is missing Authentication Token")
    match = _AUTHORIZATION.fullmatch(header.strip())
    if match is None:
        raise SignatureError("incomplete", "Authorization header requires Credential, SignedHeaders and Signature.")
    key, date, region, service, headers, value = match.groups()
    return Signature(key, date, region, service, frozenset(headers.split(";")), value)


def verify(request: Request, signature: Signature, secret_key: str) -> None:
    """Raise SignatureError unless the request has the signature of `secret_key` and is not too old."""
    stamp = request.headers.get("X-Amz-Date", "")
    try:
        age = time.time() - timegm(time.strptime(stamp, _STAMP))
    except ValueError:
        raise SignatureError("incomplete", f"X-Amz-Date is {stamp!r}; it has the form YYYYMMDDTHHMMSSZ.") from None
    if abs(age) > LIFE_SECONDS:
        raise SignatureError("mismatch", f"Signature expired: {stamp} is more than 5 minutes from the server's time")
    if not stamp.startswith(signature.date):
        raise SignatureError("mismatch", "Date in Credential scope does not match YYYYMMDD from X-Amz-Date.")
    unsigned = [name for name, _ in request.headers.items() if name.lower().startswith("x-amz-")]
    if any(name.lower() not in signature.headers for name in unsigned):
        raise SignatureError("mismatch", "There were headers present in the request which were not signed.")
    if "host" not in signature.headers:
        raise SignatureError("mismatch", "'Host' must be a 'SignedHeader' in the AWS Authorization.")
    if not hmac.compare_digest(_expected(request, signature, secret_key, stamp), signature.value):
        raise SignatureError(
            "mismatch",
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret"
            " Access Key and signing method. Consult the service documentation for details.",
        )


class _Signer(SigV4Auth):  # type: ignore[misc]  # botocore has no types
    """Signs the headers that the request's own signature covers."""

    def __init__(self, signature: Signature, secret_key: str) -> None:
        super().__init__(Credentials(signature.access_key, secret_key), signature.service, signature.region)
        self._signed = signature.headers

    def headers_to_sign(self, request: Any) -> Any:
        """The signed headers of the request."""
        headers = HTTPHeaders()
        for name, value in request.headers.items():
            if name.lower() in self._signed:
                headers[name.lower()] = value
        return headers


def _expected(request: Request, signature: Signature, secret_key: str, stamp: str) -> str:
    # The raw target: percent-encoding counts.
    target = str(request.environ.get("RAW_URI") or request.full_path.rstrip("?"))
    url = target if target.startswith(("http://", "https://")) else f"http://{request.host}{target}"
    signed = AWSRequest(request.method, url, headers=dict(request.headers), data=request.get_data())
    signed.context["timestamp"] = stamp
    claimed = signed.headers.get("X-Amz-Content-SHA256", UNSIGNED)
    if claimed not in (UNSIGNED, hashlib.sha256(request.get_data()).hexdigest()):
        raise SignatureError("mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.")
    signer = _Signer(signature, secret_key)
    canonical = signer.canonical_request(signed)
    value: str = signer.signature(signer.string_to_sign(signed, canonical), signed)
    return value
