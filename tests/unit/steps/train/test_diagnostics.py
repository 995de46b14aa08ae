import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steps.train.diagnostics import (
    GpuUse,
    GpuWatch,
    GradientNorms,
    NormSum,
    gradient_norm,
    gradient_warning,
    guessing_loss,
    loss_warning,
)
from steps.train.objective import Objective, class_weights

CPU = torch.device("cpu")


# ------------------------------------------------------------------------------------------------ the loss


def test_guessing_among_balanced_classes_costs_the_logarithm_of_their_number():
    counts = {0: 10, 1: 200, 2: 40}
    weights = class_weights(counts, [0, 1, 2], "balanced")
    assert guessing_loss(list(counts.values()), weights) == pytest.approx(math.log(3))


@given(
    counts=st.lists(st.integers(1, 50), min_size=2, max_size=5),
    weighting=st.sampled_from(["balanced", "sqrt", "none"]),
    smoothing=st.floats(0, 0.5),
    guess=st.lists(st.floats(-3, 3), min_size=5, max_size=5),
)
def test_no_constant_answer_has_a_lower_loss_than_guessing(counts, weighting, smoothing, guess):
    classes = list(range(len(counts)))
    weights = class_weights(dict(enumerate(counts)), classes, weighting)
    targets = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    logits = torch.tensor(guess[: len(counts)]).expand(len(targets), -1)
    loss = float(Objective(weights, classes, smoothing)(logits, targets))
    assert loss >= guessing_loss(counts, weights, smoothing) - 1e-4


def test_a_falling_loss_is_no_news():
    losses = [1.80, 1.70, 1.60, 1.61]
    assert [loss_warning(losses[:epochs], math.log(6)) for epochs in range(5)] == [None] * 5


def test_a_loss_that_stays_at_guessing_is_told_once_with_what_to_try():
    losses = [1.83, 1.795, 1.790, 1.792]
    said = [loss_warning(losses[:epochs], math.log(6)) for epochs in range(1, 5)]
    assert said[0] is None
    assert said[1] is not None
    assert "epoch 2, 1.7950, is that of guessing (1.7918)" in said[1]
    assert "learning rate" in said[1]
    assert said[2:] == [None, None]


def test_a_loss_that_rises_after_it_fell_is_told_when_it_does():
    assert loss_warning([1.5, 1.2], 5.0) is None
    text = loss_warning([1.5, 1.2, 1.9], 5.0)
    assert text is not None
    assert "rose from 1.5000 in epoch 1 to 1.9000 in epoch 3" in text
    assert loss_warning([1.5, 1.2, 1.9, 2.5], 5.0) is None
    assert loss_warning([1.5, 1.2, 1.9, 1.2, 1.9], 5.0) is not None


def test_a_loss_that_does_not_move_is_told_also_where_guessing_is_not_known():
    text = loss_warning([1.5, 1.499])
    assert text is not None
    assert "has not fallen since epoch 1 (1.5000, now 1.4990)" in text


# ------------------------------------------------------------------------------------------------ gradients


def network() -> torch.nn.Module:
    torch.manual_seed(1)
    layers = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.ReLU(), torch.nn.Linear(7, 3), torch.nn.Linear(3, 2))
    layers[3].requires_grad_(False)
    layers(torch.randn(4, 5)).square().sum().backward()
    return layers


def test_the_gradient_norm_is_the_one_that_clipping_computes():
    layers = network()
    ours = gradient_norm(layers.parameters())
    assert float(ours) == pytest.approx(float(torch.nn.utils.clip_grad_norm_(layers.parameters(), 1e9)))


def test_without_gradients_the_norm_is_nothing():
    assert float(gradient_norm(torch.nn.Linear(2, 2).parameters())) == 0


def test_norms_of_an_epoch_have_a_mean_and_a_maximum_over_an_interruption_too():
    first = GradientNorms(CPU)
    for value in (1.0, 5.0):
        first.add(torch.tensor(value))
    second = GradientNorms(CPU, first.read())
    second.add(torch.tensor(3.0))
    norms = second.read()
    assert (norms.mean, norms.largest, norms.steps) == (3.0, 5.0, 3)


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_norm_that_is_not_finite_is_counted_apart_from_the_others(value):
    norms = GradientNorms(CPU)
    for norm in (2.0, value, 4.0):
        norms.add(torch.tensor(norm))
    assert norms.read() == NormSum(total=6.0, maximum=4.0, steps=2, overflows=1)
    assert norms.read().mean == 3.0


@pytest.mark.parametrize(
    ("norms", "loss", "earlier", "said"),
    [
        (NormSum(20.0, 5.0, 10), 1.5, [], None),
        (NormSum(20.0, 5.0, 10), 1.5, [None, 0.5], None),
        (NormSum(20.0, 5.0, 10), 1.5, [3.0, 0.1], "is 20 times that of an earlier epoch"),
        (NormSum(700.0, 110.0, 10), 1.5, [], None),
        (NormSum(2000.0, 1500.0, 10), 1.5, [], "went up to 1500 (mean 200): it explodes"),
        (NormSum(0.001, 0.0005, 10), 1.5, [], "is 0.0001 at a loss of 1.5000: it vanishes"),
        (NormSum(0.001, 0.0005, 10), 0.01, [], None),
        (NormSum(0.0, 0.0, 0), 1.5, [], None),
        # fp16 looking for the scale of the loss, and failing to find one.
        (NormSum(0.0, 0.0, 0, 10), 1.5, [], None),
        (NormSum(2000.0, 5.0, 1000, 20), 1.5, [], None),
        (NormSum(20.0, 5.0, 10, 30), 1.5, [], "was not finite in 30 of 40 steps"),
    ],
)
def test_gradients_that_explode_or_vanish_are_told(norms, loss, earlier, said):
    text = gradient_warning(norms, loss, earlier)
    assert (text is None) if said is None else (said in (text or ""))


# ------------------------------------------------------------------------------------------------ the GPU


def test_without_a_gpu_nothing_is_known_of_it():
    watch = GpuWatch(CPU)
    watch.sample()
    assert watch.epoch() == GpuUse(None, None)


def test_a_gpu_whose_driver_does_not_tell_is_said_once_and_its_memory_is_known_all_the_same(monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 1234)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)

    def refuse(device):
        raise ModuleNotFoundError("nvidia-ml-py does not seem to be installed")

    monkeypatch.setattr(torch.cuda, "utilization", refuse)
    watch = GpuWatch(torch.device("cuda", 0))
    watch.sample()
    watch.sample()
    assert watch.epoch() == GpuUse(None, 1234)
    assert caplog.text.count("GPU utilisation is not measured: nvidia-ml-py") == 1


def test_utilisation_is_the_mean_of_the_samples_of_one_epoch(monkeypatch):
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 1)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    answers = iter([100, 50, 10])
    monkeypatch.setattr(torch.cuda, "utilization", lambda device: next(answers))
    watch = GpuWatch(torch.device("cuda", 0))
    watch.sample()
    watch.sample()
    assert watch.epoch().utilisation == 0.75
    watch.sample()
    assert watch.epoch().utilisation == 0.1
    assert watch.epoch().utilisation is None
