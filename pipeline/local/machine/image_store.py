"""The local cloud's image registry: per tag a copy of the source; the tag is the hash of the source.

A job runs the copy, not the working tree: a run in progress and a served model keep the code of their start.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from pipeline.local.context import random_id

_URI = re.compile(r"[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com/(?P<repository>[a-z0-9._/-]+):(?P<tag>[\w.-]+)")


class ImageNotFoundError(Exception):
    """No image is published under the URI."""


class ImageRegistry:
    """Published images below `folder`, as REPOSITORY/TAG."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def publish(self, repository: str, tag: str, root: Path, files: Iterable[Path]) -> None:
        """Copy `files`, paths relative to `root`, below the tag. An existing tag is not changed."""
        target = self._folder / repository / tag
        if not target.exists():
            partial = target.with_name(f".{tag}.{random_id()}")
            for path in files:
                (partial / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / path, partial / path)
            try:
                partial.rename(target)
            except OSError:
                # Another process published the same content meanwhile.
                shutil.rmtree(partial)
                if not target.exists():
                    raise

    def published(self, repository: str) -> dict[str, Path] | None:
        """The folders of a repository's images by their tags, oldest first; None if there is no such repository."""
        folder = self._folder / repository
        if ".." in repository or not folder.is_dir():
            return None
        folders = [path for path in folder.iterdir() if not path.name.startswith(".")]
        return {path.name: path for path in sorted(folders, key=lambda path: (path.stat().st_mtime, path.name))}

    def locate(self, uri: str) -> Path:
        """The folder with the image's source. Raises ImageNotFoundError."""
        match = _URI.fullmatch(uri)
        folder = self._folder / match["repository"] / match["tag"] if match else None
        if folder is None or ".." in uri or not folder.is_dir():
            raise ImageNotFoundError(f"image {uri} is not published here; `python -m pipeline upsert` publishes it")
        return folder

    def entry_point(self, uri: str) -> list[str]:
        """The words of the ENTRYPOINT in the image's Dockerfile. Raises ImageNotFoundError."""
        for dockerfile in sorted(self.locate(uri).glob("containers/*/Dockerfile")):
            for line in reversed(dockerfile.read_text().splitlines()):
                if line.startswith("ENTRYPOINT"):
                    return [str(word) for word in json.loads(line.removeprefix("ENTRYPOINT"))]
        raise ImageNotFoundError(f"image {uri} has no ENTRYPOINT")
