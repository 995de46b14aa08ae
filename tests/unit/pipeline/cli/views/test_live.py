"""A run in a real terminal: drawn again in place, after a change of its size too, until Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pipeline import ROOT

# Above the start of a Python on a busy machine.
PATIENCE_SECONDS = 120.0
MODULE = "tests.unit.pipeline.cli.views.in_a_terminal"
_TOKEN = re.compile(r"\x1b\[(?P<number>[0-9;?]*)(?P<final>[A-Za-z])|(?P<text>[^\x1b])", re.DOTALL)


class Screen:
    """What a terminal shows, for the sequences that a live display writes."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.cells: list[str] = [""]
        self.row = self.column = 0

    def feed(self, text: str) -> None:
        for match in _TOKEN.finditer(text):
            if match["text"] is None:
                self._control(match["number"], match["final"])
            elif match["text"] == "\r":
                self.column = 0
            elif match["text"] == "\n" or self.column == self.columns:
                self._down()
                if match["text"] != "\n":
                    self._write(match["text"])
            else:
                self._write(match["text"])

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.cells[-self.rows :]).rstrip()

    def _write(self, character: str) -> None:
        line = self.cells[self.row].ljust(self.column)
        self.cells[self.row] = line[: self.column] + character + line[self.column + 1 :]
        self.column += 1

    def _down(self) -> None:
        self.row, self.column = self.row + 1, 0
        if self.row == len(self.cells):
            self.cells.append("")

    def _control(self, number: str, final: str) -> None:
        if final == "A":
            self.row = max(self.row - int(number or 1), 0)
        elif final == "J":
            self.cells, self.row, self.column = [""], 0, 0
        elif final == "H":
            self.row = self.column = 0
        elif final == "K":
            self.cells[self.row] = ""


class Terminal:
    """A pseudo-terminal with the program in it; `epoch` lets a trial finish an epoch."""

    def __init__(self, columns: int, rows: int, **environment: str) -> None:
        self.master, slave = pty.openpty()
        self.screen = Screen(columns, rows)
        self.raw = ""
        self.resize(columns, rows)
        reader, self._epochs = os.pipe()
        inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", MODULE, str(reader)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=ROOT,
            env={**inherited, "TERM": "xterm-256color", "PYTHONUTF8": "1", **environment},
            pass_fds=[reader],
            start_new_session=True,
        )
        os.close(slave)
        os.close(reader)

    def epoch(self, accuracy: float) -> None:
        os.write(self._epochs, f"{accuracy}\n".encode())

    def resize(self, columns: int, rows: int) -> None:
        self.screen.columns, self.screen.rows = columns, rows
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def until(self, condition: Callable[[str], bool]) -> str:
        """The screen once the condition holds."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition(self.screen.text):
            assert time.monotonic() < end, self.screen.text
            assert self._read(), self.screen.text
        return self.screen.text

    def _read(self) -> bool:
        """Take what the program has written within 0.2 s; False once it has ended."""
        if select.select([self.master], [], [], 0.2)[0]:
            try:
                text = os.read(self.master, 65536).decode(errors="replace")
            except OSError:
                text = ""
            self.raw += text
            self.screen.feed(text)
            return bool(text)
        return True

    def wait(self) -> int:
        """The program's exit status; it cannot end before a terminal has taken what it writes."""
        end = time.monotonic() + PATIENCE_SECONDS
        while self._read():
            assert time.monotonic() < end, self.screen.text
        return self.process.wait(PATIENCE_SECONDS)

    def end(self) -> int:
        """Let the run end, and return the program's exit status."""
        os.close(self._epochs)
        self._epochs = -1
        return self.wait()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for descriptor in (self.master, self._epochs):
            if descriptor >= 0:
                os.close(descriptor)


@contextmanager
def terminal(columns: int, rows: int, **environment: str) -> Iterator[Terminal]:
    opened = Terminal(columns, rows, **environment)
    try:
        yield opened
    finally:
        opened.close()


def shows_once(text: str, *parts: str) -> bool:
    return text.count("run ab12cd34ef56") == 1 and all(part in text for part in parts)


def test_a_run_is_drawn_again_in_place_after_a_resize_too_until_ctrl_c() -> None:
    with terminal(100, 30) as opened:
        opened.until(lambda text: shows_once(text, "trial 3", "DeployModel", "Ctrl-C"))
        opened.epoch(0.25)
        opened.until(lambda text: shows_once(text, "▁ 0.250", "epoch 2", "DeployModel"))
        opened.resize(60, 15)
        small = opened.until(lambda text: shows_once(text, "steps to come"))
        assert "DeployModel" not in small
        opened.epoch(0.5)
        opened.until(lambda text: shows_once(text, "▁█ 0.500", "epoch 3"))
        opened.resize(100, 30)
        opened.until(lambda text: shows_once(text, "▁█ 0.500", "DeployModel"))
        opened.press("\x03")
        assert opened.wait() == 130
        text = opened.until(lambda text: "to stop it" in text)
        assert shows_once(text, "the run run1 goes on", "to follow it: python -m pipeline watch run1")
        # The cursor that a live display hides.
        assert opened.raw.rindex("\x1b[?25h") > opened.raw.rindex("\x1b[?25l")


def test_a_run_that_ends_leaves_the_whole_tree() -> None:
    with terminal(100, 12) as opened:
        opened.until(lambda text: shows_once(text, "steps to come"))
        assert opened.end() == 0
        opened.until(lambda text: "DeployModel" in text and "in all:" in text)
        assert "Ctrl-C" not in opened.screen.text


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(term: str) -> None:
    with terminal(100, 30, TERM=term) as opened:
        opened.until(lambda text: "TuneModel: Executing" in text)
        assert opened.end() == 0
        assert "\x1b[" not in opened.raw


def test_without_colours_the_tree_is_drawn_in_place_too() -> None:
    with terminal(100, 30, NO_COLOR="1") as opened:
        opened.epoch(0.25)
        opened.until(lambda text: shows_once(text, "▁ 0.250", "epoch 2"))
        assert not re.search(r"\x1b\[(\d+;)*(3[0-8]|9[0-7])(;\d+)*m", opened.raw)
