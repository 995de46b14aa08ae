"""Pipelines of small steps: what runs, in which order, from which cache, and how it ends."""

import json
import uuid

import pytest
from botocore.exceptions import ClientError

from pipeline.local import faults
from tests.integration.conftest import ROLE, wait_until

COUNT = """
    import json, os, pathlib, sys
    base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
    letters = [p for p in (base / "processing/input").rglob("*") if p.is_file()]
    target = base / "processing/output/result"
    target.mkdir(parents=True, exist_ok=True)
    (target / "result.json").write_text(json.dumps({"score": {"value": float(sys.argv[1])}, "files": len(letters)}))
"""
FAIL = """
    import os, pathlib, sys
    message = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "output/message"
    message.parent.mkdir(parents=True, exist_ok=True)
    message.write_text("no letters")
    sys.exit(1)
"""
RUN = {"Get": "Execution.PipelineExecutionId"}
SCORE = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Second.PropertyFiles.Result"}, "Path": "score.value"}}


def processing(name, image, output, arguments, source=None, **more):
    inputs = (
        []
        if source is None
        else [
            {
                "InputName": "in",
                "S3Input": {
                    "S3Uri": source,
                    "LocalPath": "/opt/ml/processing/input/in",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
        ]
    )
    return {
        "Name": name,
        "Type": "Processing",
        "Arguments": {
            "RoleArn": ROLE,
            "AppSpecification": {
                "ImageUri": image,
                "ContainerEntrypoint": ["python3", "program.py"],
                "ContainerArguments": arguments,
            },
            "ProcessingResources": {
                "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
            },
            "ProcessingInputs": inputs,
            "ProcessingOutputConfig": {
                "Outputs": [
                    {
                        "OutputName": "result",
                        "S3Output": {
                            "S3Uri": {"Std:Join": {"On": "/", "Values": [output, RUN, name]}},
                            "LocalPath": "/opt/ml/processing/output/result",
                            "S3UploadMode": "EndOfJob",
                        },
                    }
                ]
            },
        },
        "PropertyFiles": [{"PropertyFileName": "Result", "OutputName": "result", "FilePath": "result.json"}],
        **more,
    }


def two_steps_and_a_gate(local_cloud, bucket, image=None, **more):
    """First -> Second -> Gate (score at least Threshold) -> Passed, or the Fail step Refused."""
    image = image or local_cloud.image(COUNT)
    output = f"s3://{bucket}/runs"
    first_result = {"Get": "Steps.First.ProcessingOutputConfig.Outputs['result'].S3Output.S3Uri"}
    cache = {"CacheConfig": {"Enabled": True, "ExpireAfter": "PT1H"}}
    message = {"Std:Join": {"On": " ", "Values": ["score", SCORE, "is below", {"Get": "Parameters.Threshold"}]}}
    return {
        "Version": "2020-12-01",
        "Parameters": [
            {"Name": "Threshold", "Type": "Float", "DefaultValue": 0.5},
            {"Name": "Score", "Type": "String", "DefaultValue": "0.7"},
        ],
        "Steps": [
            processing("First", image, output, ["1", {"Get": "Parameters.Score"}], **cache, **more),
            processing("Second", image, output, [{"Get": "Parameters.Score"}], source=first_result),
            {
                "Name": "Gate",
                "Type": "Condition",
                "Arguments": {
                    "Conditions": [
                        {
                            "Type": "GreaterThanOrEqualTo",
                            "LeftValue": SCORE,
                            "RightValue": {"Get": "Parameters.Threshold"},
                        }
                    ],
                    "IfSteps": [processing("Passed", image, output, ["2"])],
                    "ElseSteps": [{"Name": "Refused", "Type": "Fail", "Arguments": {"ErrorMessage": message}}],
                },
            },
        ],
    }


@pytest.fixture
def bucket(local_cloud):
    return local_cloud.bucket()


@pytest.fixture
def start(sagemaker):
    """Create a pipeline from a definition. Returns a function that runs it to its end with parameters."""

    def create(definition):
        name = f"p-{uuid.uuid4().hex[:10]}"
        sagemaker.create_pipeline(PipelineName=name, PipelineDefinition=json.dumps(definition), RoleArn=ROLE)

        def run(**parameters):
            values = [{"Name": key, "Value": str(value)} for key, value in parameters.items()]
            arn = sagemaker.start_pipeline_execution(PipelineName=name, PipelineParameters=values)[
                "PipelineExecutionArn"
            ]
            return finish(sagemaker, arn)

        run.pipeline = name
        return run

    return create


def finish(sagemaker, arn):
    def ended():
        described = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        return described if described["PipelineExecutionStatus"] not in ("Executing", "Stopping") else None

    described = wait_until(ended)
    steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn, SortOrder="Ascending")
    return described, {step["StepName"]: step for step in steps["PipelineExecutionSteps"]}


def test_steps_run_in_the_order_of_their_references_and_one_branch_of_the_condition_is_taken(
    local_cloud, bucket, start
):
    described, steps = start(two_steps_and_a_gate(local_cloud, bucket))()
    assert described["PipelineExecutionStatus"] == "Succeeded"
    assert list(steps) == ["First", "Second", "Gate", "Passed"]
    assert {step["StepStatus"] for step in steps.values()} == {"Succeeded"}
    assert steps["Gate"]["Metadata"] == {"Condition": {"Outcome": "True"}}
    assert steps["First"]["EndTime"] <= steps["Second"]["StartTime"]


def test_a_fail_step_ends_the_run_with_its_message(local_cloud, bucket, start):
    described, steps = start(two_steps_and_a_gate(local_cloud, bucket))(Threshold=0.9)
    assert described["PipelineExecutionStatus"] == "Failed"
    assert list(steps) == ["First", "Second", "Gate", "Refused"]
    assert steps["Refused"]["Metadata"]["Fail"]["ErrorMessage"] == "score 0.7 is below 0.9"
    assert "score 0.7 is below 0.9" in described["FailureReason"]


def test_a_branch_without_steps_is_a_branch_in_which_nothing_is_done(local_cloud, bucket, start):
    definition = two_steps_and_a_gate(local_cloud, bucket)
    gate = definition["Steps"][-1]
    passed, gate["Arguments"]["IfSteps"] = gate["Arguments"]["IfSteps"], []
    other = {"Name": "Wanted", "Type": "Condition", "Arguments": {**gate["Arguments"], "IfSteps": passed}}
    other["Arguments"]["ElseSteps"] = []
    definition["Steps"].append(other)
    run = start(definition)
    described, steps = run()
    assert described["PipelineExecutionStatus"] == "Succeeded"
    assert set(steps) == {"First", "Second", "Gate", "Wanted", "Passed"}
    described, steps = run(Threshold=0.9)
    assert described["PipelineExecutionStatus"] == "Failed"
    assert {"Passed", "Refused"} & set(steps) == {"Refused"}
    other["Arguments"]["Conditions"] = [{"Type": "Equals", "LeftValue": 1, "RightValue": 2}]
    described, steps = start(definition)()
    assert described["PipelineExecutionStatus"] == "Succeeded"
    assert set(steps) == {"First", "Second", "Gate", "Wanted"}
    assert steps["Wanted"]["Metadata"] == {"Condition": {"Outcome": "False"}}


def test_nan_does_not_pass_the_gate(local_cloud, bucket, start):
    described, steps = start(two_steps_and_a_gate(local_cloud, bucket))(Score="nan")
    assert described["PipelineExecutionStatus"] == "Failed"
    assert "Passed" not in steps
    assert "NaN is no JSON number" in described["FailureReason"]


def test_a_second_run_takes_a_cached_step_from_the_first_and_runs_the_others(local_cloud, bucket, start, sagemaker):
    run = start(two_steps_and_a_gate(local_cloud, bucket))
    first, before = run()
    _, after = run()
    assert "CacheHitResult" not in before["First"]
    assert after["First"]["CacheHitResult"] == {"SourcePipelineExecutionArn": first["PipelineExecutionArn"]}
    assert after["First"]["Metadata"] == before["First"]["Metadata"]
    assert "CacheHitResult" not in after["Second"]
    # What reads the cached step's output reads it from the run that made it.
    job = after["Second"]["Metadata"]["ProcessingJob"]["Arn"].rsplit("/", 1)[1]
    source = sagemaker.describe_processing_job(ProcessingJobName=job)["ProcessingInputs"][0]["S3Input"]["S3Uri"]
    assert first["PipelineExecutionArn"].rsplit("/", 1)[1] in source


@pytest.mark.parametrize("change", ["argument", "image", "expired"])
def test_a_changed_or_outdated_step_is_not_taken_from_the_cache(local_cloud, bucket, start, sagemaker, change):
    definition = two_steps_and_a_gate(local_cloud, bucket)
    run = start(definition)
    run()
    parameters = {}
    if change == "argument":
        parameters = {"Score": "0.8"}
    elif change == "image":
        definition["Steps"][0]["Arguments"]["AppSpecification"]["ImageUri"] = local_cloud.image(COUNT)
    else:
        definition["Steps"][0]["CacheConfig"]["ExpireAfter"] = "PT0S"
    sagemaker.update_pipeline(PipelineName=run.pipeline, PipelineDefinition=json.dumps(definition))
    _, steps = run(**parameters)
    assert "CacheHitResult" not in steps["First"]


def test_a_failed_step_is_named_with_its_reason_and_nothing_after_it_runs(local_cloud, bucket, start):
    described, steps = start(two_steps_and_a_gate(local_cloud, bucket, image=local_cloud.image(FAIL)))()
    assert described["PipelineExecutionStatus"] == "Failed"
    assert list(steps) == ["First"]
    assert "no letters" in steps["First"]["FailureReason"]
    assert described["FailureReason"].startswith("Step First failed: ")


def test_a_run_can_be_stopped_and_its_job_with_it(local_cloud, bucket, start, sagemaker):
    image = local_cloud.image("import time; time.sleep(600)")
    run = start(two_steps_and_a_gate(local_cloud, bucket, image=image))
    arn = sagemaker.start_pipeline_execution(PipelineName=run.pipeline)["PipelineExecutionArn"]

    def job():
        steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)["PipelineExecutionSteps"]
        return steps and steps[0].get("Metadata", {}).get("ProcessingJob", {}).get("Arn")

    name = wait_until(job).rsplit("/", 1)[1]
    sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    described, steps = finish(sagemaker, arn)
    assert described["PipelineExecutionStatus"] == "Stopped"
    assert steps["First"]["StepStatus"] == "Stopped"
    assert sagemaker.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"] == "Stopped"


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [({"Unknown": "1"}, "Unknown"), ({"Threshold": "high"}, "is no Float")],
)
def test_parameters_that_the_definition_does_not_allow_are_refused(
    local_cloud, bucket, start, sagemaker, parameters, reason
):
    run = start(two_steps_and_a_gate(local_cloud, bucket))
    with pytest.raises(ClientError, match=reason):
        run(**parameters)


