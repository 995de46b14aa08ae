"""The types of resources that the local cloud creates.

Properties: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-template-resource-type-ref.html
"""

from __future__ import annotations

from pipeline.local.cloudformation.kinds import special
from pipeline.local.cloudformation.kinds.kind import Account, Kind, Operations, Properties

__all__ = ["KINDS", "Account", "Kind", "Properties"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


KINDS: dict[str, Kind] = {
    "AWS::Athena::WorkGroup": special.WorkGroup(
        "athena",
        Operations("GetWorkGroup", "CreateWorkGroup", ("UpdateWorkGroup",), "DeleteWorkGroup"),
        _names("Description RecursiveDeleteOption WorkGroupConfiguration"),
        naming="Name",
        renamed={"WorkGroupConfiguration": "Configuration"},
        identity={"WorkGroup": "{name}"},
        persistent=True,
    ),
    # Nothing is spent here, so that a budget never warns.
    "AWS::Budgets::Budget": Kind(
        "budgets",
        Operations("DescribeBudget", "CreateBudget", (), "DeleteBudget", recreate=True),
        _names("Budget NotificationsWithSubscribers"),
        nested_naming=("Budget", "BudgetName"),
        identity={"AccountId": "{account}", "BudgetName": "{name}"},
        replacing=_names("NotificationsWithSubscribers"),
    ),
    "AWS::CloudWatch::Alarm": Kind(
        "cloudwatch",
        Operations("DescribeAlarms", "PutMetricAlarm", ("PutMetricAlarm",), "DeleteAlarms"),
        _names(
            "ActionsEnabled AlarmActions AlarmDescription ComparisonOperator DatapointsToAlarm Dimensions"
            " EvaluateLowSampleCountPercentile EvaluationPeriods ExtendedStatistic InsufficientDataActions MetricName"
            " Metrics Namespace OKActions Period Statistic Threshold TreatMissingData Unit"
        ),
        naming="AlarmName",
        identity={"AlarmNames": ["{name}"]},
        listed=("MetricAlarms", "AlarmName"),
        get_att={"Arn": "arn:aws:cloudwatch:{region}:{account}:alarm:{name}"},
    ),
    "AWS::CodeBuild::Project": Kind(
        "codebuild",
        Operations("BatchGetProjects", "CreateProject", (), "DeleteProject", recreate=True),
        _names(
            "Artifacts Cache ConcurrentBuildLimit Description EncryptionKey Environment LogsConfig"
            " QueuedTimeoutInMinutes ServiceRole Source Tags TimeoutInMinutes"
        ),
        naming="Name",
        identity={"names": ["{name}"]},
        listed=("projects", "name"),
        get_att={"Arn": "arn:aws:codebuild:{region}:{account}:project/{name}"},
    ),
    # A repository with images is not deleted: the service refuses.
    "AWS::ECR::Repository": Kind(
        "ecr",
        Operations(
            "DescribeRepositories",
            "CreateRepository",
            ("PutImageTagMutability", "PutImageScanningConfiguration"),
            "DeleteRepository",
        ),
        _names("EncryptionConfiguration ImageScanningConfiguration ImageTagMutability"),
        naming="RepositoryName",
        identity={"repositoryNames": ["{name}"]},
        defaults={"ImageTagMutability": "MUTABLE", "ImageScanningConfiguration": {"ScanOnPush": False}},
        replacing=_names("EncryptionConfiguration"),
        get_att={
            "Arn": "arn:aws:ecr:{region}:{account}:repository/{name}",
            "RepositoryUri": "{account}.dkr.ecr.{region}.amazonaws.com/{name}",
        },
    ),
    "AWS::Events::Rule": special.Rule(
        "events",
        Operations("DescribeRule", "PutRule", ("PutRule",), "DeleteRule"),
        _names("Description EventPattern RoleArn ScheduleExpression State Targets"),
        naming="Name",
        get_att={"Arn": "arn:aws:events:{region}:{account}:rule/{name}"},
    ),
    "AWS::Glue::Database": special.Database(
        "glue",
        Operations("GetDatabase", "CreateDatabase", ("UpdateDatabase",), "DeleteDatabase"),
        _names("CatalogId DatabaseInput"),
        nested_naming=("DatabaseInput", "Name"),
        identity={"Name": "{name}"},
    ),
    "AWS::IAM::ManagedPolicy": special.ManagedPolicy(
        "iam",
        Operations("GetPolicy", "CreatePolicy", ("CreatePolicyVersion",), "DeletePolicy"),
        _names("Description Path PolicyDocument Roles"),
        naming="ManagedPolicyName",
        renamed={"ManagedPolicyName": "PolicyName"},
        identity={"PolicyArn": "{reference}", "SetAsDefault": True},
        replacing=_names("Description Path"),
        ref="arn:aws:iam::{account}:policy{path}{name}",
        get_att={"PolicyArn": "{reference}"},
    ),
    "AWS::IAM::OIDCProvider": Kind(
        "iam",
        Operations(
            "GetOpenIDConnectProvider", "CreateOpenIDConnectProvider", (), "DeleteOpenIDConnectProvider", recreate=True
        ),
        _names("ClientIdList ThumbprintList"),
        naming="Url",
        identity={"OpenIDConnectProviderArn": "{reference}"},
        # IAM fetches a thumbprint; moto requires one.
        defaults={"ClientIdList": [], "ThumbprintList": ["0" * 40]},
        ref="arn:aws:iam::{account}:oidc-provider/{host}",
        get_att={"Arn": "{reference}"},
    ),
    "AWS::IAM::Role": special.Role(
        "iam",
        Operations("GetRole", "CreateRole", ("UpdateAssumeRolePolicy", "UpdateRole"), "DeleteRole"),
        _names("AssumeRolePolicyDocument Description ManagedPolicyArns MaxSessionDuration Path Policies"),
        naming="RoleName",
        replacing=_names("Path"),
        get_att={"Arn": "arn:aws:iam::{account}:role{path}{name}"},
    ),
    "AWS::Lambda::Function": special.Function(
        "lambda",
        Operations(
            "GetFunctionConfiguration",
            "CreateFunction",
            ("UpdateFunctionCode", "UpdateFunctionConfiguration"),
            "DeleteFunction",
        ),
        _names(
            "Code DeadLetterConfig Description Environment Handler KmsKeyArn LoggingConfig MemorySize Role Runtime"
            " Timeout TracingConfig VpcConfig"
        ),
        naming="FunctionName",
        # An update does not change members that it does not name.
        defaults={"DeadLetterConfig": {"TargetArn": ""}, "KmsKeyArn": ""},
        get_att={"Arn": "arn:aws:lambda:{region}:{account}:function:{name}"},
    ),
    "AWS::Lambda::Permission": special.Permission(
        "lambda",
        Operations("GetPolicy", "AddPermission", (), "RemovePermission"),
        _names("Action FunctionName Principal SourceAccount SourceArn"),
        identity={"StatementId": "{name}"},
        replacing=_names("Action FunctionName Principal SourceAccount SourceArn"),
    ),
    "AWS::Logs::LogGroup": Kind(
        "logs",
        Operations(
            "DescribeLogGroups",
            "CreateLogGroup",
            (),
            "DeleteLogGroup",
            setters={"RetentionInDays": "PutRetentionPolicy"},
        ),
        _names("RetentionInDays"),
        naming="LogGroupName",
        identity={"logGroupNamePrefix": "{name}"},
        listed=("logGroups", "logGroupName"),
        get_att={"Arn": "arn:aws:logs:{region}:{account}:log-group:{name}:*"},
        persistent=True,
    ),
    "AWS::S3::Bucket": special.Bucket(
        "s3",
        Operations(
            "HeadBucket", "CreateBucket", (), "DeleteBucket", setters={"VersioningConfiguration": "PutBucketVersioning"}
        ),
        _names(
            "BucketEncryption LifecycleConfiguration OwnershipControls PublicAccessBlockConfiguration"
            " VersioningConfiguration"
        ),
        naming="BucketName",
        renamed={"BucketName": "Bucket"},
        get_att={
            "Arn": "arn:aws:s3:::{name}",
            "DomainName": "{name}.s3.amazonaws.com",
            "RegionalDomainName": "{name}.s3.{region}.amazonaws.com",
        },
        persistent=True,
    ),
    "AWS::S3::BucketPolicy": Kind(
        "s3",
        Operations("GetBucketPolicy", "PutBucketPolicy", ("PutBucketPolicy",), "DeleteBucketPolicy"),
        _names("PolicyDocument"),
        naming="Bucket",
        renamed={"PolicyDocument": "Policy"},
        persistent=True,
    ),
    "AWS::SNS::Topic": special.Topic(
        "sns",
        Operations("GetTopicAttributes", "CreateTopic", (), "DeleteTopic"),
        _names("DisplayName KmsMasterKeyId Subscription"),
        naming="TopicName",
        renamed={"TopicName": "Name"},
        identity={"TopicArn": "{reference}"},
        ref="arn:aws:sns:{region}:{account}:{name}",
        get_att={"TopicArn": "{reference}", "TopicName": "{name}"},
    ),
    "AWS::SQS::Queue": special.Queue(
        "sqs",
        Operations("GetQueueUrl", "CreateQueue", ("SetQueueAttributes",), "DeleteQueue"),
        _names(
            "DelaySeconds KmsDataKeyReusePeriodSeconds KmsMasterKeyId MaximumMessageSize MessageRetentionPeriod"
            " ReceiveMessageWaitTimeSeconds SqsManagedSseEnabled VisibilityTimeout"
        ),
        naming="QueueName",
        identity={"QueueUrl": "{reference}"},
        get_att={"Arn": "arn:aws:sqs:{region}:{account}:{name}", "QueueName": "{name}"},
    ),
    "AWS::SQS::QueuePolicy": special.QueuePolicy(
        "sqs",
        Operations("GetQueueAttributes", "SetQueueAttributes", ("SetQueueAttributes",), "SetQueueAttributes"),
        _names("PolicyDocument Queues"),
    ),
}
