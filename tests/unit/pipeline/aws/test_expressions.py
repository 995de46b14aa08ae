import pytest

from pipeline.aws.expressions import ResolutionError, Values, references, resolve

STEPS = {
    "Shard": {
        "ProcessingOutputConfig": {
            "Outputs": [
                {"OutputName": "shards", "S3Output": {"S3Uri": "s3://b/shards"}},
                {"OutputName": "index", "S3Output": {"S3Uri": "s3://b/index"}},
            ]
        }
    },
    "Tune": {"TrainingJobSummaries": [{"TrainingJobName": "best"}, {"TrainingJobName": "second"}]},
}
FILES = {("Evaluate", "Evaluation"): {"metrics": {"accuracy": {"value": 0.5}}}}
VALUES = Values(
    parameters={"Epochs": 3, "Fraction": 0.4},
    execution={"PipelineExecutionId": "abc"},
    properties=STEPS.__getitem__,
    property_file=lambda step, file: FILES[(step, file)],
    json_file={"s3://b/abc/result.json": {"Result": 0.25, "Nothing": None}}.__getitem__,
)
RESULT = {"Std:Join": {"On": "/", "Values": ["s3://b", {"Get": "Execution.PipelineExecutionId"}, "result.json"]}}


def json_get(path):
    return {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.Evaluation"}, "Path": path}}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ({"Get": "Parameters.Epochs"}, 3),
        ({"Get": "Execution.PipelineExecutionId"}, "abc"),
        ({"Get": "Steps.Shard.ProcessingOutputConfig.Outputs['index'].S3Output.S3Uri"}, "s3://b/index"),
        ({"Get": "Steps.Tune.TrainingJobSummaries[1].TrainingJobName"}, "second"),
        (
            {"Std:Join": {"On": "/", "Values": ["a", {"Get": "Parameters.Epochs"}, {"Get": "Parameters.Fraction"}]}},
            "a/3/0.4",
        ),
        (json_get("metrics.accuracy.value"), 0.5),
        ({"Std:JsonGet": {"S3Uri": RESULT, "Path": "Result"}}, 0.25),
        ({"Std:JsonGet": {"S3Uri": "s3://b/abc/result.json", "Path": "Result"}}, 0.25),
        ({"Image": "x", "Inputs": [{"Uri": {"Get": "Parameters.Epochs"}}]}, {"Image": "x", "Inputs": [{"Uri": 3}]}),
    ],
)
def test_an_expression_has_the_value_it_refers_to(expression, value):
    assert resolve(expression, VALUES) == value


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ({"Get": "Parameters.Missing"}, "Parameters.Missing"),
        ({"Get": "Steps.Other.Arn"}, "Steps.Other.Arn"),
        ({"Get": "Steps.Shard.ProcessingOutputConfig.Outputs['other'].S3Output"}, "other"),
        ({"Get": "Steps.Tune.TrainingJobSummaries[7].TrainingJobName"}, r"TrainingJobSummaries\[7\]"),
        (json_get("metrics.rmse.value"), "metrics.rmse.value"),
        (json_get("metrics.accuracy"), "no single value"),
        ({"Std:JsonGet": {"S3Uri": RESULT, "Path": "Other"}}, "Other is not in s3://b/abc/result.json"),
        ({"Std:JsonGet": {"S3Uri": RESULT, "Path": "Nothing"}}, "no single value"),
    ],
)
def test_an_expression_without_a_value_is_an_error_that_names_it(expression, named):
    with pytest.raises(ResolutionError, match=named):
        resolve(expression, VALUES)


def test_references_are_the_steps_that_a_value_waits_for():
    arguments = {
        "a": [{"Get": "Steps.Shard.X"}, {"Std:Join": {"On": "", "Values": [{"Get": "Steps.Tune.Y"}, "z"]}}],
        "b": json_get("x"),
        "c": {"Get": "Parameters.Epochs"},
    }
    assert set(references(arguments)) == {"Shard", "Tune", "Evaluate"}
