"""Opening an address with a key in the browser, without showing the key to other users of the machine."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path


@contextlib.contextmanager
def opened(address: str, launch: Callable[[str], int]) -> Iterator[bool]:
    """Open `address` in the browser by a file that leads there, which only its owner reads; it is removed at the end.

    The arguments of a process, such as the browser's, can be read by all users of the machine (proc(5), cmdline).
    `launch` opens an address in the browser, and returns 0 where it could (`typer.launch`); the result is whether.
    """
    with tempfile.TemporaryDirectory(prefix="console-") as folder:  # its mode is 0700
        file = Path(folder) / "open.html"
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as output:
            link = escape(address)
            output.write(
                '<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">'
                f'<meta http-equiv="refresh" content="0; url={link}"><a href="{link}">To the console</a>\n'
            )
        yield launch(file.as_uri()) == 0
