"""The permissions of calls: AWS's examples, every operation that the project uses, and what must not be guessed."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

from pipeline import ROOT
from pipeline.local.cloudformation.kinds import KINDS
from pipeline.local.identity.reference import action as reference
from pipeline.local.identity.requirements import Account, Check, UnresolvedError, checks

ACCOUNT = Account("123456789012", "us-east-1")
PLACE = "us-east-1:123456789012"
SM = f"arn:aws:sagemaker:{PLACE}"
ROLE = "arn:aws:iam::123456789012:role/bins-job"
PASSED = {"iam:PassedToService": "sagemaker.amazonaws.com"}
TAGS = [{"Key": "team", "Value": "bins"}]
TAGGED = {"aws:RequestTag/team": "bins", "aws:TagKeys": ["team"]}
GLUE = f"arn:aws:glue:{PLACE}"
LOGS = f"arn:aws:logs:{PLACE}:log-group"
AUTOSCALING = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/bins/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
SCALED = {
    "application-autoscaling:service-namespace": "sagemaker",
    "application-autoscaling:scalable-dimension": "sagemaker:variant:DesiredInstanceCount",
}
TARGET = f"arn:aws:application-autoscaling:{PLACE}:scalable-target/*"
LINKED = "sagemaker.application-autoscaling.amazonaws.com"


def need(action: str, resource: str = "*", **context: Any) -> tuple[str, str, dict[str, Any]]:
    return action, resource, context.pop("context", {})


def asked(service: str, operation: str, request: Mapping[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (check.action, check.resource, dict(check.context)) for check in checks(service, operation, request, ACCOUNT)
    ]


def passing(role: str, resource: str, service: str = "sagemaker.amazonaws.com") -> tuple[str, str, dict[str, Any]]:
    return "iam:PassRole", role, {"iam:PassedToService": service, "iam:AssociatedResourceArn": resource}


CALLS: list[tuple[str, str, dict[str, Any], list[tuple[str, str, dict[str, Any]]]]] = [
    # ---- SageMaker
    (
        "sagemaker",
        "CreateProcessingJob",
        {
            "ProcessingJobName": "p",
            "RoleArn": ROLE,
            "Tags": TAGS,
            "NetworkConfig": {
                "EnableNetworkIsolation": False,
                "EnableInterContainerTrafficEncryption": True,
                "VpcConfig": {"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]},
            },
            "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.large", "VolumeKmsKeyId": "1a"}},
            "ProcessingOutputConfig": {"KmsKeyId": "arn:aws:kms:eu-west-1:123456789012:key/2b"},
            "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        },
        [
            need(
                "sagemaker:CreateProcessingJob",
                f"{SM}:processing-job/p",
                context={
                    **TAGGED,
                    "sagemaker:InstanceTypes": ["ml.m5.large"],
                    "sagemaker:InterContainerTrafficEncryption": "true",
                    "sagemaker:MaxRuntimeInSeconds": "3600",
                    "sagemaker:NetworkIsolation": "false",
                    "sagemaker:OutputKmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/2b",
                    "sagemaker:VolumeKmsKeyArn": f"arn:aws:kms:{PLACE}:key/1a",
                    "sagemaker:VpcSecurityGroupIds": ["sg-1"],
                    "sagemaker:VpcSubnets": ["subnet-1", "subnet-2"],
                },
            ),
            passing(ROLE, f"{SM}:processing-job/p"),
            need(
                "sagemaker:AddTags",
                f"{SM}:processing-job/p",
                context={
                    **TAGGED,
                    "sagemaker:TaggingAction": "CreateProcessingJob",
                },
            ),
        ],
    ),
    (
        "sagemaker",
        "CreateHyperParameterTuningJob",
        {
            "HyperParameterTuningJobName": "t",
            "TrainingJobDefinition": {
                "RoleArn": ROLE,
                "ResourceConfig": {"InstanceType": "ml.g5.xlarge"},
                "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
                "InputDataConfig": [
                    {
                        "DataSource": {
                            "FileSystemDataSource": {
                                "FileSystemId": "fs-1",
                                "FileSystemType": "EFS",
                                "FileSystemAccessMode": "ro",
                                "DirectoryPath": "/d",
                            }
                        }
                    }
                ],
            },
        },
        [
            need(
                "sagemaker:CreateHyperParameterTuningJob",
                f"{SM}:hyper-parameter-tuning-job/t",
                context={
                    "sagemaker:FileSystemAccessMode": "ro",
                    "sagemaker:FileSystemDirectoryPath": "/d",
                    "sagemaker:FileSystemId": "fs-1",
                    "sagemaker:FileSystemType": "EFS",
                    "sagemaker:InstanceTypes": ["ml.g5.xlarge"],
                    "sagemaker:VpcSecurityGroupIds": ["sg-1"],
                    "sagemaker:VpcSubnets": ["subnet-1"],
                },
            ),
            passing(ROLE, f"{SM}:hyper-parameter-tuning-job/t"),
        ],
    ),
    (
        "sagemaker",
        "CreateModelPackage",
        {
            "ModelPackageGroupName": "bins",
            "ModelApprovalStatus": "PendingManualApproval",
            "CustomerMetadataProperties": {"Commit": "ab12"},
        },
        [
            need(
                "sagemaker:CreateModelPackage",
                f"{SM}:{place}",
                context={
                    "sagemaker:CustomerMetadataProperties/Commit": "ab12",
                    "sagemaker:ModelApprovalStatus": "PendingManualApproval",
                },
            )
            for place in ("model-package-group/bins", "model-package/bins/*")
        ],
    ),
    (
        "sagemaker",
        "UpdateModelPackage",
        {
            "ModelPackageArn": f"{SM}:model-package/bins/3",
            "ModelApprovalStatus": "Approved",
            "CustomerMetadataPropertiesToRemove": ["Commit"],
        },
        [
            need(
                "sagemaker:UpdateModelPackage",
                f"{SM}:model-package/bins/3",
                context={
                    "sagemaker:CustomerMetadataPropertiesToRemove": ["Commit"],
                    "sagemaker:ModelApprovalStatus": "Approved",
                },
            )
        ],
    ),
    (
        "sagemaker",
        "ListModelPackages",
        {"ModelPackageGroupName": "bins"},
        [need("sagemaker:ListModelPackages", f"{SM}:model-package/bins/*")],
    ),
    ("sagemaker", "ListModelPackages", {}, [need("sagemaker:ListModelPackages")]),
    (
        "sagemaker",
        "DescribeModelPackage",
        {"ModelPackageName": f"{SM}:model-package/bins/3"},
        [need("sagemaker:DescribeModelPackage", f"{SM}:model-package/bins/3")],
    ),
    (
        "sagemaker",
        "DescribeModelPackageGroup",
        {"ModelPackageGroupName": f"{SM}:model-package-group/bins"},
        [need("sagemaker:DescribeModelPackageGroup", f"{SM}:model-package-group/bins")],
    ),
    (
        "sagemaker",
        "CreateModel",
        {"ModelName": "m", "ExecutionRoleArn": ROLE, "EnableNetworkIsolation": True},
        [
            need("sagemaker:CreateModel", f"{SM}:model/m", context={"sagemaker:NetworkIsolation": "true"}),
            passing(ROLE, f"{SM}:model/m"),
        ],
    ),
    (
        "sagemaker",
        "CreateEndpointConfig",
        {
            "EndpointConfigName": "c",
            "KmsKeyId": "1a",
            "DataCaptureConfig": {"KmsKeyId": "2b"},
            "ProductionVariants": [{"ModelName": "m", "InstanceType": "ml.c5.large"}],
        },
        [
            need(
                "sagemaker:CreateEndpointConfig",
                f"{SM}:endpoint-config/c",
                context={
                    "sagemaker:InstanceTypes": ["ml.c5.large"],
                    "sagemaker:ModelArn": f"{SM}:model/m",
                    "sagemaker:VolumeKmsKeyArn": f"arn:aws:kms:{PLACE}:key/1a",
                },
            )
        ],
    ),
    (
        "sagemaker",
        "UpdateEndpoint",
        {
            "EndpointName": "e",
            "EndpointConfigName": "c",
            "DeploymentConfig": {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]}},
        },
        [
            need("sagemaker:UpdateEndpoint", f"{SM}:endpoint/e"),
            need("sagemaker:UpdateEndpoint", f"{SM}:endpoint-config/c"),
            need("cloudwatch:DescribeAlarms", f"arn:aws:cloudwatch:{PLACE}:alarm:errors"),
        ],
    ),
    (
        "sagemaker",
        "CreatePipeline",
        {"PipelineName": "p", "RoleArn": ROLE, "Tags": TAGS},
        [
            need("sagemaker:CreatePipeline", f"{SM}:pipeline/p", context=TAGGED),
            passing(ROLE, f"{SM}:pipeline/p"),
            need(
                "sagemaker:AddTags", f"{SM}:pipeline/p", context={**TAGGED, "sagemaker:TaggingAction": "CreatePipeline"}
            ),
        ],
    ),
    (
        "sagemaker",
        "StartPipelineExecution",
        {"PipelineName": f"{SM}:pipeline/p"},
        [need("sagemaker:StartPipelineExecution", f"{SM}:pipeline/p")],
    ),
    (
        "sagemaker",
        "ListPipelineExecutionSteps",
        {"PipelineExecutionArn": f"{SM}:pipeline/p/execution/1a"},
        [need("sagemaker:ListPipelineExecutionSteps", f"{SM}:pipeline/p/execution/1a")],
    ),
    (
        "sagemaker",
        "AddTags",
        {"ResourceArn": f"{SM}:endpoint/e", "Tags": TAGS},
        [need("sagemaker:AddTags", f"{SM}:endpoint/e", context=TAGGED)],
    ),
    (
        "sagemaker",
        "DeleteTags",
        {"ResourceArn": f"{SM}:endpoint/e", "TagKeys": ["team"]},
        [need("sagemaker:DeleteTags", f"{SM}:endpoint/e", context={"aws:TagKeys": ["team"]})],
    ),
    (
        "sagemaker-runtime",
        "InvokeEndpoint",
        {"EndpointName": "e", "TargetModel": "m.tar.gz"},
        [need("sagemaker:InvokeEndpoint", f"{SM}:endpoint/e", context={"sagemaker:TargetModel": "m.tar.gz"})],
    ),
    (
        "sagemaker",
        "CreateTransformJob",
        {
            "TransformJobName": "t",
            "ModelName": "m",
            "TransformOutput": {"KmsKeyId": "alias/bins"},
            "TransformResources": {"InstanceType": "ml.m5.large"},
        },
        [
            need(
                "sagemaker:CreateTransformJob",
                f"{SM}:transform-job/t",
                context={
                    "sagemaker:InstanceTypes": ["ml.m5.large"],
                    "sagemaker:ModelArn": f"{SM}:model/m",
                    "sagemaker:OutputKmsKeyArn": f"arn:aws:kms:{PLACE}:alias/bins",
                },
            )
        ],
    ),
    # ---- Athena and Glue
    (
        "athena",
        "StartQueryExecution",
        {"WorkGroup": "bins"},
        [need("athena:StartQueryExecution", f"arn:aws:athena:{PLACE}:workgroup/bins")],
    ),
    (
        "athena",
        "StartQueryExecution",
        {},
        [need("athena:StartQueryExecution", f"arn:aws:athena:{PLACE}:workgroup/primary")],
    ),
    (
        "athena",
        "GetQueryResults",
        {"QueryExecutionId": "1a", "WorkGroup": "bins"},
        [need("athena:GetQueryResults", f"arn:aws:athena:{PLACE}:workgroup/bins")],
    ),
    (
        "glue",
        "GetTable",
        {"DatabaseName": "d", "Name": "t"},
        [need("glue:GetTable", f"{GLUE}:{place}") for place in ("catalog", "database/d", "table/d/t")],
    ),
    (
        "glue",
        "CreateTable",
        {"DatabaseName": "d", "TableInput": {"Name": "t"}},
        [need("glue:CreateTable", f"{GLUE}:{place}") for place in ("catalog", "database/d", "table/d/t")],
    ),
    (
        "glue",
        "GetTables",
        {"DatabaseName": "d"},
        [need("glue:GetTables", f"{GLUE}:{place}") for place in ("catalog", "database/d", "table/d/*")],
    ),
    (
        "glue",
        "GetDatabase",
        {"Name": "d"},
        [need("glue:GetDatabase", f"{GLUE}:{place}") for place in ("catalog", "database/d")],
    ),
    # ---- the function, its rules and schedules
    ("lambda", "Invoke", {"FunctionName": "f"}, [need("lambda:InvokeFunction", f"arn:aws:lambda:{PLACE}:function:f")]),
    (
        "lambda",
        "Invoke",
        {"FunctionName": f"arn:aws:lambda:{PLACE}:function:f", "Qualifier": "live"},
        [need("lambda:InvokeFunction", f"arn:aws:lambda:{PLACE}:function:f:live")],
    ),
    (
        "lambda",
        "CreateFunction",
        {
            "FunctionName": "f",
            "Role": ROLE,
            "Code": {"S3Bucket": "b", "S3Key": "f.zip"},
            "Tags": {"team": "bins"},
            "Layers": [f"arn:aws:lambda:{PLACE}:layer:l:1"],
            "VpcConfig": {"SubnetIds": ["subnet-1"]},
        },
        [
            need(
                "lambda:CreateFunction",
                f"arn:aws:lambda:{PLACE}:function:f",
                context={
                    **TAGGED,
                    "lambda:Layer": [f"arn:aws:lambda:{PLACE}:layer:l:1"],
                    "lambda:SubnetIds": ["subnet-1"],
                },
            ),
            passing(ROLE, f"arn:aws:lambda:{PLACE}:function:f", "lambda.amazonaws.com"),
            need("lambda:TagResource", f"arn:aws:lambda:{PLACE}:function:f", context=TAGGED),
            need("s3:GetObject", "arn:aws:s3:::b/f.zip"),
            need("lambda:GetLayerVersion", f"arn:aws:lambda:{PLACE}:layer:l:1"),
        ],
    ),
    (
        "lambda",
        "GetFunction",
        {"FunctionName": "f"},
        [
            need("lambda:GetFunction", f"arn:aws:lambda:{PLACE}:function:f"),
            need("lambda:ListTags", f"arn:aws:lambda:{PLACE}:function:f"),
        ],
    ),
    (
        "events",
        "PutTargets",
        {"Rule": "r", "Targets": [{"Id": "1", "Arn": "arn:x", "RoleArn": ROLE}]},
        [
            need("events:PutTargets", f"arn:aws:events:{PLACE}:rule/r", context={"events:TargetArn": ["arn:x"]}),
            passing(ROLE, f"arn:aws:events:{PLACE}:rule/r", "events.amazonaws.com"),
        ],
    ),
    (
        "events",
        "PutRule",
        {"Name": "r", "EventBusName": "b"},
        [need("events:PutRule", f"arn:aws:events:{PLACE}:rule/b/r")],
    ),
    (
        "events",
        "PutEvents",
        {"Entries": [{"Source": "s", "DetailType": "d"}]},
        [
            need(
                "events:PutEvents",
                f"arn:aws:events:{PLACE}:event-bus/default",
                context={"events:source": ["s"], "events:detail-type": ["d"]},
            )
        ],
    ),
    (
        "scheduler",
        "CreateSchedule",
        {"Name": "n", "GroupName": "g", "Target": {"RoleArn": ROLE}},
        [
            need("scheduler:CreateSchedule", f"arn:aws:scheduler:{PLACE}:schedule/g/n"),
            passing(ROLE, f"arn:aws:scheduler:{PLACE}:schedule/g/n", "scheduler.amazonaws.com"),
        ],
    ),
    (
        "scheduler",
        "GetSchedule",
        {"Name": "n"},
        [need("scheduler:GetSchedule", f"arn:aws:scheduler:{PLACE}:schedule/default/n")],
    ),
    (
        "scheduler",
        "DeleteScheduleGroup",
        {"Name": "g"},
        [
            need("scheduler:DeleteScheduleGroup", f"arn:aws:scheduler:{PLACE}:schedule-group/g"),
            need("scheduler:DeleteSchedule", f"arn:aws:scheduler:{PLACE}:schedule/g/*"),
        ],
    ),
    ("scheduler", "ListSchedules", {"GroupName": "g"}, [need("scheduler:ListSchedules")]),
    # ---- scaling and metrics
    (
        "application-autoscaling",
        "RegisterScalableTarget",
        AUTOSCALING,
        [
            need("application-autoscaling:RegisterScalableTarget", TARGET, context=SCALED),
            need("sagemaker:DescribeEndpoint", f"{SM}:endpoint/bins"),
            need("sagemaker:UpdateEndpointWeightsAndCapacities", f"{SM}:endpoint/bins"),
            need(
                "iam:CreateServiceLinkedRole",
                f"arn:aws:iam::123456789012:role/aws-service-role/{LINKED}"
                "/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint",
                context={"iam:AWSServiceName": LINKED},
            ),
        ],
    ),
    (
        "application-autoscaling",
        "PutScalingPolicy",
        AUTOSCALING,
        [
            need("application-autoscaling:PutScalingPolicy", TARGET, context=SCALED),
            need("cloudwatch:DescribeAlarms", f"arn:aws:cloudwatch:{PLACE}:alarm:*"),
            need(
                "cloudwatch:PutMetricAlarm",
                f"arn:aws:cloudwatch:{PLACE}:alarm:TargetTracking-endpoint/bins/variant/AllTraffic-*",
            ),
        ],
    ),
    (
        "cloudwatch",
        "PutMetricData",
        {"Namespace": "BinCounting"},
        [need("cloudwatch:PutMetricData", context={"cloudwatch:namespace": "BinCounting"})],
    ),
    (
        "cloudwatch",
        "DescribeAlarms",
        {"AlarmNames": ["a", "b"]},
        [need("cloudwatch:DescribeAlarms", f"arn:aws:cloudwatch:{PLACE}:alarm:{name}") for name in "ab"],
    ),
    ("cloudwatch", "DescribeAlarms", {}, [need("cloudwatch:DescribeAlarms", f"arn:aws:cloudwatch:{PLACE}:alarm:*")]),
    ("cloudwatch", "GetMetricStatistics", {"Namespace": "AWS/SageMaker"}, [need("cloudwatch:GetMetricStatistics")]),
    # ---- logs
    (
        "logs",
        "FilterLogEvents",
        {"logGroupName": "/aws/x"},
        [need("logs:FilterLogEvents", f"{LOGS}:/aws/x:log-stream:")],
    ),
    ("logs", "CreateLogGroup", {"logGroupName": "/aws/x"}, [need("logs:CreateLogGroup", f"{LOGS}:/aws/x:log-stream:")]),
    (
        "logs",
        "PutLogEvents",
        {"logGroupName": "/aws/x", "logStreamName": "s"},
        [need("logs:PutLogEvents", f"{LOGS}:/aws/x:log-stream:s")],
    ),
    # ---- images
    ("ecr", "GetAuthorizationToken", {}, [need("ecr:GetAuthorizationToken")]),
    ("ecr", "BatchGetImage", {"repositoryName": "r"}, [need("ecr:BatchGetImage", f"arn:aws:ecr:{PLACE}:repository/r")]),
    (
        "ecr",
        "DescribeRepositories",
        {"repositoryNames": ["r"]},
        [need("ecr:DescribeRepositories", f"arn:aws:ecr:{PLACE}:repository/r")],
    ),
    (
        "codebuild",
        "StartBuild",
        {"projectName": "p"},
        [need("codebuild:StartBuild", f"arn:aws:codebuild:{PLACE}:project/p")],
    ),
    (
        "codebuild",
        "StartBuild",
        {
            "projectName": "p",
            "buildspecOverride": "version: 0.2",
            "privilegedModeOverride": False,
            "environmentVariablesOverride": [{"name": "IMAGES", "value": "train", "type": "PLAINTEXT"}],
            "serviceRoleOverride": ROLE,
            "logsConfigOverride": {"s3Logs": {"status": "ENABLED", "location": "b/logs"}},
        },
        [
            need(
                "codebuild:StartBuild",
                f"arn:aws:codebuild:{PLACE}:project/p",
                context={
                    "codebuild:source.buildspec": "version: 0.2",
                    "codebuild:environment.privilegedMode": "false",
                    "codebuild:environment.environmentVariables": "true",
                    "codebuild:environment.environmentVariables.name": ["IMAGES"],
                    "codebuild:environment.environmentVariables.value": ["train"],
                    "codebuild:environment.environmentVariables/IMAGES.value": "train",
                    "codebuild:logsConfig": "true",
                    "codebuild:logsConfig.s3Logs": "true",
                    "codebuild:logsConfig.s3Logs.location": "b/logs",
                    "codebuild:logsConfig.s3Logs.status": "ENABLED",
                    "codebuild:serviceRole": ROLE,
                },
            ),
            passing(ROLE, f"arn:aws:codebuild:{PLACE}:project/p", "codebuild.amazonaws.com"),
        ],
    ),
    (
        "codebuild",
        "BatchGetBuilds",
        {"ids": ["p:1a"]},
        [need("codebuild:BatchGetBuilds", f"arn:aws:codebuild:{PLACE}:project/p")],
    ),
    # ---- the account
    ("iam", "GetRole", {"RoleName": "bins-job"}, [need("iam:GetRole", ROLE)]),
    (
        "iam",
        "CreateRole",
        {"RoleName": "r", "Path": "/x/", "Tags": TAGS},
        [
            need("iam:CreateRole", "arn:aws:iam::123456789012:role/x/r", context=TAGGED),
            need("iam:TagRole", "arn:aws:iam::123456789012:role/x/r", context=TAGGED),
        ],
    ),
    (
        "iam",
        "AttachRolePolicy",
        {"RoleName": "bins-job", "PolicyArn": "arn:aws:iam::123456789012:policy/p"},
        [need("iam:AttachRolePolicy", ROLE, context={"iam:PolicyARN": "arn:aws:iam::123456789012:policy/p"})],
    ),
    ("iam", "SimulatePrincipalPolicy", {"PolicySourceArn": ROLE}, [need("iam:SimulatePrincipalPolicy", ROLE)]),
    (
        "iam",
        "CreateServiceLinkedRole",
        {"AWSServiceName": LINKED},
        [
            need(
                "iam:CreateServiceLinkedRole",
                f"arn:aws:iam::123456789012:role/aws-service-role/{LINKED}/*",
                context={"iam:AWSServiceName": LINKED},
            )
        ],
    ),
    (
        "sts",
        "AssumeRole",
        {"RoleArn": ROLE, "RoleSessionName": "s", "ExternalId": "x"},
        [need("sts:AssumeRole", ROLE, context={"sts:ExternalId": "x", "sts:RoleSessionName": "s"})],
    ),
    ("sts", "GetCallerIdentity", {}, []),
    (
        "sqs",
        "SendMessage",
        {"QueueUrl": "http://127.0.0.1:1/123456789012/q"},
        [need("sqs:SendMessage", f"arn:aws:sqs:{PLACE}:q")],
    ),
    (
        "sns",
        "Subscribe",
        {"TopicArn": f"arn:aws:sns:{PLACE}:t", "Protocol": "email", "Endpoint": "a@b"},
        [need("sns:Subscribe", f"arn:aws:sns:{PLACE}:t", context={"sns:Endpoint": "a@b", "sns:Protocol": "email"})],
    ),
    (
        "sns",
        "Unsubscribe",
        {"SubscriptionArn": f"arn:aws:sns:{PLACE}:t:1a-2b"},
        [need("sns:Unsubscribe", f"arn:aws:sns:{PLACE}:t")],
    ),
    (
        "kms",
        "DescribeKey",
        {"KeyId": f"arn:aws:kms:{PLACE}:key/1a"},
        [need("kms:DescribeKey", f"arn:aws:kms:{PLACE}:key/1a")],
    ),
    (
        "secretsmanager",
        "GetSecretValue",
        {"SecretId": "wandb"},
        [
            need(
                "secretsmanager:GetSecretValue",
                f"arn:aws:secretsmanager:{PLACE}:secret:wandb-*",
                context={"secretsmanager:SecretId": "wandb"},
            )
        ],
    ),
    ("service-quotas", "ListServiceQuotas", {"ServiceCode": "sagemaker"}, [need("servicequotas:ListServiceQuotas")]),
    (
        "budgets",
        "CreateBudget",
        {"AccountId": "123456789012", "Budget": {"BudgetName": "b"}},
        [need("budgets:ModifyBudget", "arn:aws:budgets::123456789012:budget/b")],
    ),
    (
        "cloudformation",
        "CreateChangeSet",
        {"StackName": "s", "ChangeSetName": "c", "TemplateURL": "https://b.s3.us-east-1.amazonaws.com/a/t.yaml"},
        [
            need(
                "cloudformation:CreateChangeSet",
                f"arn:aws:cloudformation:{PLACE}:stack/s/*",
                context={
                    "cloudformation:ChangeSetName": "c",
                    "cloudformation:TemplateUrl": "https://b.s3.us-east-1.amazonaws.com/a/t.yaml",
                },
            ),
            need("s3:GetObject", "arn:aws:s3:::b/a/t.yaml"),
        ],
    ),
    (
        "cloudformation",
        "UpdateStack",
        {"StackName": "s", "TemplateURL": "http://127.0.0.1:8333/b/t.yaml", "RoleARN": ROLE},
        [
            need(
                "cloudformation:UpdateStack",
                f"arn:aws:cloudformation:{PLACE}:stack/s/*",
                context={
                    "cloudformation:RoleArn": ROLE,
                    "cloudformation:TemplateUrl": "http://127.0.0.1:8333/b/t.yaml",
                },
            ),
            passing(ROLE, f"arn:aws:cloudformation:{PLACE}:stack/s/*", "cloudformation.amazonaws.com"),
            need("s3:GetObject", "arn:aws:s3:::b/t.yaml"),
        ],
    ),
    ("ec2", "DescribeSubnets", {"SubnetIds": ["subnet-1"]}, [need("ec2:DescribeSubnets")]),
]


@pytest.mark.parametrize(
    ("service", "operation", "request_", "needed"), CALLS, ids=[f"{row[0]}:{row[1]}" for row in CALLS]
)
def test_a_call_needs_these_permissions(
    service: str, operation: str, request_: dict[str, Any], needed: list[tuple[str, str, dict[str, Any]]]
) -> None:
    given = asked(service, operation, request_)
    assert sorted(given, key=str) == sorted(needed, key=str)


def test_the_key_of_older_policies_is_no_longer_sent() -> None:
    """The reference lists sagemaker:VolumeKmsKey and OutputKmsKey for no action of a job any more."""
    (job, *_) = checks(
        "sagemaker",
        "CreateTrainingJob",
        {"TrainingJobName": "t", "ResourceConfig": {"VolumeKmsKeyId": "1a"}, "OutputDataConfig": {"KmsKeyId": "2b"}},
        ACCOUNT,
    )
    assert set(job.context) == {"sagemaker:VolumeKmsKeyArn", "sagemaker:OutputKmsKeyArn"}


@pytest.mark.parametrize(
    ("service", "operation", "request_", "problem"),
    [
        ("sagemaker", "MakeCoffee", {}, "sagemaker:MakeCoffee: the reference has no action"),
        ("nosuchservice", "Get", {}, "nosuchservice:Get: the reference has no action"),
        ("sagemaker", "DescribeEndpoint", {}, "sagemaker:DescribeEndpoint: the request has no name of the endpoint"),
        ("sagemaker", "AddTags", {"ResourceArn": "bins"}, "sagemaker:AddTags: the request names no resource"),
        ("athena", "GetQueryExecution", {"QueryExecutionId": "1a"}, "no name of the workgroup: QueryExecutionId"),
        ("athena", "StartQueryExecution", {"WorkGroup": f"{SM}:endpoint/e"}, "no value for"),
        ("glue", "GetTable", {"DatabaseName": "d"}, "glue:GetTable: the request has no name of the table"),
        ("application-autoscaling", "RegisterScalableTarget", {**AUTOSCALING, "ServiceNamespace": "ecs"}, "of ecs"),
        ("s3", "PutBucketReplication", {"Bucket": "b"}, "s3:PutBucketReplication is not in the tables"),
    ],
)
def test_what_the_tables_do_not_have_is_refused_and_not_guessed(
    service: str, operation: str, request_: dict[str, Any], problem: str
) -> None:
    with pytest.raises(UnresolvedError, match=problem):
        checks(service, operation, request_, ACCOUNT)


# ---------------------------------------------------------------------------------- every operation that is used
SERVICES = (
    "application-autoscaling", "athena", "budgets", "cloudformation", "cloudwatch", "codebuild", "ec2", "ecr", "events",
    "glue", "iam", "kms", "lambda", "logs", "s3", "sagemaker", "sagemaker-runtime", "scheduler", "secretsmanager",
    "service-quotas", "sns", "sqs", "sts",
)  # fmt: skip
# Methods of the project's own classes with an operation's name, and operations of services that only share a name.
NOT_CALLED = {
    "events:CreateConnection",  # asyncio has a method of this name
    "ec2:CreateNetworkInterface",  # SageMaker's own call for a job: service_calls has it
    "ec2:DeleteTags", "events:CreateEndpoint", "events:DeleteEndpoint", "events:DescribeEndpoint",
    "events:UpdateEndpoint", "lambda:ListTags", "logs:GetQueryResults",
    "s3:GetBucketNotification", "s3:PutBucketNotification", "sagemaker:CreateAutoMLJobV2",
}  # fmt: skip
# The scheduler's operations, by which no other service is called.
TAGGING = ("TagResource", "UntagResource", "ListTagsForResource")
# Members whose value is text of a certain form.
EXAMPLES = {
    "PipelineArn": f"{SM}:pipeline/p",
    "PipelineExecutionArn": f"{SM}:pipeline/p/execution/1a",
    "ModelPackageArn": f"{SM}:model-package/bins/1",
    "PolicySourceArn": ROLE,
    "PolicyArn": "arn:aws:iam::123456789012:policy/p",
    "RoleArn": ROLE,
    "Layers": f"arn:aws:lambda:{PLACE}:layer:l:1",
    "TopicArn": f"arn:aws:sns:{PLACE}:t",
    "TargetArn": f"arn:aws:sns:{PLACE}:t",
    "SubscriptionArn": f"arn:aws:sns:{PLACE}:t:1a",
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/e/variant/v",
    "OpenIDConnectProviderArn": "arn:aws:iam::123456789012:oidc-provider/x",
}
TAGGED_ARN = {"sagemaker": f"{SM}:endpoint/e", "scheduler": f"arn:aws:scheduler:{PLACE}:schedule-group/g"}


@cache
def model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(service)


@cache
def used() -> list[tuple[str, str]]:
    """Services with the operations whose names are in the code of pipeline and steps, or in a kind of resource."""
    words = set()
    for path in (path for folder in ("pipeline", "steps") for path in (ROOT / folder).rglob("*.py")):
        words |= set(names_in(path))
    operations = {
        (service, operation)
        for service in SERVICES
        for operation in model(service).operation_names
        if xform_name(operation) in words or operation in words
    }
    for kind in KINDS.values():
        parts = kind.operations
        named = (parts.describe, parts.create, parts.delete, *parts.update, *parts.setters.values())
        operations |= {(kind.service, operation) for operation in named}
    operations = {pair for pair in operations if pair[1] not in TAGGING or pair[0] == "scheduler"}
    return sorted(pair for pair in operations if ":".join(pair) not in NOT_CALLED)


def names_in(path: Path) -> Iterator[str]:
    if "identity" in path.parts:
        # The tables themselves name operations.
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def example(service: str, shape: Any, name: str = "", depth: int = 0) -> Any:
    """A request with a value of each member."""
    match shape.type_name:
        case "structure":
            members = shape.members if depth < 8 else {}
            return {key: example(service, member, key, depth + 1) for key, member in members.items()}
        case "list":
            return [example(service, shape.member, name, depth + 1)]
        case "map":
            return {"k": example(service, shape.value, name, depth + 1)}
        case "integer" | "long" | "float" | "double" | "timestamp":
            return 1
        case "boolean":
            return True
        case "blob":
            return b""
    if name == "ResourceArn":
        return TAGGED_ARN.get(service, "arn:aws:x:::y")
    return EXAMPLES.get(name, "name")


def request_of(service: str, operation: str) -> dict[str, Any]:
    shape = model(service).operation_model(operation).input_shape
    request = dict(example(service, shape)) if shape else {}
    return {**request, "WorkGroup": "bins"} if service == "athena" else request


@pytest.mark.parametrize(("service", "operation"), used(), ids=[":".join(pair) for pair in used()])
def test_every_operation_in_use_has_its_permissions(service: str, operation: str) -> None:
    needed = checks(service, operation, request_of(service, operation), ACCOUNT)
    assert needed or f"{service}:{operation}" in ("sts:GetCallerIdentity", "sts:GetSessionToken")
    for check in needed:
        prefix, _, name = check.action.partition(":")
        action = reference(prefix, name)
        assert action is not None, check
        assert check.resource == "*" or check.resource.startswith("arn:aws:"), check
        assert "$" not in check.resource, check
        # "*" alone is for actions without a resource.
        assert check.resource != "*" or not any(kind.required for kind in action.types), check


def test_the_operations_in_use_are_many_and_none_is_listed_twice() -> None:
    assert len(used()) > 200
    assert {f"{service}:{operation}" for service, operation in used()} & NOT_CALLED == set()


def test_the_exceptions_are_operations() -> None:
    for name in NOT_CALLED:
        service, _, operation = name.partition(":")
        assert operation in model(service).operation_names, name


# ------------------------------------------------------------------------------------------------ condition keys
# Keys that the reference has for an action and that are no part of its request.
NOT_IN_A_REQUEST = {
    "sagemaker:CurrentCustomerMetadataProperties/${MetadataKey}": "of the existing package",
    "sagemaker:CurrentModelLifeCycleStage": "of the existing package",
    "sagemaker:CurrentModelLifeCycleStageStatus": "of the existing package",
    "sagemaker:SearchVisibilityCondition/${FilterKey}": "a key of Search, which the local cloud does not answer",
    "sagemaker:TaggingAction": "of a creation's AddTags alone",
    "cloudwatch:HasAccessGrant": "of the data sets of a GetMetricData, which no member names",
    "cloudwatch:AlarmTagsPropagationEnabled": "a member that botocore's model does not have",
    "RemovePermission lambda:FunctionUrlAuthType": "of the existing statement",
    "RemovePermission lambda:Principal": "of the existing statement",
    "lambda:EventSourceToken": "of Alexa skills",
    "lambda:InvokedViaFunctionUrl": "of functions with a URL",
    "lambda:VpcIds": "of the subnets, by a call to EC2",
    "events:ManagedBy": "of the existing rule",
    "events:creatorAccount": "of the existing rule",
}


@pytest.mark.parametrize("service", ["sagemaker", "cloudwatch", "lambda", "application-autoscaling", "sts", "sns"])
def test_every_condition_key_of_the_operations_in_use_is_read_or_explained(service: str) -> None:
    for pair in used():
        if pair[0] != service:
            continue
        request = request_of(*pair)
        for check in checks(*pair, request, ACCOUNT):
            prefix, _, name = check.action.partition(":")
            action = reference(prefix, name)
            assert action is not None
            own = {key for key in action.keys if key.startswith(f"{prefix}:") and prefix == service}
            read = {key.split("/")[0].lower() for key in check.context}
            missing = {key for key in own if key.split("/")[0].lower() not in read} - set(NOT_IN_A_REQUEST)
            missing = {key for key in missing if f"{name} {key}" not in NOT_IN_A_REQUEST}
            assert name != pair[1] or not missing, (pair, missing)


def test_checks_are_values() -> None:
    assert Check("a:B", "*") == Check("a:B", "*", {})


# ----------------------------------------------------------------------------- who chooses what a call is decided about
MINE = f"{SM}:model-package/mine/1"
FUNCTION = f"arn:aws:lambda:{PLACE}:function"
RULE = f"arn:aws:events:{PLACE}:rule"
QUEUES = f"http://127.0.0.1:1/{ACCOUNT.id}"
VICTIM_ROLE = "arn:aws:iam::123456789012:role/victim"
# Requests whose caller wants to be judged by another resource than the one that the call is about, and that one.
ATTACKS: list[tuple[str, str, dict[str, Any], list[str]]] = [
    (
        "sagemaker",
        "UpdateModelPackage",
        {"ApprovalDescription": MINE, "ModelPackageArn": f"{SM}:model-package/g/7"},
        [f"{SM}:model-package/g/7"],
    ),
    (
        "sagemaker",
        "UpdatePipeline",
        {"PipelineDescription": f"{SM}:pipeline/mine", "PipelineName": "victim"},
        [f"{SM}:pipeline/victim"],
    ),
    ("sagemaker", "DeleteModelPackage", {"ModelPackageName": "g", "ModelPackageArn": MINE}, [f"{SM}:model-package/g"]),
    ("sagemaker", "DeleteEndpoint", {"ResourceArn": f"{SM}:endpoint/mine", "EndpointName": "e"}, [f"{SM}:endpoint/e"]),
    ("iam", "UpdateRole", {"Description": ROLE, "RoleName": "victim"}, [VICTIM_ROLE]),
    ("iam", "PutRolePolicy", {"PolicyDocument": ROLE, "RoleName": "victim", "PolicyName": ROLE}, [VICTIM_ROLE]),
    (
        "lambda",
        "UpdateFunctionConfiguration",
        {"Description": f"{FUNCTION}:mine", "FunctionName": "victim"},
        [f"{FUNCTION}:victim"],
    ),
    (
        "lambda",
        "AddPermission",
        {"SourceArn": f"{FUNCTION}:mine", "FunctionName": "victim"},
        [f"{FUNCTION}:victim"],
    ),
    # "function:" within a name is part of it.
    ("lambda", "Invoke", {"FunctionName": "victim-function:mine"}, [f"{FUNCTION}:victim-function:mine"]),
    ("lambda", "Invoke", {"FunctionName": f"{ACCOUNT.id}:function:f:live"}, [f"{FUNCTION}:f:live"]),
    ("events", "DeleteRule", {"Description": f"{RULE}/mine", "Name": "victim"}, [f"{RULE}/victim"]),
    ("events", "PutRule", {"Description": f"{RULE}/mine", "Name": "victim"}, [f"{RULE}/victim"]),
    ("events", "DeleteRule", {"Rule": "mine", "Name": "victim"}, [f"{RULE}/victim"]),
    (
        "events",
        "PutEvents",
        {"EventBusName": "mine", "Entries": [{"EventBusName": "victim"}, {"Source": "s"}]},
        [f"arn:aws:events:{PLACE}:event-bus/{bus}" for bus in ("victim", "default")],
    ),
    (
        "glue",
        "GetTable",
        {"DatabaseName": "d", "TableName": "mine", "Name": "victim"},
        [f"{GLUE}:{place}" for place in ("catalog", "database/d", "table/d/victim")],
    ),
    (
        "glue",
        "GetDatabase",
        {"DatabaseName": "mine", "Name": "victim"},
        [f"{GLUE}:{place}" for place in ("catalog", "database/victim")],
    ),
    (
        "sqs",
        "SendMessage",
        {"QueueName": "mine", "QueueUrl": f"{QUEUES}/victim"},
        [f"arn:aws:sqs:{PLACE}:victim"],
    ),
    (
        "athena",
        "DeleteWorkGroup",
        {"Name": "mine", "WorkGroup": "victim"},
        [f"arn:aws:athena:{PLACE}:workgroup/victim"],
    ),
    (
        "athena",
        "CreateWorkGroup",
        {"WorkGroup": "mine", "Name": "victim"},
        [f"arn:aws:athena:{PLACE}:workgroup/victim"],
    ),
    (
        "codebuild",
        "StartBuild",
        {"name": "mine", "ids": ["mine:1"], "projectName": "victim"},
        [f"arn:aws:codebuild:{PLACE}:project/victim"],
    ),
    (
        "sns",
        "Publish",
        {"Message": f"arn:aws:sns:{PLACE}:mine", "Name": "mine", "TopicArn": f"arn:aws:sns:{PLACE}:victim"},
        [f"arn:aws:sns:{PLACE}:victim"],
    ),
]


@pytest.mark.parametrize(
    ("service", "operation", "request_", "resources"), ATTACKS, ids=[f"{row[0]}:{row[1]}" for row in ATTACKS]
)
def test_a_caller_cannot_choose_the_resource_of_a_decision(
    service: str, operation: str, request_: dict[str, Any], resources: list[str]
) -> None:
    for request in (request_, dict(reversed(request_.items()))):
        needed = checks(service, operation, request, ACCOUNT)
        assert sorted(check.resource for check in needed) == sorted(resources)


@pytest.mark.parametrize(
    ("service", "operation", "request_", "problem"),
    [
        ("sns", "Publish", {"TopicArn": f"arn:aws:sns:{PLACE}:a", "TargetArn": f"arn:aws:sns:{PLACE}:b"}, "differ"),
        ("logs", "GetLogEvents", {"logGroupName": "a", "logGroupIdentifier": "b", "logStreamName": "s"}, "differ"),
        ("glue", "UpdateDatabase", {"Name": "a", "DatabaseInput": {"Name": "b"}}, "differ"),
        ("glue", "CreateTable", {"DatabaseName": "d", "Name": "a", "TableInput": {"Name": "b"}}, "differ"),
        # The ARN of a table has two names: it is no name of a table in another database.
        ("glue", "GetTable", {"DatabaseName": "d", "Name": f"{GLUE}:table/mine/t"}, "no name of the table"),
        ("scheduler", "GetSchedule", {"Name": f"arn:aws:scheduler:{PLACE}:schedule/mine/n"}, "no name of the schedule"),
        # The workgroup of a query is the local cloud's to add, and for a call that has a query.
        ("athena", "GetQueryResults", {"QueryExecutionId": "", "WorkGroup": "mine"}, "no name of the workgroup"),
        ("athena", "BatchGetQueryExecution", {"QueryExecutionIds": [], "WorkGroup": "mine"}, "no name of"),
        ("lambda", "Invoke", {"FunctionName": ["f"]}, "lambda:Invoke.FunctionName is no text"),
        ("events", "PutTargets", {"Rule": "r", "Targets": {"Arn": "x"}}, "events:PutTargets.Targets is no list"),
        ("sagemaker", "CreateModel", {"ModelName": "m", "VpcConfig": "v"}, "CreateModel.VpcConfig is no structure"),
    ],
)
def test_a_request_that_names_two_resources_or_none_is_refused(
    service: str, operation: str, request_: dict[str, Any], problem: str
) -> None:
    for request in (request_, dict(reversed(request_.items()))):
        with pytest.raises(UnresolvedError, match=problem):
            checks(service, operation, request, ACCOUNT)


# Members by which a call names what it is about, by service; a path has members within.
NAMING = {
    "application-autoscaling": {"ResourceId", "ServiceNamespace"},
    "athena": {"CatalogName", "Name", "WorkGroup"},
    "budgets": {"Budget.BudgetName", "BudgetName"},
    "cloudformation": {"StackName", "TemplateURL"},
    "cloudwatch": {"AlarmName", "AlarmNames"},
    "codebuild": {"ids", "name", "names", "projectName"},
    "ecr": {"repositoryName", "repositoryNames"},
    "events": {"Entries.EventBusName", "EventBusName", "Name", "Rule"},
    "glue": {"DatabaseInput.Name", "DatabaseName", "Name", "TableInput.Name", "TableName"},
    "iam": {
        *("GroupName", "OpenIDConnectProviderArn", "Path", "PolicyArn", "PolicyName"),
        *("PolicySourceArn", "RoleName", "Url"),
    },
    "kms": {"KeyId"},
    "lambda": {"Code.S3Bucket", "Code.S3Key", "FunctionName", "Layers", "Qualifier", "S3Bucket", "S3Key"},
    "logs": {"logGroupIdentifier", "logGroupName", "logStreamName"},
    "sagemaker": {
        *("DeploymentConfig.AutoRollbackConfiguration.Alarms.AlarmName", "EndpointConfigName", "EndpointName"),
        *("ExperimentName", "HyperParameterTuningJobName", "ModelName", "ModelPackageArn", "ModelPackageGroupName"),
        *(
            "ModelPackageName",
            "PipelineArn",
            "PipelineExecutionArn",
            "PipelineName",
            "ProcessingJobName",
            "ProjectName",
        ),
        *("ResourceArn", "TrainingJobName", "TransformJobName", "TrialName"),
    },
    "sagemaker-runtime": {"EndpointName", "InferenceComponentName"},
    "scheduler": {"GroupName", "Name", "ResourceArn"},
    "secretsmanager": {"SecretId"},
    "sns": {"Name", "SubscriptionArn", "TargetArn", "TopicArn"},
    "sqs": {"QueueName", "QueueUrl"},
}
# The roles that a call passes.
PASSED_ROLES = {
    *("ExecutionRole", "ExecutionRoleArn", "Role", "RoleARN", "RoleArn"),
    *("ValidationRole", "serviceRole", "serviceRoleOverride"),
}
# Members that no operation has, and aliases that others have.
FOREIGN = ("Arn", "Comment", "Identifier", "Name", "ResourceArn", "Resource", "SourceArn", "TargetArn", "name")
# Names of members that say something under a condition key, as keys of a map of the caller's.
KEYS = (
    *("InstanceType", "EnableNetworkIsolation", "KmsKeyId", "VolumeKmsKeyId", "Subnets", "SecurityGroupIds"),
    *("MaxRuntimeInSeconds", "AcceptEula", "RoleArn", "ModelName", "AlarmName", "Source", "DetailType"),
)
TAG_MEMBERS = {"Tags", "tags"}


def filled(value: Any, shape: Any, text: str, naming: set[str], path: str = "") -> Any:
    """The value with a text in all its texts but those of naming members and roles; also in the keys of maps."""
    name = path.rpartition(".")[2]
    if path in naming or name in PASSED_ROLES or name in TAG_MEMBERS:
        return value
    match shape.type_name:
        case "structure":
            members = shape.members
            return {
                key: filled(item, members[key], text, naming, f"{path}.{key}".strip("."))
                for key, item in value.items()
                if key in members
            }
        case "list":
            return [filled(item, shape.member, text, naming, path) for item in value]
        case "map":
            items = {key: filled(item, shape.value, text, naming, f"{path}.{key}") for key, item in value.items()}
            return {**items, text: next(iter(items.values()), text)}
        case "string":
            return text
    return value


def other_resource(arn: str) -> str:
    return arn.replace("name", "other") if "name" in arn else f"{arn}9"


def named(needed: list[Check]) -> set[tuple[str, str]]:
    return {(check.action, check.resource) for check in needed}


JUDGED = [pair for pair in used() if pair[0] != "s3" and model(pair[0]).operation_model(pair[1]).input_shape]


@pytest.mark.parametrize(("service", "operation"), JUDGED, ids=[":".join(pair) for pair in JUDGED])
def test_no_other_member_of_a_request_changes_what_it_is_decided_about(service: str, operation: str) -> None:
    """ARNs of other resources of the same types in all free texts, in front of the names and behind them."""
    shape = model(service).operation_model(operation).input_shape
    request = request_of(service, operation)
    expected = checks(service, operation, request, ACCOUNT)
    naming = NAMING.get(service, set())
    own = {key: value for key, value in request.items() if key in naming or key == "WorkGroup"}
    for arn in {other_resource(check.resource) for check in expected if check.resource != "*"}:
        texts = filled({key: value for key, value in request.items() if key not in own}, shape, arn, naming)
        for changed in ({**texts, **own}, {**own, **texts}):
            assert named(checks(service, operation, changed, ACCOUNT)) == named(expected), arn
        foreign = {name: arn for name in FOREIGN if name not in shape.members}
        for changed in ({**foreign, **request}, {**request, **foreign}, dict(reversed(request.items()))):
            assert checks(service, operation, changed, ACCOUNT) == expected, arn


def maps(shape: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The maps of texts in a structure, apart from those that condition keys are about."""
    for key, member in shape.members.items():
        if member.type_name == "structure" and len(path) < 6:
            yield from maps(member, (*path, key))
        elif member.type_name == "map" and member.value.type_name == "string" and key not in TAG_MEMBERS:
            yield (*path, key)


