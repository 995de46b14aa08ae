from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.contracts.errors import StepError
from steps.train.assignment import (
    RankPlan,
    Share,
    batches_before,
    even_batches,
    generator_of,
    shuffle_buffer,
    training_plan,
    validation_plan,
)

SIZES = st.lists(st.integers(1, 60), min_size=1, max_size=12)
WORLDS = st.integers(1, 9)
WORKERS = st.integers(0, 5)
BATCHES = st.integers(2, 40)


def samples_read(plan: RankPlan) -> list[tuple[int, int]]:
    pieces = [piece for worker in plan.workers for piece in worker.pieces]
    return [(piece.shard, number) for piece in pieces for number in range(piece.start, piece.stop)]


def all_samples(sizes: list[int]) -> set[tuple[int, int]]:
    return {(shard, number) for shard, size in enumerate(sizes) for number in range(size)}


def training_plans(sizes: list[int], world: int, workers: int, batch: int, seed: int = 1, epoch: int = 0):
    if -(-sum(sizes) // world) < 2:
        sizes = [size + world for size in sizes]
    return sizes, [training_plan(sizes, Share(rank, world, workers, batch), seed, epoch) for rank in range(world)]


@given(SIZES, WORLDS, WORKERS, BATCHES)
def test_every_rank_has_the_same_number_of_steps_with_batches_of_the_same_sizes(sizes, world, workers, batch):
    _, plans = training_plans(sizes, world, workers, batch)
    shapes = {tuple(worker.batches for worker in plan.workers) for plan in plans}
    assert len(shapes) == 1
    assert plans[0].steps > 0


@given(SIZES, WORLDS, WORKERS, BATCHES)
def test_training_reads_every_sample_and_fewer_than_the_world_size_twice(sizes, world, workers, batch):
    sizes, plans = training_plans(sizes, world, workers, batch)
    read = Counter(sample for plan in plans for sample in samples_read(plan))
    assert set(read) == all_samples(sizes)
    assert sum(read.values()) - len(read) < world


@given(SIZES, WORLDS, WORKERS, BATCHES)
def test_validation_reads_every_sample_exactly_once(sizes, world, workers, batch):
    plans = [validation_plan(sizes, Share(rank, world, workers, batch)) for rank in range(world)]
    read = [sample for plan in plans for sample in samples_read(plan)]
    assert len(read) == len(set(read))
    assert set(read) == all_samples(sizes)


@given(SIZES, WORLDS, WORKERS, BATCHES)
def test_a_loader_process_reads_as_many_samples_as_its_batches_hold(sizes, world, workers, batch):
    _, plans = training_plans(sizes, world, workers, batch)
    for worker in (worker for plan in plans for worker in plan.workers):
        assert sum(piece.samples for piece in worker.pieces) == sum(worker.batches) > 0


@given(st.integers(2, 2000), BATCHES)
def test_batches_are_full_to_within_one_and_never_of_a_single_photo(samples, batch):
    sizes = even_batches(samples, batch)
    assert sum(sizes) == samples
    assert max(sizes) <= batch
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 2 or batch < 4


def test_epochs_differ_in_the_order_of_shards_and_repeat_for_a_seed():
    orders = [
        [p.shard for w in training_plan([5] * 9, Share(0, 1, 1, 5), 3, e).workers for p in w.pieces] for e in (0, 1)
    ]
    again = [p.shard for w in training_plan([5] * 9, Share(0, 1, 1, 5), 3, 0).workers for p in w.pieces]
    assert orders[0] == again
    assert orders[0] != orders[1]
    assert sorted(orders[1]) == list(range(9))


def test_one_shard_feeds_many_ranks_and_loader_processes():
    plans = [training_plan([64], Share(rank, 4, 2, 4), 1, 0) for rank in range(4)]
    assert [sum(sum(worker.batches) for worker in plan.workers) for plan in plans] == [16] * 4
    assert [len(plan.workers) for plan in plans] == [2] * 4


def test_more_loader_processes_than_batches_are_not_started():
    assert len(training_plan([10], Share(0, 1, 8, 5), 1, 0).workers) == 2


def test_too_few_photos_for_the_processes_are_refused_with_their_number():
    with pytest.raises(StepError, match=r"5 training photos for 8 processes"):
        training_plan([5], Share(0, 8, 1, 4), 1, 0)


def test_a_batch_of_one_is_refused():
    with pytest.raises(StepError, match="batches of 1"):
        training_plan([50], Share(0, 1, 1, 1), 1, 0)


@given(st.integers(0, 50), st.integers(1, 6))
def test_the_batches_before_a_step_are_those_of_all_loader_processes(step, workers):
    assert sum(batches_before(step, worker, workers) for worker in range(workers)) == step


@given(st.integers(0, 200), st.integers(1, 50), st.integers(0, 9))
def test_a_shuffle_buffer_gives_every_item_once_and_draws_alike_for_other_items(count, size, seed):
    numbers = list(shuffle_buffer(range(count), size, generator_of(seed)))
    assert sorted(numbers) == list(range(count))
    letters = list(shuffle_buffer([f"item {n}" for n in range(count)], size, generator_of(seed)))
    assert letters == [f"item {n}" for n in numbers]


def test_a_shuffle_buffer_gives_items_in_another_order():
    numbers = list(shuffle_buffer(range(100), 20, generator_of(1)))
    assert numbers != list(range(100))


@pytest.mark.parametrize(("photos", "ranks", "batch", "largest"), [(1400, 4, 512, 350), (90, 1, 64, 45), (61, 1, 8, 8)])
def test_the_largest_batch_is_that_of_a_plan_not_the_permitted_one(photos, ranks, batch, largest):
    plan = training_plan([photos], Share(0, ranks, 2, batch), 1, 0)
    assert plan.largest_batch == largest == max(size for worker in plan.workers for size in worker.batches)
