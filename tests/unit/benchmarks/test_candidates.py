"""The changes of the recipe that the benchmark `recipes` tries, each by what it must not do."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from benchmarks import recipes
from benchmarks.child import ContenderError, Measured
from benchmarks.contenders import candidates, lite0
from benchmarks.contenders.candidates import Candidate
from benchmarks.options import Options
from benchmarks.trainings import Plan


def test_probabilities_of_the_conditional_loss_are_those_of_its_answers():
    logits = torch.tensor([[2.0, -1.0, 0.0]])
    first, second, third = logits.sigmoid()[0].tolist()
    expected = [1 - first, first * (1 - second), first * second * (1 - third), first * second * third]
    assert candidates._corn_probabilities(logits)[0].tolist() == pytest.approx(expected)


def test_the_conditional_loss_asks_only_photos_that_hold_at_least_that_many():
    loss = candidates._corn([1.0, 1.0, 1.0, 1.0])
    logits = torch.zeros(2, 3, requires_grad=True)
    loss(logits, torch.tensor([0, 3])).backward()
    asked = (logits.grad != 0).int().tolist()
    assert asked == [[1, 0, 0], [1, 1, 1]]
    assert (logits.grad[0, 0] > 0, logits.grad[1, 0] < 0) == (True, True)


def test_mixed_photos_are_of_both_counts_in_the_share_of_each(monkeypatch):
    monkeypatch.setattr(torch.distributions.Beta, "sample", lambda _: torch.tensor(0.8))
    monkeypatch.setattr(torch, "randperm", lambda count: torch.arange(count).flip(0))
    seen = []

    def network(photos):
        seen.append(photos)
        return torch.zeros(2, 2)

    def loss(_, labels):
        return torch.tensor([1.0, 10.0])[labels[0]]

    images = torch.stack([torch.full((3, 2, 2), 100), torch.full((3, 2, 2), 200)]).float()
    change = Candidate("mixed", ((2, 1),), mixup=0.2)
    total = candidates._loss(change, network, loss, images, torch.tensor([0, 1]), bf16=False)
    assert seen[0][:, 0, 0, 0].tolist() == pytest.approx([120, 180])
    assert float(total) == pytest.approx(0.8 * 1 + 0.2 * 10)


def test_all_photos_of_a_bin_are_held_out_or_none():
    bins = np.random.default_rng(1).integers(0, 2000, 6000)
    held_out = recipes.held_out_photos(bins)
    assert 0.2 < held_out.mean() < 0.3
    assert not set(bins[held_out]) & set(bins[~held_out])


def test_a_change_of_another_name_is_refused(tmp_path):
    options = Options(folder=tmp_path, rounds=1, count=1, baseline_count=1, only=frozenset({"larger"}))
    with pytest.raises(ContenderError, match="--only larger: not a change; use some of recipe, size-112"):
        next(recipes.cases(options))


def test_a_hyperparameter_that_the_loop_does_not_read_is_refused(tmp_path):
    change = Candidate("clipped", ((32, 1),), flags={"clip-norm": "1"})
    with pytest.raises(ContenderError, match="clipped: this loop does not read clip-norm"):
        candidates.train(asdict(change), str(tmp_path / "absent"), "", seed=1, bf16=False, weights="")


def test_a_network_begins_with_the_weights_of_the_file_but_for_the_last_layer(tmp_path):
    torch.manual_seed(1)
    published, network = lite0.Lite0(10), lite0.Lite0(3)
    last = network._fc.weight.clone()
    torch.save(published.state_dict(), tmp_path / "file.pth")
    lite0.begin(network, tmp_path / "file.pth")
    assert torch.equal(network._conv_stem.weight, published._conv_stem.weight)
    assert torch.equal(network._fc.weight, last)
    torch.save({"_conv_stem.weight": published._conv_stem.weight}, tmp_path / "other.pth")
    with pytest.raises(ContenderError, match=r"other\.pth: not the weights of EfficientNet-Lite0"):
        lite0.begin(network, tmp_path / "other.pth")


def test_a_change_from_imagenet_weights_is_given_their_file_and_trained_in_fp32(tmp_path, monkeypatch):
    given = {}

    def measure(contender, arguments, environment):
        given.update(arguments)
        np.savez(arguments["output"])
        return Measured(seconds=1, cpu_seconds=60, peak_bytes=0)

    monkeypatch.setattr(recipes, "measure", measure)
    (change,) = (change for change in recipes.CHANGES if change.name == "imagenet-112")
    options = Options(folder=tmp_path, rounds=1, count=1, baseline_count=1)
    plan = replace(Plan.for_this_machine(options), bf16=True, weights="weights.pth")
    with np.load(recipes._train(change, tmp_path / "photos.npz", 1, plan, options)) as arrays:
        assert arrays["minutes"] == 1
    assert (given["weights"], given["bf16"], given["candidate"]["imagenet"]) == ("weights.pth", False, True)


def test_changes_of_the_same_name_differ_by_their_members_and_hyperparameters():
    first, second = Candidate("a", ((32, 1),)), Candidate("a", ((32, 1),), flags={"weight-decay": "0.1"})
    assert recipes._members(first) == recipes._members(Candidate("a", ((32, 1),)))
    assert recipes._members(first) != recipes._members(second)
    assert recipes._members(first)["flags"]["weight-decay"] == "0.05"


@pytest.mark.parametrize(
    "change",
    [
        Candidate("plain", ((32, 1), (40, 1))),
        Candidate("corn", ((32, 1),), corn=True),
        Candidate("all", ((32, 1),), mixup=0.2, upside_down=True, made_up=8, flags={"random-affine": "true"}),
    ],
    ids=lambda change: change.name,
)
def test_a_change_is_evaluated_on_the_photos_that_are_held_out(change, tmp_path, monkeypatch):
    monkeypatch.setenv("SM_NUM_CPUS", "1")
    monkeypatch.setattr(candidates, "ANSWERS", 2)
    generator = np.random.default_rng(1)
    quantities = np.arange(24) % 3
    held_out = np.arange(24) % 4 == 0
    pixels = generator.integers(0, 256, (24, 48, 48, 3), np.uint8)
    np.savez(tmp_path / "photos.npz", pixels=pixels, quantities=quantities, held_out=held_out)
    flags = {**change.flags, "batch-size": "8", "ema-decay": "0.5"}
    small = replace(change, architecture="shufflenet_v2_x0_5", flags=flags)
    place = tmp_path / "result.npz"
    learned = []
    batches = candidates._batches

    def seen(recipe, stages, pixels, targets, places):
        learned.append(places)
        return batches(recipe, stages, pixels, targets, places)

    monkeypatch.setattr(candidates, "_batches", seen)
    candidates.train(asdict(small), str(tmp_path / "photos.npz"), str(place), seed=1, bf16=False, weights="")()
    assert set(learned[-1].tolist()) == set(np.flatnonzero(~held_out).tolist())
    with np.load(place) as arrays:
        assert arrays["classes"].tolist() == [0, 1, 2]
        for name in ("probabilities", "mirrored"):
            assert arrays[name].shape == (6, 3)
            assert arrays[name].sum(axis=1) == pytest.approx(np.ones(6), abs=1e-5)
        assert (arrays["probabilities"] != arrays["mirrored"]).any()
        assert arrays["milliseconds"] > 0
