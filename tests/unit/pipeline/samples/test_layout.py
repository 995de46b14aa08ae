"""Photos and metadata paired by id out of two ordered listings."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pipeline.samples.layout import MAX_BYTES, NO_IMAGE, NO_METADATA, TOO_LARGE, Listed, pairs

IDS = st.sets(st.text("019aA-_", min_size=1, max_size=3).filter(lambda i: i[0].isalnum()), max_size=12)


def as_s3_lists(ids: set[str], suffix: str) -> list[Listed]:
    return [Listed(key.removesuffix(suffix), 10) for key in sorted(f"{image_id}{suffix}" for image_id in ids)]


@given(IDS, IDS)
def test_what_s3_lists_is_paired_as_sets_would_be(images: set[str], metadata: set[str]) -> None:
    skipped: Counter[str] = Counter()
    paired = list(pairs(as_s3_lists(images, ".jpg"), as_s3_lists(metadata, ".json"), skipped))
    assert set(paired) == images & metadata
    assert len(paired) == len(images & metadata)
    assert skipped[NO_METADATA] == len(images - metadata)
    assert skipped[NO_IMAGE] == len(metadata - images)


def test_a_file_that_no_bin_photo_would_be_is_left_out_and_counted() -> None:
    skipped: Counter[str] = Counter()
    images = [Listed("1", 10), Listed("2", MAX_BYTES + 1), Listed("3", 10)]
    metadata = [Listed("1", 10), Listed("2", 10), Listed("3", MAX_BYTES + 1)]
    assert list(pairs(images, metadata, skipped)) == ["1"]
    assert skipped == {TOO_LARGE: 2}


def test_ids_with_and_without_leading_zeros_are_different_bins() -> None:
    skipped: Counter[str] = Counter()
    assert list(pairs([Listed("00001", 1)], [Listed("1", 1)], skipped)) == []
    assert skipped == {NO_METADATA: 1, NO_IMAGE: 1}
