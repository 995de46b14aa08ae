"""Photos and metadata paired by id out of two ordered listings."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.samples.layout import NO_IMAGE, NO_METADATA, TOO_LARGE, Listed, pairs
from steps.contracts.photo_files import MAX_BYTES, LeftOut

IDS = st.sets(st.text("019aA-_", min_size=1, max_size=3).filter(lambda i: i[0].isalnum()), max_size=12)


def as_s3_lists(ids: set[str], suffix: str) -> list[Listed]:
    return [Listed(key.removesuffix(suffix), 10, key) for key in sorted(f"{image_id}{suffix}" for image_id in ids)]


@given(IDS, IDS)
def test_what_s3_lists_is_paired_as_sets_would_be(images: set[str], metadata: set[str]) -> None:
    skipped = LeftOut(3)
    pairing = pairs(as_s3_lists(images, ".jpg"), as_s3_lists(metadata, ".json"), skipped)
    paired = [pair.image_id for pair in pairing]
    assert set(paired) == images & metadata
    assert len(paired) == len(images & metadata)
    assert skipped.totals[NO_METADATA] == len(images - metadata)
    assert skipped.totals[NO_IMAGE] == len(metadata - images)


def test_a_file_that_no_bin_photo_would_be_is_left_out_and_counted() -> None:
    skipped = LeftOut(3)
    images = [Listed("1", 10, "1"), Listed("2", MAX_BYTES + 1, "2"), Listed("3", 10, "3")]
    metadata = [Listed("1", 10, "1"), Listed("2", 10, "2"), Listed("3", MAX_BYTES + 1, "3")]
    assert [pair.image_id for pair in pairs(images, metadata, skipped)] == ["1"]
    assert skipped.totals == {TOO_LARGE: 2}


def test_ids_with_and_without_leading_zeros_are_different_bins() -> None:
    skipped = LeftOut(3)
    assert list(pairs([Listed("00001", 1, "00001")], [Listed("1", 1, "1")], skipped)) == []
    assert skipped.totals == {NO_METADATA: 1, NO_IMAGE: 1}
