"""The pipeline: settings in, SageMaker Pipeline out, one function a step, in the order in which they run.

    QueryMetadata -> ShardImages -> TuneModel -> EvaluateModel -> QualityGate -> QualityGateFailed
                                                              \\-> NewVersion -> RegisterModel -> DeployModel

The two conditions stand side by side: SageMaker neither nests conditions nor takes one as the input of another.
https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html#step-type-condition

The definition is a pure function of the settings and the source tree: it compiles with no AWS call, uploads nothing,
and gives the same bytes from every folder and for every user. SageMaker's step cache rests on that.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.aws import instances
from pipeline.compiling import step_images as images
from pipeline.compiling import vpc as network
from pipeline.compiling.offline import OfflineSession, offline_sdk
from pipeline.compiling.source import Source
from pipeline.settings import Choices, Settings, iso_duration, seconds
from steps.contracts import hand_over, metrics, names

with offline_sdk():
    from sagemaker.core.drift_check_baselines import DriftCheckBaselines
    from sagemaker.core.lambda_helper import Lambda
    from sagemaker.core.metadata_properties import MetadataProperties
    from sagemaker.core.model_metrics import MetricsSource, ModelMetrics
    from sagemaker.core.network import NetworkConfig
    from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter
    from sagemaker.core.processing import Processor
    from sagemaker.core.shapes import (
        Channel,
        CheckpointConfig,
        DataSource,
        HyperbandStrategyConfig,
        HyperParameterTuningJobStrategyConfig,
        ModelPackageModelCard,
        OutputDataConfig,
        ProcessingInput,
        ProcessingOutput,
        ProcessingS3Input,
        ProcessingS3Output,
        RetryStrategy,
        S3DataSource,
        StoppingCondition,
    )
    from sagemaker.core.workflow.conditions import (
        Condition,
        ConditionGreaterThanOrEqualTo,
        ConditionLessThanOrEqualTo,
    )
    from sagemaker.core.workflow.execution_variables import ExecutionVariables
    from sagemaker.core.workflow.functions import Join, JsonGet
    from sagemaker.core.workflow.parameters import Parameter, ParameterFloat, ParameterInteger, ParameterString
    from sagemaker.core.workflow.pipeline_definition_config import PipelineDefinitionConfig
    from sagemaker.core.workflow.properties import PropertyFile
    from sagemaker.mlops.workflow.condition_step import ConditionStep
    from sagemaker.mlops.workflow.fail_step import FailStep
    from sagemaker.mlops.workflow.lambda_step import LambdaOutput, LambdaOutputTypeEnum, LambdaStep
    from sagemaker.mlops.workflow.model_step import ModelStep
    from sagemaker.mlops.workflow.pipeline import Pipeline
    from sagemaker.mlops.workflow.retry import (
        RetryPolicy,
        SageMakerJobExceptionTypeEnum,
        SageMakerJobStepRetryPolicy,
        StepExceptionTypeEnum,
        StepRetryPolicy,
    )
    from sagemaker.mlops.workflow.steps import CacheConfig, ProcessingStep, TuningStep
    from sagemaker.serve.model_builder import ModelBuilder
    from sagemaker.train.configs import Compute, InputData
    from sagemaker.train.model_trainer import ModelTrainer
    from sagemaker.train.tuner import HyperparameterTuner

if TYPE_CHECKING:
    from collections.abc import Mapping

EVALUATE = "EvaluateModel"
# Property files that name the place of what a step hands on.
LABELS, INDEX = "Labels", "Index"
ACCURACY = "multiclass_classification_metrics.accuracy.value"
RMSE = "regression_metrics.rmse.value"
ACCURACY_LOSS = "gate.accuracy_loss"
CHAMPION = "gate.champion"
REGISTRATION_WANTED = "registration.wanted"
# Where the toolkit finds the code that is baked into the training image.
TRAINING_CODE = "/opt/ml/code"
TRAINING_PROGRAM = "steps/train/__main__.py"


@dataclass(frozen=True)
class Parameters:
    """What a person may change for one run; Studio's start form shows these with their defaults."""

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
                    # A volume's key is asked for, or refused, by the type: all that a run may take must agree on it.
                    training.instance_type,
                    training.launcher,
                    cuda_13=not settings.images.training_base,
                    same_disks=bool(settings.encryption.kms_key),
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
    """What every step is built from."""

    settings: Settings
    parameters: Parameters
    session: OfflineSession
    source: Source | None

    def output_uri(self, *path: str) -> Join:
        """Where this run's `path` goes: PREFIX/runs/EXECUTION/PATH."""
        values = [f"{self.settings.root_uri}/runs", ExecutionVariables.PIPELINE_EXECUTION_ID, *path]
        return Join(on="/", values=values)

    def checkpoints_uri(self) -> Join:
        """Where this run's trials keep their checkpoints: below one prefix for all runs, which the bucket expires."""
        return Join(on="/", values=[self.settings.checkpoints_uri, ExecutionVariables.PIPELINE_EXECUTION_ID])

    def image_uri(self, step: str) -> str:
        """The image of `step`, tagged with the hash of its content."""
        return images.step_image(step, self.settings).uri

    def cache(self, duration: str) -> CacheConfig:
        """A cache configuration that expires after `duration`."""
        return CacheConfig(enable_caching=self.settings.cache.enabled, expire_after=iso_duration(duration))


