"""The list of a recount: the bins whose record the model contradicts, the surest contradiction first.

docs/decisions/0048-a-recount-begins-with-what-the-model-excludes.md has the reasons for the order.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.operations.serving.predictions import Answer, NotCounted, Prediction
from pipeline.operations.serving.records import EXAMPLES, NO_RECORD, Recorded, Records
from steps.contracts.photo_files import LeftOut
from steps.contracts.wording import count_of

# Disagreements in memory, 300 bytes each; beyond them the least sure ones are dropped from the list and counted.
MOST_ROWS = 100_000
AGREES, DISAGREES, BEYOND, NOT_COUNTED = "agrees", "disagrees", "beyond-the-model", "not-counted"
# Half of the last digit of an answer's probabilities: 0.000000 is no probability of zero.
_LEAST_PROBABILITY = 5e-7


@dataclass(frozen=True)
class Compared:
    """The answer to a photo, the record of its bin, and the comparison of both.

    `comparison` is AGREES, DISAGREES, BEYOND (the model has no such count), NOT_COUNTED, or the reason why there is no
    record.
    """

    answer: Answer
    recorded: Recorded

    @property
    def comparison(self) -> str:
        """What came out."""
        if isinstance(self.answer, NotCounted):
            return NOT_COUNTED
        if self.recorded.quantity is None:
            return self.recorded.reason
        if self.recorded.quantity not in self.answer.probabilities:
            return BEYOND
        return AGREES if self.recorded.quantity == self.answer.count else DISAGREES


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A bin whose count differs from its record: both quantities, and the model's probability of each.

    `sure` and `prediction_set` are None in the answers of models without a calibration.
    """

    photo: str
    recorded: int
    counted: int
    confidence: float
    recorded_probability: float
    sure: bool | None
    prediction_set: tuple[int, ...] | None

    @property
    def is_excluded(self) -> bool:
        """Whether the recorded quantity is outside of the prediction set."""
        return self.prediction_set is not None and self.recorded not in self.prediction_set

    @property
    def is_sure(self) -> bool:
        """Whether the model is sure of its count and excludes the record."""
        return bool(self.sure) and self.is_excluded

    @property
    def order(self) -> tuple[Any, ...]:
        """The place in the list: excluded records, then the others; by the logarithm of the probabilities' ratio."""
        counted, recorded = (max(each, _LEAST_PROBABILITY) for each in (self.confidence, self.recorded_probability))
        return not self.is_excluded, -math.log(counted / recorded), -self.confidence, self.photo


class Recount:
    """Collects comparisons: numbers of all of them, and the list of the surest disagreements."""

    def __init__(self, most: int = MOST_ROWS) -> None:
        self.photos = self.compared = self.disagreeing = self.sure = self.excluded = 0
        self.is_calibrated = False
        self.not_counted: Counter[str] = Counter()
        self.without_record = LeftOut(EXAMPLES)
        self.beyond = LeftOut(EXAMPLES)
        self.versions: set[str] = set()
        self.classes: set[int] = set()
        self._most = most
        self._rows: list[Disagreement] = []

    def add(self, compared: Compared) -> None:
        """Count a comparison, and list it if the count and the record differ."""
        self.photos += 1
        answer, recorded = compared.answer, compared.recorded.quantity
        if isinstance(answer, NotCounted):
            self.not_counted[answer.reason] += 1
            return
        self.versions.add(answer.model_version)
        self.classes.update(answer.probabilities)
        self.is_calibrated |= answer.sure is not None
        if recorded is None:
            self.without_record.add(compared.recorded.reason, answer.source)
        elif compared.comparison == BEYOND:
            self.beyond.add(BEYOND, f"{answer.source} ({recorded})")
        else:
            self.compared += 1
            if compared.comparison == DISAGREES:
                self._list(disagreement(answer, recorded))

    def rows(self, most: int | None = None) -> list[Disagreement]:
        """The first disagreements of the list."""
        self._shorten()
        return self._rows[:most]

    @property
    def dropped(self) -> int:
        """Disagreements that are not in the list, since it has an end."""
        return max(0, self.disagreeing - self._most)

    def sentence(self) -> str:
        """The result in a sentence."""
        if not self.compared:
            return "no photo could be compared with a record"
        is_single = 1 in (self.disagreeing, self.compared)
        verb = "disagrees with its record" if is_single else "disagree with their record"
        text = f"{self.disagreeing:,} of {count_of(self.compared, 'photo')} {verb}"
        return text + (f"; {self.sure:,} of them surely" if self.is_calibrated and self.disagreeing else "")

    def _list(self, row: Disagreement) -> None:
        self.disagreeing += 1
        self.sure += row.is_sure
        self.excluded += row.is_excluded
        self._rows.append(row)
        if len(self._rows) >= 2 * self._most:
            self._shorten()

    def _shorten(self) -> None:
        self._rows.sort(key=lambda row: row.order)
        del self._rows[self._most :]


