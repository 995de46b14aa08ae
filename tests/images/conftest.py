"""The images themselves, built without a Docker engine: `make test-images`. Elsewhere there is nothing to collect."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.images.building import Workshop

if not os.environ.get("TEST_IMAGES"):
    collect_ignore_glob = ["test_*.py"]

TOOLS = ("debootstrap", "buildah")


@pytest.fixture(scope="session")
def workshop() -> Iterator[Workshop]:
    """Somewhere to build images, with a stand-in for their base."""
    if os.geteuid() != 0:
        pytest.skip("images are built as root here: debootstrap and buildah's chroot isolation want it")
    if absent := [tool for tool in TOOLS if shutil.which(tool) is None]:
        pytest.skip(f"not installed: {', '.join(absent)}; on Debian: apt-get install {' '.join(TOOLS)}")
    with Workshop.opened() as opened:
        yield opened
