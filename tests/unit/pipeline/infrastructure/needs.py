"""What each role has to be allowed, on what: by the steps' code, the compiled definition, and AWS's documentation.

Actions of code are found in the source (`calls`); here stands on which resources. What a service does with a role by
itself stands under the page that says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline import images
from pipeline.operations import monitoring, schedules
from pipeline.settings import Role, Settings
from tests.unit.pipeline.infrastructure.policies import Context

# Execution roles of jobs and endpoints: images, logs, metrics, network and keys.
SAGEMAKER_ROLES = "https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html"
PIPELINES = "https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-access.html"
ATHENA_S3 = "https://docs.aws.amazon.com/athena/latest/ug/s3-permissions.html"
ATHENA_GLUE = "https://docs.aws.amazon.com/athena/latest/ug/fine-grained-access-to-glue-resources.html"
SCALING = "https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling-prerequisites.html"
GUARDRAILS = "https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html"
LAMBDA_ROLES = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html"
LAMBDA_DEAD_LETTERS = "https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html"
SCHEDULER_DEAD_LETTERS = "https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html"
S3_KMS = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html"
ECR_PUSH = "https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html"
CODEBUILD = "https://docs.aws.amazon.com/codebuild/latest/userguide/setting-up-service-role.html"
STARTING_BUILDS = "https://docs.aws.amazon.com/codebuild/latest/userguide/run-build-cli.html"
PRICES = "https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/billing-permissions-ref.html"
QUOTAS = "https://docs.aws.amazon.com/servicequotas/latest/userguide/identity-access-management.html"

EXECUTION = "k9j8h7g6f5d4"
TUNING = f"hyper-parameter-tuning-job/{EXECUTION}-TuneMod-aB3dE5fG7h"
TRIAL = f"training-job/{EXECUTION}-TuneMod-aB3dE5fG7h-001-12345678"
_OUTPUT = re.compile(r"Steps\.(\w+)\.ProcessingOutputConfig\.Outputs\['(\w+)'\]\.S3Output\.S3Uri")


@dataclass(frozen=True)
class Need:
    """An action on a resource, and what the request says that conditions may ask for."""

    action: str
    resource: str
    source: str = "code"
    """`code`, `definition`, or the page that documents it."""
    context: Context = field(default_factory=dict, hash=False)


class Account:
    """ARNs of what the settings name."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._place = f"{settings.account.region}:{settings.account.id}"
        self.root = f"arn:aws:s3:::{settings.data.bucket}/{settings.data.prefix}"
        self.bucket = f"arn:aws:s3:::{settings.data.bucket}"
        raw = settings.data.image_location.removeprefix("s3://")
        self.raw_bucket, self.raw = f"arn:aws:s3:::{raw.partition('/')[0]}", f"arn:aws:s3:::{raw}"
        self.run = f"{self.root}/runs/{EXECUTION}"
        self.endpoint = self.arn("sagemaker", f"endpoint/{settings.endpoint.name}")
        self.config = self.arn("sagemaker", f"endpoint-config/{settings.endpoint.name}-v12-0123abcd")
        self.model = self.arn("sagemaker", f"model/{settings.endpoint.name}-v12-0123abcd-model")
        self.group = self.arn("sagemaker", f"model-package-group/{settings.registry.group}")
        self.version = self.arn("sagemaker", f"model-package/{settings.registry.group}/12")
        self.pipeline = self.arn("sagemaker", f"pipeline/{settings.name}")
        self.monitor = monitoring.job_request(settings, "0f1e2d3c")
        self.monitor_job = self.arn("sagemaker", f"processing-job/{self.monitor['ProcessingJobName']}")
        self.function_log = self.log(f"/aws/lambda/{settings.deploy_function}")

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self._place}:{resource}"

    def log(self, group: str) -> str:
        return self.arn("logs", f"log-group:{group}:log-stream:stream")

    def repository(self, image: images.Image) -> str:
        return self.arn("ecr", f"repository/{self.settings.repository(image).partition('/')[2]}")


