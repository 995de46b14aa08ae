"""An account from nothing to its stack, again, and back, with the local cloud's CloudFormation before moto."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline.account import stack
from pipeline.account.deploy_function import code_key, function_zip
from pipeline.account.stack import Stack
from pipeline.account.stages import template_key
from pipeline.aws.cloudformation import LARGEST_BODY
from pipeline.operations.account import bootstrap, teardown
from pipeline.operations.account.bootstrap import Bootstrap, bring_up_to_date
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from tests.unit.pipeline.operations.conftest import KEY
from tests.unit.pipeline.pretended_cloud import Cloud, cloud

__all__ = ["cloud"]

TEMPLATE = """
Parameters: {Bucket: {Type: String}, DeployCode: {Type: String}, Timeout: {Type: Number, Default: 30}}
Conditions: {HasCode: !Not [!Equals [!Ref DeployCode, ""]]}
Resources:
  Photos: {Type: AWS::S3::Bucket, DeletionPolicy: Retain, Properties: {BucketName: !Ref Bucket}}
  PhotosPolicy:
    Type: AWS::S3::BucketPolicy
    DeletionPolicy: Retain
    Properties:
      Bucket: !Ref Photos
      PolicyDocument:
        Version: 2012-10-17
        Statement:
        - {Effect: Allow, Principal: {AWS: !Ref AWS::AccountId}, Action: "s3:*",
           Resource: [!GetAtt Photos.Arn, !Sub "${Photos.Arn}/*"]}
  Images: {Type: AWS::ECR::Repository, DeletionPolicy: Retain, Properties: {RepositoryName: bins-processing}}
  Operator:
    Type: AWS::IAM::ManagedPolicy
    Condition: HasCode
    Properties:
      ManagedPolicyName: bins-operator
      PolicyDocument: {Version: 2012-10-17, Statement: [{Effect: Allow, Action: "s3:*", Resource: "*"}]}
  Role:
    Type: AWS::IAM::Role
    Condition: HasCode
    Properties:
      RoleName: bins-deploy
      ManagedPolicyArns: [!Ref Operator]
      AssumeRolePolicyDocument:
        Statement: [{Effect: Allow, Principal: {Service: lambda.amazonaws.com}, Action: sts:AssumeRole}]
  Function:
    Type: AWS::Lambda::Function
    Condition: HasCode
    Properties:
      FunctionName: bins-deploy
      Runtime: python3.12
      Handler: steps.deploy.handler.handle
      Role: !GetAtt Role.Arn
      Timeout: !Ref Timeout
      Code: {S3Bucket: !Ref Bucket, S3Key: !Ref DeployCode}
Outputs:
  Bucket: {Value: !Ref Photos}
  Function: {Condition: HasCode, Value: !GetAtt Function.Arn}
"""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A template with one resource of each sort that a bootstrap treats in its own way."""
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE)
    monkeypatch.setattr(stack, "TEMPLATE", path)
    monkeypatch.setattr(bootstrap, "parameters", values)


def values(settings: Settings, deploy_code: str) -> dict[str, str]:
    return {"Bucket": settings.data.bucket, "DeployCode": deploy_code}


def with_data(settings: Settings, **data: str) -> Settings:
    return settings.model_copy(update={"data": settings.data.model_copy(update=data)})


def actions(settings: Settings) -> dict[str, str]:
    work = Bootstrap(settings, poll=0)
    try:
        return {one.resource: one.action for one in work.plan().changes}
    finally:
        work.discard()


def test_a_new_account_is_shown_whole_before_anything_is_made(cloud: Cloud, settings: Settings) -> None:
    kinds = ("Photos", "PhotosPolicy", "Images", "Operator", "Role", "Function")
    assert actions(settings) == dict.fromkeys(kinds, "Add")
    assert cloud.client("s3").list_buckets()["Buckets"] == []
    assert cloud.service.operations()["ListStacks"]({"StackStatusFilter": ["REVIEW_IN_PROGRESS"]}) == {
        "StackSummaries": []
    }


def test_a_new_account_gets_the_bucket_then_the_functions_code_then_the_rest(cloud: Cloud, settings: Settings) -> None:
    work = Bootstrap(settings, poll=0)
    work.plan()
    made = [event.resource for event in work.apply() if event.status == "CREATE_COMPLETE"]

    assert made.index("Photos") < made.index("Function")
    done = work.result()
    assert (done.stack, done.change) == (settings.stack, "created")
    assert done.outputs["Bucket"] == settings.data.bucket
    key = code_key(settings, function_zip())
    code = cloud.client("s3").get_object(Bucket=settings.data.bucket, Key=key)["Body"].read()
    assert "steps/deploy/handler.py" in zipfile.ZipFile(io.BytesIO(code)).namelist()
    function = cloud.client("lambda").get_function(FunctionName="bins-deploy")["Configuration"]
    assert function["Handler"] == "steps.deploy.handler.handle"


def test_a_template_larger_than_a_request_is_read_from_the_bucket(
    cloud: Cloud, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"# {'-' * LARGEST_BODY}\n{TEMPLATE}"
    stack.TEMPLATE.write_text(text)
    kinds = ("Photos", "PhotosPolicy", "Images", "Operator", "Role", "Function")
    assert actions(settings) == dict.fromkeys(kinds, "Add")
    assert bring_up_to_date(settings, poll=0).change == "created"
    assert bring_up_to_date(settings, poll=0).change == "unchanged"
    monkeypatch.setattr(bootstrap, "parameters", lambda s, code: {**values(s, code), "Timeout": "45"})
    assert actions(settings) == {"Function": "Modify"}
    assert bring_up_to_date(settings, poll=0).change == "updated"

    assert cloud.client("cloudformation").get_template(StackName=settings.stack)["TemplateBody"] == text
    key = template_key(settings, text)
    assert cloud.client("s3").get_object(Bucket=settings.data.bucket, Key=key)["Body"].read() == text.encode()
    list(teardown.delete(settings, poll=0))
    assert {name for name, action in actions(settings).items() if action == "Import"} == set(kinds[:3])
    assert bring_up_to_date(settings, poll=0).change == "created"


def test_a_stack_whose_bucket_was_deleted_says_how_to_create_it(cloud: Cloud, settings: Settings) -> None:
    bring_up_to_date(settings, poll=0)
    list(teardown.erase(settings, teardown.retained_data(settings)))
    with pytest.raises(PipelineError) as refused:
        bring_up_to_date(settings, poll=0)
    bucket = settings.data.bucket
    assert str(refused.value) == (
        f"the stack {settings.stack} has the bucket {bucket}, which does not exist any more; create it:"
        f" aws s3 mb s3://{bucket} --region us-east-1; and bootstrap again"
    )


def test_a_second_time_there_is_nothing_to_do(cloud: Cloud, settings: Settings) -> None:
    assert bring_up_to_date(settings, poll=0).change == "created"
    assert bring_up_to_date(settings, poll=0).change == "unchanged"
    assert cloud.client("cloudformation").list_change_sets(StackName=settings.stack)["Summaries"] == []


def test_other_settings_change_what_is_there(cloud: Cloud, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    bring_up_to_date(settings, poll=0)
    monkeypatch.setattr(bootstrap, "parameters", lambda s, code: {**values(s, code), "Timeout": "45"})

    assert actions(settings) == {"Function": "Modify"}
    assert bring_up_to_date(settings, poll=0).change == "updated"
    assert cloud.client("lambda").get_function_configuration(FunctionName="bins-deploy")["Timeout"] == 45


def test_resources_that_a_deleted_stack_retained_are_imported(cloud: Cloud, settings: Settings) -> None:
    bring_up_to_date(settings, poll=0)
    s3 = cloud.client("s3")
    s3.put_object(Bucket=settings.data.bucket, Key="photo.jpg", Body=b"1")
    list(teardown.delete(settings, poll=0))

    planned = actions(settings)
    assert {name for name, action in planned.items() if action == "Import"} == {"Photos", "PhotosPolicy", "Images"}
    assert bring_up_to_date(settings, poll=0).change == "created"
    assert s3.get_object(Bucket=settings.data.bucket, Key="photo.jpg")["Body"].read() == b"1"
    assert bring_up_to_date(settings, poll=0).change == "unchanged"


def test_an_account_with_the_repository_alone_gets_the_bucket_too(cloud: Cloud, settings: Settings) -> None:
    cloud.client("ecr").create_repository(repositoryName="bins-processing")
    assert bring_up_to_date(settings, poll=0).change == "created"
    cloud.client("s3").head_bucket(Bucket=settings.data.bucket)


def test_the_functions_code_is_put_over_what_somebody_else_put_at_its_key(cloud: Cloud, settings: Settings) -> None:
    s3, where = cloud.client("s3"), {"Bucket": settings.data.bucket, "Key": code_key(settings, function_zip())}
    s3.create_bucket(Bucket=settings.data.bucket)
    s3.put_object(**where, Body=b"theirs")
    bring_up_to_date(settings, poll=0)
    assert s3.get_object(**where)["Body"].read() == function_zip()


def test_a_stack_keeps_its_bucket(cloud: Cloud, settings: Settings) -> None:
    bring_up_to_date(settings, poll=0)
    other = with_data(settings, bucket="bins-other")

    with pytest.raises(PipelineError) as refused:
        bring_up_to_date(other, poll=0)

    assert str(refused.value) == (
        f"the stack {settings.stack} has the bucket {settings.data.bucket}, and data.bucket names bins-other; set it"
        " back, or choose another name for a pipeline with that bucket, or delete the stack first, which retains the"
        " data: python -m pipeline bootstrap --delete"
    )
    assert cloud.client("cloudformation").list_change_sets(StackName=settings.stack)["Summaries"] == []
    list(teardown.delete(other, poll=0))
    assert bring_up_to_date(other, poll=0).change == "created"


def test_a_stack_keeps_its_key(cloud: Cloud, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    keyed = stack.TEMPLATE.read_text().replace(
        "{Bucket: {Type: String}", "{KmsKey: {Type: String}, Bucket: {Type: String}"
    )
    stack.TEMPLATE.write_text(keyed.replace("RepositoryName: bins-processing", "RepositoryName: !Sub 'bins${KmsKey}'"))
    monkeypatch.setattr(bootstrap, "parameters", lambda s, code: {**values(s, code), "KmsKey": s.encryption.kms_key})
    bring_up_to_date(settings, poll=0)
    other = settings.model_copy(update={"encryption": settings.encryption.model_copy(update={"kms_key": KEY})})
    with pytest.raises(PipelineError) as refused:
        Bootstrap(other, poll=0).plan()
    assert str(refused.value) == (
        f"the stack {settings.stack} was created with no key, and encryption.kms_key names {KEY}; a repository's"
        " encryption cannot be changed: set it back, or choose another name for a pipeline with that key"
    )
    assert bring_up_to_date(settings, poll=0).change == "unchanged"


def test_the_accounts_only_identity_provider_is_not_created_twice(cloud: Cloud, settings: Settings) -> None:
    cloud.client("iam").create_open_id_connect_provider(
        Url="https://token.actions.githubusercontent.com", ThumbprintList=["0" * 40]
    )
    chosen = {"github_repository": "example/bins", "make_provider": True}
    github = settings.model_copy(update={"ci": settings.ci.model_copy(update=chosen)})
    with pytest.raises(PipelineError, match=r"can have one only; set ci.make_provider: false"):
        Bootstrap(github, poll=0).plan()
    without = settings.model_copy(update={"ci": settings.ci.model_copy(update={**chosen, "make_provider": False})})
    assert bring_up_to_date(without, poll=0).change == "created"


def test_a_change_never_takes_the_function_away(
    cloud: Cloud, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_up_to_date(settings, poll=0)
    monkeypatch.setattr(bootstrap, "parameters", lambda s, code: {**values(s, code), "Timeout": "45"})
    work = Bootstrap(settings, poll=0)
    work.plan()
    assert {event.status for event in work.apply() if event.resource == "Function"} == {
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE",
    }


def test_an_imported_resource_gets_the_template_s_properties(cloud: Cloud, settings: Settings) -> None:
    bring_up_to_date(settings, poll=0)
    list(teardown.delete(settings, poll=0))
    mutable = "RepositoryName: bins-processing, ImageTagMutability: IMMUTABLE"
    versioned = "BucketName: !Ref Bucket, VersioningConfiguration: {Status: Enabled}"
    text = TEMPLATE.replace("RepositoryName: bins-processing", mutable).replace("BucketName: !Ref Bucket", versioned)
    stack.TEMPLATE.write_text(text.replace('"s3:*",', '"s3:Get*",'))
    work = Bootstrap(settings, poll=0)

    planned = {one.resource: one.properties for one in work.plan().changes if one.action == "Import"}
    assert planned == {
        "Photos": ("VersioningConfiguration",),
        "PhotosPolicy": ("PolicyDocument",),
        "Images": ("ImageTagMutability",),
    }
    list(work.apply())

    s3, bucket = cloud.client("s3"), settings.data.bucket
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert '"s3:Get*"' in s3.get_bucket_policy(Bucket=bucket)["Policy"]
    (images,) = cloud.client("ecr").describe_repositories(repositoryNames=["bins-processing"])["repositories"]
    assert images["imageTagMutability"] == "IMMUTABLE"


def test_an_interrupted_bootstrap_is_taken_up_where_it_ended(cloud: Cloud, settings: Settings) -> None:
    work = Bootstrap(settings, poll=0)
    work.plan()
    for event in work.apply():
        if event.resource == settings.stack and event.status == "CREATE_COMPLETE":
            break  # after the first stage

    assert bring_up_to_date(settings, poll=0).change == "updated"
    assert bring_up_to_date(settings, poll=0).change == "unchanged"


def test_a_bucket_of_somebody_else_is_refused_with_what_to_do(
    cloud: Cloud, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        raise ClientError({"Error": {"Code": "403", "Message": "Forbidden"}}, "HeadBucket")

    cloud.session.events.register_first("before-call.s3.HeadBucket", forbidden)
    with pytest.raises(
        PipelineError, match=rf"the bucket {settings.data.bucket} exists.*set another name in data.bucket"
    ):
        Bootstrap(settings, poll=0).plan()
    assert cloud.client("cloudformation").list_stacks()["StackSummaries"] == []


def test_credentials_of_another_account_are_refused_before_anything_is_asked_for(
    cloud: Cloud, settings: Settings
) -> None:
    other = settings.model_copy(update={"account": settings.account.model_copy(update={"id": "999999999999"})})
    with pytest.raises(PipelineError, match="the credentials are of account 111122223333"):
        Bootstrap(other, poll=0).plan()
    assert cloud.client("cloudformation").list_stacks()["StackSummaries"] == []


def test_a_failed_second_stage_leaves_the_first_and_is_taken_up_from_there(cloud: Cloud, settings: Settings) -> None:
    iam = cloud.client("iam")
    iam.create_role(RoleName="bins-deploy", AssumeRolePolicyDocument="{}")
    with pytest.raises(
        PipelineError, match=r"Role \(AWS::IAM::Role\): bins-deploy already exists.* nothing was changed"
    ):
        bring_up_to_date(settings, poll=0)

    iam.delete_role(RoleName="bins-deploy")

    assert bring_up_to_date(settings, poll=0).change == "updated"


def test_a_stack_whose_creation_failed_has_to_be_deleted_first(cloud: Cloud, settings: Settings) -> None:
    cloud.client("sqs").create_queue(QueueName="letters")
    stack = Stack(cloud.client("cloudformation"), settings.stack, poll=0)
    queue = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "letters"}}}}
    with pytest.raises(PipelineError, match="already exists"):
        list(stack.execute(stack.change_set(json.dumps(queue), {}, "CREATE")))

    with pytest.raises(PipelineError, match=rf"{settings.stack} is in ROLLBACK_COMPLETE: .*bootstrap --delete"):
        bring_up_to_date(settings, poll=0)

    list(teardown.delete(settings, poll=0))
    assert bring_up_to_date(settings, poll=0).change == "created"


@pytest.mark.parametrize("executed", [False, True])
def test_resources_that_only_a_new_stack_can_import_need_one(cloud: Cloud, settings: Settings, executed: bool) -> None:
    stack = Stack(cloud.client("cloudformation"), settings.stack, poll=0)
    queue = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "letters"}}}}
    change_set = stack.change_set(json.dumps(queue), {}, "CREATE")
    if executed:
        list(stack.execute(change_set))
    cloud.client("s3").create_bucket(Bucket=settings.data.bucket)

    with pytest.raises(PipelineError, match=r"exists without Photos, which .*bootstrap --delete; and bootstrap again"):
        bring_up_to_date(settings, poll=0)

    list(teardown.delete(settings, poll=0))
    assert bring_up_to_date(settings, poll=0).change == "created"


def test_deleting_shows_what_goes_and_what_is_kept(cloud: Cloud, settings: Settings) -> None:
    bring_up_to_date(settings, poll=0)
    planned = teardown.plan(settings)
    kept = {one.resource for one in planned.resources if one.retained}
    assert kept == {"Photos", "PhotosPolicy", "Images"}
    assert {one.resource for one in planned.resources} - kept == {"Operator", "Role", "Function"}
    assert planned.data == teardown.RetainedData(settings.data.bucket, {"bins-processing": 0})


def test_nothing_is_deleted_under_a_pipeline(cloud: Cloud, settings: Settings) -> None:
    bring_up_to_date(settings, poll=0)
    sagemaker = cloud.client("sagemaker")
    sagemaker.create_pipeline(
        PipelineName=settings.name,
        PipelineDefinition="{}",
        RoleArn="arn:aws:iam::1:role/x",
        ClientRequestToken="x" * 32,
    )
    cloud.client("scheduler").create_schedule_group(Name=settings.name)
    cloud.client("scheduler").create_schedule(
        Name="nightly",
        GroupName=settings.name,
        ScheduleExpression="rate(1 day)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": "arn:aws:lambda:us-east-1:111122223333:function:x", "RoleArn": "arn:aws:iam::1:role/x"},
    )
    with pytest.raises(PipelineError) as refused:
        teardown.plan(settings)
    assert str(refused.value) == (
        f"these still exist: the pipeline {settings.name}, the schedule nightly; delete the pipeline first:"
        " python -m pipeline delete"
    )


def test_data_is_erased_with_every_version_and_marker(cloud: Cloud, settings: Settings) -> None:
    bring_up_to_date(settings, poll=0)
    s3, bucket = cloud.client("s3"), settings.data.bucket
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for number in range(3):
        s3.put_object(Bucket=bucket, Key=f"{settings.data.prefix}/twice", Body=str(number).encode())
    s3.delete_object(Bucket=bucket, Key=f"{settings.data.prefix}/twice")
    list(teardown.delete(settings, poll=0))

    counts = list(teardown.erase(settings, teardown.retained_data(settings)))

    assert counts[-1] == 6  # three versions, a marker, the function's code and the template
    assert teardown.retained_data(settings) == teardown.RetainedData("", {})


@pytest.mark.parametrize("prefix", ["bins", "team/bins"])
def test_what_the_pipeline_has_not_made_is_left_with_the_bucket(cloud: Cloud, settings: Settings, prefix: str) -> None:
    ours = with_data(settings, prefix=prefix)
    bring_up_to_date(ours, poll=0)
    s3, bucket = cloud.client("s3"), ours.data.bucket
    s3.put_object(Bucket=bucket, Key=f"{prefix}/runs/1", Body=b"1")
    assert teardown.retained_data(ours).others == ""
    foreign = [f"{prefix}s/theirs", f"{prefix.rpartition('/')[0]}/theirs".lstrip("/"), "zzz"]
    for key in foreign:
        s3.put_object(Bucket=bucket, Key=key, Body=b"1")
        left = teardown.retained_data(ours).others
        assert left
        assert key.startswith(left)
        list(teardown.erase(ours, teardown.retained_data(ours)))
        assert [one["Key"] for one in s3.list_object_versions(Bucket=bucket)["Versions"]] == [key]
        s3.delete_object(Bucket=bucket, Key=key)

    list(teardown.erase(ours, teardown.retained_data(ours)))
    assert teardown.retained_data(ours) == teardown.RetainedData("", {})