@pytest.mark.parametrize(
    "break_it",
    [
        lambda definition: definition["Steps"][0].update(Type="Unknown"),
        lambda definition: definition["Steps"][1]["Arguments"]["AppSpecification"].pop("ImageUri"),
        lambda definition: definition["Steps"][1].update(Name="First"),
    ],
)
def test_a_definition_that_the_service_would_refuse_is_refused(local_cloud, bucket, sagemaker, break_it):
    definition = two_steps_and_a_gate(local_cloud, bucket)
    break_it(definition)
    with pytest.raises(ClientError, match="ValidationException"):
        sagemaker.create_pipeline(PipelineName="broken", PipelineDefinition=json.dumps(definition), RoleArn=ROLE)


def test_what_is_no_json_is_refused(sagemaker):
    with pytest.raises(ClientError, match="Unable to parse"):
        sagemaker.create_pipeline(PipelineName="broken", PipelineDefinition="not json", RoleArn=ROLE)


@pytest.fixture
def plan(local_cloud):
    """Begins faults by a plan; they end with the test."""
    directory = local_cloud.settings.directory
    yield lambda **values: faults.write(directory, faults.Plan(**values))
    faults.write(directory, faults.Plan())


def alone(local_cloud, bucket, **more):
    """A pipeline of one step, with its retry policies."""
    steps = [processing("First", local_cloud.image(COUNT), f"s3://{bucket}/runs", ["1"], **more)]
    return {"Version": "2020-12-01", "Parameters": [], "Steps": steps}


