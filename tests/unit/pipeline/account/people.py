"""What people and machines need for the commands, on what."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.account import deploy_function as serving
from pipeline.settings import REPOSITORIES, Role, Settings
from tests.unit.pipeline.account.compiled import EXECUTION, TRIAL, TUNING, said_of_a_job
from tests.unit.pipeline.account.needs import (
    CHECKING,
    ECR_PUSH,
    MISSING_OBJECTS,
    STARTING_BUILDS,
    TAGGING,
    Account,
    Need,
    each,
    keys,
    passing,
    pushing,
)


def ci_policy(settings: Settings) -> Iterator[Need]:
    account = Account(settings)
    upserted = "AddTags CreatePipeline DescribePipeline ListTags UpdatePipeline"
    yield from each(" ".join(f"sagemaker:{one}" for one in upserted.split()), account.pipeline)
    created = "sagemaker:CreateModelPackageGroup sagemaker:DescribeModelPackageGroup sagemaker:ListTags"
    yield from each(created, account.group)
    yield from each("sagemaker:AddTags", account.group, context={"aws:TagKeys": ["team", "cost-center"]})
    yield passing(settings, "pipeline")
    project = account.arn("codebuild", f"project/{settings.image_builder}")
    yield from each("codebuild:BatchGetBuilds codebuild:StartBuild", project, source=STARTING_BUILDS)
    log = account.log(f"/aws/codebuild/{settings.image_builder}")
    yield from each("logs:GetLogEvents", log, source=STARTING_BUILDS)
    yield from each("s3:PutObject", f"{account.bucket}/{settings.code_prefix}/images/0.zip", source=STARTING_BUILDS)
    yield from pushing(account)
    repositories = [account.repository(image) for image in REPOSITORIES]
    yield from each("ecr:DescribeImages", *repositories, source=ECR_PUSH)
    yield from keys(settings, "kms:Decrypt kms:GenerateDataKey")


def check_policy(settings: Settings) -> Iterator[Need]:
    """What `check` looks at in the account."""
    account = Account(settings)
    kinds: tuple[Role, ...] = ("pipeline", "job", "serving", "monitor", "batch", "scheduler", "deploy")
    yield from each("iam:GetRole", *map(settings.role_arn, kinds), source=CHECKING)
    yield from each("iam:SimulatePrincipalPolicy", *map(settings.role_arn, kinds[:2]), source=CHECKING)
    yield from each("s3:ListBucket", account.bucket, account.raw_bucket, source=CHECKING)
    repositories = [account.repository(image) for image in REPOSITORIES]
    yield from each("ecr:DescribeImages", *repositories, source=CHECKING)
    yield from each(
        "athena:GetWorkGroup", account.arn("athena", f"workgroup/{settings.data.workgroup}"), source=CHECKING
    )
    catalog = [account.arn("glue", name) for name in ("catalog", f"database/{settings.data.database}")]
    yield from each("glue:GetDatabase", *catalog, source=CHECKING)
    yield from each("lambda:GetFunctionConfiguration", settings.deploy_function_arn, source=CHECKING)
    rules = [account.arn("events", f"rule/{rule}") for rule in serving.deployment_rules(settings)]
    yield from each("events:DescribeRule", *rules, source=CHECKING)
    yield from each("sqs:GetQueueUrl", settings.dead_letter_queue_arn, source=CHECKING)
    yield from each("cloudwatch:DescribeAlarms", account.arn("cloudwatch", "alarm:*"), source=CHECKING)
    looked = (
        "ec2:DescribeDhcpOptions ec2:DescribeRouteTables ec2:DescribeSecurityGroups ec2:DescribeSubnets"
        " ec2:DescribeVpcEndpoints ec2:DescribeVpcs"
    )
    quotas = "servicequotas:ListAWSDefaultServiceQuotas servicequotas:ListServiceQuotas"
    yield from each(f"{looked} {quotas}", "*", source=CHECKING)
    if settings.encryption.kms_key:
        yield from each("kms:DescribeKey", settings.encryption.kms_key, source=CHECKING)


def approver_policy(settings: Settings) -> Iterator[Need]:
    account = Account(settings)
    yield from each("sagemaker:DescribeModelPackage sagemaker:ListModelPackages", account.version)
    for status in ("Approved", "Rejected"):
        yield Need("sagemaker:UpdateModelPackage", account.version, context={"sagemaker:ModelApprovalStatus": status})
    # pipeline/operations/serving/endpoint.py; its commands for operators call more.
    waiting = "approve --wait and rollback"
    yield from each("lambda:InvokeFunction", account.rollback, source="rollback")
    yield from each("sagemaker:DescribeEndpoint sagemaker:ListTags", account.endpoint, source=waiting)
    yield from each("sagemaker:DescribeEndpointConfig", account.config, source=waiting)
    yield from each("sagemaker:DescribeModel", account.model, source=waiting)
    yield from each("s3:GetObject", f"{account.run}/evaluate/evaluation/evaluation.json")
    yield from each("sagemaker:ListDomains", "*")
    # "If you have the s3:ListBucket permission on the bucket, Amazon S3 returns an HTTP status code 404 (Not Found)
    # error. If you don't have the s3:ListBucket permission, Amazon S3 returns an HTTP status code 403":
    # https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    yield from each("s3:ListBucket", account.bucket, source=MISSING_OBJECTS)
    yield from keys(settings, "kms:Decrypt")


def operator_policy(settings: Settings) -> Iterator[Need]:
    account = Account(settings)
    yield from _runs(account)
    yield from each("sagemaker:DescribeModelPackage sagemaker:ListModelPackages", account.version)
    yield from each("lambda:InvokeFunction", settings.deploy_function_arn)
    yield from each("sagemaker:DescribeEndpoint sagemaker:InvokeEndpoint sagemaker:ListTags", account.endpoint)
    yield from each("sagemaker:DescribeEndpointConfig", account.config)
    yield from each("sagemaker:DescribeModel", account.model)
    batch = f"{settings.name}-batch-v12-20260101-000000"
    model = account.arn("sagemaker", f"model/{batch}")
    yield from each("sagemaker:CreateModel", model)
    transform = account.arn("sagemaker", f"transform-job/{batch}")
    yield from each("sagemaker:CreateTransformJob sagemaker:DescribeTransformJob", transform)
    yield from each("sagemaker:CreateProcessingJob", account.monitor_job, context=said_of_a_job(account.monitor))
    yield from each("sagemaker:AddTags", model, transform, account.monitor_job, source=TAGGING)
    yield passing(settings, "monitor")
    yield passing(settings, "batch")
    schedule = account.arn("scheduler", f"schedule/{settings.name}/{settings.name}-runs")
    changed = "CreateSchedule DeleteSchedule GetSchedule UpdateSchedule"
    yield from each(" ".join(f"scheduler:{one}" for one in changed.split()), schedule)
    group = account.arn("scheduler", f"schedule-group/{settings.name}")
    yield from each("scheduler:CreateScheduleGroup scheduler:TagResource", group)
    yield from each("scheduler:GetSchedule", account.arn("scheduler", "schedule/default/made-in-studio"))
    yield from each("sagemaker:ListProcessingJobs scheduler:ListSchedules", "*")
    yield from each("sns:ListSubscriptionsByTopic", settings.alerts_topic_arn)
    yield from each("s3:GetObject", f"{account.root}/alerts/0123456789abcdef.json")
    yield passing(settings, "scheduler", "scheduler")
    groups = ("ProcessingJobs", "TrainingJobs", f"Endpoints/{settings.endpoint.name}")
    logs = [account.log(f"/aws/sagemaker/{group}") for group in groups]
    yield from each("logs:FilterLogEvents", *logs, account.function_log, account.rollback_log, account.alert_log)
    yield from each("s3:ListBucket", account.bucket, account.raw_bucket)
    yield from each("s3:GetObject", f"{account.run}/shard/index/part-000.json", f"{account.raw}/bin-images/1.jpg")
    yield from each("athena:GetQueryExecution", account.arn("athena", f"workgroup/{settings.data.workgroup}"))
    yield from each("cloudwatch:DescribeAlarms", account.arn("cloudwatch", "alarm:*"))
    yield from each("cloudwatch:GetMetricData cloudwatch:GetMetricStatistics", "*")
    yield from each("sagemaker:ListDomains", "*")
    yield from keys(settings, "kms:Decrypt kms:GenerateDataKey")


def _runs(account: Account) -> Iterator[Need]:
    execution = f"{account.pipeline}/execution/{EXECUTION}"
    started = "DescribePipeline ListPipelineExecutions StartPipelineExecution"
    yield from each(" ".join(f"sagemaker:{one}" for one in started.split()), account.pipeline)
    watched = (
        "DescribePipelineDefinitionForExecution DescribePipelineExecution ListPipelineExecutionSteps"
        " ListPipelineParametersForExecution RetryPipelineExecution StopPipelineExecution"
    )
    yield from each(" ".join(f"sagemaker:{one}" for one in watched.split()), execution)
    job = account.arn("sagemaker", f"processing-job/pipelines-{EXECUTION}-ShardImages-aB3dE5fG7h")
    yield from each("sagemaker:DescribeProcessingJob", job, account.monitor_job)
    tuning = "sagemaker:DescribeHyperParameterTuningJob sagemaker:ListTrainingJobsForHyperParameterTuningJob"
    yield from each(tuning, account.arn("sagemaker", TUNING))
    yield from each("sagemaker:DescribeTrainingJob", account.arn("sagemaker", TRIAL))
