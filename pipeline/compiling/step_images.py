"""The image of each step: its base, its source, and its tag, a hash of the folders that the step imports.

One tag per step, so that a change to the reports neither shards the data nor trains again. The tag depends on the base
image's name, on file contents and on paths relative to the project's folder, never on the place of that folder.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline import ROOT
from pipeline.aws import deep_learning_containers, instances
from steps.contracts.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.settings import Settings

Image = Literal["processing", "spark", "training", "inference"]

# In the order of the run. PlanShards and ExploreData may have Spark's image instead (`image_of`).
STEPS: dict[str, Image] = {
    "query": "processing",
    "explore": "processing",
    "plan": "processing",
    "shard": "processing",
    "train": "training",
    "evaluate": "training",
    "serve": "inference",
    "monitor": "processing",
}
# Files of editors and interpreters among the source; they must not change the tag.
_STRAY = re.compile(r"\..*|__pycache__|.*(~|\.pyc|\.swp|\.orig|\.rej)")


@dataclass(frozen=True)
class StepImage:
    """The image that runs a step: built from `containers/IMAGE` on `base`, stored in ECR under the tag.

    `repository` is the registry's host and the repository's name.
    """

    step: str
    image: Image
    base: str
    repository: str
    tag: str

    @property
    def uri(self) -> str:
        """The image's URI in a job's request."""
        return f"{self.repository}:{self.tag}"

    @property
    def repository_name(self) -> str:
        """The repository as ECR's API calls it."""
        return self.repository.split("/", 1)[1]


def step_image(step: str, settings: Settings, root: Path = ROOT) -> StepImage:
    """The image of `step` for the present source tree."""
    image = image_of(step, settings)
    return StepImage(step, image, base(step, settings), settings.repository(image), tag(step, settings, root))


def step_images(settings: Settings, root: Path = ROOT) -> list[StepImage]:
    """The images of all steps that runs with these settings have."""
    return [step_image(step, settings, root) for step in used_steps(settings)]


def used_steps(settings: Settings) -> list[str]:
    """The steps whose image runs with these settings need, with the monitor's."""
    unused = {
        *([] if settings.shard.plan_image else ["plan"]),
        *([] if settings.explore.image else ["explore"]),
    }
    return [step for step in STEPS if step not in unused]


def image_of(step: str, settings: Settings) -> Image:
    """The image of `step`: Spark's for a job that starts Spark, or may."""
    chosen = {"plan": settings.shard.plan_image, "explore": settings.explore.image}.get(step)
    return chosen or STEPS[step]


def source_files(step: str, root: Path = ROOT, image: Image | None = None) -> list[Path]:
    """The content of the image of `step` as sorted paths relative to `root`: the folders of `steps` that the step
    imports, and the folder of its container; `image` is STEPS's where none is given.

    Raises PipelineError for a file that is not Python.
    """
    folders = [*(f"steps/{name}" for name in step_folders(step, root)), f"containers/{image or STEPS[step]}"]
    files = [Path("steps/__init__.py")]
    for folder in folders:
        files += _files(root, folder)
    return sorted(files)


def step_folders(step: str, root: Path = ROOT) -> list[str]:
    """The folders below `steps` that `step` imports, itself included, directly or through another folder.

    Taken from the syntax trees, so that an import inside a function counts too, and nothing is executed.
    """
    folders, waiting = set(), [step]
    while waiting:
        folder = waiting.pop()
        if folder not in folders:
            folders.add(folder)
            for path in _files(root, f"steps/{folder}"):
                if path.suffix == ".py":
                    imports = _imported_folders((root / path).read_bytes(), path)
                    waiting += [name for name in imports if (root / "steps" / name).is_dir()]
    return sorted(folders)


def _files(root: Path, folder: str) -> list[Path]:
    paths = [path.relative_to(root) for path in (root / folder).rglob("*") if path.is_file()]
    return [path for path in paths if not any(_STRAY.fullmatch(part) for part in path.parts)]


@lru_cache(maxsize=1024)
def _imported_folders(content: bytes, path: Path) -> frozenset[str]:
    """Names of the folders of `steps` that a file imports from; `path` is the file's, relative to the root."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError) as error:
        raise PipelineError(f"{path}: not Python, so the content of its image is unknown: {error}") from error
    modules = [name.split(".") for node in ast.walk(tree) for name in _modules(node, path)]
    return frozenset(parts[1] for parts in modules if parts[0] == "steps" and len(parts) > 1)


def _modules(node: ast.AST, path: Path) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        # `from .. import x` in steps/query/run.py is `from steps import x`.
        package = list(path.parent.parts)[: len(path.parent.parts) - node.level + 1] if node.level else []
        module = ".".join([*package, *([node.module] if node.module else [])])
        yield from (f"{module}.{alias.name}" for alias in node.names)


def base(step: str, settings: Settings) -> str:
    """The base of the image of `step`: the setting, else AWS's own for the launcher and the step's instance type."""
    chosen = settings.images
    if STEPS[step] != "training":
        return chosen.python_base
    given, instance_type = chosen.training_base, settings.training.instance_type
    if step == "evaluate":
        # A processing job, mostly on CPUs, which compares the exported network with PyTorch's without CUDA.
        given, instance_type = chosen.evaluation_base or given, settings.evaluation.instance_type
    device: deep_learning_containers.Device = "gpu" if instances.has_gpus(instance_type) else "cpu"
    return given or deep_learning_containers.pytorch_training(
        settings.account.region, settings.training.launcher, device
    )


def tag(step: str, settings: Settings, root: Path = ROOT) -> str:
    """`STEP-HASH`: the tag of the image of `step` for its base and the present source tree."""
    digest = hashlib.sha256(f"{base(step, settings)}\0".encode())
    for path in source_files(step, root, image_of(step, settings)):
        content = (root / path).read_bytes()
        digest.update(f"{path.as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return f"{step}-{digest.hexdigest()[:16]}"
