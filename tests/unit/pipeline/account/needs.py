"""A need: what a role has to be allowed, on what, and who says so: the code, the definition, or a page of AWS's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.compiling import step_images as images
from pipeline.operations.serving import monitoring
from pipeline.settings import REPOSITORIES, Role, Settings
from tests.unit.pipeline.account.compiled import EXECUTION
from tests.unit.pipeline.account.policies import Context

# Execution roles of jobs and endpoints: images, logs, metrics, network and keys.
SAGEMAKER_ROLES = "https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html"
# A recorded run with a role of least privilege: CloudTrail has CreateModelPackageGroup of RegisterModel, answered with
# ValidationException for the existing group, and AddTags within each creation; without AddTags on the group:
# "Failed to invoke sagemaker:CreateModelPackageGroup ... not authorized to perform: sagemaker:AddTags".
# Another, without GetObject: "Failed to invoke sagemaker:CreateModelPackage. Error Details: Access denied for bucket".
REGISTERING = "RegisterModel in recorded runs"
# https://docs.aws.amazon.com/sagemaker/latest/dg/marketplace-managing.html has no such need; assumed, since the package
# has the image's digest afterwards (ImageDigest in DescribeModelPackage).
RESOLVING = "CreateModelPackage, assumed"
# "The checkpoints directory is in sync with S3": a file that the container deletes is deleted there.
CHECKPOINTS = "https://docs.aws.amazon.com/sagemaker/latest/dg/model-checkpoints.html"
PIPELINES = "https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-access.html"
ATHENA_S3 = "https://docs.aws.amazon.com/athena/latest/ug/s3-permissions.html"
ATHENA_GLUE = "https://docs.aws.amazon.com/athena/latest/ug/fine-grained-access-to-glue-resources.html"
SCALING = "https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling-prerequisites.html"
GUARDRAILS = "https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html"
LAMBDA_ROLES = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html"
LAMBDA_DEAD_LETTERS = "https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html"
SCHEDULER_DEAD_LETTERS = "https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html"
MISSING_OBJECTS = "https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html"
COPYING = "https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html"
S3_KMS = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html"
ECR_PUSH = "https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html"
CODEBUILD = "https://docs.aws.amazon.com/codebuild/latest/userguide/setting-up-service-role.html"
STARTING_BUILDS = "https://docs.aws.amazon.com/codebuild/latest/userguide/run-build-cli.html"
# A creation with tags needs AddTags besides.
TAGGING = "https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsagemaker.html"
# Reading what is there: the actions have the operations' names.
CHECKING = "https://docs.aws.amazon.com/service-authorization/latest/reference/"


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
        self.rollback = self.arn("lambda", f"function:{settings.rollback_function}")
        self.rollback_log = self.log(f"/aws/lambda/{settings.rollback_function}")
        self.alert_log = self.log(f"/aws/lambda/{settings.alert_function}")

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


def pushing(account: Account) -> Iterator[Need]:
    """Building on AWS's images and pushing the project's own."""
    pull = "ecr:BatchCheckLayerAvailability ecr:BatchGetImage ecr:GetDownloadUrlForLayer"
    push = "ecr:CompleteLayerUpload ecr:InitiateLayerUpload ecr:PutImage ecr:UploadLayerPart"
    repositories = [account.repository(image) for image in REPOSITORIES]
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


INTERFACES = (
    "ec2:CreateNetworkInterface ec2:CreateNetworkInterfacePermission ec2:DeleteNetworkInterface"
    " ec2:DeleteNetworkInterfacePermission"
)
NETWORK_LOOKS = (
    "ec2:DescribeDhcpOptions ec2:DescribeNetworkInterfaces ec2:DescribeSecurityGroups ec2:DescribeSubnets"
    " ec2:DescribeVpcs"
)


def job_network(settings: Settings) -> Iterator[Need]:
    """A job's interfaces. The page on processing jobs: "Don't scope in the policy with any conditions or resource
    filters. Otherwise, the validation checks that occur during the creation of the processing job fail."
    """
    if settings.network.subnets:
        yield from each(f"{INTERFACES} {NETWORK_LOOKS}", "*", source=SAGEMAKER_ROLES)


def network(settings: Settings) -> Iterator[Need]:
    """An endpoint's interfaces in the project's subnets."""
    region, owner = settings.account.region, settings.account.id
    interface = f"arn:aws:ec2:{region}:{owner}:network-interface/eni-1"
    for subnet in settings.network.subnets:
        subnet_arn = f"arn:aws:ec2:{region}:{owner}:subnet/{subnet}"
        groups = [f"arn:aws:ec2:{region}:{owner}:security-group/{one}" for one in settings.network.security_groups]
        yield from each("ec2:CreateNetworkInterface", interface, subnet_arn, *groups, source=SAGEMAKER_ROLES)
        yield from each(INTERFACES.partition(" ")[2], interface, source=SAGEMAKER_ROLES)
        yield from each(NETWORK_LOOKS, "*", source=SAGEMAKER_ROLES)
