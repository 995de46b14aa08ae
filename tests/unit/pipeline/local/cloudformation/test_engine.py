"""What the local CloudFormation refuses, replaces, cleans up and brings back."""

import json

import pytest
from botocore.exceptions import ClientError

from pipeline.account.stack import Stack
from pipeline.local.cloudformation.engine import STOPPED
from pipeline.local.cloudformation.service import CloudFormation
from steps.contracts.errors import PipelineError
from tests.unit.pipeline.pretended_cloud import cloud, no_account

__all__ = ["cloud", "no_account"]

QUEUE = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "letters"}}
STATEMENT = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*"}
TRUST = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
ROLE = {
    "Type": "AWS::IAM::Role",
    "Properties": {
        "RoleName": "worker",
        "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [TRUST]},
        "Policies": [{"PolicyName": "one", "PolicyDocument": {"Version": "2012-10-17", "Statement": [STATEMENT]}}],
    },
}


def queue(**properties):
    return {**QUEUE, "Properties": {**QUEUE["Properties"], **properties}}


def change_set(cloud, resources, kind="CREATE", **request):
    body = json.dumps({"Resources": resources})
    capabilities = request.pop("Capabilities", ["CAPABILITY_NAMED_IAM"])
    return cloud.client("cloudformation").create_change_set(
        StackName="things",
        ChangeSetName="one",
        ChangeSetType=kind,
        TemplateBody=body,
        Capabilities=capabilities,
        **request,
    )


def make(cloud, **resources):
    stack = Stack(cloud.client("cloudformation"), "things", poll=0)
    kind = "UPDATE" if stack.status() else "CREATE"
    return list(stack.execute(stack.change_set(json.dumps({"Resources": resources}), {}, kind)))


def queues(cloud):
    return [url.rsplit("/", 1)[-1] for url in cloud.client("sqs").list_queues().get("QueueUrls", [])]


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({"Machine": {"Type": "AWS::EC2::Instance"}}, "Unrecognized resource types"),
        ({"Queue": queue(Colour="red")}, "Queue: the local cloud's AWS::SQS::Queue has no Colour"),
        ({"A": queue(QueueName={"Ref": "B"}), "B": queue(QueueName={"Ref": "A"})}, "Circular dependency"),
        ({"Queue": {**QUEUE, "Condition": "Rainy"}}, "the condition Rainy is not declared"),
    ],
)
def test_a_template_with_what_is_not_known_is_refused_before_anything_is_made(cloud, resources, words):
    with pytest.raises(ClientError, match=words):
        change_set(cloud, resources)
    assert queues(cloud) == []


@pytest.mark.parametrize("given", [[], ["CAPABILITY_IAM"]])
def test_a_role_with_a_name_wants_to_be_allowed(cloud, given):
    with pytest.raises(ClientError, match="InsufficientCapabilities"):
        change_set(cloud, {"Role": ROLE}, Capabilities=given)


def test_a_function_that_is_not_known_fails_the_change_set(cloud):
    with pytest.raises(ClientError, match="the function Fn::GetAZs is not supported here"):
        change_set(cloud, {"Queue": queue(DelaySeconds={"Fn::GetAZs": ""})})


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        (
            {"Type": "AWS::SQS::QueuePolicy", "Properties": {"Queues": []}},
            "Required property 'PolicyDocument' is missing",
        ),
        (queue(DelaySeconds={"Fn::GetAtt": ["Queue", "Colour"]}), "AWS::SQS::Queue has no attribute Colour"),
        (queue(QueueName="post", DelaySeconds="soon"), "soon"),
    ],
)
def test_a_property_that_a_resource_cannot_have_fails_the_stack_and_is_named(cloud, resource, words):
    with pytest.raises(PipelineError, match=words) as failed:
        make(cloud, Queue=QUEUE, Broken={**resource, "DependsOn": "Queue"})
    assert "Broken (" in str(failed.value)
    assert "ROLLBACK_COMPLETE" in str(failed.value)
    assert queues(cloud) == []


def test_an_error_of_the_engine_itself_ends_the_stack_in_a_failed_state(cloud, monkeypatch):
    monkeypatch.setattr(cloud.service._engine, "_roll_back", lambda *_: 1 / 0)
    broken = queue(QueueName="not a name!")
    with pytest.raises(PipelineError, match="CREATE_FAILED now"):
        make(cloud, Queue=broken)


def test_a_replaced_resource_is_made_first_and_the_old_one_deleted_last(cloud):
    make(cloud, Queue=QUEUE)
    events = make(cloud, Queue=queue(QueueName="post"))
    assert [event.status for event in events if event.resource == "Queue"] == [
        "CREATE_IN_PROGRESS",
        "CREATE_COMPLETE",
        "DELETE_IN_PROGRESS",
        "DELETE_COMPLETE",
    ]
    assert queues(cloud) == ["post"]