def each(actions: str, *resources: str, source: str = "code", context: Context | None = None) -> Iterator[Need]:
    """A need for each of the actions, separated by spaces, on each resource."""
    for action in actions.split():
        yield from (Need(action, resource, source, context or {}) for resource in resources)


def passing(settings: Settings, role: Role, service: str = "sagemaker", source: str = "code") -> Need:
    context = {"iam:PassedToService": f"{service}.amazonaws.com"}
    return Need("iam:PassRole", settings.role_arn(role), source, context)


# ---------------------------------------------------------------------------------------------- the pipeline's role

# What a step of each type makes of the pipeline's role.
STEP_ACTIONS = {
    "Processing": "sagemaker:CreateProcessingJob sagemaker:DescribeProcessingJob sagemaker:StopProcessingJob"
    " sagemaker:AddTags",
    "Tuning": "sagemaker:CreateHyperParameterTuningJob sagemaker:DescribeHyperParameterTuningJob"
    " sagemaker:ListTrainingJobsForHyperParameterTuningJob sagemaker:StopHyperParameterTuningJob sagemaker:AddTags",
    "RegisterModel": "sagemaker:CreateModelPackage sagemaker:DescribeModelPackage sagemaker:AddTags",
    "Lambda": "lambda:InvokeFunction",
    "Condition": "",
    "Fail": "",
}


def pipeline_role(settings: Settings, definition: dict[str, Any]) -> Iterator[Need]:
    account = Account(settings)
    steps = list(all_steps(definition["Steps"]))
    for step in steps:
        arguments = step["Arguments"]
        match step["Type"]:
            case "Processing":
                name = f"processing-job/pipelines-{EXECUTION}-{step['Name']}-aB3dE5fG7h"
                resources = [account.arn("sagemaker", name)]
            case "Tuning":
                resources = [account.arn("sagemaker", TUNING)]
                yield Need("sagemaker:DescribeTrainingJob", account.arn("sagemaker", TRIAL), PIPELINES)
            case "RegisterModel":
                group = arguments["ModelPackageGroupName"]
                names = (f"model-package-group/{group}", f"model-package/{group}/12")
                resources = [account.arn("sagemaker", name) for name in names]
            case "Lambda":
                resources = [step["FunctionArn"]]
            case _:
                resources = []
        yield from each(STEP_ACTIONS[step["Type"]], *resources, source="definition", context=said_of_a_job(arguments))
        for role in roles_of(step):
            yield Need("iam:PassRole", role, "definition", {"iam:PassedToService": "sagemaker.amazonaws.com"})
        # JsonGet reads with the pipeline's role.
        for file in step.get("PropertyFiles", []):
            place = outputs_of(steps)[step["Name"], file["OutputName"]]
            yield Need("s3:GetObject", f"{s3_arn(place)}/{file['FilePath']}", "definition")
    yield from keys(settings, "kms:Decrypt")


# ---------------------------------------------------------------------------------------------- the roles of jobs


def job_role(settings: Settings, definition: dict[str, Any]) -> Iterator[Need]:
    account = Account(settings)
    yield from _jobs_by_code(settings, account)
    yield from _jobs_by_definition(definition, account)
    (output,) = account.monitor["ProcessingOutputConfig"]["Outputs"]
    yield Need("s3:PutObject", f"{s3_arn(output['S3Output']['S3Uri'])}/report.html", "definition")
    tables = [account.arn("glue", name) for name in ("catalog", *_glue(settings))]
    yield from each("glue:CreateTable glue:GetTable glue:GetPartitions", *tables, source=ATHENA_GLUE)
    default = [account.arn("glue", name) for name in ("catalog", "database/default")]
    yield from each("glue:GetDatabase", *default, source=ATHENA_GLUE)
    yield from each("s3:GetBucketLocation", account.bucket, account.raw_bucket, source=ATHENA_S3)
    yield from each("s3:ListBucketMultipartUploads", account.bucket, source=ATHENA_S3)
    written = [f"{account.run}/query/metadata/a.parquet", f"{account.root}/shards/a.tar"]
    written += [f"{account.root}/{folder}/a" for folder in ("assignments", "checkpoints", "models", "monitor")]
    # SageMaker's own uploads are in parts too.
    yield from each("s3:ListMultipartUploadParts s3:AbortMultipartUpload", *written, source=ATHENA_S3)
    yield from _execution(
        account,
        [account.repository("processing"), account.repository("training")],
        ["/aws/sagemaker/ProcessingJobs", "/aws/sagemaker/TrainingJobs"],
        "/aws/sagemaker/TrainingJobs",
    )
    yield from network(settings)
    yield from volumes(settings)


def _jobs_by_code(settings: Settings, account: Account) -> Iterator[Need]:
    workgroup = account.arn("athena", f"workgroup/{settings.data.workgroup}")
    queries = "GetQueryExecution GetQueryResults GetWorkGroup StartQueryExecution StopQueryExecution"
    yield from each(" ".join(f"athena:{one}" for one in queries.split()), workgroup)
    database, table = (account.arn("glue", name) for name in _glue(settings))
    yield from each("glue:GetDatabase", account.arn("glue", "catalog"), database)
    yield from each("glue:DeleteTable", account.arn("glue", "catalog"), database, table)
    yield from each("s3:ListBucket", account.bucket, account.raw_bucket)
    yield from each("s3:GetObject", f"{account.raw}/bin-images/1.jpg", f"{account.raw}/metadata/1.json")
    # A shard; the champion's artifact; what the endpoint saw; a baseline.
    read = ("shards/a.tar", "models/job/output/model.tar.gz", f"captures/{settings.endpoint.name}/AllTraffic/1.jsonl")
    yield from each("s3:GetObject", *(f"{account.root}/{key}" for key in read))
    yield from each("s3:GetObject", f"{account.run}/evaluate/evaluation/baseline.parquet")
    written = (f"{account.run}/query/summary/inventory/1.parquet", f"{account.root}/assignments/1.parquet")
    yield from each("s3:PutObject s3:AbortMultipartUpload", *written, f"{account.root}/shards/train/a.tar")
    yield from each("s3:DeleteObject", f"{account.run}/query/metadata/a.parquet")
    yield from each("sagemaker:DescribeModelPackage sagemaker:ListModelPackages", account.version)
    tuning = "sagemaker:DescribeHyperParameterTuningJob sagemaker:ListTrainingJobsForHyperParameterTuningJob"
    yield from each(tuning, account.arn("sagemaker", TUNING))
    yield from each("sagemaker:DescribeEndpoint", account.endpoint)
    yield from each("sagemaker:DescribeEndpointConfig", account.config)
    yield from each("sagemaker:DescribeModel", account.model)
    yield from each("sagemaker:ListPipelineExecutions sagemaker:StartPipelineExecution", account.pipeline)
    yield Need("cloudwatch:PutMetricData", "*", context={"cloudwatch:namespace": monitoring.NAMESPACE})
    if settings.shard.split_file:
        place = s3_arn(settings.shard.split_file)
        yield from each("s3:ListBucket", place.partition("/")[0])
        yield from each("s3:GetObject", f"{place}/part-0.parquet")
    if settings.training.weights:
        yield from each("s3:GetObject", s3_arn(settings.training.weights))
    if settings.tracking.kind == "wandb":
        name = f"secret:{settings.tracking.wandb_secret}-aB3dE5"
        yield from each("secretsmanager:GetSecretValue", account.arn("secretsmanager", name))
    if settings.tracking.mlflow_server.startswith("arn:"):
        called = "CreateExperiment CreateRun GetExperimentByName GetRun LogBatch SearchRuns UpdateRun"
        yield from each(" ".join(f"sagemaker-mlflow:{one}" for one in called.split()), settings.tracking.mlflow_server)


