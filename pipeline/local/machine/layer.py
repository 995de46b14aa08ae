"""A Python environment per container, layered over the local cloud's own: a virtual environment that sees its packages.

An image's code may install packages while it runs (`pip install`, also a training image's requirements.txt). On AWS
they end with the container; here they must not reach the environment of the local cloud, which all jobs and the person
share.
"""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sysconfig
import venv
from pathlib import Path

# https://docs.python.org/3.11/library/site.html: a line that starts with `import` is executed. Unlike PYTHONPATH this
# also follows the .pth files of the folder, such as those of editable installations.
_LINE = "import site; list(map(site.addsitedir, {folders!r}))\n"
_COMPLETE = ".complete"
_PACKAGES = "lib/python*/site-packages"
# Lines for a shell, which Python reads as a string: a first line with Python's path could be too long, or have blanks.
_FIRST_LINES = b"""#!/bin/sh
'''exec' "$(dirname -- "$0")/python" "$0" "$@"
' '''
"""


def create(folder: Path, below: Path | None = None) -> Path:
    """Create the environment in `folder`, unless it exists. Returns the folder of its commands, first on PATH.

    It sees the packages of the virtual environment `below`, whose Python it has; of this process's without one.
    """
    commands = folder / "bin"
    if (folder / _COMPLETE).exists():
        return commands
    shutil.rmtree(folder, ignore_errors=True)
    if below is None:
        venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
        folders, scripts = _own_packages(), Path(sysconfig.get_path("scripts"))
    else:
        command = [str(below / "bin" / "python"), "-I", "-m", "venv", "--symlinks", "--without-pip", str(folder)]
        subprocess.run(command, check=True, capture_output=True)
        folders, scripts = [str(path) for path in below.glob(_PACKAGES)], below / "bin"
    (packages,) = folder.glob(_PACKAGES)
    (packages / "local-cloud.pth").write_text(_LINE.format(folders=folders))
    for script in sorted(scripts.iterdir()):
        if (text := _python_script(script)) is not None and not (commands / script.name).exists():
            copy = commands / script.name
            copy.write_bytes(_FIRST_LINES + text)
            copy.chmod(0o755)
    (folder / _COMPLETE).touch()
    return commands


def _own_packages() -> list[str]:
    """The folders of this process's packages."""
    folders = site.getsitepackages()
    if site.ENABLE_USER_SITE:
        folders = [*folders, site.getusersitepackages()]
    return [folder for folder in folders if os.path.isdir(folder)]


def _python_script(path: Path) -> bytes | None:
    """The program of a command that this environment's Python runs, without its first lines; None for any other file.

    Such a command (pip, torchrun) would run, and install, in the environment that its first line names.
    """
    if path.is_symlink() or not path.is_file() or not os.access(path, os.X_OK):
        return None
    with path.open("rb") as file:
        if file.read(2) != b"#!":
            return None
        first, rest = file.readline(), file.read()
    if b"python" in first:
        return rest
    # As pip writes it where the path of Python is too long for a first line.
    call, _, program = rest.partition(b"\n' '''\n")
    return program if call.startswith(b"'''exec'") and b"python" in call else None
