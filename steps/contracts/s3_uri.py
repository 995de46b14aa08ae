"""The name of an object or a prefix in S3."""

from __future__ import annotations

import re
from dataclasses import dataclass

from steps.contracts.errors import StepError

_URI = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<key>.*))?", re.DOTALL)


@dataclass(frozen=True)
class S3Uri:
    """A bucket and a key (or prefix) without a leading slash."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> S3Uri:
        """Read `s3://bucket/key`. Raises StepError for another scheme or a malformed bucket."""
        match = _URI.fullmatch(uri)
        if match is None:
            raise StepError(f"{uri!r} is not an S3 URI; write s3://bucket/prefix")
        return cls(match["bucket"], match["key"] or "")

    def join(self, *parts: str) -> S3Uri:
        """This prefix with `parts` below it, separated by single slashes."""
        pieces = [self.key, *parts]
        return S3Uri(self.bucket, "/".join(p.strip("/") for p in pieces if p.strip("/")))

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"
