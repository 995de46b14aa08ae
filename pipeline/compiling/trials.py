"""The tuning step's request: the trainer with its hyperparameters, the search ranges, and the best model."""

from __future__ import annotations

from typing import Any

from pipeline.compiling import vpc
from pipeline.compiling.context import Context, as_text
from pipeline.compiling.offline import offline_sdk
from pipeline.settings import Choices, Settings, seconds

with offline_sdk():
    from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter
    from sagemaker.core.shapes import (
        CheckpointConfig,
        HyperbandStrategyConfig,
        HyperParameterTuningJobStrategyConfig,
        OutputDataConfig,
        RetryStrategy,
        StoppingCondition,
    )
    from sagemaker.core.workflow.execution_variables import ExecutionVariables
    from sagemaker.core.workflow.functions import Join
    from sagemaker.mlops.workflow.steps import TuningStep
    from sagemaker.train.configs import Compute
    from sagemaker.train.model_trainer import ModelTrainer

# Where the toolkit expects the code that the training image contains.
TRAINING_CODE = "/opt/ml/code"
TRAINING_PROGRAM = "steps/train/__main__.py"
# After SIGTERM mpirun passes the signal on and, by default, kills its processes after one second, while they save their
# checkpoint (orte/mca/odls/base in Open MPI 4.1). It waits this time twice, 100 of the 110 seconds that
# containers/training/forward_signals.py waits; so long also after the failure of a rank, until the job has failed.
MPI_OPTIONS = "-mca odls_base_sigkill_timeout 50"


def trainer(context: Context) -> ModelTrainer:
    """The trainer of every trial."""
    settings, parameters = context.settings, context.parameters
    training, key = settings.training, settings.encryption.kms_key
    configured = ModelTrainer(
        training_image=context.image_uri("train"),
        role=settings.role_arn("job"),
        sagemaker_session=context.session,
        base_job_name=settings.name,
        compute=Compute(
            instance_type=parameters.training_instance_type,
            instance_count=parameters.training_instance_count,
            volume_size_in_gb=training.volume_gigabytes,
            enable_managed_spot_training=training.spot,
        ),
        stopping_condition=StoppingCondition(
            max_runtime_in_seconds=seconds(training.run_time),
            max_wait_time_in_seconds=seconds(training.wait_time) if training.spot else None,
        ),
        hyperparameters=_hyperparameters(context),
        environment=_environment(context),
        # No execution id: after a cache hit, a later run has only the name of the tuning job to locate the model.
        output_data_config=OutputDataConfig(
            s3_output_path=f"{settings.root_uri}/models", **({"kms_key_id": key} if key else {})
        ),
        checkpoint_config=CheckpointConfig(s3_uri=context.checkpoints_uri(), local_path="/opt/ml/checkpoints"),
    )
    # No keep_alive_period_in_seconds: the SDK's tuner drops it, and a tuning job reuses warm instances by itself.
    # A tuning step never retries an internal error of the service, so its training jobs do.
    return configured.with_retry_strategy(RetryStrategy(maximum_retry_attempts=3)) or configured


