"""Which image a step runs in, and its tag: the hash of what the step is made of.

One tag a step, so that a change to the report does not shard the data anew. The tag depends on file contents and
paths below the project's folder alone, never on where that folder is.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Literal

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


def source_files(step: str, root: Path = ROOT) -> list[Path]:
    """What the image of `step` is made of, as sorted paths relative to `root`."""
    folders = ["steps/common", f"steps/{step}", f"containers/{STEPS[step]}"]
    files = [Path("steps/__init__.py")]
    for folder in folders:
        files += [path.relative_to(root) for path in (root / folder).rglob("*") if path.is_file()]
    return sorted(path for path in files if not any(_STRAY.fullmatch(part) for part in path.parts))


def tag(step: str, root: Path = ROOT) -> str:
    """`STEP-HASH`: the tag of the image that runs `step` as it stands in the source tree."""
    digest = hashlib.sha256()
    for path in source_files(step, root):
        content = (root / path).read_bytes()
        digest.update(f"{path.as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return f"{step}-{digest.hexdigest()[:16]}"