def with_map(request: dict[str, Any], path: tuple[str, ...], entries: dict[str, str]) -> dict[str, Any]:
    key, *rest = path
    return {**request, key: with_map(request[key], tuple(rest), entries) if rest else {**entries, **request[key]}}


def test_the_keys_of_a_map_say_nothing_under_condition_keys() -> None:
    """Environment, HyperParameters and the like: {"InstanceType": ...} in them is the caller's word."""
    tried = 0
    for service, operation in JUDGED:
        request = request_of(service, operation)
        for path in maps(model(service).operation_model(operation).input_shape):
            if path == ("CustomerMetadataProperties",):
                continue  # a condition key for each of them
            changed = with_map(request, path, dict.fromkeys(KEYS, ROLE))
            assert checks(service, operation, changed, ACCOUNT) == checks(service, operation, request, ACCOUNT), path
            tried += 1
    assert tried > 20


def context_of(operation: str, request: dict[str, Any], *actions: str) -> list[dict[str, Any]]:
    needed = checks("sagemaker", operation, request, ACCOUNT)
    return [check.context for check in needed if check.action in (actions or (f"sagemaker:{operation}",))]


def test_a_context_value_is_of_the_member_that_the_key_is_about() -> None:
    job = {
        "ProcessingJobName": "p",
        "ProcessingInputs": [{"DatasetDefinition": {"AthenaDatasetDefinition": {"KmsKeyId": "allowed"}}}],
        "ProcessingOutputConfig": {"KmsKeyId": "used"},
        "Environment": {"InstanceType": "ml.t3.medium", "EnableNetworkIsolation": "true", "VolumeKmsKeyId": "allowed"},
    }
    assert context_of("CreateProcessingJob", job) == [{"sagemaker:OutputKmsKeyArn": f"arn:aws:kms:{PLACE}:key/used"}]
    tuning = {
        "HyperParameterTuningJobName": "t",
        "HyperParameterTuningJobConfig": {"ResourceLimits": {"MaxRuntimeInSeconds": 60}},
        "TrainingJobDefinition": {
            "StaticHyperParameters": {"InstanceType": "ml.t3.medium"},
            "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
        },
    }
    assert context_of("CreateHyperParameterTuningJob", tuning) == [{"sagemaker:MaxRuntimeInSeconds": "86400"}]


