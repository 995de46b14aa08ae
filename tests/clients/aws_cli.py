"""Calls of the aws CLI: the command line, and what its answer has, or the error that it ends with.

Names in braces are the scene's. A row is a command, a JMESPath expression over its JSON, and the expression's value; or
a command and the code of its error, for what the local cloud does not have (docs/differences.md) and what AWS refuses.
"""

from __future__ import annotations

from typing import Any

CATALOG = "--catalog-name AwsDataCatalog"
START = "athena start-query-execution --result-configuration OutputLocation=s3://{bucket}/results/ --query-string"
ONE = "--max-items 1"

ANSWERED: tuple[tuple[str, str, Any], ...] = (
    # SageMaker
    ("sagemaker list-pipelines", "contains(PipelineSummaries[].PipelineName, '{name}')", True),
    ("sagemaker describe-pipeline --pipeline-name {name}", "PipelineStatus", "Active"),
    ("sagemaker list-pipeline-executions --pipeline-name {name}", "length(PipelineExecutionSummaries)", 1),
    (
        "sagemaker describe-pipeline-execution --pipeline-execution-arn {execution}",
        "PipelineExecutionStatus",
        "Succeeded",
    ),
    (
        "sagemaker list-pipeline-execution-steps --pipeline-execution-arn {execution} --sort-order Ascending",
        "PipelineExecutionSteps[].StepStatus",
        ["Succeeded"] * 3,
    ),
    (
        "sagemaker list-pipeline-parameters-for-execution --pipeline-execution-arn {execution}",
        "PipelineParameters[0].Name",
        "Unused",
    ),
    (
        "sagemaker describe-pipeline-definition-for-execution --pipeline-execution-arn {execution}",
        "type(PipelineDefinition)",
        "string",
    ),
    (
        "sagemaker list-training-jobs --status-equals Completed",
        "contains(TrainingJobSummaries[].TrainingJobName, '{training_job}')",
        True,
    ),
    ("sagemaker list-training-jobs --name-contains absent", "TrainingJobSummaries", []),
    ("sagemaker describe-training-job --training-job-name {training_job}", "TrainingJobStatus", "Completed"),
    (
        "sagemaker describe-training-job --training-job-name {training_job}",
        "FinalMetricDataList[?MetricName=='loss'].Value",
        [0.25],
    ),
    (
        "sagemaker list-processing-jobs",
        "contains(ProcessingJobSummaries[].ProcessingJobName, '{processing_job}')",
        True,
    ),
    ("sagemaker describe-processing-job --processing-job-name {processing_job}", "ProcessingJobStatus", "Completed"),
    (
        "sagemaker list-model-package-groups",
        "contains(ModelPackageGroupSummaryList[].ModelPackageGroupName, '{name}')",
        True,
    ),
    ("sagemaker list-model-packages --model-package-group-name {name}", "length(ModelPackageSummaryList)", 1),
    ("sagemaker describe-model-package --model-package-name {package}", "ModelApprovalStatus", "PendingManualApproval"),
    ("sagemaker list-models", "contains(Models[].ModelName, '{name}')", True),
    ("sagemaker describe-model --model-name {name}", "PrimaryContainer.Image", "{serving_image}"),
    ("sagemaker list-endpoints", "Endpoints[?EndpointName=='{name}'].EndpointStatus", ["InService"]),
    ("sagemaker describe-endpoint --endpoint-name {name}", "ProductionVariants[0].CurrentInstanceCount", 1),
    ("sagemaker describe-endpoint-config --endpoint-config-name {name}", "ProductionVariants[0].VariantName", "all"),
    ("sagemaker list-tags --resource-arn {pipeline}", "Tags", []),
    ("sagemaker wait training-job-completed-or-stopped --training-job-name {training_job}", "@", None),
    # S3
    ("s3api head-object --bucket {bucket} --key input/rows.csv", "ContentLength", 4),
    ("s3api list-objects-v2 --bucket {bucket} --prefix input/", "Contents[].Key", ["input/rows.csv"]),
    (
        "s3api put-object --bucket {bucket} --key by_cli --server-side-encryption aws:kms --ssekms-key-id alias/mine",
        "[ServerSideEncryption, SSEKMSKeyId]",
        ["aws:kms", "alias/mine"],
    ),
    ("s3api head-object --bucket {bucket} --key kms", "ServerSideEncryption", "aws:kms"),
    ("s3api list-buckets", "contains(Buckets[].Name, '{bucket}')", True),
    # Athena
    (f"athena list-databases {CATALOG}", "contains(DatabaseList[].Name, '{name}')", True),
    (f"athena get-database {CATALOG} --database-name {{name}}", "Database.Name", "{name}"),
    (
        f"athena list-table-metadata {CATALOG} --database-name {{name}} --expression numb.*",
        "TableMetadataList[].Name",
        ["numbers"],
    ),
    (
        f"athena get-table-metadata {CATALOG} --database-name {{name}} --table-name numbers",
        "TableMetadata.PartitionKeys[].Name",
        ["color"],
    ),
    (
        "athena batch-get-query-execution --query-execution-ids {query} 11111111-1111-1111-1111-111111111111",
        "[QueryExecutions[].WorkGroup, UnprocessedQueryExecutionIds[].QueryExecutionId]",
        [["primary"], ["11111111-1111-1111-1111-111111111111"]],
    ),
    ("athena list-data-catalogs", "DataCatalogsSummary[].CatalogName", ["AwsDataCatalog"]),
    ("athena list-work-groups", "contains(WorkGroups[].Name, 'primary')", True),
    ("athena get-work-group --work-group primary", "WorkGroup.State", "ENABLED"),
    (f"{START} 'SELECT count(*) FROM {{name}}.numbers'", "type(QueryExecutionId)", "string"),
    (
        "athena create-prepared-statement --statement-name by_cli --work-group primary --query-statement 'SELECT 1'",
        "@",
        None,
    ),
    (
        "athena list-prepared-statements --work-group primary",
        "contains(PreparedStatements[].StatementName, '{name}')",
        True,
    ),
    (
        "athena get-prepared-statement --statement-name {name} --work-group primary",
        "PreparedStatement.QueryStatement",
        "SELECT 1 AS a",
    ),
    # Glue, which is moto's
    ("glue get-tables --database-name {name}", "contains(TableList[].Name, 'numbers')", True),
    # Logs
    (
        "logs describe-log-groups --log-group-name-pattern Training",
        "logGroups[].logGroupName",
        ["/aws/sagemaker/TrainingJobs"],
    ),
    (
        "logs describe-log-streams --log-group-name /aws/sagemaker/TrainingJobs --order-by LastEventTime --descending",
        "contains(logStreams[].logStreamName | join(' ', @), '{training_job}/')",
        True,
    ),
    (
        "logs describe-log-streams --log-group-identifier"
        " arn:aws:logs:us-east-1:{account}:log-group:/aws/sagemaker/TrainingJobs",
        "contains(logStreams[].logStreamName | join(' ', @), '{training_job}/')",
        True,
    ),
    (
        "logs filter-log-events --log-group-name /aws/sagemaker/TrainingJobs"
        " --log-stream-name-prefix {training_job}/ --filter-pattern 'epoch -0.25'",
        "events[].message",
        ["epoch 1 loss=0.5"],
    ),
    (
        "logs filter-log-events --log-group-name /aws/sagemaker/TrainingJobs"
        " --log-stream-name-prefix {training_job}/ --filter-pattern '?0.25 ?absent'",
        "events[].message",
        ["epoch 2 loss=0.25"],
    ),
    # CloudWatch
    (
        "cloudwatch get-metric-data --start-time {earlier} --end-time {later} --metric-data-queries {latency_p99}",
        "length(MetricDataResults[0].Values) > `0`",
        True,
    ),
    (
        "cloudwatch get-metric-statistics --namespace AWS/SageMaker --metric-name Invocations --statistics Sum"
        " --dimensions Name=EndpointName,Value={name} Name=VariantName,Value=all --period 3600"
        " --start-time {earlier} --end-time {later}",
        "sum(Datapoints[].Sum) >= `3`",
        True,
    ),
    (
        "cloudwatch get-metric-statistics --namespace /aws/sagemaker/TrainingJobs --metric-name loss"
        " --statistics Minimum --dimensions Name=TrainingJobName,Value={training_job} --period 3600"
        " --start-time {earlier} --end-time {later}",
        "min(Datapoints[].Minimum)",
        0.25,
    ),
    (
        "cloudwatch list-metrics --namespace AWS/SageMaker --metric-name ModelLatency",
        "Metrics[0].MetricName",
        "ModelLatency",
    ),
    ("cloudwatch describe-alarms", "MetricAlarms", []),
    # EventBridge, Scheduler
    ("events put-rule --name by_cli --schedule-expression 'rate(1 day)'", "type(RuleArn)", "string"),
    (
        "events put-targets --rule {name} --targets"
        ' \'[{{"Id": "2", "Arn": "arn:aws:lambda:us-east-1:{account}:function:{name}", "InputPath": "$.detail"}}]\'',
        "FailedEntryCount",
        0,
    ),
    ("events list-targets-by-rule --rule {name}", "Targets[?Id=='1'].Input", ["{{}}"]),
    (
        'events put-events --entries \'[{{"Source": "mine", "DetailType": "T", "Detail": "{{}}"}}]\'',
        "FailedEntryCount",
        0,
    ),
    ("scheduler list-schedules", "Schedules", []),
    ("scheduler get-schedule-group --name default", "State", "ACTIVE"),
    # Lambda: the answer's body goes to a file
    ("lambda invoke --function-name {name} --payload '{{}}' --log-type Tail /dev/null", "ExecutedVersion", "$LATEST"),
    ("lambda invoke --function-name {name} --qualifier 1 --payload '{{}}' /dev/null", "ExecutedVersion", "1"),
    ("lambda invoke --function-name {name}:1 --payload '[1]' /dev/null", "StatusCode", 200),
    ("lambda get-function --function-name {name}", "Configuration.Handler", "app.handle"),
    # IAM, STS, ECR, CloudFormation
    (
        "iam simulate-principal-policy --policy-source-arn {role} --action-names s3:GetObject",
        "EvaluationResults[].EvalDecision",
        ["allowed"],
    ),
    ("iam list-roles", "Roles[].RoleName", ["test"]),
    ("sts get-caller-identity", "Account", "{account}"),
    ("ecr describe-images --repository-name test", "length(imageDetails)", 3),
    ("cloudformation describe-stacks", "Stacks", []),
    ("cloudformation list-stacks --stack-status-filter CREATE_COMPLETE", "StackSummaries", []),
)

