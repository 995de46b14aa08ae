"""Photos that are in no shard, counted by reason; too many end the step."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from steps.contracts.errors import StepError
from steps.contracts.wording import count_of

log = logging.getLogger(__name__)

# Ids per reason in the error message; the summary contains all.
EXAMPLES = 3


def by_reason(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The image ids of (id, reason) by their reasons."""
    ids: dict[str, list[str]] = {}
    for image_id, reason in pairs:
        ids.setdefault(reason, []).append(image_id)
    return ids


class Rejects:
    """Image ids by the reason why they are left out, of `total` photos."""

    def __init__(self, total: int, maximum_share: float) -> None:
        self._total = total
        self._maximum_share = maximum_share
        self.by_reason: dict[str, list[str]] = {}

    def add(self, image_id: str, reason: str, message: str = "") -> None:
        """Count one photo. Raises StepError, with the reasons, when their share exceeds the maximum."""
        self.by_reason.setdefault(reason, []).append(image_id)
        if message:
            log.warning("image %s left out (%s): %s", image_id, reason, message)
        count = sum(len(ids) for ids in self.by_reason.values())
        if count > self._maximum_share * self._total:
            raise StepError(
                f"{count:,} of {count_of(self._total, 'photo')} cannot be used so far, more than the share"
                f" {self._maximum_share:g} of --maximum-rejects: {self._summary()}"
            )

    def add_all(self, by_reason: Mapping[str, Sequence[str]]) -> None:
        """Count photos that were refused in an earlier attempt. Raises StepError as `add` does."""
        for reason, ids in by_reason.items():
            for image_id in ids:
                self.add(image_id, reason)

    def _summary(self) -> str:
        parts = []
        for reason, ids in sorted(self.by_reason.items(), key=lambda entry: -len(entry[1])):
            examples = ", ".join(ids[:EXAMPLES]) + (", ..." if len(ids) > EXAMPLES else "")
            parts.append(f"{reason} {len(ids)} ({examples})")
        return "; ".join(parts)
