"""Command: console."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import RUN, app, options_of
from pipeline.cli.errors import explained
from pipeline.cli.output import warn

if TYPE_CHECKING:
    from pipeline.console.console import Console


@app.command(rich_help_panel=RUN)
def console(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1. 0: the first free from 8780.")] = 0,
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    background: Annotated[Path | None, typer.Option(hidden=True, help="Write the address to this file.")] = None,
) -> None:
    """Serve pages about runs, data, models and the endpoint on 127.0.0.1, until Ctrl-C.

    The address has a key, which other users of this machine lack. Pages act with the credentials of this command.
    """
    from pipeline.cli.browser import opened
    from pipeline.clients import verify_account
    from pipeline.console import serving
    from pipeline.console.console import Console

    options = options_of(context)
    settings = options.connected()
    served = Console(settings, options.command(), explained, options.pasted)
    if background is not None:
        _in_the_background(served, background)
        return
    # Each page names the account of the settings.
    verify_account(settings)
    listening = serving.listen(port)
    place = serving.address(served, listening.getsockname()[1])
    typer.echo(f"console: {place}")
    typer.echo("to end it: Ctrl-C")
    # Ctrl-C is how it ends, and no interruption.
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
        if open_browser and not stack.enter_context(opened(place, typer.launch)):
            warn("there is no browser to open it with; open the address above")
        serving.serve(served, listening)


def _in_the_background(served: Console, file: Path) -> None:
    """Serve until the local cloud ends, or another console takes the place of this one."""
    import dataclasses

    from pipeline.connection import is_running
    from pipeline.console import serving
    from pipeline.operations.account import consoles

    port, key = consoles.earlier(file)
    served = dataclasses.replace(served, key=key or served.key)
    listening = serving.listen(port, otherwise=True)
    consoles.write(file, listening.getsockname()[1], served.key)
    serving.serve(served, listening, ended=lambda: not (consoles.is_ours(file) and is_running()))
