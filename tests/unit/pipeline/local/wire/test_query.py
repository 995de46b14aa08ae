"""CloudFormation's wire format, against botocore's own serializer and parser."""

import datetime

import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from pipeline.aws.validation.shapes import service_model
from pipeline.local.context import ServiceError
from pipeline.local.wire import query

MODEL = service_model("cloudformation")
REQUEST = {
    "StackName": "bins",
    "ChangeSetName": "first",
    "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
    "Parameters": [
        {"ParameterKey": "Name", "ParameterValue": "a & b = <c>"},
        {"ParameterKey": "Empty", "ParameterValue": ""},
        {"ParameterKey": "Kept", "UsePreviousValue": True},
    ],
    "ResourcesToImport": [
        {"ResourceType": "AWS::S3::Bucket", "LogicalResourceId": "B", "ResourceIdentifier": {"BucketName": "photos"}}
    ],
    "RollbackConfiguration": {"MonitoringTimeInMinutes": 5},
}


def test_a_request_is_what_the_client_was_given():
    form = create_serializer("query").serialize_to_request(REQUEST, MODEL.operation_model("CreateChangeSet"))["body"]
    assert query.parse("cloudformation", form) == ("CreateChangeSet", REQUEST)


def test_an_answer_is_read_by_the_client_as_it_was_given():
    at = datetime.datetime(2026, 1, 2, 3, 4, 5, 600000, datetime.UTC)
    stack = {
        "StackName": "bins <&>",
        "CreationTime": at.timestamp(),
        "StackStatus": "CREATE_COMPLETE",
        "DisableRollback": False,
        "Outputs": [{"OutputKey": "A", "OutputValue": "1"}, {"OutputKey": "B", "OutputValue": "two\nlines"}],
        "Capabilities": [],
    }
    text = query.answer("cloudformation", "DescribeStacks", {"Stacks": [stack]}, "id-1")
    response = {"status_code": 200, "headers": {}, "body": text.encode()}
    parsed = create_parser("query").parse(response, MODEL.operation_model("DescribeStacks").output_shape)
    assert parsed["Stacks"] == [{**stack, "CreationTime": at}]
    assert parsed["ResponseMetadata"]["RequestId"] == "id-1"


@pytest.mark.parametrize("form", [{}, {"Action": "MakeCoffee"}])
def test_an_operation_that_does_not_exist_is_an_error(form):
    with pytest.raises(ServiceError, match="Could not find operation"):
        query.parse("cloudformation", form)


def test_a_value_of_another_type_is_an_error():
    form = {"Action": "CreateChangeSet", "IncludeNestedStacks": "perhaps"}
    with pytest.raises(ServiceError, match="'perhaps' is no boolean"):
        query.parse("cloudformation", form)
