"""The deploy function's zip, and where in the bucket it lies: under its hash, so that new code is a new key."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

from pipeline import ROOT
from pipeline.settings import Settings


def function_zip(root: Path = ROOT) -> bytes:
    """The deploy function's code, `steps.deploy` and `steps.contracts.names`; equal source results in equal bytes."""
    steps = root / "steps"
    names = [steps / "contracts" / "__init__.py", steps / "contracts" / "names.py"]
    files = [steps / "__init__.py", *names, *sorted((steps / "deploy").rglob("*.py"))]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            entry = zipfile.ZipInfo(path.relative_to(root).as_posix(), date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def code_key(settings: Settings, code: bytes) -> str:
    """The key of the zip in the project's bucket."""
    return f"{settings.code_prefix}/deploy-{hashlib.sha256(code).hexdigest()[:16]}.zip"
