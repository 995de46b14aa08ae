"""A tree that is drawn again in place while a run goes on."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.live import Live
from rich.live_render import LiveRender
from rich.text import Text

from pipeline.cli.views.tree import RunTree
from pipeline.operations.watching.snapshot import Snapshot

HINT = "Ctrl-C ends this view; the run goes on"
_PER_SECOND = 4


def is_live(console: Console) -> bool:
    """Whether a run is drawn in place: in a terminal that can move its cursor, which a dumb one cannot."""
    return console.is_terminal and not console.is_dumb_terminal


class LiveTree(Live):
    """The latest snapshot, folded to the terminal's rows; whole once it is stopped. `update_to` takes the next one.

    A terminal that becomes smaller wraps or moves earlier lines, each kind of terminal in its own way, so the cursor
    does not return to their beginning: the screen is cleared then.
    """

    def __init__(self, console: Console) -> None:
        self._snapshot: Snapshot | None = None
        self._size = console.size
        super().__init__(console=console, get_renderable=self._tree, refresh_per_second=_PER_SECOND)

    def update_to(self, snapshot: Snapshot) -> None:
        """Draw this snapshot from now on."""
        self._snapshot = snapshot
        self.refresh()

    def refresh(self) -> None:
        """Draw again, in place."""
        with self._lock:
            before, self._size = self._size, self.console.size
            height = self._live_render.last_render_height
            if height and (self._size.width < before.width or self._size.height <= height):
                self.console.clear()
                self._live_render = LiveRender(self.get_renderable(), vertical_overflow=self.vertical_overflow)
            super().refresh()

    def _tree(self) -> RenderableType:
        if self._snapshot is None:
            return Text("reading the run", style="dim")
        if not self.is_started:
            return RunTree(self._snapshot)
        # A last row stays free: some terminals scroll when it is written to its end.
        return RunTree(self._snapshot, height=self.console.size.height - 1, hint=HINT)
