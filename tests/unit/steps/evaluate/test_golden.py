"""Golden photos: the surest of each count, with the answers to them."""

import base64
import json

import numpy as np

from steps.evaluate.golden import GOLDEN_PHOTOS, MAX_BYTES, Golden
from steps.shards.reading import Sample


def add(golden, *photos, classes=(0, 1, 2)):
    """Photos as (id, probabilities, jpeg)."""
    batch = [Sample(image_id=name, quantity=0, jpeg=jpeg) for name, _, jpeg in photos]
    probabilities = np.array([row for _, row, _ in photos], np.float32)
    golden.add(batch, np.array(classes, np.int32)[probabilities.argmax(axis=1)], probabilities, classes)


def written(golden, tmp_path):
    golden.write(tmp_path / "golden.json")
    document = json.loads((tmp_path / "golden.json").read_text())
    assert document["version"] == 1
    return document["photos"]


def test_of_each_count_the_surest_photo_is_kept_with_its_answer(tmp_path):
    golden = Golden()
    add(golden, ("a", [0.6, 0.4, 0.0], b"A"), ("b", [0.9, 0.1, 0.0], b"B"), ("c", [0.0, 0.2, 0.8], b"C"))
    add(golden, ("d", [0.7, 0.3, 0.0], b"D"))
    first, second = written(golden, tmp_path)
    assert (first["image_id"], first["count"], base64.b64decode(first["jpeg"])) == ("b", 0, b"B")
    assert (second["image_id"], second["count"]) == ("c", 2)
    assert list(first["probabilities"]) == ["0", "1", "2"]
    assert np.allclose(list(first["probabilities"].values()), [0.9, 0.1, 0.0])


def test_they_are_few_however_many_counts_there_are(tmp_path):
    golden, classes = Golden(), tuple(range(40))
    for count in classes:
        row = np.full(40, (0.5 - count / 100) / 39)
        row[count] = 0.5 + count / 100
        add(golden, (str(count), row, b"x"), classes=classes)
    assert [photo["count"] for photo in written(golden, tmp_path)] == list(range(40 - GOLDEN_PHOTOS, 40))


def test_a_photo_that_an_endpoint_might_not_take_is_passed_over(tmp_path):
    golden = Golden()
    add(golden, ("large", [0.9, 0.1, 0.0], b"x" * (MAX_BYTES + 1)), ("small", [0.6, 0.4, 0.0], b"x"))
    assert [photo["image_id"] for photo in written(golden, tmp_path)] == ["small"]
