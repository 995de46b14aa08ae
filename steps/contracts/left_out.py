"""Photos that a run left out, by reason: those that its query refused and those that its shards lack, in one list."""

from __future__ import annotations

from dataclasses import dataclass

from steps.contracts.query_summary import Summary
from steps.contracts.shard_summary import ShardSummary


@dataclass(frozen=True)
class LeftOut:
    """The photos that `step` left out for one reason: their number, and ids of some or all of them."""

    step: str
    reason: str
    photos: int
    examples: tuple[str, ...]


def left_out(query: Summary | None, sharding: ShardSummary | None) -> tuple[LeftOut, ...]:
    """What both steps left out, the query first, each by its most frequent reason; None for an unknown summary."""
    refused = query.refused if query else {}
    rejects = sharding.rejects if sharding else {}
    of_query = [LeftOut("QueryMetadata", reason, each.photos, tuple(each.examples)) for reason, each in refused.items()]
    of_shards = [LeftOut("ShardImages", reason, len(ids), tuple(ids)) for reason, ids in rejects.items()]
    return tuple(each for group in (of_query, of_shards) for each in sorted(group, key=lambda each: -each.photos))
