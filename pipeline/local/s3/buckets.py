"""What the object server does not know of buckets: their regions and policies, in files of the cloud's folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.local.identity.policies import PolicyError, Statement, statements

REGIONS_FILE = "buckets.json"
POLICIES_FILE = "bucket-policies.json"
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/example-bucket-policies.html ("limited to 20 KB in size")
MAX_POLICY_BYTES = 20 * 1024


class MalformedPolicyError(Exception):
    """A bucket policy that S3 would not store."""


class _Table:
    """A mapping of texts by bucket in a JSON file; changes of the file by others take effect at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._modified = -1
        self._texts: dict[str, str] = {}

    def texts(self) -> dict[str, str]:
        """The current content, not to be changed."""
        modified = self.modified()
        if modified != self._modified:
            self._texts = json.loads(self._path.read_text()) if modified else {}
            self._modified = modified
        return self._texts

    def modified(self) -> int:
        """A number that changes with the file; 0 while there is none."""
        try:
            return self._path.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def set(self, bucket: str, text: str | None) -> None:
        """Replace or, with None, remove a bucket's text."""
        texts = dict(self.texts())
        if text is None and bucket not in texts:
            return
        texts.pop(bucket, None)
        if text is not None:
            texts[bucket] = text
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(texts))
        partial.replace(self._path)
        self._modified = self.modified()
        self._texts = texts


class Buckets:
    """The buckets' regions and policies. A bucket without an entry is in the cloud's own region and has no policy."""

    def __init__(self, directory: Path, region: str) -> None:
        self._own_region = region
        self._regions = _Table(directory / REGIONS_FILE)
        self._policies = _Table(directory / POLICIES_FILE)
        self._prepared: dict[str, tuple[str, list[Statement]]] = {}

    def region(self, bucket: str) -> str:
        """The region where a bucket is."""
        return self._regions.texts().get(bucket, self._own_region)

    def created(self, bucket: str, region: str) -> None:
        """Record the region of a new bucket."""
        self._regions.set(bucket, region)

    def deleted(self, bucket: str) -> None:
        """Forget a bucket."""
        self._regions.set(bucket, None)
        self._policies.set(bucket, None)

    def policy(self, bucket: str) -> str | None:
        """The text of a bucket's policy."""
        return self._policies.texts().get(bucket)

    def set_policy(self, bucket: str, text: str | None) -> None:
        """Store the policy, or remove it with None. Raises MalformedPolicyError."""
        if text is not None:
            check_policy(bucket, text)
        self._policies.set(bucket, text)

    def statements(self, bucket: str) -> list[Statement]:
        """The prepared statements of a bucket's policy."""
        text = self._policies.texts().get(bucket)
        if text is None:
            return []
        prepared = self._prepared.get(bucket)
        if prepared is None or prepared[0] != text:
            prepared = self._prepared[bucket] = (text, statements({bucket: json.loads(text)}))
        return prepared[1]


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
