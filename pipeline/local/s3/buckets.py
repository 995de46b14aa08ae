"""What the object server does not know of buckets: their regions and their policies."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.local.identity.policies import PolicyError, Statement, statements

FILE = "buckets.json"
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-iam-policies.html ("limited to 20 KB in size")
MAX_POLICY_BYTES = 20 * 1024


class MalformedPolicyError(Exception):
    """A bucket policy that S3 would not store."""


class Buckets:
    """The buckets' regions and policies, in a file of the cloud's folder; a change of the file counts at once.

    The file has {BUCKET: {"region": REGION, "policy": TEXT}}. A bucket without a region is in the cloud's own.
    """

    def __init__(self, directory: Path, region: str) -> None:
        self._own_region = region
        self._path = directory / FILE
        self._file = WatchedFile(self._path)
        self._entries: dict[str, dict[str, str]] = {}
        self._prepared: dict[str, tuple[str, list[Statement]]] = {}

    def region(self, bucket: str) -> str:
        """The region where a bucket is."""
        return self._read().get(bucket, {}).get("region", self._own_region)

    def created(self, bucket: str, region: str) -> None:
        """Record the region of a new bucket; one that exists keeps its region and its policy.

        In us-east-1, CreateBucket also succeeds for a bucket that the caller owns:
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html (BucketAlreadyOwnedByYou)
        """
        entries = self._read()
        if bucket not in entries:
            self._write({**entries, bucket: {"region": region}})

    def deleted(self, bucket: str) -> None:
        """Forget a bucket."""
        self._write({name: entry for name, entry in self._read().items() if name != bucket})

    def policy(self, bucket: str) -> str | None:
        """The text of a bucket's policy."""
        return self._read().get(bucket, {}).get("policy")

    def set_policy(self, bucket: str, text: str | None) -> None:
        """Store the policy, or remove it with None. Raises MalformedPolicyError."""
        entry = {name: value for name, value in self._read().get(bucket, {}).items() if name != "policy"}
        if text is not None:
            check_policy(bucket, text)
            entry["policy"] = text
        self._write({**self._read(), bucket: entry})

    def statements(self, bucket: str) -> list[Statement]:
        """The prepared statements of a bucket's policy."""
        text = self.policy(bucket)
        if text is None:
            return []
        prepared = self._prepared.get(bucket)
        if prepared is None or prepared[0] != text:
            prepared = self._prepared[bucket] = (text, statements({bucket: json.loads(text)}))
        return prepared[1]

    def _read(self) -> dict[str, dict[str, str]]:
        if self._file.changed():
            self._entries = json.loads(self._path.read_text()) if self._file.exists else {}
        return self._entries

    def _write(self, entries: dict[str, dict[str, str]]) -> None:
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(entries))
        partial.replace(self._path)


class WatchedFile:
    """Notices that a file is replaced, at the cost of one system call."""

    def __init__(self, path: Path) -> None:
        self._place = os.fspath(path)
        self._seen: tuple[int, ...] | None = None

    def changed(self) -> bool:
        """Whether the file is another one than at the last call; true at the first."""
        try:
            status = os.stat(self._place)
            # Two files that are written one after another may have the same time.
            state: tuple[int, ...] = (status.st_mtime_ns, status.st_ino, status.st_size)
        except FileNotFoundError:
            state = ()
        changed, self._seen = state != self._seen, state
        return changed

    @property
    def exists(self) -> bool:
        """Whether there was a file at the last call of `changed`."""
        return bool(self._seen)


def check_policy(bucket: str, text: str) -> None:
    """Refuse a policy that S3 refuses, in its words where they are published. Raises MalformedPolicyError.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-policy-language-overview.html
    """
    if len(text.encode()) > MAX_POLICY_BYTES:
        raise MalformedPolicyError(f"Policies must not be larger than {MAX_POLICY_BYTES} bytes")
    try:
        document: Any = json.loads(text)
    except ValueError:
        raise MalformedPolicyError("Policies must be valid JSON and the first byte must be '{'") from None
    if not isinstance(document, dict):
        raise MalformedPolicyError("Policies must be valid JSON and the first byte must be '{'")
    if unknown := sorted(set(document) - {"Version", "Id", "Statement"}):
        raise MalformedPolicyError(f"Unknown field {unknown[0]}")
    if "Statement" not in document:
        raise MalformedPolicyError("Missing required field Statement")
    if document.get("Version", "2012-10-17") not in ("2008-10-17", "2012-10-17"):
        raise MalformedPolicyError("The policy must contain a valid version string")
    elements = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
    if not elements:
        raise MalformedPolicyError("Could not parse the policy: Statement is empty!")
    for element in elements:
        _check_statement(bucket, element)
    try:
        statements({bucket: document})
    except PolicyError as error:
        raise MalformedPolicyError(str(error)) from None


def _check_statement(bucket: str, element: Any) -> None:
    if not isinstance(element, Mapping):
        raise MalformedPolicyError("A statement of the policy is not an object")
    if element.keys().isdisjoint(("Principal", "NotPrincipal")):
        raise MalformedPolicyError("Missing required field Principal")
    if element.keys().isdisjoint(("Resource", "NotResource")):
        raise MalformedPolicyError("Missing required field Resource")
    for action in _texts(element.get("Action", element.get("NotAction", []))):
        if action != "*" and not action.lower().startswith("s3:"):
            raise MalformedPolicyError("Policy has invalid action")
    arn = f"arn:aws:s3:::{bucket}"
    for resource in _texts(element.get("Resource", element.get("NotResource", []))):
        if resource != arn and not resource.startswith(f"{arn}/"):
            raise MalformedPolicyError("Policy has invalid resource")


def _texts(value: Any) -> Iterable[str]:
    return map(str, value if isinstance(value, list) else [value])
