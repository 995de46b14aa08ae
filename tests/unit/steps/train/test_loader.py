import dataclasses
import functools
import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from steps.contracts.dataset import Shard, read_index
from steps.contracts.errors import StepError
from steps.photos.jpeg import network_input
from steps.train.assignment import Share, training_plan, validation_plan
from steps.train.loader import Batch, Loader
from steps.train.reading import Reading

from .photos import CLASSES, Photo, photo, photos, store_split


def shards_of(base) -> list[Shard]:
    return read_index(base / "input" / "data" / "index").splits["train"].shards


def reading(shards: list[Shard], *, rank: int = 0, world: int = 1, workers: int = 1, buffer: int = 16) -> Reading:
    plan = functools.partial(training_plan, [s.samples for s in shards], Share(rank, world, workers, 8), 1)
    return Reading(shards, CLASSES, 32, plan, shuffle_seed=1, buffer=buffer)


def load(what: Reading, *, epoch: int = 0, first_step: int = 0) -> list[tuple[bytes, int]]:
    """Pixels and target of each photo, in the order in which PyTorch takes batches from the loader processes.

    Here they take turns in this process: obstore would not survive the fork, since this process reads from S3 too.
    """
    processes = [_process(what, epoch, first_step, number) for number in range(len(what.plan(epoch).workers))]
    batches = [batch for turn in itertools.zip_longest(*processes) for batch in turn if batch is not None]
    return [
        (p.numpy().tobytes(), int(t)) for images, targets, _ in batches for p, t in zip(images, targets, strict=True)
    ]


def _process(what: Reading, epoch: int, first_step: int, number: int) -> Iterator[Batch]:
    places = []

    def place(size: int):
        places.append((np.empty((size, 3, 32, 32), np.uint8), np.empty(size, np.int64), np.empty(size, np.int64)))
        return places[-1]

    for _ in what.batches(epoch, first_step, number, place):
        yield Batch(*map(torch.from_numpy, places[-1]))


def wanted(samples: list[Photo]) -> list[tuple[bytes, int]]:
    return [(network_input(sample.jpeg, 32).tobytes(), CLASSES.index(sample.quantity)) for sample in samples]


def test_an_epoch_brings_every_photo_with_its_quantity_in_another_order(base):
    found = load(reading(shards_of(base)))
    assert sorted(found) == sorted(wanted(photos(60)))
    assert found != wanted(photos(60))


def test_loader_processes_bring_what_one_process_would(base):
    what = reading(shards_of(base), workers=2)
    assert len(what.plan(0).workers) == 2
    assert sorted(load(what)) == sorted(wanted(photos(60)))


def test_the_ranks_share_the_photos(base):
    parts = [load(reading(shards_of(base), rank=rank, world=2)) for rank in range(2)]
    assert len(parts[0]) == len(parts[1]) == 30
    assert sorted(parts[0] + parts[1]) == sorted(wanted(photos(60)))


def test_batches_are_uint8_and_their_targets_are_class_indices(base):
    with Loader(reading(shards_of(base)), workers=0, pin_memory=False) as loader:
        images, targets, _ = next(loader.batches())
    assert (images.dtype, images.shape[1:], targets.dtype) == (torch.uint8, (3, 32, 32), torch.int64)


def test_an_epoch_has_its_order_and_the_next_another(base):
    what = reading(shards_of(base))
    assert load(what) == load(what)
    assert load(what) != load(what, epoch=1)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("first_step", [1, 4, 7])
def test_an_epoch_entered_at_a_step_goes_on_as_it_would_have(base, workers, first_step):
    what = reading(shards_of(base), workers=workers)
    whole = load(what)
    rest = load(what, first_step=first_step)
    assert 0 < len(rest) < len(whole)
    assert rest == whole[-len(rest) :]


def test_a_shard_that_was_used_up_is_not_read_again(s3, bucket, base):
    shards = shards_of(base)
    what = reading(shards, buffer=1)
    first = what.plan(0).workers[0].pieces[0]
    s3.delete_object(Bucket=bucket, Key=shards[first.shard].uri.split("/", 3)[3])
    assert first.samples == 10
    assert len(load(what, first_step=2)) == 60 - 15


def test_validation_comes_in_the_order_of_its_shards(base):
    shards = read_index(base / "input" / "data" / "index").splits["validation"].shards
    plan = validation_plan([shard.samples for shard in shards], Share(0, 1, 1, 8))
    assert load(Reading(shards, CLASSES, 32, lambda _: plan)) == wanted(photos(21, 10_000))


def test_excluded_photos_are_in_no_batch_wherever_an_epoch_is_entered(base):
    whole = read_index(base / "input" / "data" / "index").splits["validation"].shards
    everything = photos(21, 10_000)
    gone = {everything[0].image_id, everything[5].image_id, everything[20].image_id}
    shards, start = [], 0
    for shard in whole:
        held = everything[start : start + shard.samples]
        start += shard.samples
        excluded = [photo.image_id for photo in held if photo.image_id in gone]
        shards.append(shard.model_copy(update={"samples": shard.samples - len(excluded), "excluded": excluded}))
    left = [photo for photo in everything if photo.image_id not in gone]
    plan = validation_plan([shard.samples for shard in shards], Share(0, 1, 1, 6))
    what = Reading(shards, CLASSES, 32, lambda _: plan)
    assert load(what) == wanted(left)
    for step in range(1, plan.steps):
        assert load(what, first_step=step) == wanted(left[step * 6 :])


def test_a_damaged_shard_is_named(s3, bucket, base):
    shard = shards_of(base)[1]
    key = shard.uri.split("/", 3)[3]
    content = bytearray(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    content[700] ^= 0xFF
    s3.put_object(Bucket=bucket, Key=key, Body=bytes(content))
    loader = Loader(reading(shards_of(base)), workers=0, pin_memory=False)
    with pytest.raises(StepError, match=shard.uri) as caught:
        list(loader.batches())
    assert "\n" not in str(caught.value)


def test_a_shard_with_fewer_photos_than_the_index_counts_is_named(base):
    shards = shards_of(base)
    shards[0] = shards[0].model_copy(update={"samples": shards[0].samples + 1})
    with pytest.raises(StepError, match=shards[0].uri):
        load(reading(shards))


def test_a_quantity_that_the_index_does_not_count_is_refused_with_the_photo(s3, bucket):
    odd = dataclasses.replace(photo("odd", 2), quantity=9)
    shards = store_split(s3, bucket, "train", [photo("a", 1), odd], 1).shards
    with pytest.raises(StepError, match=r"photo odd has quantity 9"):
        load(reading(shards))


def test_a_photo_that_cannot_be_decoded_is_refused_with_its_shard(s3, bucket):
    broken = dataclasses.replace(photo("broken", 1), jpeg=b"\xff\xd8\xff not a photo")
    shards = store_split(s3, bucket, "train", [photo("a", 1), broken], 1).shards
    with pytest.raises(StepError, match=rf"{shards[0].uri}: photo broken"):
        load(reading(shards))
