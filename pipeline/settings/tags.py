"""Tags of all that a pipeline makes in its account: names and values that every service accepts.

The limits are the narrowest of the services' in botocore: TagKey and TagValue of SageMaker (characters), Tag of
CloudFormation (a value is not empty), KeyInput and ValueInput of CodeBuild (127 and 255 characters). Reserved prefix:
https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html. Keys of IAM differ in more than
letter case: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html#id_tags_rules_creating.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator

from steps.contracts import names

# A resource has 50 tags at most, and the deploy function has tags of its own on the endpoint.
MOST_TAGS = 40
LONGEST_KEY, LONGEST_VALUE = 127, 255
_RESERVED_PREFIX = re.compile("(aws|sagemaker):", re.IGNORECASE)
_PUNCTUATION = frozenset("_.:/=+-@")


def _check(tags: dict[str, str]) -> dict[str, str]:
    if len(tags) > MOST_TAGS:
        raise ValueError(f"has {len(tags)} tags; a resource has 50 at most, and {MOST_TAGS} are left for yours")
    seen: dict[str, str] = {}
    for key, value in tags.items():
        _check_text(f"the key {key!r}", key, LONGEST_KEY)
        _check_text(f"the value of {key}", value, LONGEST_VALUE)
        if _RESERVED_PREFIX.match(key):
            raise ValueError(f"the key {key!r} begins with a prefix that AWS reserves; take another")
        if key.lower() in names.STATE_TAGS:
            raise ValueError(f"the key {key!r} is a tag in which the deploy function keeps its state; take another")
        if (other := seen.setdefault(key.lower(), key)) != key:
            raise ValueError(f"the keys {other!r} and {key!r} differ in letter case alone, which IAM refuses")
    return tags


def _check_text(place: str, text: str, longest: int) -> None:
    if not 1 <= len(text) <= longest:
        raise ValueError(f"{place} must have 1 to {longest} characters (it has {len(text)})")
    if text != text.strip():
        raise ValueError(f"{place} begins or ends with a blank; leave it out")
    # \p{L}, \p{Z} and \p{N} of the services' pattern.
    if wrong := next((c for c in text if c not in _PUNCTUATION and unicodedata.category(c)[0] not in "LZN"), ""):
        raise ValueError(f"{place} contains {wrong!r}; use letters, digits, spaces and any of _ . : / = + - @")


Tags = Annotated[dict[str, str], AfterValidator(_check)]
