"""Building and running the images of `containers/` with buildah: COPY, RUN, USER and ENTRYPOINT as Docker does them.

The base is a stand-in, made with debootstrap: Debian's own Python 3.11, as in the image that the settings name. AWS's
training image is not to be had without an account; that Dockerfile is built on the stand-in too, for what it installs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pipeline import ROOT
from pipeline.compiling import step_images as images

SUITE = "bookworm"
BASE = "localhost/python-stand-in"
# Debian's pip installs beside its own packages only when it is told to; the real base has no such rule.
BASE_ENVIRONMENT = "PIP_BREAK_SYSTEM_PACKAGES=1"
# How this machine reaches a package index; it comes into a build as a mounted file, and stays out of the image.
PIP_KEYS = ("index-url", "cert", "proxy", "timeout", "default-timeout", "trusted-host")


def pip_settings() -> dict[str, str]:
    """What pip is told here about its index, by its files or the environment."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    settings = {}
    for line in found.splitlines():
        name, _, value = line.partition("=")
        if (key := name.rpartition(".")[2]) in PIP_KEYS:
            settings[key] = value.strip("'\"")
    return settings


@dataclass(frozen=True)
class Built:
    """An image, and a container made from it."""

    workshop: Workshop
    container: str
    config: dict[str, Any]

    def run(self, *command: str, volumes: Sequence[str] = (), **environment: str) -> subprocess.Popen[str]:
        """A command in the container, as the image's user, in its folder and environment."""
        options = [word for volume in volumes for word in ("--volume", volume)]
        options += [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]
        arguments = ["run", "--isolation", "chroot", *options, self.container, "--", *command]
        return subprocess.Popen(
            self.workshop.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def start(self, *arguments: str, volumes: Sequence[str] = (), **environment: str) -> subprocess.Popen[str]:
        """The container's own process: ENTRYPOINT and arguments."""
        return self.run(*self.config["Entrypoint"], *arguments, volumes=volumes, **environment)

    def output(self, *command: str) -> tuple[int, str]:
        """Exit status and output of a command in the container."""
        with self.run(*command) as process:
            text, _ = process.communicate(timeout=120)
        return process.returncode, text


def inner(process: subprocess.Popen[str]) -> psutil.Process:
    """The container's first process, below what buildah puts around it: signals go to it, as from SageMaker."""
    chain = psutil.Process(process.pid).children(recursive=True)
    return next(one for one in chain if not one.cmdline()[0].startswith("buildah"))


@dataclass(frozen=True)
class Workshop:
    """A folder with buildah's storage and the stand-in base in it."""

    folder: Path

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator[Workshop]:
        """Make the base, and remove everything at the end."""
        with tempfile.TemporaryDirectory(prefix="images-") as name:
            workshop = cls(Path(name))
            workshop._make_base()
            try:
                yield workshop
            finally:
                workshop._buildah("rm", "--all")

    def command(self, *arguments: str) -> list[str]:
        """A buildah command on this workshop's storage."""
        places = ("--root", str(self.folder / "storage"), "--runroot", str(self.folder / "run"))
        return ["buildah", "--storage-driver", "vfs", *places, *arguments]

    def build(self, step: str) -> Built:
        """The image of a step by its own Dockerfile, from exactly the files of its tag."""
        context = self.folder / "contexts" / step
        for path in images.source_files(step):
            target = context / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / path).read_bytes())
        settings = pip_settings()
        pip_conf = self.folder / "pip.conf"
        pip_conf.write_text("[global]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items()))
        volumes = [f"{pip_conf}:/etc/pip.conf:ro", *(f"{cert}:{cert}:ro" for cert in [settings.get("cert")] if cert)]
        self._buildah(
            *("bud", "--isolation", "chroot", "--pull-never", "--tag", step),
            *(word for volume in volumes for word in ("--volume", volume)),
            *("--file", str(context / f"containers/{images.STEPS[step]}/Dockerfile")),
            *("--build-arg", f"BASE_IMAGE={BASE}", "--build-arg", f"STEP={step}", str(context)),
        )
        container = self._buildah("from", "--pull-never", f"localhost/{step}")
        return Built(self, container, json.loads(self._buildah("inspect", container))["OCIv1"]["config"])

    def _make_base(self) -> None:
        root = self.folder / "base"
        packages = "--include=python3,python3-pip,ca-certificates"
        _run(["debootstrap", "--variant=minbase", packages, SUITE, str(root)])
        container = self._buildah("from", "scratch")
        self._buildah("add", "--quiet", container, str(root), "/")
        self._buildah("config", "--env", BASE_ENVIRONMENT, container)
        self._buildah("commit", "--quiet", container, BASE)
        self._buildah("rm", container)

    def _buildah(self, *arguments: str) -> str:
        return _run(self.command(*arguments)).strip()


def _run(command: list[str]) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout
