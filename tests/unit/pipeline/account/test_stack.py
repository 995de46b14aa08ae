"""A stack through change sets: its changes, events and failures."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from botocore.stub import Stubber

from pipeline.account.events import Event, message_of, remedy
from pipeline.account.stack import Stack
from steps.contracts.errors import PipelineError
from tests.unit.pipeline.pretended_cloud import Cloud, cloud

__all__ = ["cloud"]

QUEUE = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "letters", "VisibilityTimeout": 30}}
TOPIC = {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": {"Fn::Sub": "${Queue.QueueName}-news"}}}
BUCKET = {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain", "Properties": {"BucketName": "photos"}}


def template(**resources: Any) -> str:
    return json.dumps({"Resources": resources})


def stack(cloud: Cloud) -> Stack:
    return Stack(cloud.client("cloudformation"), "things", poll=0)


def created(cloud: Cloud, **resources: Any) -> Stack:
    one = stack(cloud)
    kind = "UPDATE" if one.status() else "CREATE"
    list(one.execute(one.change_set(template(**resources), {}, kind)))  # type: ignore[arg-type]
    return one


def test_a_change_set_changes_nothing_before_it_is_executed(cloud: Cloud) -> None:
    change_set = stack(cloud).change_set(template(Queue=QUEUE, Topic=TOPIC), {}, "CREATE")

    assert [(one.action, one.resource, one.kind) for one in change_set.changes] == [
        ("Add", "Queue", "AWS::SQS::Queue"),
        ("Add", "Topic", "AWS::SNS::Topic"),
    ]
    assert stack(cloud).status() == "REVIEW_IN_PROGRESS"
    assert "QueueUrls" not in cloud.client("sqs").list_queues()


def test_a_plan_that_is_discarded_leaves_nothing(cloud: Cloud) -> None:
    one = stack(cloud)
    one.discard(one.change_set(template(Queue=QUEUE), {}, "CREATE").name)
    assert one.status() == ""


def test_a_discarded_plan_leaves_the_stack_in_which_somebody_else_has_one(cloud: Cloud) -> None:
    client = cloud.client("cloudformation")
    client.create_change_set(
        StackName="things", ChangeSetName="theirs", ChangeSetType="CREATE", TemplateBody=template(Queue=QUEUE)
    )
    one = stack(cloud)
    one.discard(one.change_set(template(Topic=QUEUE), {}, "CREATE").name)
    summaries = client.list_change_sets(StackName="things")["Summaries"]
    assert [summary["ChangeSetName"] for summary in summaries] == ["theirs"]


def test_executing_makes_resources_in_the_order_of_their_references(cloud: Cloud) -> None:
    one = stack(cloud)
    events = list(one.execute(one.change_set(template(Topic=TOPIC, Queue=QUEUE), {}, "CREATE")))

    done = [event.resource for event in events if event.status == "CREATE_COMPLETE"]
    assert done == ["Queue", "Topic", "things"]
    topics = cloud.client("sns").list_topics()["Topics"]
    assert [topic["TopicArn"].rsplit(":", 1)[-1] for topic in topics] == ["letters-news"]
    assert one.resources()["Topic"].endswith(":letters-news")


def test_the_same_template_again_is_no_change(cloud: Cloud) -> None:
    one = created(cloud, Queue=QUEUE)
    again = one.change_set(template(Queue=QUEUE), {}, "UPDATE")
    assert (again.empty, again.changes) == (True, ())


def test_a_change_set_names_replaced_and_removed_resources(cloud: Cloud) -> None:
    one = created(cloud, Queue=QUEUE, Topic=TOPIC, Bucket=BUCKET)
    renamed = {**QUEUE, "Properties": {**QUEUE["Properties"], "QueueName": "post"}}  # type: ignore[dict-item]

    shown = {
        change.resource: change for change in one.change_set(template(Queue=renamed, Topic=TOPIC), {}, "UPDATE").changes
    }

    assert (shown["Queue"].action, shown["Queue"].replacement, shown["Queue"].retained) == ("Modify", "True", False)
    assert shown["Queue"].properties == ("QueueName",)
    # Its name is made of the queue's.
    assert (shown["Topic"].action, shown["Topic"].replacement) == ("Modify", "Conditional")
    assert (shown["Bucket"].action, shown["Bucket"].retained) == ("Remove", True)


def test_an_update_changes_in_place_and_removes_what_is_gone(cloud: Cloud) -> None:
    created(cloud, Queue=QUEUE, Topic=TOPIC, Bucket=BUCKET)
    slower = {**QUEUE, "Properties": {**QUEUE["Properties"], "VisibilityTimeout": "90"}}  # type: ignore[dict-item]

    one = created(cloud, Queue=slower)

    sqs = cloud.client("sqs")
    url = sqs.get_queue_url(QueueName="letters")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"]
    assert attributes == {"VisibilityTimeout": "90"}
    assert cloud.client("sns").list_topics()["Topics"] == []
    assert one.resources() == {"Queue": url}
    cloud.client("s3").head_bucket(Bucket="photos")  # is kept


def test_a_failure_names_the_first_resource_with_the_services_own_words(cloud: Cloud) -> None:
    cloud.client("sqs").create_queue(QueueName="letters")
    one = stack(cloud)
    change_set = one.change_set(template(Queue=QUEUE, Topic=TOPIC), {}, "CREATE")
    seen: list[Event] = []

    with pytest.raises(PipelineError) as failed:
        seen.extend(one.execute(change_set))

    assert str(failed.value) == (
        "the stack things failed, Queue (AWS::SQS::Queue): letters already exists. It is in ROLLBACK_COMPLETE now;"
        " fix the cause, delete the rest of the stack: python -m pipeline bootstrap --delete; and bootstrap again"
    )
    assert cloud.client("sqs").list_queues()["QueueUrls"]  # somebody else's


def test_a_failed_update_goes_back_to_what_was(cloud: Cloud) -> None:
    one = created(cloud, Queue=QUEUE)
    slower = {**QUEUE, "Properties": {**QUEUE["Properties"], "VisibilityTimeout": "90"}}  # type: ignore[dict-item]
    broken = {"Type": "AWS::SNS::Topic", "DependsOn": "Queue", "Properties": {"TopicName": "not a name!"}}

    with pytest.raises(PipelineError, match=r"Topic .*UPDATE_ROLLBACK_COMPLETE now; nothing was changed"):
        list(one.execute(one.change_set(template(Queue=slower, Topic=broken), {}, "UPDATE")))

    sqs = cloud.client("sqs")
    url = sqs.get_queue_url(QueueName="letters")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"]
    assert attributes == {"VisibilityTimeout": "30"}
    assert one.resources() == {"Queue": url}


def test_a_deleted_stack_leaves_what_is_to_be_kept(cloud: Cloud) -> None:
    one = created(cloud, Queue=QUEUE, Bucket=BUCKET)
    events = {event.resource: event.status for event in one.delete()}
    assert (events["Queue"], events["Bucket"]) == ("DELETE_COMPLETE", "DELETE_SKIPPED")
    assert one.status() == ""
    cloud.client("s3").head_bucket(Bucket="photos")


def test_what_is_there_can_be_imported_into_a_new_stack(cloud: Cloud) -> None:
    cloud.client("s3").create_bucket(Bucket="photos")
    one = stack(cloud)
    imports = [
        {
            "ResourceType": "AWS::S3::Bucket",
            "LogicalResourceId": "Bucket",
            "ResourceIdentifier": {"BucketName": "photos"},
        }
    ]
    change_set = one.change_set(template(Bucket=BUCKET), {}, "IMPORT", imports=imports)
    assert [(change.action, change.physical) for change in change_set.changes] == [("Import", "photos")]
    list(one.execute(change_set))
    assert (one.status(), one.resources()) == ("IMPORT_COMPLETE", {"Bucket": "photos"})


def test_the_state_from_before_a_change_is_not_its_end(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    one = created(cloud, Queue=QUEUE)
    slower = {**QUEUE, "Properties": {**QUEUE["Properties"], "VisibilityTimeout": "90"}}  # type: ignore[dict-item]
    change_set = one.change_set(template(Queue=slower), {}, "UPDATE")
    describe, work = cloud.service._describe_stacks, []
    late = [describe({"StackName": "things"})]

    def described(request: dict[str, Any]) -> dict[str, Any]:
        if work and late:
            return late.pop()
        if work:
            work.pop()()
        return describe(request)

    monkeypatch.setattr(cloud.service._engine, "start", lambda call, _: work.append(call))
    monkeypatch.setattr(cloud.service, "_describe_stacks", described)

    statuses = [event.status for event in one.execute(change_set) if event.resource == "things"]

    assert statuses == ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"]


def test_an_end_without_an_event_is_believed_after_a_while(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.account.stack.SETTLING_SECONDS", -1)
    past: dict[str, Any] = {"StackEvents": []}
    monkeypatch.setattr(cloud.service, "_describe_events", lambda _: past)
    assert created(cloud, Queue=QUEUE).status() == "CREATE_COMPLETE"


def test_a_refused_template_leaves_no_stack(cloud: Cloud) -> None:
    from botocore.exceptions import ClientError

    one = stack(cloud)
    with pytest.raises(ClientError, match=r"Unrecognized resource types: \[AWS::EC2::Instance\]"):
        one.change_set(template(Machine={"Type": "AWS::EC2::Instance"}), {}, "CREATE")
    assert one.status() == ""


def test_a_name_in_use_is_refused_before_anything_is_created(cloud: Cloud) -> None:
    client = cloud.client("cloudformation")
    taken = {
        "EventType": "VALIDATION_ERROR",
        "LogicalResourceId": "Role",
        "ResourceType": "AWS::IAM::Role",
        "ValidationFailureMode": "FAIL",
        "ValidationStatusReason": "Resource of type 'AWS::IAM::Role' with identifier\n'bins-job' already exists.",
    }
    full = {**taken, "LogicalResourceId": "Bucket", "ValidationFailureMode": "WARN"}
    reason = "The following hook(s)/validation failed: [AWS::EarlyValidation::ResourceExistenceCheck]."
    failed = {"Status": "FAILED", "StatusReason": reason, "ExecutionStatus": "UNAVAILABLE"}
    with Stubber(client) as stub:
        stub.add_client_error("describe_stacks", "ValidationError", "Stack with id things does not exist")
        stub.add_response("create_change_set", {"Id": "arn:aws:1", "StackId": "arn:aws:2"})
        stub.add_response("describe_change_set", failed)
        stub.add_response("describe_events", {"OperationEvents": [full, taken]})
        # What was made for it is removed.
        review = {"StackName": "things", "CreationTime": datetime(2026, 1, 2), "StackStatus": "REVIEW_IN_PROGRESS"}
        stub.add_response("describe_stacks", {"Stacks": [review]})
        stub.add_response("delete_change_set", {})
        stub.add_response("list_change_sets", {"Summaries": []})
        stub.add_response("delete_stack", {})
        stub.add_client_error("describe_stacks", "ValidationError", "Stack with id things does not exist")
        with pytest.raises(PipelineError) as refused:
            Stack(client, "things", poll=0).change_set(template(Queue=QUEUE), {}, "CREATE")
        stub.assert_no_pending_responses()
    assert str(refused.value) == (
        "CloudFormation refuses the change of things: Role (AWS::IAM::Role): Resource of type 'AWS::IAM::Role' with"
        " identifier 'bins-job' already exists."
    )


def test_a_stack_that_never_ends_is_given_up(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.account.stack.STACK_SECONDS", -1)
    monkeypatch.setattr(cloud.service._engine, "start", lambda *_: None)
    with pytest.raises(PipelineError, match="the stack things has not ended and has no new event after"):
        created(cloud, Queue=QUEUE)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (
            'Resource handler returned message: "Role bins-job already exists. (Service: Iam, Status Code: 409,'
            ' Request ID: 1)" (RequestToken: 2, HandlerErrorCode: AlreadyExists)',
            "Role bins-job already exists",
        ),
        (
            "bins already exists in stack arn:aws:cloudformation:1",
            "bins already exists in stack arn:aws:cloudformation:1",
        ),
        ("", "no reason given"),
    ],
)
def test_a_reason_is_the_services_own_words_in_one_line(reason: str, words: str) -> None:
    assert message_of(reason) == words


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("ROLLBACK_COMPLETE", "bootstrap --delete"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback --stack-name things"),
        ("UPDATE_IN_PROGRESS", "wait until it has ended"),
        ("DELETE_FAILED", "bootstrap --delete"),
    ],
)
def test_each_state_that_allows_no_change_has_a_remedy(status: str, words: str) -> None:
    assert words in remedy("things", status)
