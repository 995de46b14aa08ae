"""Photos that are in no shard, counted by reason; too many end the step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from steps.contracts.errors import StepError
from steps.contracts.wording import count_of

# Ids per reason in the error message; the summary contains all.
EXAMPLES = 3


def by_reason(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The image ids of (id, reason) by their reasons."""
    ids: dict[str, list[str]] = {}
    for image_id, reason in pairs:
        ids.setdefault(reason, []).append(image_id)
    return ids


class Rejects:
    """Photos that are left out, counted by reason, of `total` photos."""

    def __init__(self, total: int, maximum_share: float) -> None:
        self._total = total
        self._maximum_share = maximum_share
        self._counts: dict[str, int] = {}
        self._examples: dict[str, list[str]] = {}

    def add(self, reason: str, ids: Sequence[str]) -> None:
        """Count photos. Raises StepError, with the reasons, when their share exceeds the maximum."""
        self.add_counts({reason: len(ids)}, {reason: ids})

    def add_all(self, ids_by_reason: Mapping[str, Sequence[str]]) -> None:
        """Count photos of several reasons. Raises StepError as `add` does."""
        self.add_counts({reason: len(ids) for reason, ids in ids_by_reason.items()}, ids_by_reason)

    def add_counts(self, counts: Mapping[str, int], examples: Mapping[str, Sequence[str]]) -> None:
        """Count photos whose ids are `examples`, all or the first ones. Raises StepError as `add` does."""
        for reason, count in counts.items():
            self._counts[reason] = self._counts.get(reason, 0) + count
            shown = self._examples.setdefault(reason, [])
            shown += examples.get(reason, ())[: EXAMPLES - len(shown)]
        count = sum(self._counts.values())
        if self.exceeds(count):
            raise StepError(
                f"{count:,} of {count_of(self._total, 'photo')} cannot be used so far, more than the share"
                f" {self._maximum_share:g} of --maximum-rejects: {self._summary()}"
            )

    def exceeds(self, count: int) -> bool:
        """Whether `count` photos are too many."""
        return count > self._maximum_share * self._total

    def _summary(self) -> str:
        parts = []
        for reason, count in sorted(self._counts.items(), key=lambda entry: -entry[1]):
            shown = self._examples[reason]
            examples = ", ".join(shown) + (", ..." if len(shown) < count else "")
            parts.append(f"{reason} {count} ({examples})" if shown else f"{reason} {count}")
        return "; ".join(parts)
