"""The parameters of a run, and the context that every step is built from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pipeline.aws import instances
from pipeline.compiling import step_images as images
from pipeline.compiling.offline import OfflineSession, offline_sdk
from pipeline.compiling.source import Source
from pipeline.settings import Settings, iso_duration
from pipeline.settings.parameters import declarations

with offline_sdk():
    from sagemaker.core.workflow.execution_variables import ExecutionVariables
    from sagemaker.core.workflow.functions import Join
    from sagemaker.core.workflow.parameters import Parameter, ParameterFloat, ParameterInteger, ParameterString
    from sagemaker.mlops.workflow.steps import CacheConfig

# The SDK's class of each type.
_KINDS = {"String": ParameterString, "Integer": ParameterInteger, "Float": ParameterFloat}


@dataclass(frozen=True)
class Parameters:
    """The values that a person may change per run; Studio's start form shows them with their defaults."""

    image_location: Parameter
    data_version: Parameter
    shard_version: Parameter
    training_version: Parameter
    maximum_quantity: Parameter
    shard_instance_count: Parameter
    training_instance_type: Parameter
    training_instance_count: Parameter
    epochs: Parameter
    minimum_accuracy: Parameter
    maximum_rmse: Parameter
    maximum_accuracy_loss: Parameter
    minimum_sure_accuracy: Parameter
    sure_coverage: Parameter
    approval_status: Parameter
    register_again: Parameter

    @classmethod
    def of(cls, settings: Settings) -> Parameters:
        """The parameters with the settings as their defaults."""
        training = settings.training
        types = instances.alternatives(
            # Whether a volume has a key depends on the type, so all types that a run may choose must agree.
            training.instance_type,
            training.launcher,
            cuda_13=not settings.images.training_base,
            same_disks=bool(settings.encryption.kms_key),
            gigabytes=training.volume_gigabytes,
        )
        if training.precision == "bf16":
            types = [name for name in types if instances.computes_bfloat16(name)]
        values = {
            "TrainingInstanceType": types,
            "ApprovalStatus": settings.registry.approvals,
            "RegisterAgain": ["no", "yes"],
        }
        declared = {
            re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower(): _KINDS[parameter.kind](
                name, parameter.default(settings), **({"enum_values": values[name]} if name in values else {})
            )
            for name, parameter in declarations().items()
        }
        return cls(**declared)

    def named(self, name: str) -> Parameter:
        """The parameter of a name, such as `Epochs`."""
        return next(parameter for parameter in self.as_list() if parameter.name == name)

    def as_list(self) -> list[Parameter]:
        """All parameters, in the order of their fields."""
        return list(vars(self).values())


@dataclass(frozen=True)
class Context:
    """The settings, parameters, session and source that every step is built from."""

    settings: Settings
    parameters: Parameters
    session: OfflineSession
    source: Source | None

    def output_uri(self, *path: str) -> Join:
        """The URI of `path` in this run: PREFIX/runs/EXECUTION/PATH."""
        values = [f"{self.settings.root_uri}/runs", ExecutionVariables.PIPELINE_EXECUTION_ID, *path]
        return Join(on="/", values=values)

    def checkpoints_uri(self) -> Join:
        """The prefix of this run's checkpoints, below one prefix that the bucket's lifecycle rules expire."""
        return Join(on="/", values=[self.settings.checkpoints_uri, ExecutionVariables.PIPELINE_EXECUTION_ID])

    def image_uri(self, step: str) -> str:
        """The image of `step`, tagged with the hash of its content."""
        return images.step_image(step, self.settings).uri

    def cache(self, duration: str) -> CacheConfig:
        """A cache configuration that expires after `duration`."""
        return CacheConfig(enable_caching=self.settings.cache.enabled, expire_after=iso_duration(duration))


def as_text(value: Any) -> Any:
    """A plain value as text; a pipeline variable as it is."""
    return str(value) if isinstance(value, int | float | str) else value
