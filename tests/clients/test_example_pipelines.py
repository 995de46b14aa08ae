"""Kind: a pipeline by another program, compiled and started by its own SDK, runs here from start to end.

The shapes of three pipelines of https://github.com/aws/amazon-sagemaker-examples (sagemaker-pipelines: a tuning step, a
Lambda step, selective execution with a step cache), with small images in place of their containers. None of their code
is here; the SDK's calls are those that they make.
"""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest

from pipeline.compiling.offline import offline_sdk
from tests.integration.conftest import ROLE, LocalCloud, local_cloud, wait_until

with offline_sdk():
    from sagemaker.core.helper.session_helper import Session
    from sagemaker.core.lambda_helper import Lambda
    from sagemaker.core.parameter import ContinuousParameter
    from sagemaker.core.processing import ProcessingInput, ProcessingOutput, Processor
    from sagemaker.core.shapes import (
        OutputDataConfig,
        ProcessingS3Input,
        ProcessingS3Output,
        StoppingCondition,
    )
    from sagemaker.core.workflow.conditions import ConditionLessThanOrEqualTo, ConditionNot
    from sagemaker.core.workflow.execution_variables import ExecutionVariables
    from sagemaker.core.workflow.functions import Join, JsonGet
    from sagemaker.core.workflow.parameters import ParameterFloat, ParameterInteger, ParameterString
    from sagemaker.core.workflow.pipeline_context import PipelineSession
    from sagemaker.core.workflow.properties import PropertyFile
    from sagemaker.mlops.workflow.condition_step import ConditionStep
    from sagemaker.mlops.workflow.fail_step import FailStep
    from sagemaker.mlops.workflow.lambda_step import LambdaOutput, LambdaOutputTypeEnum, LambdaStep
    from sagemaker.mlops.workflow.model_step import ModelStep
    from sagemaker.mlops.workflow.pipeline import Pipeline
    from sagemaker.mlops.workflow.selective_execution_config import SelectiveExecutionConfig
    from sagemaker.mlops.workflow.steps import CacheConfig, ProcessingStep, TrainingStep, TuningStep
    from sagemaker.serve.model_builder import ModelBuilder
    from sagemaker.train.configs import Compute, InputData
    from sagemaker.train.model_trainer import ModelTrainer
    from sagemaker.train.tuner import HyperparameterTuner

__all__ = ["local_cloud"]

PREPARE = """
    import json, os, pathlib
    base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "processing/output"
    for part in ("train", "test"):
        (base / part).mkdir(parents=True, exist_ok=True)
        (base / part / "rows.csv").write_text("1,2\\n3,4\\n")
"""
TRAIN = """
    import argparse, json, os, pathlib
    parser = argparse.ArgumentParser()
    parser.add_argument("--alpha", type=float)
    arguments = parser.parse_args()
    base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
    assert (base / "input/data/train/rows.csv").read_text().startswith("1,2")
    (base / "model/model.json").write_text(json.dumps({"alpha": arguments.alpha}))
    print(f"validation:rmse={arguments.alpha:.4f};", flush=True)
"""
EVALUATE = """
    import json, os, pathlib, tarfile
    base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "processing"
    (archive,) = (base / "input/model").glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        model = json.load(opened.extractfile("model.json"))
    target = base / "output/evaluation"
    target.mkdir(parents=True, exist_ok=True)
    value = {"regression_metrics": {"mse": {"value": model["alpha"] ** 2}}, "job": os.environ["JOB"], "model": model}
    (target / "evaluation.json").write_text(json.dumps(value))
"""
FUNCTION = """
import json
def handler(event, context):
    body = json.dumps(f"deploys {event['model_name']}")
    return {"statusCode": 200, "body": body, "other_key": f"{event['endpoint_name']}-{event['number'] + 1}"}
"""