def test_raw_photos_below_the_prefix_are_left(cloud: Cloud, settings: Settings) -> None:
    bucket = settings.data.bucket
    ours = with_data(settings, prefix="bins", image_location=f"s3://{bucket}/bins/raw/")
    bring_up_to_date(ours, poll=0)
    s3 = cloud.client("s3")
    for key in ("bins/raw/bin-images/1.jpg", "bins/raw/metadata/1.json", "bins/raw/notes", "bins/runs/1"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"1")
    assert teardown.retained_data(ours).others == "bins/raw/bin-images/"

    list(teardown.erase(ours, teardown.retained_data(ours)))

    kept = [one["Key"] for one in s3.list_object_versions(Bucket=bucket)["Versions"]]
    assert kept == ["bins/raw/bin-images/1.jpg", "bins/raw/metadata/1.json"]


def test_no_stack_is_deleted_by_half_for_a_policy_that_somebody_holds(cloud: Cloud, settings: Settings) -> None:
    bring_up_to_date(settings, poll=0)
    iam, policy = cloud.client("iam"), "arn:aws:iam::111122223333:policy/bins-operator"
    assert teardown.plan(settings).unchecked == ""  # the stack's own role has it
    iam.create_user(UserName="ana")
    iam.attach_user_policy(UserName="ana", PolicyArn=policy)
    iam.create_group(GroupName="engineers")
    iam.attach_group_policy(GroupName="engineers", PolicyArn=policy)
    iam.create_role(RoleName="notebook", AssumeRolePolicyDocument="{}")
    iam.attach_role_policy(RoleName="notebook", PolicyArn=policy)

    with pytest.raises(PipelineError) as refused:
        teardown.plan(settings)

    assert str(refused.value) == (
        f"policies of the stack {settings.stack} are attached outside it: bins-operator to the user ana, the group"
        " engineers, the role notebook. Detach them in IAM first; until then the stack would be deleted only in part"
    )


