"""A definition or a request that SageMaker would refuse is refused, with the place and the reason."""

import copy
import json
import re
from pathlib import Path

import pytest

from pipeline import ROOT
from pipeline.aws import step_cache
from pipeline.aws.validation import validate_definition, validate_request, validate_response, validate_values
from pipeline.aws.validation.shapes import _compiled, service_model


@pytest.fixture(scope="module")
def compiled():
    from pipeline.definition import compile_definition
    from pipeline.settings.file import load_settings

    return json.loads(compile_definition(load_settings(Path(ROOT / "pipeline.yaml"), "prod")))


@pytest.fixture
def definition(compiled):
    return copy.deepcopy(compiled)


def step(definition, name):
    def find(steps):
        for candidate in steps:
            if candidate["Name"] == name:
                return candidate
            if candidate["Type"] == "Condition":
                nested = find(candidate["Arguments"]["IfSteps"] + candidate["Arguments"]["ElseSteps"])
                if nested:
                    return nested
        return None

    return find(definition["Steps"])


def parameter(definition, name):
    return next(item for item in definition["Parameters"] if item["Name"] == name)


def test_the_compiled_definition_has_no_problem(definition):
    assert validate_definition(definition) == []


def cluster(d):
    return step(d, "QueryMetadata")["Arguments"]["ProcessingResources"]["ClusterConfig"]


def tuning(d):
    return step(d, "TuneModel")["Arguments"]