def attempts(run):
    """Attempts of the run's step, its status and its failure."""
    _, steps = run()
    step = steps["First"]
    return step["AttemptCount"], step["StepStatus"], step.get("FailureReason", "")


def capacity_policy(kind):
    return {"RetryPolicies": [{"ExceptionType": [kind], "IntervalSeconds": 1, "BackoffRate": 1.0, "MaxAttempts": 9}]}


def test_a_job_without_capacity_is_retried_by_its_policy(local_cloud, bucket, start, plan):
    run = start(alone(local_cloud, bucket, **capacity_policy("SageMaker.CAPACITY_ERROR")))
    plan(capacity_errors=2)
    counted = [attempts(run) for _ in range(5)]
    assert {status for _, status, _ in counted} == {"Succeeded"}
    assert sum(count for count, _, _ in counted) == 7  # five and two


def test_a_job_without_capacity_fails_a_step_whose_policies_are_for_other_errors(local_cloud, bucket, start, plan):
    run = start(alone(local_cloud, bucket, **capacity_policy("SageMaker.JOB_INTERNAL_ERROR")))
    plan(capacity_errors=1)
    counted = [attempts(run) for _ in range(5)]
    (failed,) = [entry for entry in counted if entry[1] == "Failed"]
    assert failed == (1, "Failed", f"Processing job failed. {faults.CAPACITY_REASON}")