def test_whoever_may_not_ask_who_holds_a_policy_is_told_that_nobody_looked(cloud: Cloud, settings: Settings) -> None:
    def denied(**_: Any) -> None:
        message = "User: x is not authorized to perform: iam:ListEntitiesForPolicy on resource: policy y"
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": message}}, "ListEntitiesForPolicy")

    bring_up_to_date(settings, poll=0)
    cloud.session.events.register_first("before-call.iam.ListEntitiesForPolicy", denied)
    assert teardown.plan(settings).unchecked == "these credentials may not iam:ListEntitiesForPolicy"


def test_an_object_that_is_locked_ends_the_erasing_with_its_name(
    cloud: Cloud, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_up_to_date(settings, poll=0)

    def locked(**_: Any) -> tuple[Any, dict[str, Any]]:
        from botocore.awsrequest import AWSResponse

        answer = {"Errors": [{"Key": "kept.jpg", "Code": "AccessDenied", "Message": "Object is locked"}]}
        return AWSResponse("", 200, {}, None), answer

    cloud.session.events.register_first("before-call.s3.DeleteObjects", locked)
    with pytest.raises(PipelineError, match=r"s3://.*/kept.jpg cannot be deleted \(AccessDenied: Object is locked\)"):
        list(teardown.erase(settings, teardown.RetainedData(settings.data.bucket, {})))
    cloud.client("s3").head_bucket(Bucket=settings.data.bucket)
