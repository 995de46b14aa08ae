"""Environments of the local cloud's processes: the few variables that every process needs, and no others.

A person's shell has proxies, AWS profiles, Python paths and settings of other programs. The server and its jobs get
none of them: what works in one shell works in all.
"""

from __future__ import annotations

import os

# LD_LIBRARY_PATH: without it some installations of Python (Conda, Nix) do not start at all.
_NEEDED = ("HOME", "LANG", "LD_LIBRARY_PATH", "LC_ALL", "LC_CTYPE", "PATH", "TMPDIR", "TZ", "USER")
# Clients of AWS read no profile, so a broken file of profiles harms nobody.
NO_PROFILES = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
_HOST = "127.0.0.1"


def inherited() -> dict[str, str]:
    """The variables of this process that a child process gets."""
    return {name: os.environ[name] for name in _NEEDED if name in os.environ}


def without_proxy() -> dict[str, str]:
    """NO_PROXY in both spellings, with this process's hosts and that of the local cloud."""
    hosts = [host.strip() for name in ("no_proxy", "NO_PROXY") for host in os.environ.get(name, "").split(",")]
    hosts = list(dict.fromkeys(host for host in hosts if host))
    # Python takes "*" for all hosts only where it is alone.
    value = "*" if hosts == ["*"] else ",".join(dict.fromkeys([*hosts, _HOST]))
    return {"NO_PROXY": value, "no_proxy": value}
