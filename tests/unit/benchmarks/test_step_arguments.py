"""Arguments of a step for benchmarks: a missing one would be noticed by a long run only."""

from __future__ import annotations

from benchmarks import step_arguments
from steps.evaluate.settings import Settings as Evaluate
from steps.runtime.arguments import parse
from steps.shard.settings import Settings as Shard
from steps.train.recipe import read_recipe


def test_every_argument_that_a_step_requires_has_a_value() -> None:
    assert parse(Evaluate, step_arguments.flags_of({**step_arguments.EVALUATE, "batch-size": 64})).batch_size == 64
    assert read_recipe(step_arguments.flags_of(step_arguments.TRAIN)).architecture == "resnet18"
    flags = step_arguments.flags_of({**step_arguments.SHARD, "image-location": "s3://bucket/raw"})
    assert parse(Shard, flags).split == "grouped"
