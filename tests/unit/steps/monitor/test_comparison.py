"""The rates of false and of true alarms of the comparison."""

import numpy as np
import pytest

from steps.monitor.comparison import bin_edges, binned, compare, merged_counts, shares_of, stability_index
from tests.unit.steps.monitor.photos import blurred, darker, draw, population

DRAWS, BASELINE, WINDOW = 200, 1000, 300


def alarms(shift, minimum_psi=0.1, draws=DRAWS):
    """Number of draws with an alarm; `shift` draws a window."""
    chance = np.random.default_rng(7)
    alarming = 0
    for _ in range(draws):
        baseline = draw(population(), BASELINE, chance)
        window = shift(chance)
        alarming += any(feature.drifted for feature in compare(baseline, window, level=0.05, minimum_psi=minimum_psi))
    return alarming


def unchanged(chance):
    return draw(population(), WINDOW, chance)


def test_where_nothing_has_changed_few_windows_ring():
    assert alarms(unchanged) <= 18
    # The tests alone, without the stability index, keep the level too.
    assert alarms(unchanged, minimum_psi=0.0) <= 18


def other_counts(chance):
    window = unchanged(chance)
    fuller = chance.random(WINDOW) < 0.4
    return {**window, "predicted": np.where(fuller, np.minimum(window["predicted"] + 2, 5), window["predicted"])}


def less_sure(chance):
    window = unchanged(chance)
    return {**window, "confidence": window["confidence"] * 0.8}


def fewer_sure(chance):
    window = unchanged(chance)
    return {**window, "sure": np.where(chance.random(WINDOW) < 0.3, 0, window["sure"])}


@pytest.mark.parametrize(
    "shift",
    [
        lambda chance: draw(population(darker), WINDOW, chance),
        lambda chance: draw(population(blurred), WINDOW, chance),
        other_counts,
        less_sure,
        fewer_sure,
    ],
    ids=["darker", "blurred", "other counts", "less sure", "fewer sure counts"],
)
def test_a_shift_is_caught(shift):
    assert alarms(shift) >= 0.95 * DRAWS


def compared(baseline, window, name="brightness", **options):
    (feature,) = compare({name: np.array(baseline)}, {name: np.array(window)}, level=0.05, **options)
    return feature


def test_of_many_photos_a_trifling_difference_is_significant_and_no_drift():
    chance = np.random.default_rng(1)
    baseline, window = chance.normal(0.5, 0.1, 50_000), chance.normal(0.505, 0.1, 50_000)
    feature = compared(baseline, window)
    assert feature.p_value < 1e-6
    assert feature.psi < 0.02
    assert not feature.drifted
    assert compared(baseline, window, minimum_psi=0.0).drifted


def test_the_thresholds_are_holms():
    chance = np.random.default_rng(1)
    baseline = {name: chance.normal(size=400) for name in "abc"}
    window = {"a": baseline["a"][:300] + 3, "b": chance.normal(size=300), "c": baseline["c"][:300] + 2}
    a, b, c = compare(baseline, window, level=0.05)
    # Three features, each with two tails.
    tests = [test for feature in (a, b, c) for test in (feature, feature.low, feature.high)]
    assert sorted(test.threshold for test in tests) == pytest.approx(sorted(0.05 / rank for rank in range(1, 10)))
    assert sorted(tests, key=lambda test: test.p_value) == sorted(tests, key=lambda test: test.threshold)
    assert [a.drifted, b.drifted, c.drifted] == [True, False, True]


# ------------------------------------------------------------------ the kind: a mean and tenths hide what is far off


@pytest.mark.parametrize(
    ("name", "value", "number", "end"),
    [
        ("brightness", 0.01, 150, "low"),
        ("brightness", 0.99, 120, "high"),
        ("sharpness", 0.0, 100, "low"),
        ("confidence", 0.05, 100, "low"),
        ("bytes", 5_000_000, 90, "high"),
        ("pixels", 64 * 64, 80, "low"),
    ],
)
def test_a_few_photos_that_are_far_off_are_a_drift_of_a_tail(name, value, number, end):
    """150 photos of 1,959 that are nearly black hardly change a mean, and no tenth of the photos by much."""
    chance = np.random.default_rng(3)
    baseline, window = draw(population(), 2000, chance), draw(population(), 1959, chance)
    calm = compare(baseline, window, level=0.05)
    assert not any(feature.drifted for feature in calm)
    odd = {**window, name: np.concatenate([np.full(number, value), window[name][number:]])}
    feature = next(feature for feature in compare(baseline, odd, level=0.05) if feature.name == name)
    assert feature.drifted
    tail = getattr(feature, end)
    assert tail.drifted
    assert tail.share == pytest.approx(number / 1959, abs=0.015)
    assert not (feature.high if end == "low" else feature.low).drifted


@pytest.mark.parametrize("number", [1, 10, 25])
def test_fewer_photos_than_the_least_share_are_no_drift(number):
    chance = np.random.default_rng(3)
    baseline, window = draw(population(), 2000, chance), draw(population(), 1959, chance)
    odd = {**window, "brightness": np.concatenate([np.zeros(number), window["brightness"][number:]])}
    feature = next(each for each in compare(baseline, odd, level=0.05) if each.name == "brightness")
    assert not feature.low.drifted
    assert compared(baseline["brightness"], odd["brightness"], minimum_tail=1.0).low.drifted is False