def test_a_replaced_resource_that_is_to_be_kept_is_kept(cloud):
    make(cloud, Queue={**QUEUE, "UpdateReplacePolicy": "Retain"})
    make(cloud, Queue={**queue(QueueName="post"), "UpdateReplacePolicy": "Retain"})
    assert sorted(queues(cloud)) == ["letters", "post"]


def test_a_role_loses_the_policies_that_the_template_no_longer_has(cloud):
    make(cloud, Role=ROLE)
    make(cloud, Role={**ROLE, "Properties": {**ROLE["Properties"], "Policies": []}})
    assert cloud.client("iam").list_role_policies(RoleName="worker")["PolicyNames"] == []


def test_numbers_written_as_text_reach_services_as_numbers(cloud):
    alarm = {
        "AlarmName": "late",
        "Namespace": "AWS/SQS",
        "MetricName": "Age",
        "Statistic": "Maximum",
        "Period": "60",
        "EvaluationPeriods": "2",
        "Threshold": "1.5",
        "ComparisonOperator": "GreaterThanThreshold",
    }
    make(cloud, Alarm={"Type": "AWS::CloudWatch::Alarm", "Properties": alarm})
    (described,) = cloud.client("cloudwatch").describe_alarms(AlarmNames=["late"])["MetricAlarms"]
    assert (described["Period"], described["Threshold"]) == (60, 1.5)


def test_what_other_services_forgot_is_made_anew_at_the_next_start(cloud):
    make(cloud, Queue=queue(VisibilityTimeout=77), Role=ROLE)
    sqs = cloud.client("sqs")
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName="letters")["QueueUrl"])

    CloudFormation(cloud.context).restore()

    url = sqs.get_queue_url(QueueName="letters")["QueueUrl"]
    assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]["VisibilityTimeout"] == "77"


def test_a_stack_that_was_interrupted_says_so_after_the_next_start(cloud):
    make(cloud, Queue=QUEUE)
    stacks = cloud.service._stacks
    stack = stacks.get("things")
    stacks.enter(stack, "UPDATE_IN_PROGRESS")
    stacks.save(stack)

    CloudFormation(cloud.context).restore()

    (described,) = cloud.client("cloudformation").describe_stacks(StackName="things")["Stacks"]
    assert (described["StackStatus"], described["StackStatusReason"]) == ("UPDATE_ROLLBACK_FAILED", STOPPED)


