"""Calls of awswrangler and of SDK v3's resource classes: what each returns against the scene."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Callable
from typing import Any

import pandas as pd

from tests.clients.scene import DATABASE, ENDPOINT, FUNCTION, GROUP, NAME, PIPELINE, TABLE, Scene

Calls = dict[str, tuple[Callable[[Scene], Any], Any]]


def _wrangler() -> Any:
    import awswrangler

    return awswrangler


def _query(text: str, **more: Any) -> Callable[[Scene], Any]:
    def run(scene: Scene) -> Any:
        frame = _wrangler().athena.read_sql_query(
            text,
            database=DATABASE,
            **{"s3_output": f"s3://{scene.bucket}/{len(text)}/", "ctas_approach": False, **more},
        )
        return frame.to_numpy().tolist()

    return run


def _executed(text: str) -> Callable[[Scene], Any]:
    def run(scene: Scene) -> Any:
        query = _wrangler().athena.start_query_execution(
            text, database=DATABASE, s3_output=f"s3://{scene.bucket}/wrangler/", wait=True
        )
        return query["Status"]["State"]

    return run


def _prepared(_scene: Scene) -> Any:
    athena = _wrangler().athena
    athena.create_prepared_statement(sql=f"SELECT n FROM {TABLE} WHERE n > ?", statement_name="larger")
    return "larger" in [item["StatementName"] for item in athena.list_prepared_statements()]


AWSWRANGLER: Calls = {
    "s3.list_objects": (
        lambda scene: _wrangler().s3.list_objects(f"s3://{scene.bucket}/input/"),
        lambda scene: [f"s3://{scene.bucket}/input/rows.csv"],
    ),
    "s3.read_parquet dataset": (
        lambda scene: sorted(_wrangler().s3.read_parquet(f"s3://{scene.bucket}/table/", dataset=True)["n"]),
        [1, 2, 3],
    ),
    "s3.to_csv with KMS": (
        lambda scene: _wrangler().s3.to_csv(
            pd.DataFrame({"a": [1]}),
            f"s3://{scene.bucket}/kms.csv",
            s3_additional_kwargs={"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/mine"},
        )["paths"],
        lambda scene: [f"s3://{scene.bucket}/kms.csv"],
    ),
    "catalog.databases": (lambda _: DATABASE in list(_wrangler().catalog.databases()["Database"]), True),
    "catalog.table": (
        lambda _: list(_wrangler().catalog.table(database=DATABASE, table=TABLE)["Column Name"]),
        ["n", "color"],
    ),
    "athena.read_sql_query": (_query(f"SELECT sum(n) AS total FROM {TABLE}"), [[6]]),
    "athena.read_sql_query by CTAS": (
        _query(f"SELECT n, color FROM {TABLE} WHERE color = 'blue'", ctas_approach=True),
        [[3, "blue"]],
    ),
    "athena.read_sql_query by UNLOAD": (
        _query(f"SELECT n FROM {TABLE} WHERE color = 'blue'", unload_approach=True),
        [[3]],
    ),
    "athena.read_sql_query with parameters": (
        _query(f"SELECT n FROM {TABLE} WHERE color = ?", params=["'blue'"], paramstyle="qmark"),
        [[3]],
    ),
    "athena.create_prepared_statement": (_prepared, True),
    "athena.repair_table": (
        lambda scene: _wrangler().athena.repair_table(
            TABLE, database=DATABASE, s3_output=f"s3://{scene.bucket}/wrangler/"
        ),
        "SUCCEEDED",
    ),
    "athena.show_create_table": (
        lambda scene: (
            f"`{DATABASE}.{TABLE}`"
            in _wrangler().athena.show_create_table(TABLE, DATABASE, s3_output=f"s3://{scene.bucket}/wrangler/")
        ),
        True,
    ),
    "athena view": (
        _executed(f"CREATE OR REPLACE VIEW reds AS SELECT n FROM {TABLE} WHERE color = 'red'"),
        "SUCCEEDED",
    ),
    "athena.describe_table": (
        lambda scene: list(
            _wrangler().athena.describe_table(TABLE, DATABASE, s3_output=f"s3://{scene.bucket}/wrangler/")[
                "Column Name"
            ]
        )[:2],
        ["n", "color"],
    ),
    "athena.get_work_group": (lambda _: _wrangler().athena.get_work_group("primary")["WorkGroup"]["Name"], "primary"),
    "cloudwatch insights": (
        lambda _: _code(lambda: _wrangler().cloudwatch.run_query("fields @message", ["/aws/sagemaker/TrainingJobs"])),
        "UnknownOperationException",
    ),
    "sts.get_account_id": (lambda _: _wrangler().sts.get_account_id(), "123456789012"),
}


def _code(call: Callable[[], Any]) -> str:
    """The code of the error that a call ends with."""
    from botocore.exceptions import ClientError

    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "no error"


def _resources() -> Any:
    from pipeline.compiling.offline import offline_sdk

    with offline_sdk():
        from sagemaker.core import resources
    return resources


SDK_V3: Calls = {
    "Pipeline.get": (lambda _: _resources().Pipeline.get(pipeline_name=PIPELINE).pipeline_status, "Active"),
    "Pipeline.get_all": (lambda _: PIPELINE in [item.pipeline_name for item in _resources().Pipeline.get_all()], True),
    "PipelineExecution.get": (
        lambda scene: (
            _resources()
            .PipelineExecution.get(pipeline_execution_arn=scene.values["execution"])
            .pipeline_execution_status
        ),
        "Succeeded",
    ),
    "PipelineExecution.get_all_steps": (
        lambda scene: sorted(
            step.step_name
            for step in _resources()
            .PipelineExecution.get(pipeline_execution_arn=scene.values["execution"])
            .get_all_steps()
        ),
        ["Prepare", "Register-RegisterModel", "Train"],
    ),
    "TrainingJob.get": (
        lambda scene: (
            _resources().TrainingJob.get(training_job_name=scene.values["training_job"]).final_metric_data_list[0].value
        ),
        0.25,
    ),
    "TrainingJob.get_all": (
        lambda scene: (
            scene.values["training_job"] in [item.training_job_name for item in _resources().TrainingJob.get_all()]
        ),
        True,
    ),
    "TrainingJob.wait": (
        lambda scene: _resources().TrainingJob.get(training_job_name=scene.values["training_job"]).wait(poll=1),
        None,
    ),
    "ProcessingJob.get": (
        lambda scene: (
            _resources().ProcessingJob.get(processing_job_name=scene.values["processing_job"]).processing_job_status
        ),
        "Completed",
    ),
    "ModelPackageGroup.get": (
        lambda _: _resources().ModelPackageGroup.get(model_package_group_name=GROUP).model_package_group_status,
        "Completed",
    ),
    "ModelPackage.get": (
        lambda scene: _resources().ModelPackage.get(model_package_name=scene.values["package"]).model_approval_status,
        "PendingManualApproval",
    ),
    "ModelPackage.get_all": (
        lambda _: len(list(_resources().ModelPackage.get_all(model_package_group_name=GROUP))),
        1,
    ),
    "Model.get": (lambda _: _resources().Model.get(model_name=NAME).model_name, NAME),
    "Endpoint.get": (lambda _: _resources().Endpoint.get(endpoint_name=ENDPOINT).endpoint_status, "InService"),
    "Endpoint.invoke": (
        lambda _: (
            _resources().Endpoint.get(endpoint_name=ENDPOINT).invoke(body=b"1,2", content_type="text/csv").body.read()
        ),
        b'{"model": "7", "bytes": 3}',
    ),
    "EndpointConfig.get": (
        lambda _: _resources().EndpointConfig.get(endpoint_config_name=NAME).production_variants[0].variant_name,
        "all",
    ),
    "Model.get of what does not exist": (
        lambda _: _code(lambda: _resources().Model.get(model_name="absent")),
        "ValidationException",
    ),
    "FeatureGroup.get_all, which is refused": (
        lambda _: _code(lambda: list(_resources().FeatureGroup.get_all())),
        "UnknownOperationException",
    ),
}


def backwards(scene: Scene) -> list[str]:
    logs, group = scene.client("logs"), "/aws/sagemaker/TrainingJobs"
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{scene.values['training_job']}/")
    [stream] = streams["logStreams"]
    messages, token = [], {}
    for _ in range(100):
        answer = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], limit=1, **token)
        if not answer["events"]:
            break
        messages += [event["message"] for event in answer["events"] if "epoch" in event["message"]]
        token = {"nextToken": answer["nextBackwardToken"]}
    return messages


def latency(scene: Scene) -> float:
    """The 99th percentile of the endpoint's latency; 0 without one."""
    now = datetime.datetime.now(datetime.UTC)
    dimensions = [{"Name": "EndpointName", "Value": ENDPOINT}, {"Name": "VariantName", "Value": "all"}]
    metric = {"Namespace": "AWS/SageMaker", "MetricName": "ModelLatency", "Dimensions": dimensions}
    query = {"Id": "q", "MetricStat": {"Metric": metric, "Period": 3600, "Stat": "p99"}}
    [result] = scene.client("cloudwatch").get_metric_data(
        MetricDataQueries=[query],
        StartTime=now - datetime.timedelta(hours=1),
        EndTime=now + datetime.timedelta(hours=1),
    )["MetricDataResults"]
    return float(max(result["Values"], default=0.0))


BOTO3: Calls = {
    "lambda.invoke with the log's end": (
        lambda scene: (
            b"called"
            in base64.b64decode(
                scene.client("lambda").invoke(FunctionName=FUNCTION, LogType="Tail", Payload=b'{"a": 1}')["LogResult"]
            )
        ),
        True,
    ),
    "lambda.invoke with a text": (
        lambda scene: json.load(scene.client("lambda").invoke(FunctionName=FUNCTION, Payload=b'"text"')["Payload"]),
        {"got": "text", "version": "$LATEST"},
    ),
    "logs.get_log_events, backwards": (
        backwards,
        ["epoch 2 loss=0.25", "epoch 1 loss=0.5"],
    ),
    "cloudwatch p99 of the endpoint's latency": (lambda scene: latency(scene) > 0, True),
    "events.put_events to a bus that does not exist": (
        lambda scene: scene.client("events").put_events(
            Entries=[{"Source": "mine", "DetailType": "T", "Detail": "{}", "EventBusName": "absent"}]
        )["FailedEntryCount"],
        1,
    ),
}
