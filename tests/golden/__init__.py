"""The compiled definitions as they are reviewed: one file a profile and a variant, rewritten by `make golden`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pipeline import ROOT
from pipeline.compiling.step_images import STEPS
from pipeline.settings import Settings
from pipeline.settings.file import load_settings

FOLDER = Path(__file__).parent
REWRITE = "make golden"
PROFILES = ("local", "demo", "dev", "prod")
KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
_SECURE: dict[str, dict[str, Any]] = {
    "network": {
        "subnets": ["subnet-0123456789abcdef0", "subnet-0fedcba9876543210"],
        "security_groups": ["sg-0123456789abcdef0"],
        "isolation": True,
        "encrypt_traffic": True,
    },
    "encryption": {"kms_key": KEY},
}
# What a variant changes of the profile `prod`.
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "smddp-p4d": {
        "training": {"backend": "smddp", "instance_type": "ml.p4d.24xlarge", "instance_count": 2, "spot": False}
    },
    "nccl-g5": {"training": {"backend": "nccl", "instance_type": "ml.g5.12xlarge", "instance_count": 2}},
    "nccl-g4dn": {"training": {"backend": "nccl", "instance_type": "ml.g4dn.xlarge"}},
    "gloo-c5": {"training": {"backend": "gloo", "instance_type": "ml.c5.4xlarge", "instance_count": 2}},
    # The plan and the exploration as jobs of several instances.
    "spark": {
        "shard": {
            "planner": "spark",
            "plan_instance_type": "ml.m5.4xlarge",
            "plan_instance_count": 4,
            "plan_volume_gigabytes": 200,
        },
        "explore": {"enabled": True, "instance_type": "ml.m5.4xlarge", "instance_count": 2},
    },
    "hyperband": {"tuning": {"strategy": "Hyperband"}},
    "secure-gpu": {**_SECURE, "training": {"input": "fastfile", "instance_count": 2}},
    "secure-cpu": {
        **_SECURE,
        "tags": {"team": "vision"},
        "training": {"input": "fastfile", "instance_type": "ml.m5.4xlarge"},
    },
}
NAMES = (*PROFILES, *VARIANTS)
# Every change to a step's source changes its tag; what is reviewed here is what the definition asks for.
_TAG = re.compile(rf"\b({'|'.join(STEPS)})-[0-9a-f]{{16}}\b")


def settings(name: str) -> Settings:
    """The settings of a profile or a variant."""
    if name in PROFILES:
        return load_settings(ROOT / "pipeline.yaml", name)
    values = load_settings(ROOT / "pipeline.yaml", "prod").model_dump()
    for group, changes in VARIANTS[name].items():
        values[group] = {**values[group], **changes}
    return Settings.model_validate(values)


def compiled(name: str) -> dict[str, Any]:
    """The definition of a profile or a variant."""
    from pipeline.definition import compile_definition

    definition: dict[str, Any] = json.loads(compile_definition(settings(name)))
    return definition


def reviewed(definition: dict[str, Any]) -> str:
    """A definition as its file shows it."""
    return _TAG.sub(r"\1-<hash>", json.dumps(definition, indent=1, sort_keys=True, ensure_ascii=False)) + "\n"


def path(name: str) -> Path:
    """The file of a profile or a variant."""
    return FOLDER / f"{name}.json"
