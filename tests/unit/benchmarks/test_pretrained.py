"""The figures of the benchmark, and its network."""

import numpy as np
import pytest

from benchmarks.contenders.lite0 import NAME, Lite0, register
from benchmarks.pretrained import rmse_bounds
from benchmarks.results import Result
from steps.model.network import build_network, import_torchvision


def result(errors: list[int]) -> Result:
    quantities = np.full(len(errors), 2)
    return Result(
        np.eye(5, dtype=np.float32)[quantities + np.array(errors)], quantities, np.arange(len(errors)), [0, 1, 2, 3, 4]
    )


def test_the_bounds_of_the_rmse_are_those_of_its_differences_on_the_same_photos():
    better, worse = result([0, 1, 0, -1] * 50), result([2, 1, -2, 1] * 50)
    low, high = rmse_bounds([better], [worse], draws=200)
    assert -1.1 < low < better.rmse_expected - worse.rmse_expected < high < -0.6
    assert rmse_bounds([better, worse], [worse, better], draws=200) == pytest.approx((0, 0))


def test_the_network_is_a_classifier_of_the_training_step_with_the_names_of_the_package(monkeypatch):
    import_torchvision()
    from torchvision.models import _api

    # Undone after the test, with what `register` sets in its place.
    monkeypatch.setitem(_api.BUILTIN_MODELS, NAME, None)
    register()
    network = build_network(NAME, 6, 64, 1).network
    assert isinstance(network, Lite0)
    names = list(network.state_dict())
    assert len(names) == 296
    assert names[-1] == "_fc.bias"
    assert tuple(network.state_dict()["_blocks.15._project_conv.weight"].shape) == (320, 1152, 1, 1)
