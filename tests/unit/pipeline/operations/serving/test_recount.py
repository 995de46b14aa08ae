"""The list of a recount: what disagrees, in which order, and what cannot be compared."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Iterator

import pytest

from pipeline.operations.serving import recount as operation
from pipeline.operations.serving.predictions import Answer, NotCounted, Prediction
from pipeline.operations.serving.records import NO_RECORD, Recorded
from pipeline.operations.serving.recount import Compared, Disagreement, Recount, compare, disagreement
from steps.contracts.photo_files import LeftOut


class Quantities:
    """Records in memory, by photo."""

    def __init__(self, **quantities: int) -> None:
        self.shared = LeftOut(3)
        self.left = LeftOut(3)
        self._quantities = quantities

    def of(self, answers: Iterable[Answer], name_of: Callable[[Answer], str]) -> Iterator[tuple[Answer, Recorded]]:
        for answer in answers:
            quantity = self._quantities.get(name_of(answer))
            yield answer, Recorded(quantity, NO_RECORD if quantity is None else "")

    def without_photo(self) -> LeftOut:
        return self.left


def answer(
    photo: str = "a",
    count: int = 2,
    probabilities: tuple[float, ...] = (0.0, 0.1, 0.9),
    *,
    sure: bool | None = None,
    members: tuple[int, ...] | None = None,
) -> Prediction:
    return Prediction(photo, count, 1.9, dict(enumerate(probabilities)), "7", None, sure, members)


def collected(answers: Iterable[Answer], records: Quantities, most: int = 100) -> tuple[Recount, list[Compared]]:
    recount = Recount(most)
    return recount, list(compare(answers, records, lambda each: each.source, recount))


def test_each_photo_has_its_comparison() -> None:
    answers = [answer("same"), answer("other"), answer("large"), answer("nothing"), NotCounted("bad", "truncated")]
    recount, comparisons = collected(answers, Quantities(same=2, other=1, large=12, bad=1))
    assert [each.comparison for each in comparisons] == [
        "agrees",
        "disagrees",
        "beyond-the-model",
        "no-record",
        "not-counted",
    ]
    assert (recount.photos, recount.compared, recount.disagreeing) == (5, 2, 1)
    assert recount.rows() == [Disagreement("other", 1, 2, 0.9, 0.1, None, None)]
    assert recount.sentence() == "1 of 2 photos disagrees with its record"
    assert operation.remarks(recount, Quantities()) == [
        "1 photo beyond the counts of the model, 0 to 2, which can neither confirm nor refute the record: large (12)",
        "1 photo without a record: nothing",
    ]


def test_a_sentence_counts_the_sure_ones_of_a_model_that_has_them() -> None:
    answers = [answer(str(number), sure=number < 2, members=(2,)) for number in range(4)]
    recount, _ = collected(answers, Quantities(**dict.fromkeys("0123", 1)))
    assert recount.sentence() == "4 of 4 photos disagree with their record; 2 of them surely"
    assert recount.excluded == 4
    agreeing, _ = collected(answers, Quantities(**dict.fromkeys("0123", 2)))
    assert agreeing.sentence() == "0 of 4 photos disagree with their record"
    assert collected(answers, Quantities())[0].sentence() == "no photo could be compared with a record"


# The order that docs/decisions/0048 reasons for, the first first.
ORDER = [
    answer("excluded-97-times", probabilities=(0.02, 0.01, 0.97), sure=True, members=(2,)),
    # A sure count is not in front of a larger ratio.
    answer("excluded-18-times", probabilities=(0.05, 0.05, 0.9), sure=False, members=(2,)),
    answer("excluded-16-times", probabilities=(0.0, 0.06, 0.94), sure=True, members=(2,)),
    answer("excluded-6-times", probabilities=(0.3, 0.1, 0.6), sure=False, members=(0, 2)),
    # In the set: by the ratio, not by the record's probability alone. These are behind, whatever their ratio.
    answer("in-the-set-40-times", probabilities=(0.18, 0.02, 0.8), sure=False, members=(0, 1, 2)),
    answer("in-the-set-30-times", probabilities=(0.69, 0.01, 0.3), sure=True, members=(0, 1, 2)),
    answer("no-set-3-times", probabilities=(0.2, 0.2, 0.6)),
]


@pytest.mark.parametrize("seed", range(5))
def test_the_surest_disagreement_is_first(seed: int) -> None:
    shuffled = random.Random(seed).sample(ORDER, len(ORDER))
    recount, _ = collected(shuffled, Quantities(**{each.source: 1 for each in ORDER}))
    assert [row.photo for row in recount.rows()] == [each.source for each in ORDER]
    assert [row.photo for row in recount.rows() if row.is_sure] == ["excluded-97-times", "excluded-16-times"]


def test_probabilities_that_are_rounded_to_zero_are_ordered_by_the_count() -> None:
    rows = [answer("b", probabilities=(0.4, 0.0, 0.6)), answer("a", probabilities=(0.1, 0.0, 0.9))]
    recount, _ = collected(rows, Quantities(a=1, b=1))
    assert [row.photo for row in recount.rows()] == ["a", "b"]


def test_a_probability_of_zero_is_that_of_an_answers_last_digit() -> None:
    rows = [answer("a", probabilities=(0.7, 0.0, 0.3)), answer("b", probabilities=(0.0, 0.000001, 0.9))]
    recount, _ = collected(rows, Quantities(a=1, b=1))
    assert [row.photo for row in recount.rows()] == ["b", "a"]


@pytest.mark.parametrize("most", [1, 3, 10, 49, 50, 51])
def test_the_list_keeps_the_surest_rows_and_no_more_in_memory(most: int) -> None:
    shares = random.Random(3).sample([number / 100 for number in range(50, 100)], 50)
    answers = [answer(f"{share}", probabilities=(0.0, 1 - share, share)) for share in shares]
    recount = Recount(most)
    for compared in compare(answers, Quantities(**{f"{share}": 1 for share in shares}), lambda a: a.source, recount):
        assert compared.comparison == "disagrees"
        assert len(recount._rows) < 2 * most
    assert [row.confidence for row in recount.rows()] == sorted(shares, reverse=True)[:most]
    assert (recount.disagreeing, recount.dropped) == (50, max(0, 50 - most))


def test_answers_are_compared_one_after_another() -> None:
    """The kind: a batch of millions of photos that is read into memory before its first row is written."""
    endless = (answer(str(number)) for number in itertools.count())
    comparisons = compare(endless, Quantities(), lambda each: each.source, Recount())
    assert len(list(itertools.islice(comparisons, 1000))) == 1000


def test_a_disagreement_has_both_probabilities() -> None:
    row = disagreement(answer(probabilities=(0.2, 0.1, 0.7), sure=False, members=(0, 2)), 1)
    assert (row.confidence, row.recorded_probability, row.is_excluded, row.is_sure) == (0.7, 0.1, True, False)


def test_records_that_are_left_are_named() -> None:
    records = Quantities(a=2)
    for number in range(5):
        records.left.add("no-photo", f"b{number}")
    records.shared.add("shared-record", "x/a")
    recount, _ = collected([answer("a")], records)
    assert operation.remarks(recount, records) == [
        "1 photo with the same record as another photo: x/a; write folders in front of such names into the file",
        "5 records without a photo: b0, b1, b2, ...",
    ]
    summary = operation.summary(recount, records)
    assert (summary["records_without_photo"], summary["photos_with_the_same_record"]) == (5, 1)
    assert (summary["surely"], summary["recount"]) == (None, [])
