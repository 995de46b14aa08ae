"""Operations that answer in pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def items(paginator: Any, key: str, **request: Any) -> Iterator[dict[str, Any]]:
    """The items below `key` of all pages, in their order; a page without the key has none."""
    for page in paginator.paginate(**request):
        yield from page.get(key, [])
