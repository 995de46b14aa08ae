"""Synthetic bins: same seed, same bytes; the data set's own metadata; countable, but not without looking."""

import hashlib
import itertools
import json
import subprocess
import sys
from collections import Counter

import cv2
import numpy as np
import pytest

from pipeline.samples.layout import Bin
from pipeline.samples.synthetic import generate

SEED = 11
PHOTOS = 450


@pytest.fixture(scope="module")
def bins() -> list[Bin]:
    return list(generate(PHOTOS, SEED))


def quantity(sample: Bin) -> int:
    return int(json.loads(sample.metadata)["EXPECTED_QUANTITY"])


def items(sample: Bin) -> dict:
    return json.loads(sample.metadata)["BIN_FCSKU_DATA"]


def pixels(sample: Bin) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(sample.jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)


def test_the_same_seed_makes_the_same_bytes_in_another_process(bins: list[Bin]) -> None:
    code = (
        "import hashlib; from pipeline.samples.synthetic import generate;"
        f"print(*[hashlib.sha256(b.jpeg + b.metadata).hexdigest() for b in generate(12, {SEED})])"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert other == [hashlib.sha256(sample.jpeg + sample.metadata).hexdigest() for sample in bins[:12]]


def test_a_shorter_sequence_is_the_beginning_of_a_longer_one(bins: list[Bin]) -> None:
    assert list(generate(9, SEED)) == bins[:9]


def test_another_seed_makes_other_photos_and_other_items(bins: list[Bin]) -> None:
    others = list(generate(20, SEED + 1))
    assert not {sample.jpeg for sample in others} & {sample.jpeg for sample in bins}
    assert not {key for sample in others for key in items(sample)} & {key for sample in bins for key in items(sample)}


def test_ids_count_up_from_one_with_five_digits(bins: list[Bin]) -> None:
    assert [sample.image_id for sample in bins] == [f"{number:05d}" for number in range(1, PHOTOS + 1)]


def test_photos_are_jpegs_of_the_size_and_weight_of_real_ones(bins: list[Bin]) -> None:
    for sample in bins[:60]:
        height, width, channels = pixels(sample).shape
        assert 300 <= height <= 450
        assert 300 <= width <= 450
        assert channels == 3
    kilobytes = [len(sample.jpeg) / 1000 for sample in bins]
    assert 15 < np.median(kilobytes) < 40
    assert max(kilobytes) < 80


def test_metadata_has_the_layout_of_the_real_data_set(bins: list[Bin]) -> None:
    for sample in bins:
        document = json.loads(sample.metadata)
        assert list(document) == ["BIN_FCSKU_DATA", "EXPECTED_QUANTITY"]
        assert sample.metadata.decode() == json.dumps(document, indent=4)
        for item in document["BIN_FCSKU_DATA"].values():
            assert list(item) == [
                "asin", "height", "length", "name", "normalizedName", "quantity", "weight", "width",
            ]  # fmt: skip
            for side in ("height", "length", "width"):
                assert item[side] is None or (item[side]["unit"] == "IN" and item[side]["value"] > 0)
            assert item["weight"] is None or (item["weight"]["unit"] == "pounds" and item["weight"]["value"] > 0)


def test_the_layout_is_that_of_a_real_file(abid, bins: list[Bin]) -> None:
    import tarfile

    with tarfile.open(abid / "originals.tar") as archive:
        real = archive.extractfile("metadata/00004.json").read()

    def skeleton(text: bytes) -> list[str]:
        item = next(iter(json.loads(text)["BIN_FCSKU_DATA"]))
        first = text.decode().split('"width"')[0].replace(item, "ASIN")
        return [line.split(":")[0] for line in first.splitlines()]

    whole = next(o for o in bins if items(o) and all(v is not None for v in next(iter(items(o).values())).values()))
    assert skeleton(whole.metadata) == skeleton(real)


def test_the_expected_quantity_is_the_sum_of_the_items(bins: list[Bin]) -> None:
    for sample in bins:
        assert quantity(sample) == sum(item["quantity"] for item in items(sample).values())


def test_the_traps_of_the_real_data_occur_in_small_share() -> None:
    from pipeline.samples.items import metadata, random_product

    rng = np.random.default_rng(0)
    entries = [
        (key, item)
        for number in range(4000)
        for key, item in json.loads(metadata([(random_product(rng), 1)], (0, number)))["BIN_FCSKU_DATA"].items()
    ]
    share = {
        "weight": np.mean([item["weight"] is None for _, item in entries]),
        "dimensions": np.mean([item["height"] is None for _, item in entries]),
        "key": np.mean([key != item["asin"] for key, item in entries]),
    }
    assert 0.01 < share["weight"] < 0.04
    assert 0 < share["dimensions"] < 0.01
    assert 0 < share["key"] < 0.01


def test_quantities_are_spread_as_in_the_real_data(bins: list[Bin]) -> None:
    counts = Counter(quantity(sample) for sample in bins)
    assert sorted(counts) == list(range(8))
    assert counts.most_common(1)[0][0] in (2, 3, 4)
    assert counts[0] < min(counts[value] for value in (1, 2, 3, 4, 5))
    kept = sum(number for value, number in counts.items() if value <= 5)
    assert max(counts.values()) / kept < 0.32


def test_the_maximum_quantity_is_kept() -> None:
    assert max(quantity(sample) for sample in generate(60, SEED, maximum_quantity=2)) == 2


@pytest.mark.parametrize("maximum", [0, 8])
def test_a_maximum_that_cannot_be_drawn_is_refused(maximum: int) -> None:
    with pytest.raises(ValueError, match=f"maximum_quantity is {maximum}"):
        next(generate(1, SEED, maximum_quantity=maximum))


def test_some_neighbours_are_two_photos_of_one_bin(bins: list[Bin]) -> None:
    neighbours = [(a, b) for a, b in itertools.pairwise(bins) if items(a) and items(a).keys() == items(b).keys()]
    assert 0.2 < len(neighbours) / len(bins) < 0.5
    for a, b in neighbours:
        assert a.metadata == b.metadata
        assert a.jpeg != b.jpeg


def test_bins_that_are_not_neighbours_share_no_item(bins: list[Bin]) -> None:
    last_seen: dict[str, int] = {}
    for number, sample in enumerate(bins):
        for key in items(sample):
            assert number - last_seen.get(key, number) <= 1
            last_seen[key] = number


def test_colour_and_edges_alone_do_not_count(bins: list[Bin]) -> None:
    """Logistic regression on mean colour, contrast and edge density stays far below a network that looks."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    kept = [sample for sample in bins if quantity(sample) <= 5]
    features = []
    for sample in kept:
        picture = cv2.resize(pixels(sample), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        slopes = [np.abs(cv2.Sobel(grey, cv2.CV_32F, *axis)).mean() for axis in ((1, 0), (0, 1))]
        edges = cv2.mean(cv2.Canny(grey, 80, 160))[0]
        features.append([*np.ravel(cv2.meanStdDev(picture)), *slopes, edges])
    counts = [quantity(sample) for sample in kept]
    # Folds one after the other, so that no bin is on both sides but at the cuts.
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    scores = cross_val_score(model, np.array(features), counts, cv=KFold(5))
    assert scores.mean() < 0.4