@dataclass(frozen=True)
class Evidence:
    """What EvaluateModel leaves for the steps after it."""

    evaluation: PropertyFile
    card: PropertyFile

    def value(self, path: str) -> JsonGet:
        """A value of `evaluation.json`."""
        return JsonGet(step_name=EVALUATE, property_file=self.evaluation, json_path=path)

    def card_content(self) -> JsonGet:
        """The model card, as the registry takes it: a string."""
        return JsonGet(step_name=EVALUATE, property_file=self.card, json_path="content")


def build(settings: Settings, source: Source | None = None) -> Pipeline:
    """The whole pipeline of `settings`; `source` is what its models say they come from."""
    context = Context(settings, Parameters.of(settings), OfflineSession(settings), source)
    query = query_metadata(context)
    shard = shard_images(context, query)
    tune = tune_model(context, shard)
    evaluate, evidence = evaluate_model(context, query, shard, tune)
    gate = quality_gate(context, evidence)
    release = new_version(context, evidence, tune)
    return Pipeline(
        name=settings.name,
        parameters=context.parameters.as_list(),
        steps=[query, shard, tune, evaluate, gate, release],
        sagemaker_session=context.session,
        pipeline_definition_config=PipelineDefinitionConfig(use_custom_job_prefix=False),
    )


def compile_definition(settings: Settings, source: Source | None = None) -> str:
    """The definition as the JSON text that goes to SageMaker, keys sorted."""
    with offline_sdk(settings.account.region):
        definition = json.loads(build(settings, source).definition())
    # The SDK writes null for what was not asked for.
    definition = {key: value for key, value in definition.items() if value is not None}
    return json.dumps(definition, sort_keys=True, separators=(",", ":"))


# ------------------------------------------------------------------------------------------------ the steps


def query_metadata(context: Context) -> ProcessingStep:
    """1. Athena over the metadata: consolidated Parquet and the labels."""
    data = context.settings.data
    return _processing_step(
        context,
        name="QueryMetadata",
        step="query",
        instance_type=data.instance_type,
        arguments={
            "image-location": context.parameters.image_location,
            "data-version": context.parameters.data_version,
            "maximum-quantity": context.parameters.maximum_quantity.to_string(),
            "database": data.database,
            "workgroup": data.workgroup,
            "timeout-minutes": data.query_minutes,
        },
        inputs={},
        outputs=("metadata", "summary"),
        lasting_outputs=("labels",),
        hands_on=LABELS,
        cache=context.cache(context.settings.cache.fresh_for),
    )


