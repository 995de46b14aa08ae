"""The name of an object or a prefix in S3, and the rules for a location of a user."""

from __future__ import annotations

import re
from dataclasses import dataclass

from steps.contracts.errors import StepError

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_ADDRESS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}")
_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
# Characters that a model package records and that Athena's DDL accepts in a location.
_SEGMENT = re.compile(r"[A-Za-z0-9_.=+@:-]+")
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


def bucket_refusal(name: str) -> str:
    """Why S3 has no bucket of this name, of valid characters, in words that follow it; empty if it may."""
    if ".." in name:
        return "has two periods in a row, and no bucket has"
    if _ADDRESS.fullmatch(name):
        return "is an IP address, and no bucket's name is"
    reserved = next((part for part in _PREFIXES if name.startswith(part)), "")
    if reserved:
        return f"begins with {reserved}, which S3 reserves"
    reserved = next((part for part in _SUFFIXES if name.endswith(part)), "")
    return f"ends in {reserved}, which S3 reserves" if reserved else ""


def location(uri: str) -> str:
    """`uri`, if every step and service can read a location of this name. Raises StepError with the reason."""
    place = S3Uri.parse(uri)
    if reason := bucket_refusal(place.bucket):
        raise StepError(f"{uri!r}: the bucket {reason}")
    for segment in place.key.removesuffix("/").split("/") if place.key else ():
        if segment in ("", ".", ".."):
            name = repr(segment) if segment else "without a name"
            raise StepError(f"{uri!r} has a folder {name}, which programs read in different ways; leave it out")
        if not _SEGMENT.fullmatch(segment):
            wrong = next(character for character in segment if not _SEGMENT.fullmatch(character))
            raise StepError(
                f"{uri!r} contains {wrong!r}; Athena and the registry accept letters a to z, digits and _ . = + @ : -"
            )
    return uri