class TrialsStep(TuningStep):  # type: ignore[misc]  # the SDK carries no types
    """A tuning step whose trials get the network and the volumes' key, which the SDK's tuner drops from its trainer.

    No other compiled request is changed: of these settings the tuner supports VPCs alone, and ignores an error in
    them.
    """

    def __init__(self, settings: Settings, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._settings = settings

    @property
    def arguments(self) -> Any:
        """The request of the tuning job."""
        request = super().arguments
        trial = request["TrainingJobDefinition"]
        trial.update(vpc.trial(self._settings))
        # All types that a run may choose agree with the default on it (Parameters.of).
        trial["ResourceConfig"].update(vpc.volume_key(self._settings, self._settings.training.instance_type))
        return request


def _environment(context: Context) -> dict[str, Any]:
    """The environment of trials, which the step cache does not compare (pipeline/aws/step_cache.py)."""
    values = {"AWS_DEFAULT_REGION": context.settings.account.region, "IMAGE_URI": context.image_uri("train")}
    if context.settings.tracking.kind != "mlflow":
        return values
    # The run of MLflow that trials belong to.
    return {**values, "PIPELINE_EXECUTION_ARN": ExecutionVariables.PIPELINE_EXECUTION_ARN}


def _hyperparameters(context: Context) -> dict[str, Any]:
    training = context.settings.training
    values: dict[str, Any] = {
        "architecture": training.architecture,
        "image-size": training.image_size,
        "progressive-resizing": training.progressive_resizing,
        "random-affine": training.random_affine,
        "mirrored-answers": training.mirrored_answers,
        "epochs": context.parameters.epochs.to_string(),
        "batch-size": training.batch_size,
        "learning-rate": training.learning_rate,
        "weight-decay": training.weight_decay,
        "optimizer": training.optimizer,
        "momentum": training.momentum,
        "warmup-epochs": training.warmup_epochs,
        "label-smoothing": training.label_smoothing,
        "accumulation": training.accumulation,
        "ordinal-weight": training.ordinal_weight,
        "ema-decay": training.ema_decay,
        "clip-norm": training.clip_norm,
        "class-weighting": training.class_weighting,
        "best-epoch-by": training.best_epoch_by,
        "patience": training.patience,
        "workers": training.workers,
        "precision": training.precision,
        "sync-batch-norm": training.sync_batch_norm,
        "compile": training.compile,
        "backend": training.backend,
        "decision": context.settings.evaluation.decision,
        "set-level": training.set_level,
        "sure-accuracy": training.sure_accuracy,
        "checkpoint-minutes": training.checkpoint_minutes,
        "checkpoints-kept": training.checkpoints_kept,
        "seed": training.seed,
        "profile-steps": training.profile_steps,
        "version": context.parameters.training_version,
        **_tracking(context.settings),
    }
    if weights := context.settings.weights_uri:
        values["weights"] = weights
    if training.input != "stream":
        # The prefix that the channel mounts; the index names shards by their URIs.
        values["shards-location"] = f"{context.settings.root_uri}/shards"
    searched = {_flag(name) for name in context.settings.tuning.ranges}
    return {name: as_text(value) for name, value in values.items() if name not in searched} | _launcher(context)


def _tracking(settings: Settings) -> dict[str, str]:
    """The tracker, with the name of its secret and never the secret."""
    tracking = settings.tracking
    if tracking.kind == "none":
        return {}
    chosen = {"tracker": tracking.kind, "tracking-experiment": tracking.experiment or settings.name}
    if tracking.kind == "mlflow":
        return {**chosen, "tracking-server": tracking.mlflow_server}
    return {**chosen, "tracking-secret": tracking.wandb_secret}


def _launcher(context: Context) -> dict[str, Any]:
    """The toolkit's own hyperparameters, since a tuning job has no entry point that could choose the launcher."""
    common = {
        "sagemaker_program": TRAINING_PROGRAM,
        "sagemaker_submit_directory": TRAINING_CODE,
        "sagemaker_region": context.settings.account.region,
    }
    if context.settings.training.launcher == "smddp":
        return common | {
            "sagemaker_distributed_dataparallel_enabled": "true",
            "sagemaker_distributed_dataparallel_custom_mpi_options": MPI_OPTIONS,
            "sagemaker_instance_type": context.parameters.training_instance_type,
        }
    return common | {"sagemaker_torch_distributed_enabled": "true"}


def ranges(settings: Settings) -> dict[str, Any]:
    """The search ranges by hyperparameter."""
    searched: dict[str, Any] = {}
    for name, values in settings.tuning.ranges.items():
        if isinstance(values, Choices):
            searched[_flag(name)] = CategoricalParameter(list(map(str, values.values)))
        else:
            searched[_flag(name)] = ContinuousParameter(values.minimum, values.maximum, scaling_type=values.scale)
    return searched


def hyperband(context: Context) -> HyperParameterTuningJobStrategyConfig:
    """Epochs as the resource: SageMaker counts a trial's values of the objective, and the trainer prints one per epoch.

    Without a maximum the service takes the static hyperparameter `epochs`, which is the run's parameter, so a run with
    more epochs than the settings have is not cut off. (The SDK takes no parameter here.)
    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_HyperbandStrategyConfig.html
    """
    return HyperParameterTuningJobStrategyConfig(
        hyperband_strategy_config=HyperbandStrategyConfig(
            min_resource=context.settings.hyperband_minimum(),
            max_resource=context.settings.tuning.hyperband.maximum_epochs,
        )
    )


def best_model(context: Context, tune: TuningStep) -> Join:
    """The URI of the best trial's artifact."""
    settings = context.settings
    return tune.get_top_model_s3_uri(0, settings.data.bucket, f"{settings.data.prefix}/models")


def _flag(name: str) -> str:
    return name.replace("_", "-")
