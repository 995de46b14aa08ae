"""The pipeline: settings in, SageMaker Pipeline out, one function per step, in the order of the run.

    CheckParameters -> CheckParametersFailed
    QueryMetadata -> ShardImages -> TuneModel -> EvaluateModel -> QualityGate -> QualityGateFailed
                                                              \\-> NewVersion -> RegisterModel -> DeployModel

Settings add two: ExploreData after QueryMetadata, which nothing depends on, and PlanShards before ShardImages, which
else plans by itself (docs/decisions/0041).

The conditions are siblings: SageMaker neither nests conditions nor takes one as the input of another.
https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html#step-type-condition

The definition is a pure function of the settings and the source tree: it compiles without a call to AWS, uploads
nothing, and is the same bytes in every folder and for every user. SageMaker's step cache depends on that.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.aws.tags import listed
from pipeline.compiling.context import Context, Parameters
from pipeline.compiling.display import described_parameters, display
from pipeline.compiling.offline import OfflineSession, offline_sdk
from pipeline.compiling.processing import handed_on, output_of, processing_step
from pipeline.compiling.retries import service_retry, step_retries
from pipeline.compiling.source import Source
from pipeline.compiling.trials import TrialsStep, best_model, hyperband, ranges, trainer
from pipeline.settings import Settings, seconds
from pipeline.settings.limits import Limits
from pipeline.settings.parameters import declarations
from steps.contracts import metrics, names

with offline_sdk():
    from sagemaker.core.drift_check_baselines import DriftCheckBaselines
    from sagemaker.core.lambda_helper import Lambda
    from sagemaker.core.metadata_properties import MetadataProperties
    from sagemaker.core.model_metrics import MetricsSource, ModelMetrics
    from sagemaker.core.shapes import (
        Channel,
        DataSource,
        ModelPackageModelCard,
        S3DataSource,
    )
    from sagemaker.core.workflow.conditions import (
        Condition,
        ConditionGreaterThan,
        ConditionGreaterThanOrEqualTo,
        ConditionLessThan,
        ConditionLessThanOrEqualTo,
    )
    from sagemaker.core.workflow.execution_variables import ExecutionVariables
    from sagemaker.core.workflow.functions import Join, JsonGet
    from sagemaker.core.workflow.parameters import ParameterString
    from sagemaker.core.workflow.pipeline_definition_config import PipelineDefinitionConfig
    from sagemaker.core.workflow.properties import PropertyFile
    from sagemaker.mlops.workflow.condition_step import ConditionStep
    from sagemaker.mlops.workflow.fail_step import FailStep
    from sagemaker.mlops.workflow.lambda_step import LambdaOutput, LambdaOutputTypeEnum, LambdaStep
    from sagemaker.mlops.workflow.model_step import ModelStep
    from sagemaker.mlops.workflow.pipeline import Pipeline
    from sagemaker.mlops.workflow.steps import ProcessingStep, TuningStep
    from sagemaker.serve.model_builder import ModelBuilder
    from sagemaker.train.configs import InputData
    from sagemaker.train.tuner import HyperparameterTuner

if TYPE_CHECKING:
    pass

EVALUATE = "EvaluateModel"
# Property files with the URI of a step's result.
LABELS, PLAN, INDEX = "Labels", "Plan", "Index"
ACCURACY = "multiclass_classification_metrics.accuracy.value"
RMSE = "regression_metrics.rmse.value"
ACCURACY_LOSS = "gate.accuracy_loss"
SURE_ACCURACY = "gate.sure_accuracy"
CHAMPION = "gate.champion"
REGISTRATION_WANTED = "registration.wanted"


@dataclass(frozen=True)
class EvaluationOutputs:
    """The property files of EvaluateModel, which later steps read."""

    evaluation: PropertyFile
    card: PropertyFile
    digests: PropertyFile

    def value(self, path: str) -> JsonGet:
        """A value of `evaluation.json`."""
        return JsonGet(step_name=EVALUATE, property_file=self.evaluation, json_path=path)

    def digest(self, name: str) -> JsonGet:
        """A value of `digests.json`."""
        return JsonGet(step_name=EVALUATE, property_file=self.digests, json_path=name)

    def card_content(self) -> JsonGet:
        """The model card, as the string that the registry expects."""
        return JsonGet(step_name=EVALUATE, property_file=self.card, json_path="content")


def build(settings: Settings, source: Source | None = None) -> Pipeline:
    """The whole pipeline of `settings`; `source` is recorded with its models."""
    context = Context(settings, Parameters.of(settings), OfflineSession(settings), source)
    check = check_parameters(context)
    query = query_metadata(context)
    explore = [explore_data(context, query)] if settings.explore.image else []
    plan = [plan_shards(context, query)] if settings.shard.plan_image else []
    shard = shard_images(context, query, *plan)
    tune = tune_model(context, shard)
    evaluate, outputs = evaluate_model(context, query, shard, tune)
    gate = quality_gate(context, outputs)
    release = new_version(context, outputs, tune)
    return Pipeline(
        name=settings.name,
        parameters=context.parameters.as_list(),
        steps=[check, query, *explore, *plan, shard, tune, evaluate, gate, release],
        sagemaker_session=context.session,
        # The default creates an experiment and a trial per run, which need permissions and are never deleted:
        # https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-experiments.html
        pipeline_experiment_config=None,
        pipeline_definition_config=PipelineDefinitionConfig(use_custom_job_prefix=False),
    )


def compile_definition(settings: Settings, source: Source | None = None) -> str:
    """The definition as the JSON text for SageMaker, keys sorted."""
    with offline_sdk(settings.account.region):
        definition = json.loads(build(settings, source).definition())
    # The SDK writes null for absent members.
    definition = {key: value for key, value in definition.items() if value is not None}
    definition["Parameters"] = described_parameters(definition["Parameters"], settings)
    return json.dumps(definition, sort_keys=True, separators=(",", ":"))


# ------------------------------------------------------------------------------------------------ the steps


def check_parameters(context: Context) -> ConditionStep:
    """0. Every number among the parameters is within its limits; else the run fails within seconds.

    Studio, EventBridge and the API accept any number. A condition costs nothing and is never cached, where a job that
    got all parameters would run again for each new value (docs/decisions/0026).
    """
    checked = [
        (context.parameters.named(name), parameter.limits(context.settings))
        for name, parameter in declarations().items()
        if parameter.kind != "String"
    ]
    return ConditionStep(
        name="CheckParameters",
        **display("CheckParameters"),
        conditions=[condition for parameter, limits in checked for condition in _within(parameter, limits)],
        if_steps=[],
        else_steps=[check_parameters_failed(checked)],
    )


def _within(parameter: Any, limits: Limits) -> list[Condition]:
    """The conditions of a parameter within its limits."""
    conditions: list[Condition] = []
    if limits.low is not None:
        compared = ConditionGreaterThan if limits.excludes_low else ConditionGreaterThanOrEqualTo
        conditions.append(compared(left=parameter, right=limits.low))
    if limits.high is not None:
        compared = ConditionLessThan if limits.excludes_high else ConditionLessThanOrEqualTo
        conditions.append(compared(left=parameter, right=limits.high))
    return conditions


def check_parameters_failed(checked: list[tuple[Any, Limits]]) -> FailStep:
    """0a. The run fails with every number and its limits: a message in a definition cannot leave out those that fit."""
    message = ["A parameter is out of its limits: "]
    for number, (parameter, limits) in enumerate(checked):
        message += [f"{', ' if number else ''}{parameter.name} ", parameter.to_string(), f" ({limits})"]
    return FailStep(
        name="CheckParametersFailed", **display("CheckParametersFailed"), error_message=Join(on="", values=message)
    )


def query_metadata(context: Context) -> ProcessingStep:
    """1. Athena over the metadata: consolidated Parquet and the labels."""
    data = context.settings.data
    arguments = {
        "image-location": context.parameters.image_location,
        "data-version": context.parameters.data_version,
        "maximum-quantity": context.parameters.maximum_quantity.to_string(),
        "database": data.database,
        "workgroup": data.workgroup,
        "timeout-minutes": data.query_minutes,
    }
    if data.inventory:
        arguments["inventory"] = data.inventory
    return processing_step(
        context,
        name="QueryMetadata",
        step="query",
        instance_type=data.instance_type,
        volume_gigabytes=data.volume_gigabytes,
        arguments=arguments,
        inputs={},
        outputs=("metadata", "summary"),
        lasting_outputs=("labels",),
        hands_on=LABELS,
        cache=context.cache(context.settings.cache.fresh_for),
    )


def explore_data(context: Context, query: ProcessingStep) -> ProcessingStep:
    """1a. Tables and plots of quantities, items, sizes and weights. No other step waits for it."""
    explore = context.settings.explore
    return processing_step(
        context,
        name="ExploreData",
        step="explore",
        instance_type=explore.instance_type,
        instance_count=explore.instance_count,
        arguments={
            "maximum-quantity": context.parameters.maximum_quantity.to_string(),
            "engine": explore.engine,
        },
        inputs={"metadata": output_of(query, "metadata"), "labels": handed_on(query, LABELS)},
        shares_inputs=explore.instance_count > 1,
        outputs=("exploration",),
        cache=context.cache(context.settings.cache.keep_for),
    )


def plan_shards(context: Context, query: ProcessingStep) -> ProcessingStep:
    """1b. The split of each photo and the photos of each shard, once for all instances of ShardImages."""
    shard = context.settings.shard
    return processing_step(
        context,
        name="PlanShards",
        step="plan",
        instance_type=shard.plan_type,
        instance_count=shard.plan_instance_count,
        volume_gigabytes=shard.plan_volume_gigabytes,
        arguments={**_dataset_arguments(context), "planner": shard.planner},
        environment={"SHARD_VERSION": context.parameters.shard_version},
        run_seconds=seconds(shard.run_time),
        inputs={"labels": handed_on(query, LABELS)},
        # Instances read from S3 what they need; the copy of an input only has to stay small.
        shares_inputs=shard.plan_instance_count > 1,
        outputs=("summary",),
        # Later runs continue from these: the splits of bins, and plans by content.
        lasting_outputs=("assignments", "plans"),
        hands_on=PLAN,
        cache=context.cache(context.settings.cache.keep_for),
    )


def shard_images(context: Context, query: ProcessingStep, plan: ProcessingStep | None = None) -> ProcessingStep:
    """2. Photos into WebDataset shards of a training, a validation and a test split, with an index.

    Without a step that plans, its first instance does.
    """
    shard = context.settings.shard
    return processing_step(
        context,
        name="ShardImages",
        step="shard",
        instance_type=shard.instance_type,
        instance_count=context.parameters.shard_instance_count,
        arguments={
            **_dataset_arguments(context),
            "maximum-rejects": shard.maximum_rejects,
            "maximum-removed": shard.maximum_removed,
        },
        environment={"SHARD_VERSION": context.parameters.shard_version},
        run_seconds=seconds(shard.run_time),
        inputs={"labels": handed_on(query, LABELS)} if plan is None else {"plan": handed_on(plan, PLAN)},
        outputs=("summary",),
        # Later runs continue from these: shards that add up, the splits of bins, plans and indexes by content.
        lasting_outputs=("shards", *(("assignments", "plans") if plan is None else ()), "indexes"),
        hands_on=INDEX,
        cache=context.cache(context.settings.cache.keep_for),
    )


def _dataset_arguments(context: Context) -> dict[str, Any]:
    """What the photos of a data set, their splits and their shards depend on."""
    shard = context.settings.shard
    arguments = {
        "image-location": context.parameters.image_location,
        "image-size": shard.image_size,
        "quality": shard.quality,
        "split": shard.split,
        "seed": shard.seed,
        "validation-fraction": shard.validation_fraction,
        "test-fraction": shard.test_fraction,
        "common-items": shard.common_items,
        "shard-megabytes": shard.megabytes,
        "compact": shard.compact,
    }
    if shard.split_file:
        arguments["split-file-location"] = shard.split_file
    return arguments


def tune_model(context: Context, shard: ProcessingStep) -> TuningStep:
    """3. Trials of distributed training, ranked by their best validation accuracy."""
    tuning = context.settings.tuning
    tuner = HyperparameterTuner(
        model_trainer=trainer(context),
        objective_metric_name=metrics.OBJECTIVE,
        objective_type="Maximize",
        metric_definitions=[{"Name": name, "Regex": pattern} for name, pattern in metrics.PATTERNS.items()],
        hyperparameter_ranges=ranges(context.settings),
        strategy=tuning.strategy,
        strategy_config=hyperband(context) if tuning.strategy == "Hyperband" else None,
        max_jobs=tuning.trials,
        max_parallel_jobs=tuning.parallel,
        early_stopping_type="Auto" if tuning.stops_early else "Off",
        random_seed=tuning.seed,
        base_tuning_job_name=context.settings.name,
        # "Tags that you specify for the tuning job are also added to all training jobs that the tuning job launches":
        # https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateHyperParameterTuningJob.html
        tags=listed(context.settings.tags) or None,
    )
    channels: list[Any] = [InputData(channel_name=names.INDEX_CHANNEL, data_source=handed_on(shard, INDEX))]
    if context.settings.training.input != "stream":
        channels.append(_shards_channel(context.settings.training.input, shard))
    return TrialsStep(
        context.settings,
        "TuneModel",
        step_args=tuner.tune(inputs=channels),
        cache_config=context.cache(context.settings.cache.keep_for),
        retry_policies=step_retries(),
        **display("TuneModel"),
    )


def _shards_channel(mode: str, shard: ProcessingStep) -> Channel:
    """Shards as files below the prefix of all data sets: copied are those of this run's manifest.

    FastFile copies nothing, and that it takes a manifest is not documented: it mounts the whole prefix.
    https://docs.aws.amazon.com/sagemaker/latest/dg/model-access-training-data.html
    """
    copies = mode == "file"
    source = S3DataSource(
        s3_data_type="ManifestFile" if copies else "S3Prefix",
        s3_uri=handed_on(shard, INDEX, "manifest") if copies else output_of(shard, "shards"),
        s3_data_distribution_type="FullyReplicated",
    )
    return Channel(
        channel_name=names.SHARDS_CHANNEL,
        data_source=DataSource(s3_data_source=source),
        input_mode="File" if copies else "FastFile",
    )


def evaluate_model(
    context: Context, query: ProcessingStep, shard: ProcessingStep, tune: TuningStep
) -> tuple[ProcessingStep, EvaluationOutputs]:
    """4. The best model on the test split. Never cached: its result also depends on the gate's limits, the champion and
    the versions in the registry.
    """
    parameters = context.parameters
    outputs = EvaluationOutputs(
        PropertyFile(name="Evaluation", output_name="evaluation", path=names.EVALUATION_FILE),
        PropertyFile(name="ModelCard", output_name="evaluation", path=names.MODEL_CARD_FILE),
        PropertyFile(name="Digests", output_name="evaluation", path=names.DIGESTS_FILE),
    )
    step = processing_step(
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
            "minimum-sure-accuracy": parameters.minimum_sure_accuracy.to_string(),
            "sure-coverage": parameters.sure_coverage.to_string(),
            "evaluation-image": context.image_uri("evaluate"),
            "serving-image": context.image_uri("serve"),
            "register-again": parameters.register_again,
            "approval": parameters.approval_status,
        },
        inputs={
            "model": best_model(context, tune),
            "index": handed_on(shard, INDEX),
            "sharding": output_of(shard, "summary"),
            "summary": output_of(query, "summary"),
        },
        outputs=("evaluation",),
        property_files=[outputs.evaluation, outputs.card, outputs.digests],
    )
    return step, outputs


def quality_gate(context: Context, outputs: EvaluationOutputs) -> ConditionStep:
    """5. Accuracy and RMSE against the limits and the champion: a run below them fails with the numbers.

    The SDK's own tests send the service a branch without steps next to one that fails:
    https://github.com/aws/sagemaker-python-sdk/blob/b76191db13e0006ea94c1233e36c52b6524d2ebb/tests/integ/sagemaker/workflow/test_fail_steps.py
    """
    return ConditionStep(
        name="QualityGate",
        **display("QualityGate"),
        conditions=_passes(context, outputs),
        if_steps=[],
        else_steps=[quality_gate_failed(context, outputs)],
    )


def new_version(context: Context, outputs: EvaluationOutputs, tune: TuningStep) -> ConditionStep:
    """6. The conditions of the gate, and no version with this model: register and deploy, else nothing.

    It repeats the gate's conditions on the same file, since a condition cannot read another's outcome.
    """
    register = register_model(context, outputs, tune)
    return ConditionStep(
        name="NewVersion",
        **display("NewVersion"),
        conditions=[
            *_passes(context, outputs),
            ConditionGreaterThanOrEqualTo(left=outputs.value(REGISTRATION_WANTED), right=1),
        ],
        if_steps=[register, deploy_model(context, register)],
        else_steps=[],
    )


def _passes(context: Context, outputs: EvaluationOutputs) -> list[Condition]:
    parameters = context.parameters
    return [
        ConditionGreaterThanOrEqualTo(left=outputs.value(ACCURACY), right=parameters.minimum_accuracy),
        ConditionLessThanOrEqualTo(left=outputs.value(RMSE), right=parameters.maximum_rmse),
        ConditionLessThanOrEqualTo(left=outputs.value(ACCURACY_LOSS), right=parameters.maximum_accuracy_loss),
        ConditionGreaterThanOrEqualTo(left=outputs.value(SURE_ACCURACY), right=parameters.minimum_sure_accuracy),
    ]


def register_model(context: Context, outputs: EvaluationOutputs, tune: TuningStep) -> ModelStep:
    """7. A model package with its evaluation; a person approves it, unless the parameter is Approved.

    A version "uses the tags associated with the model group. In this case, you cannot supply a tag argument":
    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateModelPackage.html
    """
    settings = context.settings
    builder = ModelBuilder(
        s3_model_data_url=best_model(context, tune),
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
        # The baseline of monitors: the evaluation of this version, and its photos.
        drift_check_baselines=DriftCheckBaselines(
            model_statistics=statistics,
            model_data_statistics=MetricsSource(
                s3_uri=context.output_uri("evaluate", "evaluation", names.BASELINE_FILE),
                content_type="application/vnd.apache.parquet",
            ),
        ),
        model_card=ModelPackageModelCard(model_card_content=outputs.card_content(), model_card_status="PendingReview"),
        metadata_properties=MetadataProperties(
            commit_id=context.source.commit if context.source else None,
            repository=(context.source.repository or None) if context.source else None,
            generated_by=ExecutionVariables.PIPELINE_EXECUTION_ARN,
        ),
        approval_status=context.parameters.approval_status,
        customer_metadata_properties=_lineage(context, outputs),
        domain="COMPUTER_VISION",
        task="IMAGE_CLASSIFICATION",
        description="Counts the objects in a photo of a warehouse bin",
    )
    return ModelStep("RegisterModel", step_args=arguments, retry_policies=[service_retry()], **display("RegisterModel"))


def _lineage(context: Context, outputs: EvaluationOutputs) -> dict[str, Any]:
    """The origin of a version: the run and its parameters, the data and the images."""
    parameters = {
        f"parameter_{parameter.name}": parameter if isinstance(parameter, ParameterString) else parameter.to_string()
        for parameter in context.parameters.as_list()
    }
    return parameters | {
        "pipeline_execution_arn": ExecutionVariables.PIPELINE_EXECUTION_ARN,
        "tuning_job": outputs.value("provenance.tuning_job"),
        "training_job": outputs.value("provenance.training_job"),
        # EvaluateModel compares these, and the artifact, to recognize a version with the same model.
        "dataset_sha256": outputs.value("dataset.sha256"),
        "decision": context.settings.evaluation.decision,
        "evaluation_image": context.image_uri("evaluate"),
        "serving_image": context.image_uri("serve"),
        "index": outputs.value("provenance.index"),
        "query_execution_id": outputs.value("provenance.query_execution"),
        "query_image": context.image_uri("query"),
        **({"plan_image": context.image_uri("plan")} if context.settings.shard.plan_image else {}),
        "shard_image": context.image_uri("shard"),
        "training_image": context.image_uri("train"),
        # The deploy function tests the endpoint with them.
        names.GOLDEN_PHOTOS: context.output_uri("evaluate", "evaluation", names.GOLDEN_FILE),
        # An approval approves the objects with these digests.
        names.MODEL_SHA256: outputs.digest("model"),
        names.GOLDEN_SHA256: outputs.digest("golden"),
        names.EVALUATION_SHA256: outputs.digest("evaluation"),
    }


def deploy_model(context: Context, register: ModelStep) -> LambdaStep:
    """8. The deploy function, which an approval invokes too; before an approval it returns `awaiting-approval`."""
    function = Lambda(function_arn=context.settings.deploy_function_arn, session=context.session)
    names = ("decision", "reason", "endpoint_name", "model_package_version", "endpoint_config_name")
    return LambdaStep(
        name="DeployModel",
        **display("DeployModel"),
        lambda_func=function,
        inputs={"model_package_arn": register.properties.ModelPackageArn},
        outputs=[LambdaOutput(name, LambdaOutputTypeEnum.String) for name in names],
    )


def quality_gate_failed(context: Context, outputs: EvaluationOutputs) -> FailStep:
    """5a. The run fails with a message of the reached and the required numbers."""
    parameters = context.parameters
    message = [
        "The model was not registered: accuracy",
        outputs.value("gate.shown.accuracy"),
        "(at least",
        parameters.minimum_accuracy.to_string(),
        "wanted), RMSE",
        outputs.value("gate.shown.rmse"),
        "(at most",
        parameters.maximum_rmse.to_string(),
        "wanted), accuracy lost against the champion",
        outputs.value("gate.shown.accuracy_loss"),
        "(at most",
        parameters.maximum_accuracy_loss.to_string(),
        "allowed; champion:",
        Join(on="", values=[outputs.value(CHAMPION), "), accuracy of the surest"]),
        # With its threshold, which is off by default: a message cannot leave out a part.
        outputs.value("gate.shown.sure_accuracy"),
    ]
    return FailStep(name=names.GATE_FAILED, **display(names.GATE_FAILED), error_message=Join(on=" ", values=message))
