"""Objects that a client wants encrypted with a KMS key: stored as they are, and described as S3 describes them.

Nothing is encrypted here, and the object server has no KMS keys: it refuses such a request. So the door passes the
request on without its headers of encryption, which become one of the object's own metadata, and puts them back into the
responses. https://docs.aws.amazon.com/AmazonS3/latest/userguide/specifying-kms-encryption.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from pipeline.local.s3.calls import Call
from pipeline.local.s3.framing import Head
from pipeline.local.s3.signatures import Keys, resigned

_PREFIX = "x-amz-server-side-encryption"
_KEY, _BUCKET_KEY = f"{_PREFIX}-aws-kms-key-id", f"{_PREFIX}-bucket-key-enabled"
_CONTEXT = f"{_PREFIX}-context"
_ALGORITHMS = ("aws:kms", "aws:kms:dsse")
_METADATA = "x-amz-meta-local-cloud-kms"
_LINE = re.compile(rb"\r\n" + _METADATA.encode() + rb":[ \t]*([^\r\n]*)", re.IGNORECASE)
# A body in chunks, each with a signature that continues that of the head.
_SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"


class UnsupportedEncryptionError(Exception):
    """A request with KMS encryption that the door cannot pass on."""


def wants_kms(call: Call) -> bool:
    """Whether a request writes an object with a KMS key."""
    return bool(call.key) and call.method in ("PUT", "POST") and call.headers.get(_PREFIX) in _ALGORITHMS


def without_kms(call: Call, head: Head, region: str, keys: Keys) -> bytes:
    """The head of the same request with the encryption as metadata, signed again. Raises UnsupportedEncryptionError."""
    if head.headers.get("x-amz-content-sha256", "").startswith(_SIGNED_CHUNKS):
        raise UnsupportedEncryptionError("KMS encryption of a body in signed chunks; sign the whole body, or none")
    if "x-amz-copy-source" in call.headers and call.headers.get("x-amz-metadata-directive", "").upper() != "REPLACE":
        raise UnsupportedEncryptionError("a copy with KMS encryption that keeps the metadata; replace them")
    if _CONTEXT in call.headers:
        raise UnsupportedEncryptionError("KMS encryption with an encryption context; leave the context out")
    headers = {name: value for name, value in head.headers.items() if not name.startswith(_PREFIX)}
    return resigned(head, {**headers, _METADATA: _stored(call.headers)}, region, keys)


def described(call: Call) -> Callable[[bytes], bytes]:
    """Adds the headers of encryption to the head of the response to a request that writes an object."""
    headers = _headers(_stored(call.headers))

    def amend(head: bytes) -> bytes:
        return head[:-2] + headers + head[-2:] if head[9:12] == b"200" else head

    return amend


def restored(head: bytes) -> bytes:
    """The head of a response, with the headers of encryption in place of the metadata."""
    match = _LINE.search(head)
    headers = b"" if match is None else _headers(match[1].decode("latin-1"))
    if match is None or not headers:
        return head
    rest = head[: match.start()] + head[match.end() :]
    return rest[:-2] + headers + rest[-2:]


def _stored(headers: Mapping[str, str]) -> str:
    """The encryption as one value: the algorithm, and then what else the request says."""
    names = (_KEY, _BUCKET_KEY)
    return " ".join([headers[_PREFIX], *(f"{name}={headers[name]}" for name in names if headers.get(name))])


def _headers(stored: str) -> bytes:
    """The headers of a stored encryption. None for another value, as any client may write it."""
    algorithm, *others = stored.split() or [""]
    named = [(name, value) for name, _, value in (other.partition("=") for other in others)]
    if algorithm not in _ALGORITHMS or any(name not in (_KEY, _BUCKET_KEY) for name, _ in named):
        return b""
    pairs = [(_PREFIX, algorithm), *named]
    return "".join(f"{name}: {value}\r\n" for name, value in pairs).encode("latin-1")
