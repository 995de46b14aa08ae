"""Photos that were miscounted, for the report: the worst ones, and the typical ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

WORST = 12
# Typical mistakes: this many kinds (a truth taken for another count), each by this many photos.
KINDS = 4
PHOTOS_A_KIND = 3
# Kinds whose photos are kept while photos pass. There are as many kinds as pairs of counts; the rare ones make room.
KINDS_KEPT = 64

Kind = tuple[int, int]


@dataclass(frozen=True)
class Shown:
    """A miscounted photo; `confidence` is the probability of the model's likeliest count."""

    image_id: str
    quantity: int
    predicted: int
    confidence: float
    jpeg: bytes = field(repr=False)

    @property
    def error(self) -> int:
        """Objects too many or too few."""
        return abs(self.quantity - self.predicted)


@dataclass(frozen=True)
class TypicalMistakes:
    """One kind of mistake: how many photos it befell, and the first of them."""

    quantity: int
    predicted: int
    photos: int
    shown: tuple[Shown, ...]


class Mistakes:
    """Keeps few photos of many: far off and sure of it is worst, frequent is typical."""

    def __init__(self) -> None:
        self.worst: list[Shown] = []
        self._photos: Counter[Kind] = Counter()
        self._shown: dict[Kind, list[Shown]] = {}

    def add(self, mistakes: Iterable[Shown]) -> None:
        """Look at the mistakes of a batch."""
        for one in mistakes:
            self.worst.append(one)
            kind = (one.quantity, one.predicted)
            self._photos[kind] += 1
            kept = self._shown.setdefault(kind, [])
            if len(kept) < PHOTOS_A_KIND:
                kept.append(one)
        self.worst.sort(key=lambda shown: (-shown.error, -shown.confidence, shown.image_id))
        del self.worst[WORST:]
        for kind in self._by_frequency()[KINDS_KEPT:]:
            del self._shown[kind]

    def typical(self) -> list[TypicalMistakes]:
        """The most frequent kinds, the most frequent first."""
        return [
            TypicalMistakes(*kind, photos=self._photos[kind], shown=tuple(self._shown[kind]))
            for kind in self._by_frequency()[:KINDS]
        ]

    def _by_frequency(self) -> list[Kind]:
        return sorted(self._shown, key=lambda kind: (-self._photos[kind], kind))
