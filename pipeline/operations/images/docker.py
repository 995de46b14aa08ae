"""Docker on this machine: its availability, and building, inspecting and pushing an image.

SageMaker accepts images with Docker's own manifests only, and no index of several platforms; BuildKit by default writes
OCI manifests and an index with attestations (https://docs.docker.com/build/exporters/image-registry/
and https://docs.docker.com/build/metadata/attestations/slsa-provenance/).
"""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from pipeline import ROOT
from pipeline.aws.responses import Report
from pipeline.compiling import step_images as images
from pipeline.compiling.step_images import StepImage
from steps.contracts.errors import PipelineError

PLATFORM = "linux/amd64"
_ANSWER_SECONDS = 60.0
_REMEDY = "or set images.builder: codebuild"


def unavailable() -> str:
    """Why Docker cannot build on this machine; empty where it can."""
    for command, meaning in (
        (["docker", "info", "--format", "{{.ServerVersion}}"], "docker does not answer"),
        (["docker", "buildx", "version"], "docker has no buildx"),
    ):
        try:
            done = _output(command, timeout=_ANSWER_SECONDS)
        except FileNotFoundError:
            return "there is no docker command"
        except subprocess.TimeoutExpired:
            return f"`{' '.join(command[:2])}` did not answer within {_ANSWER_SECONDS:.0f} seconds"
        if done.returncode:
            return f"{meaning}: {_last_line(done.stderr)}"
    return ""


def login(registry: str, password: str) -> None:
    """Log Docker in at an ECR registry; the password goes through a pipe, not the command line."""
    done = _output(["docker", "login", "--username", "AWS", "--password-stdin", registry], input=password)
    if done.returncode:
        raise PipelineError(f"docker login at {registry} failed: {_last_line(done.stderr)}")


def build(image: StepImage, report: Report, root: Path = ROOT) -> None:
    """Build an image under its URI from exactly the files that its tag is the hash of; `report` gets Docker's lines.

    Raises PipelineError where the build fails, or its manifest is not accepted by SageMaker.
    """
    command = [
        *("docker", "buildx", "build", "--platform", PLATFORM),
        *("--provenance=false", "--output", "type=image,oci-mediatypes=false"),
        *("--file", f"containers/{image.image}/Dockerfile"),
        *("--build-arg", f"BASE_IMAGE={image.base}", "--build-arg", f"STEP={image.step}"),
        *("--tag", image.uri, "-"),
    ]
    _run(command, f"docker build of {image.step}", report, context(image, root))
    manifest = media_type(image.uri)
    if manifest is None:
        raise PipelineError(
            f"docker built {image.uri} but has not stored it, because the selected builder is not docker's own;"
            f" select that: docker buildx use default, {_REMEDY}"
        )
    if manifest and "docker.distribution.manifest.v2" not in manifest:
        raise PipelineError(
            f"docker built {image.uri} as {manifest}, which SageMaker does not accept; update docker buildx, {_REMEDY}"
        )


def context(image: StepImage, root: Path = ROOT) -> bytes:
    """The build context as a tar; equal sources give equal bytes, so that Docker's layer cache applies."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in images.source_files(image.step, root, image.image):
            content = (root / path).read_bytes()
            member = tarfile.TarInfo(path.as_posix())
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def media_type(uri: str) -> str | None:
    """The media type of an image's manifest; None where Docker has no such image, empty where Docker reports none.

    Docker reports it with the containerd image store; without that, a push creates Docker's own manifest.
    """
    done = _output(["docker", "image", "inspect", uri])
    if done.returncode:
        return None
    (description,) = json.loads(done.stdout)
    return str((description.get("Descriptor") or {}).get("mediaType", ""))


def push(uri: str, report: Report) -> None:
    """Push an image from Docker's store."""
    _run(["docker", "push", uri], f"docker push of {uri}", report)


def _run(command: list[str], what: str, report: Report, stdin: bytes = b"") -> None:
    """Run a command and report its output line by line. Raises PipelineError with the last line where it fails."""
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
                report(line.rstrip("\n"))
    if process.returncode:
        raise PipelineError(f"{what} failed: {last or f'exit status {process.returncode}'}")


def _output(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