def _jobs_by_definition(definition: dict[str, Any], account: Account) -> Iterator[Need]:
    """What SageMaker reads and writes for the jobs, and the images that it pulls, with their role."""
    steps = list(all_steps(definition["Steps"]))
    for place in outputs_of(steps).values():
        yield Need("s3:PutObject", f"{s3_arn(place)}/file", "definition")
    for step in steps:
        for one in step["Arguments"].get("ProcessingInputs", []):
            yield Need("s3:GetObject", s3_arn(concrete(one["S3Input"]["S3Uri"], steps)), "definition")
        if step["Type"] == "Tuning":
            trial = step["Arguments"]["TrainingJobDefinition"]
            for channel in trial["InputDataConfig"]:
                uri = concrete(channel["DataSource"]["S3DataSource"]["S3Uri"], steps)
                yield Need("s3:GetObject", f"{s3_arn(uri)}/file", "definition")
            models = s3_arn(concrete(trial["OutputDataConfig"]["S3OutputPath"], steps))
            yield Need("s3:PutObject", f"{models}/job/output/model.tar.gz", "definition")
            kept = s3_arn(concrete(trial["CheckpointConfig"]["S3Uri"], steps))
            yield from each("s3:PutObject s3:GetObject", f"{kept}/job/1.pt", source="definition")
        if step["Type"] in ("Processing", "Tuning"):
            name = image_of(step).partition("/")[2].partition(":")[0]
            yield Need("ecr:BatchGetImage", account.arn("ecr", f"repository/{name}"), "definition")


def serving_role(settings: Settings) -> Iterator[Need]:
    account = Account(settings)
    read = [f"{account.root}/models/job/output/model.tar.gz", f"{account.raw}/bin-images/1.jpg"]
    yield from each("s3:GetObject", *read, source=SAGEMAKER_ROLES)
    yield from each("s3:ListBucket", account.bucket, account.raw_bucket, source=SAGEMAKER_ROLES)
    captured = s3_arn(f"{settings.captures_uri}/{settings.endpoint.name}/AllTraffic/1.jsonl")
    written = [captured, f"{account.root}/batch/{settings.name}-v1-1/1.jpg.out"]
    yield from each("s3:PutObject s3:AbortMultipartUpload", *written, source=SAGEMAKER_ROLES)
    yield from _execution(
        account,
        [account.repository("inference")],
        [f"/aws/sagemaker/Endpoints/{settings.endpoint.name}", "/aws/sagemaker/TransformJobs"],
        "/aws/sagemaker/Endpoints",
    )
    yield from network(settings)
    yield from volumes(settings)


def _execution(account: Account, repositories: list[str], groups: list[str], namespace: str) -> Iterator[Need]:
    pull = "ecr:BatchCheckLayerAvailability ecr:BatchGetImage ecr:GetDownloadUrlForLayer"
    yield from each(pull, *repositories, source=SAGEMAKER_ROLES)
    yield from each("ecr:GetAuthorizationToken", "*", source=SAGEMAKER_ROLES)
    write = "logs:CreateLogGroup logs:CreateLogStream logs:DescribeLogStreams logs:PutLogEvents"
    yield from each(write, *map(account.log, groups), source=SAGEMAKER_ROLES)
    yield Need("cloudwatch:PutMetricData", "*", SAGEMAKER_ROLES, {"cloudwatch:namespace": namespace})


# ----------------------------------------------------------------------------------- roles of Scheduler and Lambda