@pytest.mark.parametrize("sign", [1, -1])
def test_the_test_of_a_tail_keeps_its_level_whatever_the_sizes(sign):
    chance = np.random.default_rng(5)
    for sizes in ((200, 200), (2000, 300), (300, 2000)):
        p_values = []
        for _ in range(400):
            baseline, window = (sign * chance.exponential(size=size) for size in sizes)
            feature = compared(baseline, window)
            p_values.append((feature.low if sign == 1 else feature.high).p_value)
        assert np.mean(np.array(p_values) <= 0.05) <= 0.08


def test_sure_counts_are_two_categories_without_tails():
    baseline, window = np.repeat([1, 0], [800, 200]), np.repeat([1, 0], [150, 150])
    feature = compared(baseline, window, "sure")
    assert (feature.test, feature.drifted, feature.low, feature.high) == ("chi-squared", True, None, None)
    assert [(part.label, part.baseline, part.window) for part in binned("sure", baseline, window)] == [
        ("unsure", 0.2, 0.5),
        ("sure", 0.8, 0.5),
    ]
    assert not compared(baseline, np.repeat([1, 0], [238, 62]), "sure").drifted


def compared_shares(before, now, photos=2000, level=0.01):
    baseline, window = (np.arange(photos) < round(share * photos) for share in (before, now))
    (feature,) = compare({"sure": baseline.astype(np.int8)}, {"sure": window.astype(np.int8)}, level=level)
    return feature


@pytest.mark.parametrize(("before", "now"), [(0.312, 0.18), (0.10, 0.04), (0.05, 0.01), (0.04, 0.10), (0.2, 0.14)])
@pytest.mark.parametrize("which", ["sure", "unsure"])
def test_a_small_share_of_sure_or_of_unsure_counts_that_changes_by_much_is_a_drift(which, before, now):
    """The stability index of each is below 0.1, and the model counts up to 80% fewer photos by itself."""
    feature = compared_shares(before, now) if which == "sure" else compared_shares(1 - before, 1 - now)
    assert feature.p_value < 1e-6
    assert feature.psi < 0.1
    assert feature.drifted


@pytest.mark.parametrize(
    ("before", "now"),
    [(0.312, 0.29), (0.10, 0.09), (0.05, 0.045), (0.004, 0.002), (0.998, 0.996), (0.3, 0.3), (0.0, 0.0), (1.0, 1.0)],
)
def test_an_insignificant_change_or_none_of_the_sure_share_is_no_drift(before, now):
    feature = compared_shares(before, now)
    assert feature.p_value > 0.05
    assert not feature.drifted


@pytest.mark.parametrize("baseline", [0.4, 0.6])
def test_a_sure_share_drifts_from_a_quarter_of_the_smaller_share_on(baseline):
    """Both shares change by the same number of photos, which is a quarter of the smaller one: 0.1."""
    for drifted, change in ((True, 0.1), (True, -0.1), (False, 0.0999), (False, -0.0999)):
        feature = compared_shares(baseline, baseline + change, photos=50_000)
        assert feature.p_value < 1e-6
        assert feature.drifted == drifted


@pytest.mark.parametrize("baseline", [0.0, 1.0])
def test_in_a_baseline_without_sure_or_unsure_counts_significance_alone_decides(baseline):
    few, many = abs(baseline - 0.001), abs(baseline - 0.01)
    assert not compared_shares(baseline, few).drifted
    assert compared_shares(baseline, many).drifted
    assert compared_shares(baseline, 1 - baseline).drifted


def test_the_minimum_of_the_index_is_not_for_sure_counts():
    baseline, window = np.repeat([1, 0], [200, 1800]), np.repeat([1, 0], [80, 1920])
    assert compared(baseline, window, "sure", minimum_psi=10.0).drifted
    assert not compared(baseline, window, "predicted", minimum_psi=0.1).drifted


def test_counts_have_no_tails():
    feature = compared(np.full(300, 2, np.int32), np.full(300, 2, np.int32), "predicted")
    assert (feature.low, feature.high) == (None, None)


def test_rare_counts_are_taken_together_and_none_is_lost():
    baseline = np.array([0] * 50 + [1] * 50 + [7] + [9], np.int32)
    window = np.array([0] * 40 + [1] * 40 + [12] * 2, np.int32)
    counts = merged_counts(baseline, window)
    assert counts.sum(axis=1).tolist() == [102, 82]
    assert counts.shape[1] == 2


def test_a_feature_that_never_varies_is_no_drift_until_it_does():
    same = compared([640] * 500, [640] * 300, "pixels")
    assert (same.p_value, same.psi, same.drifted) == (1.0, 0.0, False)
    assert compared([640] * 500, [320] * 300, "pixels").drifted
    assert compared([640] * 500, [1280] * 300, "pixels").drifted


def test_one_count_in_both_is_no_difference():
    assert not compared(np.full(300, 2, np.int32), np.full(300, 2, np.int32), "predicted").drifted


def test_shares_are_of_the_whole_in_every_bin():
    chance = np.random.default_rng(1)
    baseline, window = chance.normal(size=1000), chance.normal(size=300)
    shares = shares_of("brightness", baseline, window)
    assert shares.shape == (2, 10)
    assert shares.sum(axis=1) == pytest.approx([1, 1])
    assert shares[0] == pytest.approx(np.full(10, 0.1), abs=0.002)
    assert len(bin_edges(baseline)) == 9


def test_the_index_is_about_nothing_where_nothing_has_changed_however_small_the_window():
    chance = np.random.default_rng(1)
    indices = [stability_index("x", chance.normal(size=1000), chance.normal(size=100)) for _ in range(100)]
    assert np.median(indices) < 0.02