def compare(
    answers: Iterable[Answer], records: Records, name_of: Callable[[Answer], str], recount: Recount
) -> Iterator[Compared]:
    """Each answer compared with its record, in order; `recount` collects them."""
    for answer, recorded in records.of(answers, name_of):
        compared = Compared(answer, recorded)
        recount.add(compared)
        yield compared


def disagreement(answer: Prediction, recorded: int) -> Disagreement:
    """The row of a bin whose record differs from its count."""
    return Disagreement(
        photo=answer.source,
        recorded=recorded,
        counted=answer.count,
        confidence=answer.confidence,
        recorded_probability=answer.probabilities.get(recorded, 0.0),
        sure=answer.sure,
        prediction_set=answer.prediction_set,
    )


def folder_of(rows: Iterable[Disagreement]) -> str:
    """The folder that all photos share, with a slash at its end; empty where they share none."""
    # By characters, up to the last slash: commonpath would take a slash out of s3://.
    shared = os.path.commonprefix([row.photo for row in rows])  # noqa: RUF071
    return shared[: shared.rfind("/") + 1]


def remarks(recount: Recount, records: Records) -> list[str]:
    """What could not be compared, a sentence each."""
    lines = []
    if beyond := recount.beyond.totals.total():
        least, most = min(recount.classes), max(recount.classes)
        lines.append(
            f"{count_of(beyond, 'photo')} beyond the counts of the model, {least} to {most}, which can neither confirm"
            f" nor refute the record: {_names(recount.beyond)}"
        )
    if total := recount.without_record.totals.total():
        is_table = set(recount.without_record.totals) == {NO_RECORD}
        names = _names(recount.without_record) if is_table else recount.without_record.sentence()
        lines.append(f"{count_of(total, 'photo')} without a record: {names}")
    if total := records.shared.totals.total():
        lines.append(
            f"{count_of(total, 'photo')} with the same record as another photo: {_names(records.shared)}; write folders"
            " in front of such names into the file"
        )
    unused = records.without_photo()
    if total := unused.totals.total():
        lines.append(f"{count_of(total, 'record')} without a photo: {_names(unused)}")
    return lines


def _names(left_out: LeftOut) -> str:
    names = [name for examples in left_out.examples.values() for name in examples]
    return ", ".join([*names, "..."] if left_out.totals.total() > len(names) else names)


def summary(recount: Recount, records: Records) -> dict[str, Any]:
    """The numbers, and the list, as JSON has them."""
    return {
        "photos": recount.photos,
        "compared": recount.compared,
        "disagreeing": recount.disagreeing,
        "surely": recount.sure if recount.is_calibrated else None,
        "record_outside_prediction_set": recount.excluded if recount.is_calibrated else None,
        "beyond_the_model": recount.beyond.totals.total(),
        "without_record": dict(recount.without_record.totals),
        "records_without_photo": records.without_photo().totals.total(),
        "photos_with_the_same_record": records.shared.totals.total(),
        "not_counted": dict(recount.not_counted),
        "dropped": recount.dropped,
        "recount": recount.rows(),
    }