def scheduler_role(settings: Settings) -> Iterator[Need]:
    """The targets that `schedule` and `monitor --schedule` make."""
    account = Account(settings)
    assert monitoring.CREATE_JOB.endswith(":sagemaker:createProcessingJob")
    yield Need("sagemaker:CreateProcessingJob", account.monitor_job, context=said_of_a_job(account.monitor))
    yield passing(settings, "job")
    yield Need("sagemaker:StartPipelineExecution", account.pipeline)
    queue = schedules.target(settings, "")["DeadLetterConfig"]["Arn"]
    yield Need("sqs:SendMessage", queue, SCHEDULER_DEAD_LETTERS)


def deploy_role(settings: Settings) -> Iterator[Need]:
    account = Account(settings)
    yield from each("sagemaker:DescribeModelPackage sagemaker:ListModelPackages", account.version)
    yield from each("sagemaker:AddTags sagemaker:DescribeModelPackageGroup sagemaker:ListTags", account.group)
    yield from each("sagemaker:CreateModel", account.model)
    yield from each("sagemaker:CreateEndpointConfig sagemaker:DescribeEndpointConfig", account.config)
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsagemaker.html: both are asked for.
    yield from each("sagemaker:CreateEndpoint sagemaker:UpdateEndpoint", account.endpoint, account.config)
    lived = "AddTags DeleteEndpoint DescribeEndpoint InvokeEndpoint ListTags"
    yield from each(" ".join(f"sagemaker:{one}" for one in lived.split()), account.endpoint)
    yield from each("s3:GetObject", f"{account.run}/evaluate/evaluation/golden.json")
    yield passing(settings, "serving")
    target = account.arn("application-autoscaling", "scalable-target/1234abcd")
    scaling: Context = {
        "application-autoscaling:service-namespace": "sagemaker",
        "application-autoscaling:scalable-dimension": "sagemaker:variant:DesiredInstanceCount",
    }
    changed = "DeregisterScalableTarget PutScalingPolicy RegisterScalableTarget"
    yield from each(" ".join(f"application-autoscaling:{one}" for one in changed.split()), target, context=scaling)
    yield from each("application-autoscaling:DescribeScalableTargets", "*")
    yield from each("sagemaker:UpdateEndpointWeightsAndCapacities", account.endpoint, source=SCALING)
    alarm = account.arn("cloudwatch", f"alarm:TargetTracking-endpoint/{settings.endpoint.name}/variant/A-AlarmHigh-1")
    yield from each("cloudwatch:DeleteAlarms cloudwatch:PutMetricAlarm", alarm, source=SCALING)
    linked = (
        f"arn:aws:iam::{settings.account.id}:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com"
        "/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
    )
    service: Context = {"iam:AWSServiceName": "sagemaker.application-autoscaling.amazonaws.com"}
    yield Need("iam:CreateServiceLinkedRole", linked, SCALING, service)
    yield from each("cloudwatch:DescribeAlarms", account.arn("cloudwatch", "alarm:*"), source=GUARDRAILS)
    yield from each("logs:CreateLogStream logs:PutLogEvents", account.function_log, source=LAMBDA_ROLES)
    yield Need("sqs:SendMessage", settings.dead_letter_queue_arn, LAMBDA_DEAD_LETTERS)
    yield from volumes(settings)


def build_role(settings: Settings) -> Iterator[Need]:
    account = Account(settings)
    source = f"{account.bucket}/{settings.code_prefix}/source.zip"
    yield from each("s3:GetObject s3:GetObjectVersion", source, source=CODEBUILD)
    yield from each(
        "logs:CreateLogStream logs:PutLogEvents",
        account.log(f"/aws/codebuild/{settings.image_builder}"),
        source=CODEBUILD,
    )
    yield from pushing(account)
    yield from keys(settings, "kms:Decrypt kms:GenerateDataKey")


# ---------------------------------------------------------------------------------------------- people and machines


