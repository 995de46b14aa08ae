"""The deploy function and the alert function: their code, their environment, and the rules that invoke them."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from pipeline import ROOT
from pipeline.settings import Settings


def function_zip(root: Path = ROOT) -> bytes:
    """The functions' code as a zip: `steps.deploy`, `steps.alert` and `steps.contracts.names`."""
    steps = root / "steps"
    names = (steps / "contracts" / "__init__.py", steps / "contracts" / "names.py")
    own = (path for name in ("deploy", "alert") for path in (steps / name).rglob("*.py"))
    paths = (steps / "__init__.py", *names, *own)
    return zip_of({path.relative_to(root).as_posix(): path for path in paths})


def zip_of(files: Mapping[str, Path]) -> bytes:
    """A zip of files by their names in it; equal files give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, path in sorted(files.items()):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def code_key(settings: Settings, code: bytes) -> str:
    """Key of the zip in the project's bucket. It contains the code's hash, so that new code has a new key."""
    return f"{settings.code_prefix}/deploy-{hashlib.sha256(code).hexdigest()[:16]}.zip"


def function_environment(settings: Settings) -> dict[str, str]:
    """The deploy function's environment; `steps.deploy.settings` reads it."""
    endpoint = settings.endpoint
    return {
        "ENDPOINT_NAME": endpoint.name,
        "MODEL_PACKAGE_GROUP": settings.registry.group,
        "SERVING_ROLE_ARN": settings.role_arn("serving"),
        "MODE": endpoint.mode,
        "INSTANCE_TYPE": endpoint.instance_type,
        "INSTANCE_COUNT": str(endpoint.instance_count),
        "MAXIMUM_INSTANCE_COUNT": str(endpoint.maximum_instance_count),
        "INVOCATIONS_PER_INSTANCE": str(endpoint.invocations_per_instance),
        "SERVERLESS_MEMORY_MEGABYTES": str(endpoint.serverless_memory_megabytes),
        "SERVERLESS_CONCURRENCY": str(endpoint.serverless_concurrency),
        "CANARY_PERCENT": str(endpoint.canary_percent),
        "CANARY_SECONDS": str(endpoint.canary_seconds),
        "BAKING_SECONDS": str(endpoint.baking_seconds),
        "ALARMS": ",".join(settings.alarms),
        "RELEASED_URI": settings.released_uri,
        "CAPTURE_URI": settings.captures_uri,
        "CAPTURE_PERCENT": str(endpoint.capture_percent),
        "KMS_KEY": settings.encryption.kms_key,
        "SUBNETS": ",".join(settings.network.subnets),
        "SECURITY_GROUPS": ",".join(settings.network.security_groups),
    }


def deployment_rules(settings: Settings) -> tuple[str, str]:
    """Names of the EventBridge rules that invoke the deploy function.

    The first matches an approval in the model package group, the second each change of the endpoint: the function
    evaluates a change that has ended, and deploys a version that was approved while the endpoint was busy.
    """
    return f"{settings.name}-deploy-on-approval", f"{settings.name}-deploy-after-change"


def alert_environment(settings: Settings) -> dict[str, str]:
    """The alert function's environment; `steps.alert.settings` reads it."""
    return {
        "TOPIC_ARN": settings.alerts_topic_arn,
        "PIPELINE_ARN": f"arn:aws:sagemaker:{settings.account.region}:{settings.account.id}:pipeline/{settings.name}",
        "ENDPOINT_NAME": settings.endpoint.name,
        "ROOT_URI": settings.root_uri,
        "COMMAND": settings.command,
    }


def alert_rules(settings: Settings) -> tuple[str, str, str]:
    """Names of the EventBridge rules that invoke the alert function.

    The first matches the pipeline's failed runs, the second decisions of the deploy function that call for an alert,
    the third the end of the monitor's jobs.
    """
    return tuple(f"{settings.name}-alert-{kind}" for kind in ("run", "deployment", "monitor"))  # type: ignore[return-value]