REFUSED: tuple[tuple[str, str], ...] = (
    ("sagemaker describe-pipeline --pipeline-name absent", "ResourceNotFound"),
    ("sagemaker describe-training-job --training-job-name absent", "ValidationException"),
    ("sagemaker list-feature-groups", "UnknownOperationException"),
    ("sagemaker list-domains", "UnknownOperationException"),
    (
        "sagemaker create-model --model-name m --execution-role-arn {role} --vpc-config SecurityGroupIds=,Subnets=",
        "Validation",
    ),
    ("s3api get-object --bucket {bucket} --key absent /dev/null", "NoSuchKey"),
    ("s3 cp s3://{bucket}/input/rows.csv s3://{bucket}/copy --sse aws:kms", "NotImplemented"),
    (
        "s3api put-bucket-encryption --bucket {bucket} --server-side-encryption-configuration"
        " Rules=[{{ApplyServerSideEncryptionByDefault={{SSEAlgorithm=aws:kms}}}}]",
        "NotImplemented",
    ),
    (f"athena get-database {CATALOG} --database-name absent", "MetadataException"),
    ("athena list-named-queries", "UnknownOperationException"),
    ("athena create-work-group --name g --tags Key=k,Value=v", "ValidationException"),
    (
        "cloudwatch get-metric-statistics --namespace N --metric-name M --extended-statistics p99 --period 60"
        " --start-time {earlier} --end-time {later}",
        "ValidationException",
    ),
    (
        "logs put-log-events --log-group-name /a --log-stream-name s --log-events timestamp=1,message=x",
        "UnknownOperation",
    ),
    ("logs describe-log-streams --log-group-name /absent", "ResourceNotFoundException"),
    ("logs start-query --log-group-name /a --start-time 0 --end-time 1 --query-string x", "UnknownOperationException"),
    (
        "logs filter-log-events --log-group-name /aws/sagemaker/TrainingJobs --filter-pattern '%E.R%'",
        "InvalidParameter",
    ),
    ("logs describe-log-groups --log-group-name-pattern a --log-group-name-prefix b", "InvalidParameter"),
    (
        "cloudwatch get-metric-data --start-time {earlier} --end-time {later} --metric-data-queries"
        ' \'[{{"Id": "e", "Expression": "1+1"}}]\'',
        "Validation",
    ),
    ("events put-targets --rule {name} --targets Id=1,Arn=arn:aws:sqs:us-east-1:{account}:q", "ValidationException"),
    ("events put-rule --name at --schedule-expression 'at(2030-01-01T00:00:00)'", "ValidationException"),
    ("lambda invoke --function-name {name}:7 --payload '{{}}' /dev/null", "ResourceNotFoundException"),
    ("lambda invoke --function-name {name} --payload '{{' /dev/null", "InvalidRequestContentException"),
    ("cloudformation detect-stack-drift --stack-name s", "InvalidAction"),
    ("cloudformation describe-stacks --stack-name absent", "ValidationError"),
    ("sts assume-role --role-arn {role} --role-session-name person", "AccessDenied"),
    (
        "iam simulate-principal-policy --policy-source-arn arn:aws:iam::{account}:role/absent --action-names s3:*",
        "NoSuchEntity",
    ),
)
