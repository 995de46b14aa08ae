"""steps/contracts/imagenet_files.py, written from the installed torchvision."""

from __future__ import annotations

from pipeline import ROOT
from steps.contracts.imagenet_weights import ORIGIN
from steps.model.network import import_torchvision

FILE = ROOT / "steps/contracts/imagenet_files.py"
# The first that an architecture has; both were trained on ImageNet-1K alone.
KINDS = ("IMAGENET1K_V2", "IMAGENET1K_V1")
HEAD = '''\
"""Files of torchvision's ImageNet weights by architecture. Generated: `python -m tests.imagenet` writes it again."""

from __future__ import annotations

from typing import NamedTuple


class PublishedFile(NamedTuple):
    """A file below https://download.pytorch.org/models, torchvision's name of its weights, and its size in MiB."""

    name: str
    weights: str
    mebibytes: float


# torchvision {version}
FILES = {{
'''


def render() -> str:
    """The module. Raises ValueError for weights that torchvision publishes in another place."""
    models = import_torchvision()
    from torchvision import __version__

    lines = []
    for architecture in models.list_models(module=models):
        weights = models.get_model_weights(architecture)
        kind = next((kind for kind in KINDS if kind in weights.__members__), None)
        if kind is None:
            continue
        folder, _, name = weights[kind].url.rpartition("/")
        if folder != ORIGIN:
            raise ValueError(f"{weights[kind].url} is not below {ORIGIN}")
        # In MiB: as megabytes, ResNet34's 83.275 would be less than its 21,797,672 parameters take.
        size = weights[kind].meta["_file_size"]
        lines.append(f'    "{architecture}": PublishedFile("{name}", "{kind}", {size}),\n')
    return HEAD.format(version=__version__.partition("+")[0]) + "".join(lines) + "}\n"