def shard_images(context: Context, query: ProcessingStep) -> ProcessingStep:
    """2. Photos into WebDataset shards, a split each for training, validation and test, and their index."""
    shard = context.settings.shard
    arguments = {
        "image-location": context.parameters.image_location,
        "image-size": shard.image_size,
        "quality": shard.quality,
        "split": shard.split,
        "seed": shard.seed,
        "validation-fraction": shard.validation_fraction,
        "test-fraction": shard.test_fraction,
        "shard-megabytes": shard.megabytes,
        "maximum-rejects": shard.maximum_rejects,
        "maximum-removed": shard.maximum_removed,
        "compact": shard.compact,
    }
    if shard.split_file:
        arguments["split-file-location"] = shard.split_file
    return _processing_step(
        context,
        name="ShardImages",
        step="shard",
        instance_type=shard.instance_type,
        instance_count=context.parameters.shard_instance_count,
        arguments=arguments,
        environment={"SHARD_VERSION": context.parameters.shard_version},
        inputs={"labels": _handed_on(query, LABELS)},
        outputs=("summary",),
        # What later runs go on from: shards that add up, the splits of bins that are in one, and indexes by content.
        lasting_outputs=("shards", "assignments", "indexes"),
        hands_on=INDEX,
        cache=context.cache(context.settings.cache.keep_for),
    )


def tune_model(context: Context, shard: ProcessingStep) -> TuningStep:
    """3. Trials of distributed training, ranked by their best validation accuracy."""
    tuning = context.settings.tuning
    trainer = _trainer(context)
    tuner = HyperparameterTuner(
        model_trainer=trainer,
        objective_metric_name=metrics.OBJECTIVE,
        objective_type="Maximize",
        metric_definitions=[{"Name": name, "Regex": pattern} for name, pattern in metrics.PATTERNS.items()],
        hyperparameter_ranges=_ranges(context.settings),
        strategy=tuning.strategy,
        strategy_config=_hyperband(context) if tuning.strategy == "Hyperband" else None,
        max_jobs=tuning.trials,
        max_parallel_jobs=tuning.parallel,
        early_stopping_type="Auto" if tuning.stops_early else "Off",
        random_seed=tuning.seed,
        base_tuning_job_name=context.settings.name,
    )
    channels: list[Any] = [InputData(channel_name=names.INDEX_CHANNEL, data_source=_handed_on(shard, INDEX))]
    if context.settings.training.input != "stream":
        channels.append(_shards_channel(context.settings.training.input, _output(shard, "shards")))
    return TrialsStep(
        context.settings,
        "TuneModel",
        step_args=tuner.tune(inputs=channels),
        cache_config=context.cache(context.settings.cache.keep_for),
        retry_policies=_step_retries(),
    )


def _shards_channel(mode: str, uri: Any) -> Channel:
    source = S3DataSource(s3_data_type="S3Prefix", s3_uri=uri, s3_data_distribution_type="FullyReplicated")
    input_mode = {"fastfile": "FastFile", "file": "File"}[mode]
    return Channel(
        channel_name=names.SHARDS_CHANNEL, data_source=DataSource(s3_data_source=source), input_mode=input_mode
    )


def evaluate_model(
    context: Context, query: ProcessingStep, shard: ProcessingStep, tune: TuningStep
) -> tuple[ProcessingStep, Evidence]:
    """4. The best model on the test split. Never cached: a gate that was moved must judge again, and so must one whose
    champion is another; and whether a version is this model already depends on the registry.
    """
    parameters = context.parameters
    evidence = Evidence(
        PropertyFile(name="Evaluation", output_name="evaluation", path=names.EVALUATION_FILE),
        PropertyFile(name="ModelCard", output_name="evaluation", path=names.MODEL_CARD_FILE),
    )
    step = _processing_step(
        context,
        name=EVALUATE,
        step="evaluate",
        instance_type=context.settings.evaluation.instance_type,
        arguments={
            "decision": context.settings.evaluation.decision,
            "group": context.settings.registry.group,
            "tuning-job": tune.properties.HyperParameterTuningJobName,
            "run": ExecutionVariables.PIPELINE_EXECUTION_ARN,
            "minimum-accuracy": parameters.minimum_accuracy.to_string(),
            "maximum-rmse": parameters.maximum_rmse.to_string(),
            "maximum-accuracy-loss": parameters.maximum_accuracy_loss.to_string(),
            "evaluation-image": context.image_uri("evaluate"),
            "serving-image": context.image_uri("serve"),
            "register-again": parameters.register_again,
            "approval": parameters.approval_status,
        },
        inputs={
            "model": _best_model(context, tune),
            "index": _handed_on(shard, INDEX),
            "sharding": _output(shard, "summary"),
            "summary": _output(query, "summary"),
        },
        outputs=("evaluation",),
        property_files=[evidence.evaluation, evidence.card],
    )
    return step, evidence