def ci_policy(settings: Settings) -> Iterator[Need]:
    account = Account(settings)
    yield from each("sagemaker:CreatePipeline sagemaker:DescribePipeline sagemaker:UpdatePipeline", account.pipeline)
    yield from each("sagemaker:CreateModelPackageGroup sagemaker:DescribeModelPackageGroup", account.group)
    yield passing(settings, "pipeline")
    project = account.arn("codebuild", f"project/{settings.image_builder}")
    yield from each("codebuild:BatchGetBuilds codebuild:StartBuild", project, source=STARTING_BUILDS)
    log = account.log(f"/aws/codebuild/{settings.image_builder}")
    yield from each("logs:FilterLogEvents logs:GetLogEvents", log, source=STARTING_BUILDS)
    yield from each("s3:PutObject", f"{account.bucket}/{settings.code_prefix}/source.zip", source=STARTING_BUILDS)
    yield from pushing(account)
    repositories = [account.repository(image) for image in ("processing", "training", "inference")]
    yield from each("ecr:DescribeImages", *repositories, source=ECR_PUSH)
    yield from keys(settings, "kms:Decrypt kms:GenerateDataKey")


def approver_policy(settings: Settings) -> Iterator[Need]:
    account = Account(settings)
    yield from each("sagemaker:DescribeModelPackage sagemaker:ListModelPackages", account.version)
    for status in ("Approved", "Rejected"):
        yield Need("sagemaker:UpdateModelPackage", account.version, context={"sagemaker:ModelApprovalStatus": status})
    yield from each("s3:GetObject", f"{account.run}/evaluate/evaluation/evaluation.json")
    yield from keys(settings, "kms:Decrypt")


def operator_policy(settings: Settings) -> Iterator[Need]:
    account = Account(settings)
    yield from _runs(account)
    yield from each("sagemaker:DescribeModelPackage sagemaker:ListModelPackages", account.version)
    # `rollback` rejects the versions after the one that it goes back to.
    yield Need("sagemaker:UpdateModelPackage", account.version, context={"sagemaker:ModelApprovalStatus": "Rejected"})
    yield from each("lambda:InvokeFunction", settings.deploy_function_arn)
    yield from each("sagemaker:DescribeEndpoint sagemaker:InvokeEndpoint sagemaker:ListTags", account.endpoint)
    yield from each("sagemaker:DescribeEndpointConfig", account.config)
    yield from each("sagemaker:DescribeModel", account.model)
    batch = f"{settings.name}-v12-20260101-000000"
    yield from each("sagemaker:CreateModel", account.arn("sagemaker", f"model/{batch}"))
    transform = account.arn("sagemaker", f"transform-job/{batch}")
    yield from each("sagemaker:CreateTransformJob sagemaker:DescribeTransformJob", transform)
    yield from each("sagemaker:CreateProcessingJob", account.monitor_job, context=said_of_a_job(account.monitor))
    yield passing(settings, "job")
    yield passing(settings, "serving")
    schedule = account.arn("scheduler", f"schedule/{settings.name}/{settings.name}-runs")
    changed = "CreateSchedule DeleteSchedule GetSchedule UpdateSchedule"
    yield from each(" ".join(f"scheduler:{one}" for one in changed.split()), schedule)
    yield from each("scheduler:CreateScheduleGroup", account.arn("scheduler", f"schedule-group/{settings.name}"))
    yield from each("scheduler:GetSchedule", account.arn("scheduler", "schedule/default/made-in-studio"))
    yield from each("scheduler:ListSchedules", "*")
    yield passing(settings, "scheduler", "scheduler")
    groups = ("ProcessingJobs", "TrainingJobs", f"Endpoints/{settings.endpoint.name}")
    logs = [account.log(f"/aws/sagemaker/{group}") for group in groups]
    yield from each("logs:FilterLogEvents", *logs, account.function_log)
    yield from each("s3:ListBucket", account.bucket, account.raw_bucket)
    yield from each("s3:GetObject", f"{account.run}/shard/index/part-000.json", f"{account.raw}/bin-images/1.jpg")
    yield from each("athena:GetQueryExecution", account.arn("athena", f"workgroup/{settings.data.workgroup}"))
    yield from each("cloudwatch:DescribeAlarms", account.arn("cloudwatch", "alarm:*"))
    yield from each("cloudwatch:GetMetricStatistics", "*")
    repositories = [account.repository(image) for image in ("processing", "training", "inference")]
    yield from each("ecr:DescribeImages", *repositories, source=ECR_PUSH)
    yield from each("pricing:GetProducts", "*", source=PRICES)
    yield from each("servicequotas:GetServiceQuota servicequotas:ListServiceQuotas", "*", source=QUOTAS)
    yield from keys(settings, "kms:Decrypt kms:GenerateDataKey")


