"""The first epochs on photos of half the side."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from steps.train.augmentation import halved
from steps.train.checkpoint import Progress
from steps.train.collectives import process_group
from steps.train.diagnostics import GpuWatch
from steps.train.interruption import Interruption
from steps.train.loader import Batch
from steps.train.loop import Training, rehearse, train_epoch
from steps.train.objective import Objective
from steps.train.optimizer import build_optimizer
from steps.train.precision import Precision
from steps.train.profiling import step_profiler
from steps.train.world import BackendChoice, World
from tests.unit.steps.arguments import recipe


@pytest.mark.parametrize(
    ("share", "epochs", "half"),
    [(0, 9, 0), (0.5, 8, 4), (0.6, 14, 8), (0.99, 30, 29), (0.9, 1, 0), (0.9999999999, 1, 0), (0.29, 100, 29)],
)
def test_the_last_epoch_has_photos_of_the_whole_side(share: float, epochs: int, half: int) -> None:
    assert recipe("--progressive-resizing", str(share), "--epochs", str(epochs)).half_size_epochs == half


def test_a_pixel_is_the_mean_of_four() -> None:
    photos = torch.rand(2, 3, 6, 6)
    expected = (photos[..., ::2, ::2] + photos[..., 1::2, ::2] + photos[..., ::2, 1::2] + photos[..., 1::2, 1::2]) / 4
    assert torch.allclose(halved(photos), expected)
    assert halved(torch.rand(1, 3, 7, 7)).shape == (1, 3, 3, 3)


class Seen(nn.Module):
    """A network that remembers the sides and the numbers of the photos that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(3, 2), nn.BatchNorm1d(3)
        self.sides: list[int] = []
        self.sizes: list[int] = []

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        """Logits (N, 2)."""
        self.sides.append(photos.shape[-1])
        self.sizes.append(len(photos))
        return self.layer(self.norm(photos.mean(dim=(2, 3)) / 255))


@contextmanager
def training_of(network: Seen, *flags: str, autocast_to: torch.dtype | None = None) -> Iterator[Training]:
    size = ("--epochs", "3", "--batch-size", "4", "--image-size", "16")
    chosen = recipe("--progressive-resizing", "0.7", *size, *flags)
    device = torch.device("cpu")
    precision = Precision(device, autocast_to)
    with process_group(World(), BackendChoice("gloo", "test"), device) as group:
        yield Training(
            recipe=chosen,
            group=group,
            network=DistributedDataParallel(network),
            optimizer=build_optimizer(network, chosen),
            scaler=precision.gradient_scaler(),
            objective=Objective([1.0, 1.0], [0, 1], 0.0),
            precision=precision,
            interruption=Interruption(),
            steps=2,
            checkpointed=time.monotonic(),
            average=None,
            profiler=step_profiler(0, device, is_leader=True),
            gpu=GpuWatch(device),
        )


def test_the_network_is_given_the_halved_photos_in_the_first_epochs_alone() -> None:
    batch = Batch(torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8), torch.tensor([0, 1, 0, 1]), torch.zeros(4))
    network = Seen()
    with training_of(network) as training:
        progress = Progress()
        for _ in range(3):
            train_epoch(training, iter([batch, batch]), progress, lambda _: None)
            progress.next_epoch()
    assert network.sides == [8, 8, 8, 8, 16, 16]


@pytest.mark.parametrize("asked", [True, False])
def test_photos_are_moved_where_asked_and_without_autocast(asked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bool, bool]] = []

    def augment(photos: torch.Tensor, *, random_affine: bool) -> torch.Tensor:
        seen.append((random_affine, torch.is_autocast_enabled("cpu")))
        return photos.float()

    monkeypatch.setattr("steps.train.loop.augment", augment)
    batch = Batch(torch.zeros(4, 3, 16, 16, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]), torch.zeros(4))
    with training_of(Seen(), "--random-affine", str(asked).lower(), autocast_to=torch.bfloat16) as training:
        train_epoch(training, iter([batch, batch]), Progress(), lambda _: None)
    assert seen == [(asked, False)] * 2


def test_a_rehearsal_takes_a_batch_of_whole_photos_and_changes_nothing() -> None:
    network = Seen()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with training_of(network) as training:
        rehearse(training, 3)
    assert (network.sides, network.sizes) == ([16], [3])
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_after_the_rehearsal_the_order_of_the_gradients_sums_changes_no_more() -> None:
    """Kind: a resumed training of more than two ranks that rounds its first step differently."""
    with training_of(Seen()) as training:
        rehearse(training, 3)
        # What the next forward pass does: whether there was an order to rebuild the buckets by.
        assert training.network.reducer._rebuild_buckets()


@pytest.mark.parametrize("asked", [True, False])
def test_a_compiled_network_has_code_for_each_side(asked: bool) -> None:
    """Kind: code for any side, which torch.compile makes once it has seen two."""
    graphs: list[list[object]] = []

    def record(graph: torch.fx.GraphModule, _: object) -> object:
        [photos] = [node for node in graph.graph.nodes if node.name == "l_photos_"]
        graphs.append([size if isinstance(size, int) else "any" for size in photos.meta["example_value"].shape])
        return graph.forward

    def batch(size: int) -> Batch:
        pixels = torch.randint(0, 256, (size, 3, 16, 16), dtype=torch.uint8)
        return Batch(pixels, torch.zeros(size, dtype=torch.long), torch.zeros(size))

    class Network(Seen):
        def forward(self, photos: torch.Tensor) -> torch.Tensor:
            return self.layer(self.norm(photos.mean(dim=(2, 3)) / 255))

    torch._dynamo.reset()
    compiled = torch.compile(Network(), backend=record)
    with training_of(compiled, "--compile", str(asked).lower()) as training:  # type: ignore[arg-type]
        rehearse(training, 4)
        progress = Progress()
        for _ in range(3):
            train_epoch(training, iter([batch(4), batch(3)]), progress, lambda _: None)
            progress.next_epoch()
    sides = [graph[2:] for graph in graphs]
    assert (["any", "any"] in sides) is not asked
    if asked:
        # At each side for four photos, then for any number.
        assert sorted(sides) == [[8, 8], [8, 8], [16, 16], [16, 16]]
        assert [graph[0] for graph in graphs] == [4, 4, "any", "any"]