def test_a_bucket_with_objects_is_not_deleted_and_the_stack_says_why(cloud):
    make(cloud, Bucket={"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "photos"}}, Queue=QUEUE)
    cloud.client("s3").put_object(Bucket="photos", Key="1.jpg", Body=b"1")
    events = []
    stack = Stack(cloud.client("cloudformation"), "things", poll=0)
    with pytest.raises(Exception, match=r"Bucket .*photos.*DELETE_FAILED now; fix what"):
        events += list(stack.delete())
    assert cloud.client("s3").get_object(Bucket="photos", Key="1.jpg")["Body"].read() == b"1"
    assert list(stack.resources()) == ["Bucket"]


@pytest.mark.parametrize("declared", [True, False])
def test_an_import_applies_nothing_and_the_next_update_compares_with_the_imported_template(cloud, declared):
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="photos")
    name = {"BucketName": "photos"}
    named = {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain", "Properties": name}
    versioned = {**named, "Properties": {**name, "VersioningConfiguration": {"Status": "Enabled"}}}
    bucket = {"ResourceType": "AWS::S3::Bucket", "LogicalResourceId": "Bucket", "ResourceIdentifier": name}
    stack = Stack(cloud.client("cloudformation"), "things", poll=0)
    body = json.dumps({"Resources": {"Bucket": versioned if declared else named}})

    list(stack.execute(stack.change_set(body, {}, "IMPORT", imports=[bucket])))

    assert "Status" not in s3.get_bucket_versioning(Bucket="photos")
    update = stack.change_set(json.dumps({"Resources": {"Bucket": versioned}}), {}, "UPDATE")
    assert [change.properties for change in update.changes] == ([] if declared else [("VersioningConfiguration",)])
    if not declared:
        list(stack.execute(update))
        assert s3.get_bucket_versioning(Bucket="photos")["Status"] == "Enabled"


def test_a_change_set_is_of_the_stack_as_it_was(cloud):
    make(cloud, Queue=QUEUE)
    change_set(cloud, {"Queue": queue(VisibilityTimeout=50)}, "UPDATE")
    make(cloud, Queue=queue(VisibilityTimeout=60))
    with pytest.raises(ClientError, match="ChangeSetNotFound"):
        cloud.client("cloudformation").execute_change_set(StackName="things", ChangeSetName="one")


def test_a_change_set_by_its_arn_is_of_the_stack_that_the_call_names(cloud):
    """The permission is asked about StackName: it cannot stand for the change set of another stack."""
    make(cloud, Queue=QUEUE)
    client = cloud.client("cloudformation")
    change_set(cloud, {"Queue": queue(VisibilityTimeout=50)}, "UPDATE")
    (item,) = client.list_change_sets(StackName="things")["Summaries"]
    arn = item["ChangeSetId"]
    for call in (client.execute_change_set, client.describe_change_set):
        with pytest.raises(ClientError, match="ChangeSetNotFound"):
            call(StackName="mine", ChangeSetName=arn)
    client.delete_change_set(StackName="mine", ChangeSetName=arn)
    for stack in ("things", item["StackId"]):
        assert client.describe_change_set(StackName=stack, ChangeSetName=arn)["ChangeSetId"] == arn


def budget(address, **name):
    subscribers = [{"SubscriptionType": "EMAIL", "Address": address}]
    notification = {
        "NotificationType": "ACTUAL",
        "ComparisonOperator": "GREATER_THAN",
        "Threshold": 80,
        "ThresholdType": "PERCENTAGE",
    }
    limit = {"Amount": 100, "Unit": "USD"}
    return {
        "Type": "AWS::Budgets::Budget",
        "Properties": {
            "Budget": {"BudgetType": "COST", "TimeUnit": "MONTHLY", "BudgetLimit": limit, **name},
            "NotificationsWithSubscribers": [{"Notification": notification, "Subscribers": subscribers}],
        },
    }


def test_a_budget_without_a_name_gets_other_subscribers_and_a_named_budget_does_not(cloud):
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-budgets-budget.html"""
    make(cloud, Budget=budget("ana@example.com"), Named=budget("ana@example.com", BudgetName="ours"))
    budgets = cloud.client("budgets")
    (before,) = {item["BudgetName"] for item in budgets.describe_budgets(AccountId="111122223333")["Budgets"]} - {
        "ours"
    }
    with pytest.raises(PipelineError, match=r"a custom-named resource requires replacing\. Rename ours and update"):
        make(cloud, Budget=budget("ana@example.com"), Named=budget("bea@example.com", BudgetName="ours"))
    make(cloud, Budget=budget("bea@example.com"), Named=budget("ana@example.com", BudgetName="ours"))
    (after,) = {item["BudgetName"] for item in budgets.describe_budgets(AccountId="111122223333")["Budgets"]} - {"ours"}
    assert after != before


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"Transform": "AWS::Serverless-2016-10-31"}, "no transforms of templates"),
        ({"Outputs": {"Url": {"Value": "x", "Export": {"Name": "url"}}}}, r"no exports of outputs: \[Url\]"),
    ],
)
def test_parts_of_a_template_that_would_have_no_effect_are_refused(cloud, part, message):
    body = json.dumps({"Resources": {"Queue": QUEUE}, **part})
    request = {"StackName": "things", "ChangeSetName": "one", "ChangeSetType": "CREATE", "TemplateBody": body}
    with pytest.raises(ClientError, match=message):
        cloud.client("cloudformation").create_change_set(**request)


def test_tags_of_a_stack_go_to_its_resources_and_other_tags_are_a_change(cloud):
    tags = [{"Key": "team", "Value": "bins"}]
    client = cloud.client("cloudformation")
    stack = Stack(client, "things", poll=0, tags={"team": "bins"})
    body = json.dumps({"Resources": {"Queue": QUEUE, "Role": ROLE}})
    list(stack.execute(stack.change_set(body, {}, "CREATE")))
    assert client.describe_stacks(StackName="things")["Stacks"][0]["Tags"] == tags
    url = cloud.client("sqs").get_queue_url(QueueName="letters")["QueueUrl"]
    assert cloud.client("sqs").list_queue_tags(QueueUrl=url)["Tags"] == {"team": "bins"}
    assert cloud.client("iam").list_role_tags(RoleName="worker")["Tags"] == tags
    assert stack.change_set(body, {}, "UPDATE").empty
    other = Stack(client, "things", poll=0, tags={"team": "counts"}).change_set(body, {}, "UPDATE")
    assert {(change.action, change.resource, change.properties) for change in other.changes} == {
        ("Modify", "Queue", ("Tags",)),
        ("Modify", "Role", ("Tags",)),
    }
    list(stack.execute(other))
    assert client.describe_stacks(StackName="things")["Stacks"][0]["Tags"] == [{"Key": "team", "Value": "counts"}]
