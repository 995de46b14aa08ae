"""What a model counts by itself: against plain sums over all photos, and in a whole evaluation."""

import re

import numpy as np
import pytest

from steps.contracts.artifact import Calibration
from steps.contracts.errors import StepError
from steps.contracts.evaluation import CARD
from steps.evaluate.report import headline
from steps.evaluate.selective import Selection
from tests.unit.steps.evaluate.conftest import mislabelled
from tests.unit.steps.train.photos import CLASSES, photos

CALIBRATION = Calibration(
    temperature=2.0, level=0.8, least_probability=0.25, sure_accuracy=0.9, sure_confidence=0.7, bins=40
)


def selection(photo_count: int, seed: int, batch: int) -> tuple[Selection, np.ndarray, np.ndarray, np.ndarray]:
    """Random counts of photos, added in batches, with their true counts and confidences."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 4, photo_count).astype(np.int32)
    counts = generator.integers(0, 4, photo_count).astype(np.int32)
    confidence = generator.random(photo_count).astype(np.float32)
    sets = generator.random((photo_count, 4)) < 0.5
    selected = Selection(CALIBRATION, [0, 1, 2, 3])
    for start in range(0, photo_count, batch):
        part = slice(start, start + batch)
        selected.add(truth[part], counts[part], confidence[part], confidence[part] >= 0.7, sets[part])
    return selected, truth, counts, confidence


@pytest.mark.parametrize("coverage", [0.05, 0.5, 0.8, 1.0])
def test_the_surest_photos_are_those_of_the_highest_confidence(coverage):
    selected, truth, counts, confidence = selection(2000, 1, 64)
    surest = np.argsort(-confidence, kind="stable")[: round(coverage * 2000)]
    point = selected.at(coverage)
    # Confidences that are nearly equal count as equal, so a photo or two may differ.
    assert point.accuracy == pytest.approx((truth == counts)[surest].mean(), abs=2 / len(surest))
    assert point.rmse == pytest.approx(np.sqrt(((truth - counts)[surest] ** 2).mean()), rel=0.03)
    assert point.confidence == pytest.approx(confidence[surest].min(), abs=1e-3)


def test_all_photos_are_the_accuracy_and_rmse_of_the_split():
    selected, truth, counts, _ = selection(501, 2, 500)
    assert selected.at(1.0).accuracy == pytest.approx((truth == counts).mean())
    assert selected.at(1.0).rmse == pytest.approx(np.sqrt(((truth - counts) ** 2).mean()))


def test_photos_of_equal_confidence_count_in_proportion():
    selected = Selection(None, [0, 1])
    ones = np.ones(10, np.int32)
    selected.add(ones, np.array([1] * 8 + [0] * 2, np.int32), np.full(10, 0.5, np.float32), None, None)
    assert selected.at(0.3).accuracy == pytest.approx(0.8)


def test_batches_make_no_difference():
    assert selection(300, 3, 7)[0].result() == selection(300, 3, 300)[0].result()


def test_a_confidence_of_one_is_the_highest():
    selected = Selection(None, [0, 1])
    selected.add(np.ones(2, np.int32), np.array([1, 0], np.int32), np.array([1.0, 0.99], np.float32), None, None)
    assert selected.at(0.5).accuracy == 1


def test_a_quantity_that_the_model_does_not_know_is_in_no_set():
    selected = Selection(CALIBRATION, [0, 1])
    every = np.ones((1, 2), bool)
    selected.add(np.array([7], np.int32), np.array([1], np.int32), np.array([0.9], np.float32), every[:, 0], every)
    sets = selected.result().sets
    assert sets is not None
    assert (sets.coverage, sets.coverage_by_quantity, sets.sizes) == (0.0, {"7": 0.0}, {"2": 1})


def test_the_evaluation_says_what_the_model_counts_by_itself(job):
    job.store([*photos(12, 100), mislabelled("far", 0, 2)])
    job.put_model(calibration=CALIBRATION)
    evaluation = job.run(minimum_sure_accuracy=0.5, sure_coverage=0.5)
    predictions = job.predictions().to_pylist()
    sure = [row for row in predictions if row["sure"]]
    assert 0 < len(sure) <= 13
    assert all(row["sure"] == (row["confidence"] >= np.float32(0.7)) for row in predictions)
    for row in predictions:
        assert row["confidence"] == row["probabilities"][CLASSES.index(row["predicted"])]
        wanted = [c for c, p in zip(CLASSES, row["probabilities"], strict=True) if p >= 0.25] or [row["predicted"]]
        assert row["prediction_set"] == wanted
    selective = evaluation["selective"]
    assert selective["sure"]["share"] == pytest.approx(len(sure) / 13)
    assert selective["sure"]["accuracy"] == pytest.approx(np.mean([r["predicted"] == r["quantity"] for r in sure]))
    contained = np.mean([row["quantity"] in row["prediction_set"] for row in predictions])
    assert selective["sets"]["coverage"] == pytest.approx(contained)
    assert [point["coverage"] for point in selective["curve"]][-1] == 1.0
    assert evaluation["gate"]["sure_accuracy"] == pytest.approx(selective["curve"][9]["accuracy"])
    reached = f"{evaluation['gate']['sure_accuracy']:.4f}"
    assert evaluation["gate"]["shown"]["sure_accuracy"] == f"50% of the photos {reached} (at least 0.5 wanted)"
    report = job.report()
    assert f"Counts {len(sure) / 13:.1%} of the photos by itself at" in report
    assert "accuracy of the surest 50%" in report
    assert re.search(r"</h1>\s*<p><b>Counts ", report)


def test_the_temperature_is_applied(job):
    job.store(photos(12, 100))
    job.put_model()
    plain = job.run() and job.predictions()["probabilities"].to_pylist()
    job.put_model(calibration=CALIBRATION)
    cooler = job.run() and job.predictions()["probabilities"].to_pylist()
    expected = np.sqrt(np.array(plain))
    assert np.array(cooler) == pytest.approx(expected / expected.sum(axis=1, keepdims=True), abs=1e-3)


def test_a_model_of_an_earlier_release_is_evaluated_without_sets(job):
    job.store(photos(12, 100))
    job.put_model()
    evaluation = job.run()
    assert evaluation["selective"]["sure"] is None
    assert evaluation["selective"]["sets"] is None
    assert (
        evaluation["selective"]["curve"][-1]["accuracy"]
        == evaluation["multiclass_classification_metrics"]["accuracy"]["value"]
    )
    assert set(job.predictions()["sure"].to_pylist()) == {None}
    assert "This model has no calibration" in job.report()


def test_where_no_count_is_sure_it_is_said(job):
    job.store(photos(12, 100))
    job.put_model(calibration=CALIBRATION.model_copy(update={"sure_confidence": None}))
    job.run()
    assert "This model calls no count sure: no confidence promises 90% right." in job.report()


def test_where_no_photo_is_sure_enough_it_is_said(job):
    job.store(photos(12, 100))
    job.put_model(calibration=CALIBRATION.model_copy(update={"temperature": 50.0, "sure_confidence": 0.99}))
    job.run()
    assert "no photo has the confidence of 0.99 that promises 90% right" in job.report()


def test_a_test_photo_by_which_models_are_calibrated_is_refused(job):
    """A planted leak: the photo is no test of a model that knows it."""
    job.store(photos(12, 100), calibration=["00009", "00105"])
    job.put_model(calibration=CALIBRATION)
    with pytest.raises(
        StepError, match=r"^photo 00105 of the test split is among those by which models are calibrated"
    ):
        job.run()
    assert not (job.output / "evaluation.json").exists()


def test_a_model_of_another_data_set_is_refused(job):
    """A leak: a photo of this test split may be of that data set's training split."""
    job.store(photos(12, 100))
    job.put_model(dataset_sha256="f" * 64)
    with pytest.raises(StepError, match=r"was trained on the data set ffffffffffff, not on [0-9a-f]{12} of the input"):
        job.run()
    assert not (job.output / "evaluation.json").exists()


@pytest.mark.parametrize(("weights", "said"), [("s3://bucket/own.safetensors", True), ("", False)])
def test_initial_weights_of_an_own_model_are_said_to_know_photos(job, weights, said):
    job.store(photos(12, 100))
    job.put_model(hyperparameters={"weights": weights})
    job.run()
    caveat = f"Training began with the weights at {weights}: photos that those were trained on"
    assert (caveat in job.report()) is said
    card = (job.output / CARD).read_text()
    assert (caveat in card) is said


def test_a_shard_of_training_photos_in_the_test_split_is_refused(job):
    """A planted leak: the same bytes under another name."""
    job.store(photos(9), shards=1)
    job.put_model()
    with pytest.raises(StepError, match=r"test-000-000000.tar of the test split has the same bytes as .* of the train"):
        job.run()


def test_the_headline_has_the_share_the_accuracy_and_what_was_wanted():
    selected, *_ = selection(200, 4, 50)
    result = selected.result()
    assert result.sure is not None
    assert headline(result) == (
        f"Counts {result.sure.share:.1%} of the photos by itself at {result.sure.accuracy:.1%} right (wanted: 90%); the"
        " others are for a person."
    )
