"""Tags in requests."""

from __future__ import annotations

from collections.abc import Mapping


def listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as a list of keys and values, in the order of the keys."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def tagged(tags: Mapping[str, str]) -> dict[str, list[dict[str, str]]]:
    """The member Tags of a request; empty without tags."""
    return {"Tags": listed(tags)} if tags else {}
