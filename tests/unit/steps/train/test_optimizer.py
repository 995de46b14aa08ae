import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steps.train.optimizer import build_optimizer, learning_rate
from tests.unit.steps.arguments import recipe

RECIPE = recipe(epochs=10, learning_rate=0.1, warmup_epochs=2)


def test_the_rate_rises_to_the_peak_and_falls_to_nearly_zero():
    rates = [learning_rate(RECIPE, step, 20) for step in range(200)]
    assert max(rates) == rates[40] == pytest.approx(0.1)
    assert rates[:41] == sorted(rates[:41])
    assert rates[40:] == sorted(rates[40:], reverse=True)
    assert rates[-1] < 0.0001


@given(st.integers(1, 5), st.floats(0, 9), st.integers(1, 7))
def test_every_rate_is_positive_and_at_most_the_peak(epochs, warmup, steps):
    recipe = dataclasses.replace(RECIPE, epochs=epochs, warmup_epochs=warmup)
    assert all(0 < learning_rate(recipe, step, steps) <= 0.1 for step in range(epochs * steps))


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_weights_decay_and_biases_do_not(name):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = build_optimizer(network, dataclasses.replace(RECIPE, optimizer=name, weight_decay=0.5))
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert {name: decay[id(p)] for name, p in network.named_parameters()} == {
        "0.weight": 0.5,
        "0.bias": 0.0,
        "1.weight": 0.0,
        "1.bias": 0.0,
    }
