"""The answer to a photo, from a model with a calibration and from one of an earlier release."""

import asyncio
import json

import pytest

from steps.contracts.artifact import DESCRIPTION, Calibration
from steps.model.predictor import Predictor
from steps.serve.counting import Counter
from steps.serve.payload import Payload
from steps.serve.settings import ServingSettings

from .container import photo, write_model

# The network's logits for a half red photo are nearly equal at this temperature.
CALIBRATION = Calibration(
    temperature=4.0, level=0.9, least_probability=0.2, sure_accuracy=0.9, sure_confidence=0.85, bins=100
)


def answers(folder, *reds):
    async def count():
        counter = Counter(Predictor.load(folder), ServingSettings(threads=1, decoders=1, model_version="7"))
        try:
            photos = [photo(red) for red in reds]
            return (await counter.count(Payload(photos, [""] * len(photos), many=True)))["predictions"]
        finally:
            counter.close()

    return asyncio.run(count())


def test_a_model_with_a_calibration_says_what_is_sure_and_what_else_it_may_be(tmp_path):
    write_model(tmp_path / "plain")
    write_model(tmp_path / "model", CALIBRATION)
    plain, (dark, half, red) = answers(tmp_path / "plain", 0, 160, 255), answers(tmp_path / "model", 0, 160, 255)
    assert [dark["count"], half["count"], red["count"]] == [answer["count"] for answer in plain]
    assert (dark["sure"], dark["prediction_set"]) == (True, [0])
    assert half["sure"] is False
    assert half["prediction_set"] == [int(count) for count, p in half["probabilities"].items() if p >= 0.2]
    assert len(half["prediction_set"]) > 1
    for answer in (dark, half, red):
        assert answer["confidence"] == answer["probabilities"][str(answer["count"])]
        assert answer["expected"] == pytest.approx(
            sum(int(q) * p for q, p in answer["probabilities"].items()), abs=1e-5
        )
    assert half["confidence"] < plain[1]["confidence"]


def test_where_no_confidence_suffices_nothing_is_sure(tmp_path):
    write_model(tmp_path / "model", CALIBRATION.model_copy(update={"sure_confidence": None}))
    assert [answer["sure"] for answer in answers(tmp_path / "model", 0, 255)] == [False, False]


def test_an_artifact_of_an_earlier_release_still_counts_without_sets(tmp_path):
    write_model(tmp_path / "model")
    path = tmp_path / "model" / DESCRIPTION
    description = json.loads(path.read_text())
    del description["calibration"]
    path.write_text(json.dumps(description))
    [answer] = answers(tmp_path / "model", 255)
    assert set(answer) == {"count", "probabilities", "expected", "model_version", "confidence"}
    assert answer["count"] == 2