def quality_gate(context: Context, evidence: Evidence) -> ConditionStep:
    """5. Accuracy and RMSE against the thresholds and the champion: a run that does not pass fails with the numbers.

    The SDK's own tests give the service a branch without steps beside one that fails:
    https://github.com/aws/sagemaker-python-sdk/blob/b76191db13e0006ea94c1233e36c52b6524d2ebb/tests/integ/sagemaker/workflow/test_fail_steps.py
    """
    return ConditionStep(
        name="QualityGate",
        description="Accuracy, RMSE and the loss against the champion are within the thresholds",
        conditions=_passes(context, evidence),
        if_steps=[],
        else_steps=[quality_gate_failed(context, evidence)],
    )


def new_version(context: Context, evidence: Evidence, tune: TuningStep) -> ConditionStep:
    """6. What the gate asks, and that no version is this model already: register and deploy, or nothing.

    It asks again what the gate asks, of the same file, for it cannot ask for the gate's outcome.
    """
    register = register_model(context, evidence, tune)
    return ConditionStep(
        name="NewVersion",
        description="The gate is passed, and no registered version is this model already",
        conditions=[
            *_passes(context, evidence),
            ConditionGreaterThanOrEqualTo(left=evidence.value(REGISTRATION_WANTED), right=1),
        ],
        if_steps=[register, deploy_model(context, register)],
        else_steps=[],
    )


def _passes(context: Context, evidence: Evidence) -> list[Condition]:
    parameters = context.parameters
    return [
        ConditionGreaterThanOrEqualTo(left=evidence.value(ACCURACY), right=parameters.minimum_accuracy),
        ConditionLessThanOrEqualTo(left=evidence.value(RMSE), right=parameters.maximum_rmse),
        ConditionLessThanOrEqualTo(left=evidence.value(ACCURACY_LOSS), right=parameters.maximum_accuracy_loss),
    ]


def register_model(context: Context, evidence: Evidence, tune: TuningStep) -> ModelStep:
    """7. A model package with its evidence; a person approves it, unless the parameter says Approved."""
    settings = context.settings
    builder = ModelBuilder(
        s3_model_data_url=_best_model(context, tune),
        image_uri=context.image_uri("serve"),
        role_arn=settings.role_arn("serving"),
        sagemaker_session=context.session,
    )
    statistics = MetricsSource(
        s3_uri=context.output_uri("evaluate", "evaluation", names.EVALUATION_FILE), content_type="application/json"
    )
    arguments = builder.register(
        model_package_group_name=settings.registry.group,
        content_types=["image/jpeg", "application/json"],
        response_types=["application/json"],
        inference_instances=[settings.endpoint.instance_type],
        transform_instances=[settings.endpoint.batch_instance_type],
        model_metrics=ModelMetrics(model_statistics=statistics),
        # What a monitor compares with: how this version counted when it was registered, and which photos.
        drift_check_baselines=DriftCheckBaselines(
            model_statistics=statistics,
            model_data_statistics=MetricsSource(
                s3_uri=context.output_uri("evaluate", "evaluation", names.BASELINE_FILE),
                content_type="application/vnd.apache.parquet",
            ),
        ),
        model_card=ModelPackageModelCard(model_card_content=evidence.card_content(), model_card_status="PendingReview"),
        metadata_properties=MetadataProperties(
            commit_id=context.source.commit if context.source else None,
            repository=(context.source.repository or None) if context.source else None,
            generated_by=ExecutionVariables.PIPELINE_EXECUTION_ARN,
        ),
        approval_status=context.parameters.approval_status,
        customer_metadata_properties=_lineage(context, evidence),
        domain="COMPUTER_VISION",
        task="IMAGE_CLASSIFICATION",
        description="Counts the objects in a photo of a warehouse bin",
    )
    return ModelStep("RegisterModel", step_args=arguments, retry_policies=[_service_retry()])


