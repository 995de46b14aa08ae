"""The parameters of a run, and the context that every step is built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.aws import instances
from pipeline.compiling import step_images as images
from pipeline.compiling.offline import OfflineSession, offline_sdk
from pipeline.compiling.source import Source
from pipeline.settings import Settings, iso_duration

with offline_sdk():
    from sagemaker.core.workflow.execution_variables import ExecutionVariables
    from sagemaker.core.workflow.functions import Join
    from sagemaker.core.workflow.parameters import Parameter, ParameterFloat, ParameterInteger, ParameterString
    from sagemaker.mlops.workflow.steps import CacheConfig


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
    approval_status: Parameter
    register_again: Parameter

    @classmethod
    def of(cls, settings: Settings) -> Parameters:
        """The parameters with the settings as their defaults."""
        training = settings.training
        return cls(
            image_location=ParameterString("ImageLocation", settings.data.image_location),
            data_version=ParameterString("DataVersion", settings.data.version),
            shard_version=ParameterString("ShardVersion", settings.shard.version),
            training_version=ParameterString("TrainingVersion", settings.training.version),
            maximum_quantity=ParameterInteger("MaximumQuantity", settings.data.maximum_quantity),
            shard_instance_count=ParameterInteger("ShardInstanceCount", settings.shard.instance_count),
            training_instance_type=ParameterString(
                "TrainingInstanceType",
                training.instance_type,
                enum_values=instances.alternatives(
                    # Whether a volume has a key depends on the type, so all types that a run may choose must agree.
                    training.instance_type,
                    training.launcher,
                    cuda_13=not settings.images.training_base,
                    same_disks=bool(settings.encryption.kms_key),
                    gigabytes=training.volume_gigabytes,
                ),
            ),
            training_instance_count=ParameterInteger("TrainingInstanceCount", training.instance_count),
            epochs=ParameterInteger("Epochs", training.epochs),
            minimum_accuracy=ParameterFloat("MinimumAccuracy", settings.gate.minimum_accuracy),
            maximum_rmse=ParameterFloat("MaximumRmse", settings.gate.maximum_rmse),
            maximum_accuracy_loss=ParameterFloat("MaximumAccuracyLoss", settings.gate.maximum_accuracy_loss),
            approval_status=ParameterString(
                "ApprovalStatus", settings.registry.approval, enum_values=settings.registry.approvals
            ),
            register_again=ParameterString(
                "RegisterAgain", "yes" if settings.registry.register_again else "no", enum_values=["no", "yes"]
            ),
        )

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