MISTAKES = {
    "a wrong version": (lambda d: d.update(Version="1"), "Version", "2020-12-01"),
    "an unknown key": (lambda d: d.update(Step=[]), "Step", "unknown"),
    "no steps": (lambda d: d.update(Steps=[]), "Steps", "at least one step"),
    "a duplicate step": (lambda d: step(d, "ShardImages").update(Name="QueryMetadata"), "QueryMetadata", "two steps"),
    "a bad step name": (lambda d: step(d, "DeployModel").update(Name="a b"), "a b", "does not match"),
    "an unknown type": (lambda d: step(d, "ShardImages").update(Type="Sharding"), "ShardImages", "'Sharding' is none"),
    "a missing member": (lambda d: cluster(d).pop("VolumeSizeInGB"), "ClusterConfig", "VolumeSizeInGB is missing"),
    "an unknown member": (lambda d: cluster(d).update(Cores=2), "ClusterConfig.Cores", "unknown"),
    "a wrong type": (lambda d: cluster(d).update(InstanceCount="2"), "InstanceCount", "must be a whole number"),
    "a wrong enumeration": (lambda d: cluster(d).update(InstanceType="ml.huge"), "InstanceType", "'ml.huge' is none"),
    "out of range": (lambda d: cluster(d).update(InstanceCount=0), "InstanceCount", "at least 1 wanted"),
    "a bad pattern": (
        lambda d: step(d, "QueryMetadata")["Arguments"].update(RoleArn="arn:aws:iam::1:role/x-too-short-an-account"),
        "RoleArn",
        "does not match",
    ),
    "too many hyperparameters": (
        lambda d: tuning(d)["TrainingJobDefinition"].update(StaticHyperParameters={f"h{n}": "1" for n in range(101)}),
        "StaticHyperParameters",
        "at most 100 allowed",
    ),
    "a too long hyperparameter": (
        lambda d: tuning(d)["TrainingJobDefinition"]["StaticHyperParameters"].update(a="x" * 2501),
        "StaticHyperParameters.a",
        "at most 2500 allowed",
    ),
    "an unknown strategy": (
        lambda d: tuning(d)["HyperParameterTuningJobConfig"].update(Strategy="Lucky"),
        "Strategy",
        "'Lucky' is none",
    ),
    "an unknown parameter": (
        lambda d: cluster(d).update(InstanceCount={"Get": "Parameters.Instances"}),
        "InstanceCount",
        "no parameter 'Instances'",
    ),
    "a parameter of another type": (
        lambda d: cluster(d).update(InstanceCount={"Get": "Parameters.ImageLocation"}),
        "InstanceCount",
        "must be Integer",
    ),
    "an unknown step": (
        lambda d: cluster(d).update(InstanceType={"Get": "Steps.Nobody.X"}),
        "InstanceType",
        "no step 'Nobody'",
    ),
    "an unknown property": (
        lambda d: tuning(d)["TrainingJobDefinition"]["OutputDataConfig"].update(
            S3OutputPath={"Get": "Steps.QueryMetadata.Output.Uri"}
        ),
        "S3OutputPath",
        "no such property",
    ),
    "an output that the step does not have": (
        lambda d: step(d, "ShardImages")["Arguments"]["ProcessingInputs"][0]["S3Input"].update(
            S3Uri={"Get": "Steps.QueryMetadata.ProcessingOutputConfig.Outputs['other'].S3Output.S3Uri"}
        ),
        "S3Uri",
        "no output 'other'",
    ),
    "an unknown execution variable": (
        lambda d: cluster(d).update(InstanceType={"Get": "Execution.User"}),
        "InstanceType",
        "no execution variable 'User'",
    ),
    "steps that wait for each other": (
        lambda d: step(d, "QueryMetadata").update(DependsOn=["EvaluateModel"]),
        "EvaluateModel",
        "wait for each other",
    ),
    "a dependency on nothing": (
        lambda d: step(d, "QueryMetadata").update(DependsOn=["Nobody"]),
        "DependsOn",
        "no step 'Nobody'",
    ),
    "a bad duration": (
        lambda d: step(d, "QueryMetadata")["CacheConfig"].update(ExpireAfter="12h"),
        "ExpireAfter",
        "PT12H",
    ),
    "a bad retry policy": (
        lambda d: step(d, "QueryMetadata")["RetryPolicies"][0].update(ExceptionType=["Step.BAD_LUCK"]),
        "RetryPolicies[0]",
        "'Step.BAD_LUCK' is none",
    ),
    "too many attempts": (
        lambda d: step(d, "QueryMetadata")["RetryPolicies"][0].update(MaxAttempts=21),
        "MaxAttempts",
        "not between 1 and 20",
    ),
    "a property file of no output": (
        lambda d: step(d, "EvaluateModel")["PropertyFiles"][0].update(OutputName="other"),
        "PropertyFiles",
        "no output 'other'",
    ),
    "a condition on an unknown file": (
        lambda d: step(d, "EvaluateModel").update(PropertyFiles=[]),
        "QualityGate.Conditions[0].LeftValue",
        "no property file 'Evaluation'",
    ),
    "an unknown comparison": (
        lambda d: step(d, "QualityGate")["Arguments"]["Conditions"][0].update(Type="Better"),
        "QualityGate",
        "'Better' is none",
    ),
    "a fail step without words": (
        lambda d: step(d, "QualityGateFailed").update(Arguments={}),
        "ErrorMessage",
        "must be text",
    ),
    "nested lambda input": (
        lambda d: step(d, "DeployModel")["Arguments"].update(more={"a": {"b": 1}}),
        "DeployModel.Arguments.more",
        "flat",
    ),
    "a default outside its values": (
        lambda d: parameter(d, "ApprovalStatus").update(DefaultValue="Maybe"),
        "ApprovalStatus",
        "'Maybe' is none",
    ),
    "a default of another type": (
        lambda d: d["Parameters"][4].update(DefaultValue="five"),
        "MaximumQuantity",
        "is no Integer",
    ),
    "a duplicate parameter": (lambda d: d["Parameters"].append(d["Parameters"][0]), "ImageLocation", "two parameters"),
    "too many parameters": (
        lambda d: d["Parameters"].extend({"Name": f"P{n}", "Type": "String"} for n in range(200)),
        "Parameters",
        "at most 200 allowed",
    ),
    "a value of another type among a parameter's": (
        lambda d: parameter(d, "ApprovalStatus").update(EnumValues=["Approved", 1, "PendingManualApproval"]),
        "ApprovalStatus",
        "1 is no String",
    ),
    "a parameter's default that its place does not take": (
        lambda d: parameter(d, "ApprovalStatus").update(DefaultValue="Maybe", EnumValues=["Maybe"]),
        "RegisterModel.ModelApprovalStatus",
        "ApprovalStatus may be 'Maybe'",
    ),
    "a property that is no single value": (
        lambda d: cluster(d).update(InstanceType={"Get": "Steps.TuneModel.TrainingJobSummaries"}),
        "InstanceType",
        "a list, not a single value",
    ),
    "a condition without an operand": (
        lambda d: step(d, "QualityGate")["Arguments"]["Conditions"][0].pop("RightValue"),
        "QualityGate.Conditions[0]",
        "RightValue is missing",
    ),
    "a mistake within a negated condition": (
        lambda d: step(d, "QualityGate")["Arguments"].update(
            Conditions=[{"Type": "Not", "Condition": {"Type": "In", "QueryValue": 1, "Values": [{"a": 1}]}}]
        ),
        "QualityGate.Conditions[0].Condition.Values",
        "flat values only",
    ),
    "a negation in the words of an old SDK": (
        lambda d: step(d, "QualityGate")["Arguments"].update(
            Conditions=[{"Type": "Not", "Expression": {"Type": "Equals", "LeftValue": 1, "RightValue": 1}}]
        ),
        "QualityGate.Conditions[0].Expression",
        "unknown",
    ),
    "a negation of nothing": (
        lambda d: step(d, "QualityGate")["Arguments"].update(Conditions=[{"Type": "Not"}]),
        "QualityGate.Conditions[0]",
        "Condition is missing",
    ),
    "a step after a condition": (
        lambda d: step(d, "TuneModel").update(DependsOn=["QualityGate"]),
        "TuneModel.DependsOn",
        "no step can depend on 'QualityGate', a Condition step",
    ),
    "a step of a branch after another condition": (
        lambda d: step(d, "DeployModel").update(DependsOn=["NewVersion"]),
        "DeployModel.DependsOn",
        "no step can depend on 'NewVersion'",
    ),
    "the job name of a type that the step is not": (
        lambda d: step(d, "TuneModel")["Arguments"]["TrainingJobDefinition"]["StaticHyperParameters"].update(
            job={"Get": "Execution.TrainingJobName"}
        ),
        "step TuneModel",
        "has a value in the arguments of Training steps only",
    ),
    "the job name of a step in the arguments of a function": (
        lambda d: step(d, "DeployModel")["Arguments"].update(job={"Get": "Execution.ProcessingJobName"}),
        "step DeployModel",
        "has a value in the arguments of Processing steps only",
    ),
    "a job name in a joined text of a condition": (
        lambda d: step(d, "QualityGate")["Arguments"]["Conditions"][0].update(
            LeftValue={"Std:Join": {"On": "", "Values": [{"Get": "Execution.TrainingJobName"}]}}
        ),
        "step QualityGate",
        "has a value in the arguments of Training steps only",
    ),
    "a JSON file at no place": (
        lambda d: step(d, "QualityGate")["Arguments"]["Conditions"][0].update(
            LeftValue={"Std:JsonGet": {"S3Uri": "result.json", "Path": "a"}}
        ),
        "QualityGate.Conditions[0].LeftValue",
        "'result.json' is no S3 URI of a file",
    ),
    "a JSON file at the place of a number": (
        lambda d: step(d, "QualityGate")["Arguments"]["Conditions"][0].update(
            LeftValue={"Std:JsonGet": {"S3Uri": {"Get": "Parameters.MinimumAccuracy"}, "Path": "a"}}
        ),
        "QualityGate.Conditions[0].LeftValue",
        "is no text",
    ),
    "a property file as a value": (
        lambda d: step(d, "QualityGate")["Arguments"]["Conditions"][0].update(
            LeftValue={"Get": "Steps.EvaluateModel.PropertyFiles.Evaluation"}
        ),
        "QualityGate.Conditions[0].LeftValue",
        "read it by Std:JsonGet",
    ),
    "a JSON file of two kinds": (
        lambda d: step(d, "QualityGate")["Arguments"]["Conditions"][0].update(
            LeftValue={
                "Std:JsonGet": {
                    "S3Uri": "s3://b/k.json",
                    "PropertyFile": {"Get": "Steps.EvaluateModel.PropertyFiles.Evaluation"},
                    "Path": "a",
                }
            }
        ),
        "QualityGate.Conditions[0].LeftValue",
        "PropertyFile {Get: Steps.STEP.PropertyFiles.NAME} or S3Uri, and Path",
    ),
    "retries of a step that has none": (
        lambda d: step(d, "DeployModel").update(RetryPolicies=step(d, "RegisterModel")["RetryPolicies"]),
        "DeployModel.RetryPolicies",
        "are retried",
    ),
    "a retry policy without an end": (
        lambda d: step(d, "QueryMetadata")["RetryPolicies"][0].pop("MaxAttempts"),
        "RetryPolicies[0]",
        "either MaxAttempts or ExpireAfterMin",
    ),
    "an output of a function without a type": (
        lambda d: step(d, "DeployModel")["OutputParameters"][0].update(OutputType="Text"),
        "DeployModel.OutputParameters",
        "'Text' is none of String",
    ),
    "a step whose arguments are no object": (
        lambda d: step(d, "TuneModel").update(Arguments=[]),
        "Steps[3].Arguments",
        "must be a mapping",
    ),
    "a misspelt member of a step": (
        lambda d: step(d, "TuneModel").update(CachConfig={}),
        "Steps[3].CachConfig",
        "unknown",
    ),
    "a misspelt member in a branch": (
        lambda d: step(d, "DeployModel").update(Function="arn"),
        "step NewVersion.IfSteps[1].Function",
        "unknown",
    ),
    "a network without its security groups": (
        lambda d: step(d, "ShardImages")["Arguments"].update(
            NetworkConfig={"VpcConfig": {"Subnets": ["subnet-0123456789abcdef0"]}}
        ),
        "step ShardImages.NetworkConfig.VpcConfig",
        "SecurityGroupIds is missing",
    ),
    "too many subnets": (
        lambda d: tuning(d)["TrainingJobDefinition"].update(
            VpcConfig={"Subnets": [f"subnet-{n:08x}" for n in range(17)], "SecurityGroupIds": ["sg-01234567"]}
        ),
        "TrainingJobDefinition.VpcConfig.Subnets",
        "at most 16 allowed",
    ),
    "isolation that is no yes or no": (
        lambda d: tuning(d)["TrainingJobDefinition"].update(EnableNetworkIsolation="true"),
        "EnableNetworkIsolation",
        "must be true or false",
    ),
    "a misspelt encryption": (
        lambda d: tuning(d)["TrainingJobDefinition"].update(EnableTrafficEncryption=True),
        "TrainingJobDefinition.EnableTrafficEncryption",
        "unknown",
    ),
    "a key with a space": (
        lambda d: step(d, "QueryMetadata")["Arguments"]["ProcessingOutputConfig"].update(KmsKeyId="my key"),
        "ProcessingOutputConfig.KmsKeyId",
        "does not match",
    ),
    "a key for disks that take none": (
        lambda d: cluster(d).update(InstanceType="ml.g5.xlarge", VolumeKmsKeyId="key"),
        "step QueryMetadata.ProcessingResources.ClusterConfig.VolumeKmsKeyId",
        "ml.g5.xlarge has disks of its own",
    ),
    "a key for disks that take none, of a type that a run may choose": (
        lambda d: tuning(d)["TrainingJobDefinition"]["ResourceConfig"].update(VolumeKmsKeyId="key"),
        "step TuneModel.TrainingJobDefinition.ResourceConfig.VolumeKmsKeyId",
        "ml.p4d.24xlarge has disks of its own",
    ),
    "too long": (lambda d: d.update(Metadata={"x": "y" * 1_048_576}), "definition", "at most 1048576 allowed"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_named_and_explained(definition, mistake):
    change, place, message = MISTAKES[mistake]
    change(definition)
    problems = [str(problem) for problem in validate_definition(definition)]
    assert any(place in problem.split(": ")[0] and message in problem for problem in problems), problems
    assert all("\n" not in problem for problem in problems)


@pytest.mark.parametrize("name", ["PipelineExperimentConfig", "MlflowConfig"])
def test_what_the_sdks_send_as_null_is_left_out(definition, name):
    """Kind: a definition by another program has what its SDK writes by default."""
    assert validate_definition({**definition, name: None}) == []
    assert validate_definition({**definition, "Parameters": None}) != []


@pytest.mark.parametrize("expiry", ["30d", "T12H", "p30d", "30dT5h", "PT1H", "P1Y2M", "1W", "pt90m"])
def test_a_time_that_the_cache_can_read_is_taken(definition, expiry):
    """Kind: what passes at creation has a meaning in the run, since one function reads both."""
    step(definition, "QueryMetadata")["CacheConfig"] = {"Enabled": True, "ExpireAfter": expiry}
    assert validate_definition(definition) == []
    assert step_cache.seconds(expiry) > 0


@pytest.mark.parametrize("expiry", ["", "P", "12H", "1 day", "P1D ", "PT", "T", "30"])
def test_a_time_that_the_cache_cannot_read_is_refused_at_creation(definition, expiry):
    step(definition, "QueryMetadata")["CacheConfig"] = {"Enabled": True, "ExpireAfter": expiry}
    (problem,) = validate_definition(definition)
    assert str(problem).startswith("step QueryMetadata.CacheConfig.ExpireAfter: ")


GOOD = {
    "a negation": lambda d: step(d, "QualityGate")["Arguments"].update(
        Conditions=[{"Type": "Not", "Condition": {"Type": "Or", "Conditions": [{"Type": "Not", "Condition": EQUAL}]}}]
    ),
    "a processing job's own name": lambda d: step(d, "QueryMetadata")["Arguments"].update(
        Environment={"JOB": {"Get": "Execution.ProcessingJobName"}}
    ),
    "a JSON file of a step": lambda d: step(d, "QualityGate")["Arguments"].update(
        Conditions=[{**EQUAL, "LeftValue": {"Std:JsonGet": {"S3Uri": JOINED, "Path": "Result"}}}]
    ),
    "a condition in a branch after another step of it": lambda d: step(d, "RegisterModel").update(
        DependsOn=["EvaluateModel"]
    ),
}
EQUAL = {"Type": "Equals", "LeftValue": 1, "RightValue": 1}
JOINED = {"Std:Join": {"On": "/", "Values": ["s3://b", {"Get": "Execution.PipelineExecutionId"}, "result.json"]}}


@pytest.mark.parametrize("case", GOOD)
def test_what_the_sdks_compile_is_taken(definition, case):
    GOOD[case](definition)
    assert validate_definition(definition) == []


JUNK = [None, -1, 1.5, "x", [], [None], {}, {"a": 1}, {"Get": 1}, {"Get": "Steps."}, {"Std:Join": {"Values": 3}}]


def places(value, path=()):
    """The paths of all that is in a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def test_whatever_stands_in_a_definition_is_judged_and_breaks_nothing(compiled):
    # An eleventh of all combinations, another one of each place; the whole takes ten times as long.
    for number, path in enumerate(places(compiled)):
        definition = copy.deepcopy(compiled)
        holder = definition
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = JUNK[number % len(JUNK)]
        problems = validate_definition(definition)
        assert all(problem.message and "\n" not in str(problem) for problem in problems), path


def test_a_key_is_taken_for_volumes_that_every_type_of_a_run_encrypts_with_it(definition):
    cluster(definition).update(VolumeKmsKeyId="key")
    next(parameter for parameter in definition["Parameters"] if parameter["Name"] == "TrainingInstanceType").update(
        DefaultValue="ml.p3.2xlarge", EnumValues=["ml.p3.2xlarge", "ml.p3.8xlarge"]
    )
    tuning(definition)["TrainingJobDefinition"]["ResourceConfig"].update(VolumeKmsKeyId="key")
    assert validate_definition(definition) == []


def test_of_a_definition_that_is_too_large_only_that_is_said_with_its_largest_part(definition):
    tuning(definition)["TrainingJobDefinition"]["StaticHyperParameters"]["note"] = "x" * 1_100_000
    (problem,) = validate_definition(definition)
    assert re.fullmatch(
        r"definition: 11\d{5} characters, at most 1048576 allowed; 110\d{4} of them are step TuneModel: shorten .*",
        str(problem),
    )


def test_all_mistakes_are_found_at_once(definition):
    cluster(definition).update(InstanceCount=0, InstanceType="ml.huge")
    step(definition, "ShardImages")["CacheConfig"]["ExpireAfter"] = "soon"
    assert len(validate_definition(definition)) == 3


def test_requests_and_answers_are_checked_by_the_same_model():
    assert validate_request("sagemaker", "DescribePipeline", {"PipelineName": "bins"}) == []
    (problem,) = validate_request("sagemaker", "DescribePipeline", {"PipelineName": "no spaces"})
    assert "PipelineName" in str(problem)
    (problem,) = validate_response("sagemaker", "CreatePipeline", {"Arn": "x"})
    assert "Arn" in str(problem)


@pytest.mark.parametrize("service", ["sagemaker", "athena", "logs", "events", "lambda"])
def test_every_pattern_of_the_services_can_be_read(service):
    model = service_model(service)
    patterns = {model.shape_for(name).metadata.get("pattern") for name in model.shape_names} - {None}
    for pattern in patterns:
        _compiled(pattern)
    assert patterns


def test_defaults_that_a_request_would_refuse_are_found_inside_joined_texts(definition):
    """What a parameter may be alone is checked in the definition; what it becomes in a text, with its value."""
    assert validate_values(definition) == []
    version = parameter(definition, "DataVersion")
    version["DefaultValue"] = "v" * 200
    joined = {"Std:Join": {"On": "/", "Values": [{"Get": "Parameters.DataVersion"}, "w" * 56]}}
    step(definition, "QueryMetadata")["Arguments"]["Environment"]["X"] = joined
    assert validate_definition(definition) == []
    (problem,) = validate_values(definition)
    assert str(problem) == "step QueryMetadata.Environment.X: 257 characters, at most 256 allowed"
    assert validate_values(definition, {"DataVersion": "1"}) == []


def test_a_run_s_id_counts_in_the_length_of_a_text(definition):
    joined = {"Std:Join": {"On": "", "Values": ["w" * 245, {"Get": "Execution.PipelineExecutionId"}]}}
    step(definition, "QueryMetadata")["Arguments"]["Environment"]["X"] = joined
    (problem,) = validate_values(definition)
    assert "257 characters" in str(problem)


def test_a_volume_above_the_disks_of_a_type_that_a_run_may_choose_is_found(definition):
    resources = tuning(definition)["TrainingJobDefinition"]["ResourceConfig"]
    resources["VolumeSizeInGB"] = 126
    (problem,) = validate_definition(definition)
    place = "step TuneModel.TrainingJobDefinition.ResourceConfig.VolumeSizeInGB"
    assert str(problem) == f"{place}: 126 is more than the 125 GB of the disks that ml.g4dn.xlarge has"
    resources["VolumeSizeInGB"] = 125
    assert validate_definition(definition) == []


def test_a_processing_job_s_volume_is_held_against_its_type_s_disks(definition):
    cluster(definition).update(InstanceType="ml.g5.xlarge", VolumeSizeInGB=251)
    (problem,) = validate_definition(definition)
    assert "251 is more than the 250 GB" in str(problem)
