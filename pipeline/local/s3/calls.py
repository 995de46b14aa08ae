"""A request to S3: bucket, key and parameters, read as the object server reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from pipeline.local.s3.framing import Head

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Parameters that say nothing about the operation: signatures, and the name that some SDKs add.
_INCIDENTAL = ("X-Amz-", "x-amz-security-token", "AWSAccessKeyId", "Signature", "Expires", "x-id")


class InvalidCallError(Exception):
    """A request that S3 refuses before it looks at permissions, or whose key the object server would change."""


@dataclass(slots=True)
class Call:
    """`bucket` and `key` are decoded; empty where the request names none."""

    method: str
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]

    def asks(self, subresource: str) -> bool:
        """Whether the request is about a subresource of the bucket itself, such as its policy."""
        return not self.key and subresource in self.query

    @property
    def is_plain_bucket(self) -> bool:
        """Whether it is about the bucket itself: CreateBucket, HeadBucket, DeleteBucket, or a listing."""
        return bool(self.bucket and not self.key) and all(name.startswith(_INCIDENTAL) for name in self.query)


def call_of(head: Head) -> Call:
    """The call of a request. Raises InvalidCallError."""
    raw_path, _, raw_query = head.target.partition("?")
    if _BROKEN_ESCAPE.search(head.target):
        raise InvalidCallError("Couldn't parse the specified URI.")
    path = _decoded(raw_path)
    bucket, _, key = path[1:].partition("/")
    query: dict[str, str] = {}
    if raw_query:
        if ";" in raw_query:
            # Some readers separate parameters here, others do not.
            raise InvalidCallError("Couldn't parse the specified URI.")
        parameters = parse_qsl(raw_query, keep_blank_values=True, errors="surrogateescape")
        query = dict(parameters)
        if len(query) < len(parameters):
            # Some readers take the first value of a name, others the last.
            raise InvalidCallError("A parameter of the query occurs twice.")
    if not bucket and key:
        raise InvalidCallError("Couldn't parse the specified URI.")
    for text in (key, query.get("prefix", "")):
        check_key(text)
    if source := head.headers.get("x-amz-copy-source"):
        if "+" in source or _BROKEN_ESCAPE.search(source):
            # A plus sign is itself to some readers, and a space to others.
            raise InvalidCallError("The value of x-amz-copy-source must be URL-encoded.")
        check_key(_decoded(source.partition("?")[0]).lstrip("/").partition("/")[2])
    return Call(head.method, bucket, key, query, head.headers)


def check_key(key: str) -> None:
    """Refuse a key that the object server takes for another one: `a//b`, `a/./b`, `a/../b`. Raises InvalidCallError.

    To S3 these are keys like any other. The object server stores objects as files, and either refuses such a key or
    reads another object, which the policies may not allow.
    """
    if "//" not in key and "." not in key and key[:1] != "/":
        return
    parts = key.split("/")
    if "" in parts[:-1] or not {".", ".."}.isdisjoint(parts):
        raise InvalidCallError(f"The local cloud has no keys with empty parts or the parts . and ..: {key}")


def _decoded(text: str) -> str:
    """Without escapes; bytes that are no UTF-8 stay apart."""
    return unquote(text, errors="surrogateescape") if "%" in text else text
