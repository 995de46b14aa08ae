"""What the roles of services have to be allowed, on what.

Actions of code are found in the source (`calls`); here stands on which resources. What a service does with a role by
itself stands under the page that says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.operations.runs import schedules
from pipeline.operations.serving import monitoring
from pipeline.settings import Settings
from steps.contracts import names
from tests.unit.pipeline.account.compiled import (
    EXECUTION,
    TRIAL,
    TUNING,
    all_steps,
    concrete,
    image_of,
    outputs_of,
    roles_of,
    s3_arn,
    said_of_a_job,
)
from tests.unit.pipeline.account.needs import (
    ATHENA_GLUE,
    ATHENA_S3,
    CHECKPOINTS,
    CODEBUILD,
    COPYING,
    GUARDRAILS,
    LAMBDA_DEAD_LETTERS,
    LAMBDA_ROLES,
    PIPELINES,
    REGISTERING,
    RESOLVING,
    SAGEMAKER_ROLES,
    SCALING,
    SCHEDULER_DEAD_LETTERS,
    TAGGING,
    Account,
    Need,
    each,
    job_network,
    keys,
    network,
    passing,
    pushing,
    volumes,
)
from tests.unit.pipeline.account.policies import Context

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
                yield from each(
                    "sagemaker:CreateModelPackageGroup", account.arn("sagemaker", names[0]), source=REGISTERING
                )
                yield Need("s3:GetObject", f"{account.root}/models/job/output/model.tar.gz", REGISTERING)
                repository = account.repository("inference")
                yield from each("ecr:BatchGetImage ecr:DescribeImages", repository, source=RESOLVING)
            case "Lambda":
                resources = [step["FunctionArn"]]
            case _:
                resources = []
        said = said_of_a_job(arguments)
        if step["Type"] == "RegisterModel":
            said = {**said, "sagemaker:ModelApprovalStatus": settings.registry.approval}
        yield from each(STEP_ACTIONS[step["Type"]], *resources, source="definition", context=said)
        for role in roles_of(step):
            yield Need("iam:PassRole", role, "definition", {"iam:PassedToService": "sagemaker.amazonaws.com"})
        # JsonGet reads with the pipeline's role.
        for file in step.get("PropertyFiles", []):
            place = outputs_of(steps)[step["Name"], file["OutputName"]]
            yield Need("s3:GetObject", f"{s3_arn(place)}/{file['FilePath']}", "definition")
    yield from keys(settings, "kms:Decrypt")


# ---------------------------------------------------------------------------------------------- the roles of jobs

OWN_FOLDERS = ("assignments", "checkpoints", "indexes", "labels", "models", "plans")


def job_role(settings: Settings, definition: dict[str, Any]) -> Iterator[Need]:
    account = Account(settings)
    yield from _jobs_by_code(settings, account)
    yield from _jobs_by_definition(definition, account)
    tables = [account.arn("glue", name) for name in ("catalog", *_glue(settings))]
    yield from each("glue:CreateTable glue:GetTable glue:GetPartitions", *tables, source=ATHENA_GLUE)
    default = [account.arn("glue", name) for name in ("catalog", "database/default")]
    yield from each("glue:CreateDatabase glue:GetDatabase", *default, source=ATHENA_GLUE)
    yield from each("s3:DeleteObject", f"{account.root}/checkpoints/job/1.pt", source=CHECKPOINTS)
    yield from each("s3:GetBucketLocation", account.bucket, account.raw_bucket, source=ATHENA_S3)
    yield from each("s3:ListBucketMultipartUploads", account.bucket, source=ATHENA_S3)
    written = [f"{account.run}/query/metadata/a.parquet", f"{account.root}/shards/a.tar"]
    written += [f"{account.root}/{folder}/a" for folder in OWN_FOLDERS]
    # SageMaker's own uploads are in parts too.
    yield from each("s3:ListMultipartUploadParts s3:AbortMultipartUpload", *written, source=ATHENA_S3)
    yield from _execution(
        account,
        [account.repository("processing"), account.repository("spark"), account.repository("training")],
        ["/aws/sagemaker/ProcessingJobs", "/aws/sagemaker/TrainingJobs"],
        "/aws/sagemaker/TrainingJobs",
    )
    yield from job_network(settings)
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
    # A shard; the champion's artifact.
    read = ("shards/a.tar", "models/job/output/model.tar.gz")
    yield from each("s3:GetObject", *(f"{account.root}/{key}" for key in read))
    written = [f"{account.run}/query/summary/inventory/1.parquet", f"{account.root}/assignments/1.parquet"]
    written += [f"{account.root}/labels/0/part-00000-of-00001.parquet", f"{account.root}/indexes/0/index.json"]
    yield from each("s3:PutObject s3:AbortMultipartUpload", *written, f"{account.root}/shards/train/a.tar")
    tables = f"{account.run}/plan/jobs/job/tables/a.parquet"
    yield from each("s3:DeleteObject", f"{account.run}/query/metadata/a.parquet", tables)
    yield from each("s3:GetObject s3:PutObject", tables)
    yield from each("sagemaker:DescribeModelPackage sagemaker:ListModelPackages", account.version)
    tuning = "sagemaker:DescribeHyperParameterTuningJob sagemaker:ListTrainingJobsForHyperParameterTuningJob"
    yield from each(tuning, account.arn("sagemaker", TUNING))
    if settings.data.inventory:
        place = s3_arn(settings.data.inventory)
        yield from each("s3:ListBucket", place.partition("/")[0])
        listed = (f"{place}/2026-11-28T01-00Z/manifest.json", f"{place}/data/0.parquet")
        yield from each("s3:GetObject", *listed, f"{place.rpartition('/')[0]}/data/0.parquet")
    if settings.shard.split_file:
        place = s3_arn(settings.shard.split_file)
        yield from each("s3:ListBucket", place.partition("/")[0])
        yield from each("s3:GetObject", f"{place}/part-0.parquet")
    if settings.weights_uri:
        yield from each("s3:GetObject", s3_arn(settings.weights_uri))
    if settings.tracking.kind == "wandb":
        name = f"secret:{settings.tracking.wandb_secret}-aB3dE5"
        yield from each("secretsmanager:GetSecretValue", account.arn("secretsmanager", name))
    if settings.tracking.mlflow_server.startswith("arn:"):
        called = "CreateExperiment CreateRun DeleteRun GetExperimentByName GetRun LogBatch SearchRuns UpdateRun"
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


def monitor_role(settings: Settings) -> Iterator[Need]:
    """The monitor's jobs: their code, and SageMaker's own work around it."""
    account = Account(settings)
    yield from each("s3:ListBucket", account.bucket)
    yield from each("s3:GetObject", f"{account.root}/captures/{settings.endpoint.name}/AllTraffic/1.jsonl")
    yield from each("s3:GetObject", f"{account.run}/evaluate/evaluation/baseline.parquet")
    if settings.monitoring.truth:
        place = s3_arn(settings.monitoring.truth)
        bucket, _, prefix = place.partition("/")
        yield from each("s3:GetObject", f"{place}/2026/a.csv")
        yield Need("s3:ListBucket", bucket, context={"s3:prefix": f"{prefix}/"})
    (output,) = account.monitor["ProcessingOutputConfig"]["Outputs"]
    report = f"{s3_arn(output['S3Output']['S3Uri'])}/report.html"
    upload = "s3:AbortMultipartUpload s3:ListMultipartUploadParts s3:PutObject"
    yield from each(upload, report, source=SAGEMAKER_ROLES)
    yield from each("sagemaker:DescribeModelPackage", account.version)
    yield from each("sagemaker:DescribeEndpoint", account.endpoint)
    yield from each("sagemaker:DescribeEndpointConfig", account.config)
    yield from each("sagemaker:DescribeModel", account.model)
    yield from each("sagemaker:ListPipelineExecutions sagemaker:StartPipelineExecution", account.pipeline)
    yield Need("cloudwatch:PutMetricData", "*", context={"cloudwatch:namespace": monitoring.NAMESPACE})
    yield from _execution(
        account, [account.repository("processing")], ["/aws/sagemaker/ProcessingJobs"], "/aws/sagemaker/ProcessingJobs"
    )
    yield from job_network(settings)
    yield from volumes(settings)


def batch_role(settings: Settings) -> Iterator[Need]:
    account = Account(settings)
    read = [f"{account.root}/models/job/output/model.tar.gz", f"{account.raw}/bin-images/1.jpg"]
    yield from each("s3:GetObject", *read, source=SAGEMAKER_ROLES)
    yield from each("s3:ListBucket", account.bucket, account.raw_bucket, source=SAGEMAKER_ROLES)
    written = f"{account.root}/batch/{settings.name}-batch-v1-1/1.jpg.out"
    yield from each("s3:PutObject s3:AbortMultipartUpload", written, source=SAGEMAKER_ROLES)
    yield from _execution(
        account, [account.repository("inference")], ["/aws/sagemaker/TransformJobs"], "/aws/sagemaker/TransformJobs"
    )
    yield from network(settings)
    yield from volumes(settings)


def serving_role(settings: Settings) -> Iterator[Need]:
    account = Account(settings)
    released = f"{s3_arn(settings.released_uri)}/12-0123456789abcdef/model.tar.gz"
    yield from each("s3:GetObject", released, source=SAGEMAKER_ROLES)
    yield from each("s3:ListBucket", account.bucket, source=SAGEMAKER_ROLES)
    captured = s3_arn(f"{settings.captures_uri}/{settings.endpoint.name}/AllTraffic/1.jsonl")
    yield from each("s3:PutObject s3:AbortMultipartUpload", captured, source=SAGEMAKER_ROLES)
    yield from _execution(
        account,
        [account.repository("inference")],
        [f"/aws/sagemaker/Endpoints/{settings.endpoint.name}"],
        "/aws/sagemaker/Endpoints",
    )
    # "If you configure auto rollback alarms": CreateModel in SAGEMAKER_ROLES, and GUARDRAILS.
    yield from each("cloudwatch:DescribeAlarms", account.arn("cloudwatch", "alarm:*"), source=GUARDRAILS)
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
    yield from each("sagemaker:AddTags", account.monitor_job, source=TAGGING)
    yield passing(settings, "monitor")
    yield Need("sagemaker:StartPipelineExecution", account.pipeline)
    queue = schedules.target(settings, "")["DeadLetterConfig"]["Arn"]
    yield Need("sqs:SendMessage", queue, SCHEDULER_DEAD_LETTERS)


def deploy_role(settings: Settings) -> Iterator[Need]:
    account = Account(settings)
    yield from each("sagemaker:DescribeModelPackage sagemaker:ListModelPackages", account.version)
    rejected: Context = {"sagemaker:ModelApprovalStatus": "Rejected"}
    yield from each("sagemaker:UpdateModelPackage", account.version, context=rejected)
    yield from each("sagemaker:AddTags sagemaker:DescribeModelPackageGroup sagemaker:ListTags", account.group)
    placed: Context = {"sagemaker:VpcSubnets": list(settings.network.subnets)} if settings.network.subnets else {}
    isolated: Context = {"sagemaker:NetworkIsolation": str(settings.endpoint.mode == "real-time").lower()}
    yield from each("sagemaker:CreateModel", account.model, context={**placed, **isolated})
    yield from each("sagemaker:CreateEndpointConfig sagemaker:DescribeEndpointConfig", account.config)
    yield from each("sagemaker:AddTags", account.model, account.config, source=TAGGING)
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsagemaker.html: both are asked for.
    yield from each("sagemaker:CreateEndpoint sagemaker:UpdateEndpoint", account.endpoint, account.config)
    lived = "AddTags DeleteEndpoint DescribeEndpoint InvokeEndpoint ListTags"
    yield from each(" ".join(f"sagemaker:{one}" for one in lived.split()), account.endpoint)
    registered = [f"{account.root}/models/job/output/model.tar.gz", f"{account.run}/evaluate/evaluation/golden.json"]
    released = f"{s3_arn(settings.released_uri)}/12-0123456789abcdef"
    yield from each("s3:GetObject", *registered, f"{released}/golden.json")
    # CopyObject of a version of an object, and its target.
    # https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
    yield from each("s3:GetObjectVersion", *registered, source=COPYING)
    yield from each("s3:PutObject", f"{released}/golden.json", f"{released}/model.tar.gz", source=COPYING)
    yield from each("s3:ListBucket", account.bucket)
    yield Need("cloudwatch:PutMetricData", "*", context={"cloudwatch:namespace": names.METRICS_NAMESPACE})
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
    written = (account.function_log, account.rollback_log)
    yield from each("logs:CreateLogStream logs:PutLogEvents", *written, source=LAMBDA_ROLES)
    yield Need("sqs:SendMessage", settings.dead_letter_queue_arn, LAMBDA_DEAD_LETTERS)
    own: Context = {"events:source": [names.EVENT_SOURCE], "events:detail-type": [names.DEPLOYMENT_EVENT]}
    yield Need("events:PutEvents", account.arn("events", "event-bus/default"), context=own)
    yield from volumes(settings)


def alert_role(settings: Settings) -> Iterator[Need]:
    account = Account(settings)
    execution = f"{account.pipeline}/execution/{EXECUTION}"
    yield from each("sagemaker:DescribePipelineExecution sagemaker:ListPipelineExecutionSteps", execution)
    (output,) = account.monitor["ProcessingOutputConfig"]["Outputs"]
    yield from each("s3:GetObject", f"{s3_arn(output['S3Output']['S3Uri'])}/{names.DRIFT_FILE}")
    yield from each("s3:GetObject s3:PutObject", f"{account.root}/alerts/0123456789abcdef.json")
    yield Need("sns:Publish", settings.alerts_topic_arn)
    yield from each("logs:CreateLogStream logs:PutLogEvents", account.alert_log, source=LAMBDA_ROLES)
    yield Need("sqs:SendMessage", settings.dead_letter_queue_arn, LAMBDA_DEAD_LETTERS)
    yield from keys(settings, "kms:Decrypt kms:GenerateDataKey")


def build_role(settings: Settings) -> Iterator[Need]:
    account = Account(settings)
    source = f"{account.bucket}/{settings.code_prefix}/images/{'0' * 64}.zip"
    yield from each("s3:GetObject s3:GetObjectVersion", source, source=CODEBUILD)
    yield from each(
        "logs:CreateLogStream logs:PutLogEvents",
        account.log(f"/aws/codebuild/{settings.image_builder}"),
        source=CODEBUILD,
    )
    yield from pushing(account)
    yield from keys(settings, "kms:Decrypt")


def _glue(settings: Settings) -> tuple[str, str]:
    return f"database/{settings.data.database}", f"table/{settings.data.database}/raw_0123456789ab"
