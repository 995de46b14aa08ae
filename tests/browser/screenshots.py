"""The pictures of the console in the documents: the demo in a local cloud of its own, and its pages in Chromium.

`python -m tests.browser.screenshots [FOLDER]`: FOLDER is that of a local cloud in which a demo has run; without it one
is started, and deleted afterwards.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from pipeline import ROOT
from pipeline.operations.account import consoles
from tests.browser import chromium
from tests.browser.pages import settled
from tests.conftest import free_port

PICTURES = ROOT / "docs" / "pictures"
WIDTH, BYTES = 1100, 80_000
PROFILE = "demo"
# Fewer colours make a smaller file; text and charts need few.
_COLOURS = (256, 128, 64, 32, 16)


def main(folder: str = "") -> None:
    """Write the pictures. Raises subprocess.CalledProcessError where the demo fails."""
    if reason := chromium.missing():
        raise SystemExit(reason)
    if folder:
        # Starts the console again where it runs, with the present source.
        _pipeline(Path(folder), "local", "up")
        _draw(Path(folder))
        return
    with tempfile.TemporaryDirectory(prefix="console-") as temporary:
        directory = Path(temporary) / "cloud"
        try:
            _pipeline(directory, "local", "up", "--port", str(free_port()), "--s3-port", str(free_port()))
            _pipeline(directory, "demo")
            _draw(directory)
        finally:
            _pipeline(directory, "local", "down")


def _pipeline(directory: Path, *words: str) -> None:
    # With its folder first, so that the commands that the pages name begin with `python`.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PIPELINE_LOCAL_DIR": str(directory), "PATH": path}
    command = [sys.executable, "-m", "pipeline", "--profile", PROFILE, *words]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def _draw(directory: Path) -> None:
    console = consoles.find(directory, PROFILE)
    assert console is not None, "the console has not started"
    with chromium.chromium() as browser, chromium.visitor(browser, console.address) as visitor:
        page = visitor.open("/")
        run = page.locator("#live-newest a").first.inner_text()
        pages: dict[str, tuple[str, Callable[[Page], float]]] = {
            "overview": ("/", _top(1080)),
            "run": (f"/runs/{run}", _top(1100)),
            "data": (f"/runs/{run}/data", _top(1100)),
            "trials": (f"/runs/{run}/trials", _top(1100)),
            "version": ("/models/latest", _top(1100)),
            "endpoint": ("/endpoint", _counted),
        }
        for name, (path, height) in pages.items():
            page.goto(visitor.origin + path)
            settled(page)
            clip = {"x": 0, "y": 0, "width": WIDTH, "height": height(page)}
            content = small(page.screenshot(full_page=True, clip=clip))
            file = PICTURES / f"console-{name}.png"
            file.write_bytes(content)
            print(f"{file.relative_to(ROOT)}: {len(content):,} bytes")
        if visitor.faults:
            raise SystemExit("\n".join(visitor.faults))


def _top(height: int) -> Callable[[Page], float]:
    return lambda _: height


def _counted(page: Page) -> float:
    """Count a photo of the test split; the picture ends below the answer."""
    page.locator("button.pick").nth(4).click()
    expect(page.locator("#answer .count")).to_be_visible()
    settled(page)
    box = page.locator("#answer").bounding_box()
    assert box is not None
    return float(page.evaluate("window.scrollY")) + box["y"] + box["height"] + 20


def small(png: bytes) -> bytes:
    """A PNG with a palette, of at most BYTES bytes. Raises ValueError where no palette is small enough."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    for colours in _COLOURS:
        reduced = io.BytesIO()
        # This method keeps rare colours, such as those of a status next to photos.
        picture.quantize(colours, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            reduced, "PNG", optimize=True
        )
        if reduced.tell() <= BYTES:
            return reduced.getvalue()
    raise ValueError(f"the picture has {reduced.tell():,} bytes with {_COLOURS[-1]} colours; at most {BYTES:,}: cut it")


if __name__ == "__main__":
    main(*sys.argv[1:2])
