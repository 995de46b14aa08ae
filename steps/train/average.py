"""A running average of the weights, for validation and the artifact."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class WeightAverage:
    """The exponential moving average of a network's parameters and of batch normalisation's statistics.

    The decay of update n (from 0) is min(`decay`, (1 + n) / (10 + n)), as in TensorFlow's ExponentialMovingAverage, so
    that the random first weights have little influence.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self._decay = decay
        self._updates = 0
        self._pairs = list(zip(_values(self.network), _values(network), strict=True))

    def update(self) -> None:
        """Add the network's weights after an optimizer step."""
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        self._updates += 1
        averages = [average for average, value in self._pairs if value.is_floating_point()]
        values = [value for _, value in self._pairs if value.is_floating_point()]
        torch._foreach_lerp_(averages, values, 1 - decay)
        for average, value in self._pairs:
            if not value.is_floating_point():
                average.copy_(value)

    def state_dict(self) -> dict[str, object]:
        """The state for a checkpoint."""
        return {"network": self.network.state_dict(), "updates": self._updates}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Restore the state of a `state_dict`."""
        self.network.load_state_dict(state["network"])  # type: ignore[arg-type]
        self._updates = int(state["updates"])  # type: ignore[call-overload]


def _values(network: nn.Module) -> list[Tensor]:
    return [value.detach() for value in (*network.parameters(), *network.buffers())]
