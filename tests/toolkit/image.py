"""The training image as a folder: what its Dockerfile adds to AWS's image, and stand-ins for what that one has."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pipeline import ROOT
from pipeline.compiling.step_images import source_files

DOCKERFILE = ROOT / "containers" / "training" / "Dockerfile"

# https://github.com/aws/deep-learning-containers: the start script of the PyTorch training images runs `train` as a
# child and passes nothing on; it also sets the host's name with a preloaded library.
START_SCRIPT = """\
#!/usr/bin/env bash
if [[ "$1" = "train" ]]; then
    train
else
    eval "$@"
fi
"""
# The toolkit starts as many processes as this names GPUs, one where there is no such command.
NVIDIA_SMI = '#!/bin/sh\nfor number in $(seq {gpus}); do echo "GPU $number: a stand-in"; done\n'
TORCHRUN = '#!/bin/sh\nexec python3 -m torch.distributed.run "$@"\n'


@dataclass(frozen=True)
class Image:
    """A container's file system below `root`; only what the tests look at is there."""

    root: Path

    @property
    def opt_ml(self) -> Path:
        """The container's /opt/ml."""
        return self.root / "opt" / "ml"

    @property
    def commands(self) -> Path:
        """The folder that comes first on the container's PATH."""
        return self.root / "bin"

    def inside(self, text: str) -> str:
        """A path of the container, or a list of them, as it is on this machine."""
        return text.replace("/opt/", f"{self.root}/opt/")

    def environment(self) -> dict[str, str]:
        """The Dockerfile's ENV."""
        pairs = [word for line in _instructions("ENV") for word in line.split()]
        return {name: self.inside(value) for name, _, value in (pair.partition("=") for pair in pairs)}

    def entry_point(self) -> list[str]:
        """The Dockerfile's ENTRYPOINT."""
        (line,) = _instructions("ENTRYPOINT")
        return [self.inside(word) for word in json.loads(line)]


def build(root: Path, gpus: int) -> Image:
    """Do the COPYs of the train step's image below `root`, and put the base image's commands there, for `gpus`."""
    image, context = Image(root), root / "context"
    for path in source_files("train"):
        (context / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, context / path)
    for line in _instructions("COPY"):
        source, target = line.replace("${STEP}", "train").split()
        _copy(context / source, Path(image.inside(target)), into_folder=target.endswith("/"))
    for line in _instructions("RUN"):
        if "ln -s" in line:
            subprocess.run(["sh", "-c", image.inside(line)], check=True)
    image.commands.mkdir()
    for name, script in (
        ("start_with_right_hostname.sh", START_SCRIPT),
        ("nvidia-smi", NVIDIA_SMI.format(gpus=gpus)),
        ("torchrun", TORCHRUN),
    ):
        (image.commands / name).write_text(script)
        (image.commands / name).chmod(0o755)
    return image


def _instructions(name: str) -> list[str]:
    lines = DOCKERFILE.read_text().replace("\\\n", " ").splitlines()
    return [line.removeprefix(name).strip() for line in lines if line.startswith(f"{name} ")]


def _copy(source: Path, target: Path, *, into_folder: bool) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        return
    target = target / source.name if into_folder else target
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
