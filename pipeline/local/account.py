"""What an AWS account gets from its bootstrap, made in the local cloud through the same APIs.

Buckets, roles, the Glue database, the Athena workgroup, the dead-letter queue, the deploy function, its rules, the
endpoint's alarms and the images. Everything is made anew where it is missing: of these only buckets and images outlive
the cloud's process.
"""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

from pipeline import images, serving
from pipeline.local import cloud
from pipeline.local.images import ImageRegistry
from pipeline.settings import Role, Settings

FUNCTION_SECONDS = 60
# What went wrong on a Friday must be there on the Monday after the holidays: SQS keeps messages for 14 days at most.
DEAD_LETTER_SECONDS = 14 * 86_400


def prepare(settings: Settings) -> None:
    """Make what is missing. The environment points at the cloud."""
    import boto3

    session = boto3.Session(region_name=settings.account.region)
    _buckets(session.client("s3"), settings)
    _roles(session.client("iam"), settings)
    _catalog(session, settings)
    _dead_letter_queue(session.client("sqs"), settings)
    function = _deploy_function(session.client("lambda"), settings)
    _deployment_rules(session, settings, function)
    _alarms(session.client("cloudwatch"), settings)
    publish_images(settings, cloud.default_directory())


def publish_images(settings: Settings, directory: Path) -> list[str]:
    """Publish the image of every step as its source stands now; gives the URIs."""
    registry = ImageRegistry(directory / "images")
    return [registry.publish(image) for image in images.step_images(settings)]


def function_zip(root: Path = images.ROOT) -> bytes:
    """The deploy function's code; the same source gives the same bytes."""
    files = [root / "steps" / "__init__.py", *sorted((root / "steps" / "deploy").rglob("*.py"))]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            entry = zipfile.ZipInfo(path.relative_to(root).as_posix(), date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def _buckets(s3: Any, settings: Settings) -> None:
    existing = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    raw = settings.data.image_location.removeprefix("s3://").split("/")[0]
    for name in sorted({settings.data.bucket, raw} - existing):
        s3.create_bucket(Bucket=name)


def _roles(iam: Any, settings: Settings) -> None:
    kinds: tuple[Role, ...] = ("pipeline", "job", "serving", "scheduler", "deploy")
    for kind in kinds:
        service = {"deploy": "lambda", "scheduler": "scheduler"}.get(kind, "sagemaker")
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": "sts:AssumeRole",
                    "Principal": {"Service": f"{service}.amazonaws.com"},
                }
            ],
        }
        with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
            iam.create_role(RoleName=settings.role_name(kind), AssumeRolePolicyDocument=json.dumps(trust))


def _catalog(session: Any, settings: Settings) -> None:
    glue, athena = session.client("glue"), session.client("athena")
    with contextlib.suppress(glue.exceptions.AlreadyExistsException):
        glue.create_database(DatabaseInput={"Name": settings.data.database})
    workgroups = {group["Name"] for group in athena.list_work_groups()["WorkGroups"]}
    if settings.data.workgroup not in workgroups:
        location = {"OutputLocation": f"{settings.root_uri}/athena/"}
        athena.create_work_group(
            Name=settings.data.workgroup,
            # Off, so that a CTAS may choose where its table goes.
            Configuration={"EnforceWorkGroupConfiguration": False, "ResultConfiguration": location},
        )


def _dead_letter_queue(sqs: Any, settings: Settings) -> None:
    sqs.create_queue(
        QueueName=settings.dead_letter_queue, Attributes={"MessageRetentionPeriod": str(DEAD_LETTER_SECONDS)}
    )


def _deploy_function(client: Any, settings: Settings) -> str:
    name, code = settings.deploy_function, function_zip()
    environment = serving.function_environment(settings)
    dead_letters = {"TargetArn": settings.dead_letter_queue_arn}
    try:
        client.get_function(FunctionName=name)
    except client.exceptions.ResourceNotFoundException:
        client.create_function(
            FunctionName=name,
            Runtime="python3.12",
            Role=settings.role_arn("deploy"),
            Handler="steps.deploy.handler.handle",
            Code={"ZipFile": code},
            Timeout=FUNCTION_SECONDS,
            Environment={"Variables": environment},
            DeadLetterConfig=dead_letters,
        )
    else:
        client.update_function_code(FunctionName=name, ZipFile=code)
        client.update_function_configuration(
            FunctionName=name, Environment={"Variables": environment}, DeadLetterConfig=dead_letters
        )
    return settings.deploy_function_arn


def _deployment_rules(session: Any, settings: Settings, function_arn: str) -> None:
    """What invokes the deploy function."""
    target = {
        "Id": "deploy",
        "Arn": function_arn,
        "DeadLetterConfig": {"Arn": settings.dead_letter_queue_arn},
    }
    events, functions = session.client("events"), session.client("lambda")
    for rule, pattern in serving.deployment_rules(settings).items():
        arn = events.put_rule(Name=rule, EventPattern=json.dumps(pattern))["RuleArn"]
        events.put_targets(Rule=rule, Targets=[target])
        with contextlib.suppress(functions.exceptions.ResourceConflictException):
            functions.add_permission(
                FunctionName=settings.deploy_function,
                StatementId=rule,
                Action="lambda:InvokeFunction",
                Principal="events.amazonaws.com",
                SourceArn=arn,
            )


def _alarms(cloudwatch: Any, settings: Settings) -> None:
    for alarm in serving.alarms(settings):
        cloudwatch.put_metric_alarm(**alarm)
