"""A training step against a naive one, and against the matrix products of the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.cases import Bound, Case, say, take_turns
from benchmarks.child import Work, measure
from benchmarks.contenders import stepping
from benchmarks.options import Options

UNIT = "photos/s"


def cases(options: Options) -> Iterator[Case]:
    """Photos per second: ResNet34 at 224 in batches of 128 on a GPU, ResNet18 at 112 in batches of 16 on a CPU."""
    import torch

    cuda = torch.cuda.is_available()
    arguments: dict[str, object] = (
        {"architecture": "resnet34", "size": 224, "batch_size": 128, "steps": 5 * options.count}
        if cuda
        else {"architecture": "resnet18", "size": 112, "batch_size": 16, "steps": options.count}
    )
    where = torch.cuda.get_device_name() if cuda else "CPU"
    say(f"{arguments['architecture']} at {arguments['size']}, batches of {arguments['batch_size']}, on {where}")

    def rate(contender: Callable[..., Work]) -> Callable[[], float]:
        return lambda: measure(contender, arguments).figures["rate"]

    contenders = {
        "limit": rate(stepping.matrix_rate),
        "baseline": rate(stepping.naive),
        "ours": rate(stepping.ours),
    }
    promise = Bound("ratio", "at least", 2.5 if cuda else 1.0)
    yield Case("train-step", UNIT, **take_turns(contenders, options.rounds, UNIT), bounds=(promise,))