def _runs(account: Account) -> Iterator[Need]:
    execution = f"{account.pipeline}/execution/{EXECUTION}"
    started = "DescribePipeline ListPipelineExecutions StartPipelineExecution"
    yield from each(" ".join(f"sagemaker:{one}" for one in started.split()), account.pipeline)
    watched = (
        "DescribePipelineDefinitionForExecution DescribePipelineExecution ListPipelineExecutionSteps"
        " StopPipelineExecution"
    )
    yield from each(" ".join(f"sagemaker:{one}" for one in watched.split()), execution)
    job = account.arn("sagemaker", f"processing-job/pipelines-{EXECUTION}-ShardImages-aB3dE5fG7h")
    yield from each("sagemaker:DescribeProcessingJob", job, account.monitor_job)
    tuning = "sagemaker:DescribeHyperParameterTuningJob sagemaker:ListTrainingJobsForHyperParameterTuningJob"
    yield from each(tuning, account.arn("sagemaker", TUNING))
    yield from each("sagemaker:DescribeTrainingJob", account.arn("sagemaker", TRIAL))


# ------------------------------------------------------------------------------------------------- what they share


def pushing(account: Account) -> Iterator[Need]:
    """Building on AWS's images and pushing the project's own."""
    pull = "ecr:BatchCheckLayerAvailability ecr:BatchGetImage ecr:GetDownloadUrlForLayer"
    push = "ecr:CompleteLayerUpload ecr:InitiateLayerUpload ecr:PutImage ecr:UploadLayerPart"
    repositories = [account.repository(image) for image in ("processing", "training", "inference")]
    yield from each(f"{pull} {push}", *repositories, source=ECR_PUSH)
    base = f"arn:aws:ecr:{account.settings.account.region}:763104351884:repository/pytorch-training"
    yield from each(pull, base, source=ECR_PUSH)
    yield from each("ecr:GetAuthorizationToken", "*", source=ECR_PUSH)


def keys(settings: Settings, actions: str) -> Iterator[Need]:
    """Reading and writing objects under the project's key."""
    if key := settings.encryption.kms_key:
        yield from each(actions, key, source=S3_KMS)


def volumes(settings: Settings) -> Iterator[Need]:
    """A job's, or an endpoint's, data and volumes under the project's key."""
    if key := settings.encryption.kms_key:
        used = "kms:Decrypt kms:DescribeKey kms:Encrypt kms:GenerateDataKey"
        yield from each(used, key, source=SAGEMAKER_ROLES)
        yield Need("kms:CreateGrant", key, SAGEMAKER_ROLES, {"kms:GrantIsForAWSResource": "true"})


def network(settings: Settings) -> Iterator[Need]:
    """A job's, or an endpoint's, interfaces in the project's subnets."""
    region, owner = settings.account.region, settings.account.id
    interface = f"arn:aws:ec2:{region}:{owner}:network-interface/eni-1"
    for subnet in settings.network.subnets:
        subnet_arn = f"arn:aws:ec2:{region}:{owner}:subnet/{subnet}"
        groups = [f"arn:aws:ec2:{region}:{owner}:security-group/{one}" for one in settings.network.security_groups]
        yield from each("ec2:CreateNetworkInterface", interface, subnet_arn, *groups, source=SAGEMAKER_ROLES)
        used = "CreateNetworkInterfacePermission DeleteNetworkInterface DeleteNetworkInterfacePermission"
        within: Context = {"ec2:Subnet": subnet_arn}
        named = " ".join(f"ec2:{one}" for one in used.split())
        yield from each(named, interface, source=SAGEMAKER_ROLES, context=within)
        seen = "DhcpOptions NetworkInterfaces SecurityGroups Subnets Vpcs"
        yield from each(" ".join(f"ec2:Describe{one}" for one in seen.split()), "*", source=SAGEMAKER_ROLES)