def _lineage(context: Context, evidence: Evidence) -> dict[str, Any]:
    """Where a version comes from: the run and its parameters, the data and the images."""
    parameters = {
        f"parameter_{one.name}": one if isinstance(one, ParameterString) else one.to_string()
        for one in context.parameters.as_list()
    }
    return parameters | {
        "pipeline_execution_arn": ExecutionVariables.PIPELINE_EXECUTION_ARN,
        "tuning_job": evidence.value("provenance.tuning_job"),
        "training_job": evidence.value("provenance.training_job"),
        # By these, and its artifact, EvaluateModel knows a version that is the same (steps.evaluate.versions).
        "dataset_sha256": evidence.value("dataset.sha256"),
        "decision": context.settings.evaluation.decision,
        "evaluation_image": context.image_uri("evaluate"),
        "serving_image": context.image_uri("serve"),
        "index": evidence.value("provenance.index"),
        "query_execution_id": evidence.value("provenance.query_execution"),
        "query_image": context.image_uri("query"),
        "shard_image": context.image_uri("shard"),
        "training_image": context.image_uri("train"),
        # The deploy function tests the endpoint with them.
        names.GOLDEN_PHOTOS: context.output_uri("evaluate", "evaluation", names.GOLDEN_FILE),
    }


def deploy_model(context: Context, register: ModelStep) -> LambdaStep:
    """8. The function that an approval triggers too; it answers `awaiting-approval` until there is one."""
    function = Lambda(function_arn=context.settings.deploy_function_arn, session=context.session)
    outputs = ("decision", "reason", "endpoint_name", "model_package_version", "endpoint_config_name")
    return LambdaStep(
        name="DeployModel",
        lambda_func=function,
        inputs={"model_package_arn": register.properties.ModelPackageArn},
        outputs=[LambdaOutput(name, LambdaOutputTypeEnum.String) for name in outputs],
    )


def quality_gate_failed(context: Context, evidence: Evidence) -> FailStep:
    """5a. The run fails, and its message names what was reached and what was wanted."""
    parameters = context.parameters
    message = [
        "The model was not registered: accuracy",
        evidence.value("gate.shown.accuracy"),
        "(at least",
        parameters.minimum_accuracy.to_string(),
        "wanted), RMSE",
        evidence.value("gate.shown.rmse"),
        "(at most",
        parameters.maximum_rmse.to_string(),
        "wanted), accuracy lost against the champion",
        evidence.value("gate.shown.accuracy_loss"),
        "(at most",
        parameters.maximum_accuracy_loss.to_string(),
        "allowed; champion:",
        Join(on="", values=[evidence.value(CHAMPION), ")"]),
    ]
    return FailStep(name="QualityGateFailed", error_message=Join(on=" ", values=message))


# ------------------------------------------------------------------------------------------------ what they share


def _processing_step(
    context: Context,
    *,
    name: str,
    step: str,
    instance_type: str,
    arguments: Mapping[str, Any],
    environment: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Any],
    outputs: tuple[str, ...],
    lasting_outputs: tuple[str, ...] = (),
    hands_on: str = "",
    instance_count: Parameter | int = 1,
    cache: CacheConfig | None = None,
    property_files: list[PropertyFile] | None = None,
) -> ProcessingStep:
    """A processing job that runs `python3 -m steps.STEP` in that step's image.

    `outputs` are this run's own; `lasting_outputs` have one place for all runs. A step that `hands_on` something
    says in its summary where that is: a property file of that name.
    """
    places = {key: context.output_uri(step, key) for key in outputs}
    places |= {key: f"{context.settings.root_uri}/{key}" for key in lasting_outputs}
    processor = Processor(
        role=context.settings.role_arn("job"),
        image_uri=context.image_uri(step),
        instance_count=instance_count,
        instance_type=instance_type,
        entrypoint=["python3", "-m", f"steps.{step}"],
        base_job_name=step,
        sagemaker_session=context.session,
        env={"AWS_DEFAULT_REGION": context.settings.account.region, **(environment or {})},
        network_config=_network(context.settings, several_instances=instance_count != 1),
        volume_kms_key=network.volume_key(context.settings, instance_type).get("VolumeKmsKeyId"),
        output_kms_key=context.settings.encryption.kms_key or None,
    )
    flags = [part for key, value in arguments.items() for part in (f"--{key}", _text(value))]
    step_args = processor.run(
        inputs=[_input(key, uri) for key, uri in inputs.items()],
        outputs=[_declared_output(key, uri) for key, uri in places.items()],
        arguments=flags,
    )
    files = [*(property_files or []), *([_hand_over(hands_on)] if hands_on else [])]
    return ProcessingStep(
        name, step_args=step_args, cache_config=cache, property_files=files, retry_policies=_job_retries()
    )


