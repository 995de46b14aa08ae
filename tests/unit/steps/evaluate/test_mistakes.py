"""Few photos of many: the worst and the typical mistakes."""

from hypothesis import given
from hypothesis import strategies as st

from steps.evaluate.mistakes import KINDS, KINDS_KEPT, PHOTOS_A_KIND, WORST, Mistakes, Shown


def shown(number, quantity, predicted, confidence=0.5):
    return Shown(f"{number:05d}", quantity, predicted, confidence, b"")


def test_far_off_is_worse_than_sure_and_sure_is_worse_than_unsure():
    mistakes = Mistakes()
    mistakes.add([shown(1, 0, 1, 0.9), shown(2, 0, 5, 0.2), shown(3, 1, 0, 0.95)])
    assert [one.image_id for one in mistakes.worst] == ["00002", "00003", "00001"]


def test_the_typical_mistakes_are_the_frequent_ones():
    mistakes = Mistakes()
    for number in range(10):
        mistakes.add([shown(number, 3, 2)])
    mistakes.add([shown(20, 0, 5), shown(21, 4, 5), shown(22, 4, 5)])
    first, second, third = mistakes.typical()
    assert (first.quantity, first.predicted, first.photos, len(first.shown)) == (3, 2, 10, PHOTOS_A_KIND)
    assert (second.quantity, second.predicted, second.photos) == (4, 5, 2)
    assert (third.quantity, third.predicted, third.photos) == (0, 5, 1)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=400), st.integers(1, 50))
def test_what_is_kept_is_bounded_whatever_comes(drawn, size):
    mistakes = Mistakes()
    every = [shown(number, *kind) for number, kind in enumerate(drawn) if kind[0] != kind[1]]
    for start in range(0, len(every), size):
        mistakes.add(every[start : start + size])
    assert len(mistakes.worst) == min(WORST, len(every))
    assert len(mistakes.typical()) <= KINDS
    assert len(mistakes._shown) <= KINDS_KEPT
    if every:
        assert mistakes.worst[0].error == max(one.error for one in every)