def _glue(settings: Settings) -> tuple[str, str]:
    return f"database/{settings.data.database}", f"table/{settings.data.database}/raw_0123456789ab"


# ------------------------------------------------------------------------------------------- reading a definition


def all_steps(steps: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The steps and those of their branches."""
    for step in steps:
        yield step
        for branch in ("IfSteps", "ElseSteps"):
            yield from all_steps(step["Arguments"].get(branch, []))


def outputs_of(steps: list[dict[str, Any]]) -> dict[tuple[str, str], str]:
    """URIs by step and name of the output."""
    return {
        (step["Name"], one["OutputName"]): concrete(one["S3Output"]["S3Uri"], steps)
        for step in steps
        for one in step["Arguments"].get("ProcessingOutputConfig", {}).get("Outputs", [])
    }


def concrete(value: Any, steps: list[dict[str, Any]]) -> str:
    """A value of the definition as it could be in a run."""
    match value:
        case str():
            return value
        case {"Std:Join": {"On": on, "Values": values}}:
            return str(on).join(concrete(one, steps) for one in values)
        case {"Get": "Execution.PipelineExecutionId"}:
            return EXECUTION
        case {"Get": str(reference)} if match := _OUTPUT.fullmatch(reference):
            return outputs_of(steps)[match[1], match[2]]
        case {"Get": str()}:
            return "value"
    raise AssertionError(f"teach this test {value}")


def said_of_a_job(request: dict[str, Any]) -> Context:
    """What a request for a job, or for a tuning job, says under SageMaker's condition keys.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsagemaker.html
    """
    job = request.get("TrainingJobDefinition", request)
    network = job.get("NetworkConfig", job)
    resources = job.get("ProcessingResources", {}).get("ClusterConfig") or job.get("ResourceConfig", {})
    found: dict[str, str | list[str]] = {}
    if subnets := network.get("VpcConfig", {}).get("Subnets"):
        found["sagemaker:VpcSubnets"] = subnets
    if key := resources.get("VolumeKmsKeyId"):
        found["sagemaker:VolumeKmsKey"] = key
    for name, member in (
        ("InterContainerTrafficEncryption", "EnableInterContainerTrafficEncryption"),
        ("NetworkIsolation", "EnableNetworkIsolation"),
    ):
        if member in network:
            found[f"sagemaker:{name}"] = str(network[member]).lower()
    return found


def roles_of(value: Any) -> set[str]:
    """ARNs of roles that a step's request passes."""
    if isinstance(value, list):
        return set().union(*map(roles_of, value))
    if not isinstance(value, dict):
        return set()
    own = {value[key] for key in ("RoleArn", "ExecutionRoleArn") if key in value}
    branches = ("IfSteps", "ElseSteps")
    return own.union(*(roles_of(one) for key, one in value.items() if key not in branches))


def image_of(step: dict[str, Any]) -> str:
    """The image that a job runs."""
    arguments = step["Arguments"]
    if step["Type"] == "Processing":
        return str(arguments["AppSpecification"]["ImageUri"])
    return str(arguments["TrainingJobDefinition"]["AlgorithmSpecification"]["TrainingImage"])


def s3_arn(uri: str) -> str:
    """`s3://bucket/key` as an ARN."""
    return f"arn:aws:s3:::{uri.removeprefix('s3://').lstrip('/')}"
