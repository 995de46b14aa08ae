"""Docker on this machine: whether it answers, and an image's build, look and push.

SageMaker takes images with Docker's own manifests only, and no index of several platforms; BuildKit writes OCI's and
adds an index for its attestations unless it is told otherwise (https://docs.docker.com/build/exporters/image-registry/
and https://docs.docker.com/build/metadata/attestations/slsa-provenance/).
"""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

from pipeline import ROOT
from pipeline.aws.responses import Report
from pipeline.compiling import step_images as images
from pipeline.compiling.step_images import StepImage
from steps.contracts.errors import PipelineError

PLATFORM = "linux/amd64"
_ANSWER_SECONDS = 60.0
_REMEDY = "or set images.builder: codebuild"


def unavailable() -> str:
    """Why Docker cannot build here; empty where it can."""
    for command, meaning in (
        (["docker", "info", "--format", "{{.ServerVersion}}"], "docker does not answer"),
        (["docker", "buildx", "version"], "docker has no buildx"),
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=False)
        except FileNotFoundError:
            return "there is no docker command"
        except subprocess.TimeoutExpired:
            return f"`{' '.join(command[:2])}` did not answer within {_ANSWER_SECONDS:.0f} seconds"
        if done.returncode:
            return f"{meaning}: {_last_line(done.stderr)}"
    return ""


def login(registry: str, password: str) -> None:
    """Let Docker pull from and push to an ECR registry; the password goes through a pipe, never into a command line."""
    command = ["docker", "login", "--username", "AWS", "--password-stdin", registry]
    done = subprocess.run(command, input=password, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PipelineError(f"docker login at {registry} failed: {_last_line(done.stderr)}")


def build(image: StepImage, tell: Report, root: Path = ROOT) -> None:
    """Build an image under its URI from exactly the files that its tag is the hash of.

    `tell` gets Docker's lines. Raises PipelineError where the build fails, or leaves what SageMaker would not take.
    """
    command = [
        *("docker", "buildx", "build", "--platform", PLATFORM),
        *("--provenance=false", "--output", "type=image,oci-mediatypes=false"),
        *("--file", f"containers/{image.image}/Dockerfile"),
        *("--build-arg", f"BASE_IMAGE={image.base}", "--build-arg", f"STEP={image.step}"),
        *("--tag", image.uri, "-"),
    ]
    _run(command, f"docker build of {image.step}", tell, context(image, root))
    kept = media_type(image.uri)
    if kept is None:
        raise PipelineError(
            f"docker built {image.uri} but has not kept it: its chosen builder is not its own;"
            f" choose that: docker buildx use default, {_REMEDY}"
        )
    if kept and "docker.distribution.manifest.v2" not in kept:
        raise PipelineError(
            f"docker built {image.uri} as {kept}, which SageMaker does not take; update docker buildx, {_REMEDY}"
        )


def context(image: StepImage, root: Path = ROOT) -> bytes:
    """The build context as a tar: the same source gives the same bytes, so that layers are found again."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in images.source_files(image.step, root):
            content = (root / path).read_bytes()
            member = tarfile.TarInfo(path.as_posix())
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def media_type(uri: str) -> str | None:
    """The media type of an image's manifest; None where Docker has no such image, empty where it does not say.

    It says so where it keeps manifests (the containerd image store); elsewhere it makes Docker's own when it pushes.
    """
    command = ["docker", "image", "inspect", uri]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    (found,) = json.loads(done.stdout)
    return str((found.get("Descriptor") or {}).get("mediaType", ""))


def push(uri: str, tell: Report) -> None:
    """Push an image that Docker has."""
    _run(["docker", "push", uri], f"docker push of {uri}", tell)


def _run(command: list[str], what: str, tell: Report, stdin: bytes = b"") -> None:
    """Run a command; its output goes to `tell` line by line, and the last line is the reason where it fails."""
    last = ""
    with tempfile.TemporaryFile() as source:
        source.write(stdin)
        source.seek(0)
        with subprocess.Popen(
            command, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                last = line.strip() or last
                tell(line.rstrip("\n"))
    if process.returncode:
        raise PipelineError(f"{what} failed: {last or f'exit status {process.returncode}'}")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it gives no reason"
