"""Which image a step runs in, what it is built on, and its tag: the hash of what the step is made of.

One tag a step, so that a change to the report does not shard the data anew. The tag depends on the base image's name,
on file contents and on paths below the project's folder alone, never on where that folder is.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline import deep_learning_containers, instances

if TYPE_CHECKING:
    from pipeline.settings import Settings

Image = Literal["processing", "training", "inference"]

# The project's folder: what is hashed, and what the images are built from.
ROOT = Path(__file__).resolve().parent.parent

STEPS: dict[str, Image] = {
    "query": "processing",
    "shard": "processing",
    "train": "training",
    "evaluate": "training",
    "serve": "inference",
    "monitor": "processing",
}
# What editors and interpreters leave beside the source; it must not name an image that nobody has built.
_STRAY = re.compile(r"\..*|__pycache__|.*(~|\.pyc|\.swp|\.orig|\.rej)")


@dataclass(frozen=True)
class StepImage:
    """The image that runs a step: built from `containers/IMAGE` on `base`, kept in ECR under the tag.

    `repository` is the registry's host and the repository's name.
    """

    step: str
    image: Image
    base: str
    repository: str
    tag: str

    @property
    def uri(self) -> str:
        """What a job names it by."""
        return f"{self.repository}:{self.tag}"

    @property
    def repository_name(self) -> str:
        """The repository as ECR's API calls it."""
        return self.repository.split("/", 1)[1]


def step_image(step: str, settings: Settings, root: Path = ROOT) -> StepImage:
    """The image of `step` as the source tree stands."""
    image = STEPS[step]
    return StepImage(step, image, base(step, settings), settings.repository(image), tag(step, settings, root))


def step_images(settings: Settings, root: Path = ROOT) -> list[StepImage]:
    """The images of all steps."""
    return [step_image(step, settings, root) for step in STEPS]


def source_files(step: str, root: Path = ROOT) -> list[Path]:
    """What the image of `step` is made of, as sorted paths relative to `root`."""
    folders = ["steps/common", f"steps/{step}", f"containers/{STEPS[step]}"]
    files = [Path("steps/__init__.py")]
    for folder in folders:
        files += [path.relative_to(root) for path in (root / folder).rglob("*") if path.is_file()]
    return sorted(path for path in files if not any(_STRAY.fullmatch(part) for part in path.parts))


def base(step: str, settings: Settings) -> str:
    """What the image of `step` is built on: as set, else AWS's own for the launcher and the step's instance type."""
    chosen = settings.images
    if STEPS[step] != "training":
        return chosen.python_base
    given, instance_type = chosen.training_base, settings.training.instance_type
    if step == "evaluate":
        # A processing job, mostly on CPUs: it need not load CUDA to compare what is served with PyTorch.
        given, instance_type = chosen.evaluation_base or given, settings.evaluation.instance_type
    device: deep_learning_containers.Device = "gpu" if instances.accelerated(instance_type) else "cpu"
    return given or deep_learning_containers.pytorch_training(
        settings.account.region, settings.training.launcher, device
    )


def tag(step: str, settings: Settings, root: Path = ROOT) -> str:
    """`STEP-HASH`: the tag of the image that runs `step`, on its base, as it stands in the source tree."""
    digest = hashlib.sha256(f"{base(step, settings)}\0".encode())
    for path in source_files(step, root):
        content = (root / path).read_bytes()
        digest.update(f"{path.as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return f"{step}-{digest.hexdigest()[:16]}"