def _network(settings: Settings, *, several_instances: bool) -> NetworkConfig | None:
    members = network.processing(settings, several_instances=several_instances).get("NetworkConfig")
    if members is None:
        return None
    vpc = members.get("VpcConfig", {})
    return NetworkConfig(
        enable_network_isolation=members["EnableNetworkIsolation"],
        encrypt_inter_container_traffic=members.get("EnableInterContainerTrafficEncryption"),
        subnets=vpc.get("Subnets"),
        security_group_ids=vpc.get("SecurityGroupIds"),
    )


def _input(name: str, uri: Any) -> ProcessingInput:
    s3 = ProcessingS3Input(
        s3_uri=uri, local_path=f"/opt/ml/processing/input/{name}", s3_data_type="S3Prefix", s3_input_mode="File"
    )
    return ProcessingInput(input_name=name, s3_input=s3)


def _declared_output(name: str, uri: Join | str) -> ProcessingOutput:
    """An output that the container streams to S3 itself or leaves in the folder; either way this is its place."""
    s3 = ProcessingS3Output(s3_uri=uri, local_path=f"/opt/ml/processing/output/{name}", s3_upload_mode="EndOfJob")
    return ProcessingOutput(output_name=name, s3_output=s3)


def _hand_over(name: str) -> PropertyFile:
    return PropertyFile(name=name, output_name="summary", path=hand_over.NAME)


def _handed_on(step: ProcessingStep, name: str) -> JsonGet:
    """The place of what a step hands on, which is named by its content.

    The step cache compares it as an input, so that a step after this one runs again for other content only, not for
    another run (docs/decisions/0018).
    """
    return JsonGet(step_name=step.name, property_file=_hand_over(name), json_path="uri")


def _output(step: ProcessingStep, name: str) -> Any:
    """A step's output as a reference: after a cache hit it points to the run that made it."""
    return step.properties.ProcessingOutputConfig.Outputs[name].S3Output.S3Uri


def _trainer(context: Context) -> ModelTrainer:
    settings, parameters = context.settings, context.parameters
    training, key = settings.training, settings.encryption.kms_key
    trainer = ModelTrainer(
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
        environment={"AWS_DEFAULT_REGION": settings.account.region, "IMAGE_URI": context.image_uri("train")},
        # No execution id: a cached TuneModel gives a later run its job's name, and the model must be found from it.
        output_data_config=OutputDataConfig(
            s3_output_path=f"{settings.root_uri}/models", **({"kms_key_id": key} if key else {})
        ),
        checkpoint_config=CheckpointConfig(s3_uri=context.checkpoints_uri(), local_path="/opt/ml/checkpoints"),
    )
    # No keep_alive_period_in_seconds: the SDK's tuner drops it, and a tuning job hands warm instances from trial to
    # trial by itself.
    # A tuning step never retries an internal error of the service: its training jobs have to.
    return trainer.with_retry_strategy(RetryStrategy(maximum_retry_attempts=3)) or trainer