def test_each_value_of_a_key_with_one_value_is_asked_about() -> None:
    variants = [{"ModelName": name, "InstanceType": "ml.c5.large"} for name in ("allowed", "other")]
    asked_about = context_of("CreateEndpointConfig", {"EndpointConfigName": "c", "ProductionVariants": variants})
    assert [context["sagemaker:ModelArn"] for context in asked_about] == [f"{SM}:model/allowed", f"{SM}:model/other"]
    # What the second training job leaves out, the first does not say for it.
    jobs = [{"EnableNetworkIsolation": True, "RoleArn": ROLE}, {"RoleArn": VICTIM_ROLE}]
    tuning = {"HyperParameterTuningJobName": "t", "TrainingJobDefinitions": jobs}
    assert context_of("CreateHyperParameterTuningJob", tuning) == [{"sagemaker:NetworkIsolation": "true"}, {}]
    passed = [check.resource for check in checks("sagemaker", "CreateHyperParameterTuningJob", tuning, ACCOUNT)][2:]
    assert passed == [ROLE, VICTIM_ROLE]


def test_a_role_by_its_name_is_passed_too() -> None:
    request = {"projectName": "p", "serviceRoleOverride": "bins-job"}
    assert [check.resource for check in checks("codebuild", "StartBuild", request, ACCOUNT)][1:] == [ROLE]
    request = {"PipelineName": "p", "PipelineDescription": "x", "Environment": {"RoleArn": VICTIM_ROLE}}
    assert [check.action for check in checks("sagemaker", "UpdatePipeline", request, ACCOUNT)] == [
        "sagemaker:UpdatePipeline"
    ]