class Workshop:
    """What the three pipelines share: a session of the SDK with this cloud, images, and the steps before the gate."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.cloud = cloud
        self.bucket = cloud.bucket()
        self.sagemaker = cloud.client("sagemaker")
        self.session = PipelineSession(
            boto_session=boto3.Session(), sagemaker_client=self.sagemaker, default_bucket=self.bucket
        )
        self.images = {
            "prepare": cloud.image(PREPARE),
            "train": cloud.image(TRAIN, program="train.py"),
            "evaluate": cloud.image(EVALUATE),
        }
        self.cache = CacheConfig(enable_caching=True, expire_after="30d")
        self.alpha = ParameterFloat(name="Alpha", default_value=0.5)
        self.limit = ParameterFloat(name="MseThreshold", default_value=6.0)
        self.count = ParameterInteger(name="ProcessingInstanceCount", default_value=1)
        self.kind = ParameterString(name="TrainingInstanceType", default_value="ml.m5.xlarge")
        self.report = PropertyFile(name="EvaluationReport", output_name="evaluation", path="evaluation.json")

    def uri(self, *parts: Any) -> Any:
        return Join(on="/", values=[f"s3://{self.bucket}", ExecutionVariables.PIPELINE_EXECUTION_ID, *parts])

    def processing(
        self, name: str, image: str, inputs: dict[str, Any], outputs: list[str], **more: Any
    ) -> ProcessingStep:
        processor = Processor(
            image_uri=self.images[image],
            role=ROLE,
            instance_count=self.count,
            instance_type="ml.m5.xlarge",
            entrypoint=["python3", "program.py"],
            env={"JOB": ExecutionVariables.PROCESSING_JOB_NAME} if image == "evaluate" else None,
            sagemaker_session=self.session,
        )
        arguments = processor.run(
            inputs=[
                ProcessingInput(
                    input_name=key,
                    s3_input=ProcessingS3Input(
                        s3_uri=uri,
                        local_path=f"/opt/ml/processing/input/{key}",
                        s3_data_type="S3Prefix",
                        s3_input_mode="File",
                    ),
                )
                for key, uri in inputs.items()
            ],
            outputs=[
                ProcessingOutput(
                    output_name=key,
                    s3_output=ProcessingS3Output(
                        s3_uri=self.uri(name, key),
                        local_path=f"/opt/ml/processing/output/{key}",
                        s3_upload_mode="EndOfJob",
                    ),
                )
                for key in outputs
            ],
        )
        return ProcessingStep(name=name, step_args=arguments, **more)

    def prepare(self) -> ProcessingStep:
        shown = {"display_name": "Split the rows", "description": "Rows for training and for the test"}
        return self.processing("Process", "prepare", {}, ["train", "test"], cache_config=self.cache, **shown)

    def trainer(self, alpha: Any = None) -> ModelTrainer:
        given = {} if alpha is None else {"alpha": alpha}
        return ModelTrainer(
            training_image=self.images["train"],
            role=ROLE,
            sagemaker_session=self.session,
            base_job_name="train",
            compute=Compute(instance_type=self.kind, instance_count=1, volume_size_in_gb=1),
            stopping_condition=StoppingCondition(max_runtime_in_seconds=600),
            hyperparameters={
                "sagemaker_program": "train.py",
                "sagemaker_submit_directory": "/opt/ml/code",
                **given,
            },
            output_data_config=OutputDataConfig(s3_output_path=f"s3://{self.bucket}/models"),
        )

    def rows(self, prepare: ProcessingStep, part: str = "train") -> Any:
        return prepare.properties.ProcessingOutputConfig.Outputs[part].S3Output.S3Uri

    def train(self, prepare: ProcessingStep) -> TrainingStep:
        rows = InputData(channel_name="train", data_source=self.rows(prepare))
        arguments = self.trainer(self.alpha.to_string()).train(input_data_config=[rows], wait=False, logs=False)
        return TrainingStep(name="Train", step_args=arguments, cache_config=self.cache)

    def evaluate(self, prepare: ProcessingStep, model: Any) -> ProcessingStep:
        inputs = {"model": model, "test": self.rows(prepare, "test")}
        return self.processing("Evaluate", "evaluate", inputs, ["evaluation"], property_files=[self.report])

    def mse(self, step: ProcessingStep) -> JsonGet:
        path = "regression_metrics.mse.value"
        return JsonGet(step_name=step.name, property_file=self.report, json_path=path)

    def builder(self, model: Any) -> ModelBuilder:
        return ModelBuilder(
            s3_model_data_url=model,
            image_uri=self.images["prepare"],
            role_arn=ROLE,
            sagemaker_session=self.session,
        )

    def register(self, model: Any, group: str) -> ModelStep:
        arguments = self.builder(model).register(
            model_package_group_name=group,
            content_types=["text/csv"],
            response_types=["text/csv"],
            inference_instances=["ml.m5.large"],
            transform_instances=["ml.m5.large"],
            approval_status="PendingManualApproval",
        )
        return ModelStep(name="Register", step_args=arguments)

    def pipeline(self, steps: list[Any]) -> Pipeline:
        parameters = [self.alpha, self.limit, self.count, self.kind]
        name = f"example-{uuid.uuid4().hex[:8]}"
        pipeline = Pipeline(name=name, parameters=parameters, steps=steps, sagemaker_session=self.session)
        pipeline.upsert(role_arn=ROLE)
        return pipeline

    def ended(self, execution: Any) -> dict[str, Any]:
        """An execution that has ended."""

        def described() -> dict[str, Any] | None:
            run = execution.describe()
            return run if run["PipelineExecutionStatus"] not in ("Executing", "Stopping") else None

        return dict(wait_until(described))

    def steps(self, execution: Any) -> dict[str, dict[str, Any]]:
        listed = execution.list_steps()
        return {step["StepName"]: step for step in listed}

    def succeeded(self, execution: Any) -> dict[str, dict[str, Any]]:
        """The steps of an execution, which ends well."""
        run = self.ended(execution)
        steps = self.steps(execution)
        reasons = {name: step.get("FailureReason") for name, step in steps.items()}
        assert run["PipelineExecutionStatus"] == "Succeeded", (run.get("FailureReason"), reasons)
        return steps


@pytest.fixture(scope="module")
def workshop(local_cloud: LocalCloud) -> Workshop:
    return Workshop(local_cloud)


def test_a_pipeline_with_a_tuning_step_registers_its_best_model(workshop: Workshop) -> None:
    prepare = workshop.prepare()
    tuner = HyperparameterTuner(
        model_trainer=workshop.trainer(),
        objective_metric_name="validation:rmse",
        objective_type="Minimize",
        hyperparameter_ranges={"alpha": ContinuousParameter(0.1, 0.9)},
        metric_definitions=[{"Name": "validation:rmse", "Regex": "validation:rmse=(.*?);"}],
        strategy="Random",
        max_jobs=3,
        max_parallel_jobs=3,
    )
    rows = InputData(channel_name="train", data_source=workshop.rows(prepare))
    tune = TuningStep(name="Tune", step_args=tuner.tune(inputs=[rows]), cache_config=workshop.cache)
    best = tune.get_top_model_s3_uri(0, workshop.bucket, "models")
    evaluate = workshop.evaluate(prepare, best)
    group = f"group-{uuid.uuid4().hex[:8]}"
    gate = ConditionStep(
        name="MseGate",
        conditions=[ConditionLessThanOrEqualTo(left=workshop.mse(evaluate), right=workshop.limit)],
        if_steps=[workshop.register(best, group)],
        else_steps=[],
    )
    pipeline = workshop.pipeline([prepare, tune, evaluate, gate])
    definition = json.loads(pipeline.definition())
    assert definition["MlflowConfig"] is None
    steps = workshop.succeeded(pipeline.start())
    assert steps["Process"]["StepDisplayName"] == "Split the rows"
    listed = workshop.sagemaker.list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"]
    assert [steps["Register"]["Metadata"]["RegisterModel"]["Arn"]] == [entry["ModelPackageArn"] for entry in listed]
    again = workshop.succeeded(pipeline.start())
    assert {name for name, step in again.items() if "CacheHitResult" in step} == {"Process", "Tune"}


def test_a_pipeline_with_a_lambda_step_hands_its_outputs_on(workshop: Workshop) -> None:
    prepare = workshop.prepare()
    train = workshop.train(prepare)
    artifact = train.properties.ModelArtifacts.S3ModelArtifacts
    evaluate = workshop.evaluate(prepare, artifact)
    create = ModelStep(name="CreateModel", step_args=workshop.builder(artifact).build())
    function = Lambda(function_arn=function_of(workshop.cloud), session=Session(boto_session=boto3.Session()))
    outputs = {
        "statusCode": LambdaOutputTypeEnum.String,
        "body": LambdaOutputTypeEnum.String,
        "other_key": LambdaOutputTypeEnum.String,
    }
    deploy = LambdaStep(
        name="Deploy",
        lambda_func=function,
        inputs={"model_name": create.properties.ModelName, "endpoint_name": "demo", "number": 41},
        outputs=[LambdaOutput(output_name=name, output_type=kind) for name, kind in outputs.items()],
    )
    # The file of the evaluation by its place in S3, as functions decorated with @step have theirs read.
    place = workshop.uri("Evaluate", "evaluation", "evaluation.json")
    value = JsonGet(s3_uri=place, json_path="regression_metrics.mse.value", step=evaluate)
    gate = ConditionStep(
        name="Gate",
        conditions=[ConditionNot(ConditionLessThanOrEqualTo(left=value, right=workshop.limit))],
        if_steps=[FailStep(name="Refused", error_message=Join(on=" ", values=["MSE above", workshop.limit]))],
        else_steps=[create, deploy],
        depends_on=[evaluate],
    )
    pipeline = workshop.pipeline([prepare, train, evaluate, gate])
    steps = workshop.succeeded(pipeline.start())
    handed = {entry["Name"]: entry["Value"] for entry in steps["Deploy"]["Metadata"]["Lambda"]["OutputParameters"]}
    model = steps["CreateModel"]["Metadata"]["Model"]["Arn"].rsplit("/", 1)[-1]
    assert handed["body"].lower() == json.dumps(f"deploys {model}")
    assert (handed["statusCode"], handed["other_key"]) == ("200", "demo-42")
    assert evaluation(workshop, steps)["job"] == steps["Evaluate"]["Metadata"]["ProcessingJob"]["Arn"].split("/")[-1]
    failed = pipeline.start(parameters={"MseThreshold": 0.01})
    assert workshop.ended(failed)["FailureReason"].endswith("MSE above 0.01")
    retried = {"PipelineExecutionArn": failed.arn, "ClientRequestToken": uuid.uuid4().hex}
    workshop.sagemaker.retry_pipeline_execution(**retried)
    assert workshop.ended(failed)["PipelineExecutionStatus"] == "Failed"
    ran = {name for name, step in workshop.steps(failed).items() if step["StepStatus"] == "Succeeded"}
    assert ran == {"Process", "Train", "Evaluate", "Gate"}


def test_selected_steps_of_a_pipeline_run_again_with_other_parameters(workshop: Workshop) -> None:
    prepare = workshop.prepare()
    train = workshop.train(prepare)
    evaluate = workshop.evaluate(prepare, train.properties.ModelArtifacts.S3ModelArtifacts)
    group = f"group-{uuid.uuid4().hex[:8]}"
    gate = ConditionStep(
        name="MseGate",
        conditions=[ConditionLessThanOrEqualTo(left=workshop.mse(evaluate), right=workshop.limit)],
        if_steps=[workshop.register(train.properties.ModelArtifacts.S3ModelArtifacts, group)],
        else_steps=[FailStep(name="Refused", error_message="too high")],
    )
    pipeline = workshop.pipeline([prepare, train, evaluate, gate])
    first = pipeline.start()
    before = workshop.succeeded(first)
    # The SDK takes the latest execution as the source, and its parameters with changes.
    parameters = pipeline.build_parameters_from_execution(
        pipeline_execution_arn=first.arn, parameter_value_overrides={"Alpha": 0.25}
    )
    selected = pipeline.start(
        parameters=parameters,
        selective_execution_config=SelectiveExecutionConfig(selected_steps=["Train", "Evaluate"]),
    )
    steps = workshop.succeeded(selected)
    assert set(steps) == {"Process", "Train", "Evaluate"}
    assert steps["Process"]["SelectiveExecutionResult"] == {"SourcePipelineExecutionArn": first.arn}
    assert steps["Process"]["Metadata"] == before["Process"]["Metadata"]
    assert evaluation(workshop, steps)["model"]["alpha"] == 0.25
    third = workshop.succeeded(pipeline.start(parameters={"Alpha": 0.25}))
    hits = {name: step["CacheHitResult"] for name, step in third.items() if "CacheHitResult" in step}
    sources = {name: hit["SourcePipelineExecutionArn"] for name, hit in hits.items()}
    assert sources == {"Process": first.arn, "Train": selected.arn}
    unconnected = SelectiveExecutionConfig(selected_steps=["Train", "MseGate"])
    with pytest.raises(workshop.sagemaker.exceptions.ClientError, match=r"\[Evaluate\] are not"):
        pipeline.start(selective_execution_config=unconnected)


def test_one_token_of_sixteen_clients_starts_one_execution(workshop: Workshop) -> None:
    pipeline = workshop.pipeline([FailStep(name="Refused", error_message="nothing to do")])
    request = {"PipelineName": pipeline.name, "ClientRequestToken": uuid.uuid4().hex}
    clients = [workshop.cloud.client("sagemaker") for _ in range(16)]
    with ThreadPoolExecutor(len(clients)) as pool:
        started = pool.map(lambda client: client.start_pipeline_execution(**request)["PipelineExecutionArn"], clients)
        assert len(set(started)) == 1
    assert len(pipeline.list_executions()["PipelineExecutionSummaries"]) == 1


def function_of(cloud: LocalCloud) -> str:
    """The ARN of a new function."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as code:
        code.writestr("deploy.py", FUNCTION)
    created = cloud.client("lambda").create_function(
        FunctionName=f"deploy-{uuid.uuid4().hex[:8]}",
        Runtime="python3.12",
        Role=ROLE,
        Handler="deploy.handler",
        Code={"ZipFile": buffer.getvalue()},
        Timeout=30,
    )
    return str(created["FunctionArn"])


def evaluation(workshop: Workshop, steps: dict[str, Any]) -> dict[str, Any]:
    """What the evaluation of an execution wrote."""
    name = steps["Evaluate"]["Metadata"]["ProcessingJob"]["Arn"].rsplit("/", 1)[-1]
    job = workshop.sagemaker.describe_processing_job(ProcessingJobName=name)
    (output,) = job["ProcessingOutputConfig"]["Outputs"]
    bucket, _, prefix = output["S3Output"]["S3Uri"].removeprefix("s3://").partition("/")
    body = workshop.cloud.client("s3").get_object(Bucket=bucket, Key=f"{prefix}/evaluation.json")["Body"].read()
    return dict(json.loads(body))