class TrialsStep(TuningStep):  # type: ignore[misc]  # the SDK carries no types
    """A tuning step whose trials get the network and the volumes' key, which the SDK's tuner drops from its trainer.

    This is the one place where a compiled request is changed: the tuner knows VPCs alone of these, and passes over an
    error with them in silence.
    """

    def __init__(self, settings: Settings, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._settings = settings

    @property
    def arguments(self) -> Any:
        """The request of the tuning job."""
        request = super().arguments
        trial = request["TrainingJobDefinition"]
        trial.update(network.trial(self._settings))
        # The default type speaks for all that a run may choose.
        trial["ResourceConfig"].update(network.volume_key(self._settings, self._settings.training.instance_type))
        return request


def _hyperparameters(context: Context) -> dict[str, Any]:
    training = context.settings.training
    values: dict[str, Any] = {
        "architecture": training.architecture,
        "image-size": training.image_size,
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
        "patience": training.patience,
        "workers": training.workers,
        "precision": training.precision,
        "sync-batch-norm": training.sync_batch_norm,
        "compile": training.compile,
        "backend": training.backend,
        "decision": context.settings.evaluation.decision,
        "checkpoint-minutes": training.checkpoint_minutes,
        "checkpoints-kept": training.checkpoints_kept,
        "seed": training.seed,
        "profile-steps": training.profile_steps,
        "version": context.parameters.training_version,
        **_tracking(context.settings),
    }
    if training.weights:
        values["weights"] = training.weights
    if training.input != "stream":
        # What the channel shows; the index names the shards by their place in S3.
        values["shards-location"] = f"{context.settings.root_uri}/shards"
    searched = {_flag(name) for name in context.settings.tuning.ranges}
    return {name: _text(value) for name, value in values.items() if name not in searched} | _launcher(context)


def _tracking(settings: Settings) -> dict[str, str]:
    """Where to log to: the name of a secret, never the secret."""
    tracking = settings.tracking
    if tracking.kind == "none":
        return {}
    place = {"tracker": tracking.kind, "tracking-experiment": tracking.experiment or settings.name}
    if tracking.kind == "mlflow":
        return {**place, "tracking-server": tracking.mlflow_server}
    return {**place, "tracking-secret": tracking.wandb_secret}


def _launcher(context: Context) -> dict[str, Any]:
    """The toolkit's own hyperparameters: a tuning job has no entry point of its own to say what starts it."""
    common = {
        "sagemaker_program": TRAINING_PROGRAM,
        "sagemaker_submit_directory": TRAINING_CODE,
        "sagemaker_region": context.settings.account.region,
    }
    if context.settings.training.launcher == "smddp":
        return common | {
            "sagemaker_distributed_dataparallel_enabled": "true",
            "sagemaker_instance_type": context.parameters.training_instance_type,
        }
    return common | {"sagemaker_torch_distributed_enabled": "true"}


def _ranges(settings: Settings) -> dict[str, Any]:
    ranges: dict[str, Any] = {}
    for name, values in settings.tuning.ranges.items():
        if isinstance(values, Choices):
            ranges[_flag(name)] = CategoricalParameter(list(map(str, values.values)))
        else:
            ranges[_flag(name)] = ContinuousParameter(values.minimum, values.maximum, scaling_type=values.scale)
    return ranges


def _hyperband(context: Context) -> HyperParameterTuningJobStrategyConfig:
    """Epochs as the resource: SageMaker counts a trial's values of the objective, and the trainer prints one an epoch.

    Without a maximum the service takes the static hyperparameter `epochs`, which is the run's parameter: a run that is
    started with more epochs than the settings say is not cut off at the settings' number. (The SDK takes no parameter
    here.) https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_HyperbandStrategyConfig.html
    """
    return HyperParameterTuningJobStrategyConfig(
        hyperband_strategy_config=HyperbandStrategyConfig(
            min_resource=context.settings.hyperband_minimum(),
            max_resource=context.settings.tuning.hyperband.maximum_epochs,
        )
    )


def _best_model(context: Context, tune: TuningStep) -> Join:
    settings = context.settings
    return tune.get_top_model_s3_uri(0, settings.data.bucket, f"{settings.data.prefix}/models")


def _service_retry() -> StepRetryPolicy:
    return StepRetryPolicy(
        exception_types=[StepExceptionTypeEnum.SERVICE_FAULT, StepExceptionTypeEnum.THROTTLING],
        interval_seconds=10,
        backoff_rate=2.0,
        max_attempts=5,
    )


def _step_retries() -> list[RetryPolicy]:
    capacity = [SageMakerJobExceptionTypeEnum.CAPACITY_ERROR, SageMakerJobExceptionTypeEnum.RESOURCE_LIMIT]
    return [
        _service_retry(),
        SageMakerJobStepRetryPolicy(exception_types=capacity, interval_seconds=60, backoff_rate=2.0, max_attempts=10),
    ]


def _job_retries() -> list[RetryPolicy]:
    internal = SageMakerJobStepRetryPolicy(
        exception_types=[SageMakerJobExceptionTypeEnum.INTERNAL_ERROR],
        interval_seconds=30,
        backoff_rate=2.0,
        max_attempts=3,
    )
    return [*_step_retries(), internal]


def _flag(name: str) -> str:
    return name.replace("_", "-")


def _text(value: Any) -> Any:
    """A plain value as text; a pipeline variable as it is."""
    return str(value) if isinstance(value, int | float | str) else value
