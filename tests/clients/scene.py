"""A local cloud with something in it: a finished run of a small pipeline, a model, an endpoint, a function, a table."""

from __future__ import annotations

import io
import json
import tarfile
import textwrap
import zipfile
from typing import Any

from tests.integration.conftest import ROLE, LocalCloud, wait_until

PREPARE = """
    import os, pathlib
    target = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "processing/output/rows"
    target.mkdir(parents=True, exist_ok=True)
    (target / "rows.csv").write_text("1,2\\n3,4\\n")
    print("prepared")
"""
TRAIN = """
    import os, pathlib
    base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
    rows = (base / "input/data/train/rows.csv").read_text()
    (base / "model").mkdir(exist_ok=True)
    (base / "model/model.json").write_text(str(len(rows)))
    print("epoch 1 loss=0.5", flush=True)
    print("epoch 2 loss=0.25", flush=True)
"""
SERVE = """
    import http.server, json, os, pathlib
    model = (pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "model/model.json").read_text()
    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, body):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def do_GET(self):
            self.answer(b"")
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(json.dumps({"model": model, "bytes": len(body)}).encode())
        def log_message(self, *_):
            pass
    address = (os.environ["SAGEMAKER_BIND_TO_HOST"], int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
    http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""
HANDLE = """
def handle(event, context):
    print("called", event)
    return {"got": event, "version": context.function_version}
"""
NAME = "clients"
GROUP, ENDPOINT, FUNCTION, PIPELINE, WORKGROUP = NAME, NAME, NAME, NAME, "primary"
DATABASE, TABLE = "clients", "numbers"


class Scene:
    """What the calls are made against. `values` are the names that a call may have in braces."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.cloud = cloud
        self.bucket = cloud.bucket()
        self.values = {
            "bucket": self.bucket,
            "role": ROLE,
            "name": NAME,
            "account": "123456789012",
            "training_image": cloud.image(TRAIN, "train.py"),
            "processing_image": cloud.image(PREPARE),
            "serving_image": cloud.image(SERVE, "serve.py"),
        }
        self._put_data()
        self._function()
        self._rule()
        self._run()
        self._endpoint()

    def client(self, service: str) -> Any:
        return self.cloud.client(service)

    def _put_data(self) -> None:
        import awswrangler
        import pandas as pd

        s3 = self.client("s3")
        s3.put_object(Bucket=self.bucket, Key="input/rows.csv", Body=b"1,2\n")
        s3.put_object(Bucket=self.bucket, Key="kms", Body=b"x", ServerSideEncryption="aws:kms")
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz") as tar:
            info = tarfile.TarInfo("model.json")
            info.size = 1
            tar.addfile(info, io.BytesIO(b"7"))
        s3.put_object(Bucket=self.bucket, Key="model/model.tar.gz", Body=archive.getvalue())
        self.values["model_data"] = f"s3://{self.bucket}/model/model.tar.gz"
        awswrangler.catalog.create_database(DATABASE)
        frame = pd.DataFrame({"n": [1, 2, 3], "color": ["red", "red", "blue"]})
        awswrangler.s3.to_parquet(
            frame, f"s3://{self.bucket}/table/", dataset=True, database=DATABASE, table=TABLE, partition_cols=["color"]
        )

    def _function(self) -> None:
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("app.py", textwrap.dedent(HANDLE))
        self.client("lambda").create_function(
            FunctionName=FUNCTION,
            Runtime="python3.12",
            Role=ROLE,
            Handler="app.handle",
            Code={"ZipFile": code.getvalue()},
            Timeout=60,
            Publish=True,
        )

    def _rule(self) -> None:
        events = self.client("events")
        arn = f"arn:aws:lambda:us-east-1:{self.values['account']}:function:{FUNCTION}"
        events.put_rule(Name=NAME, EventPattern=json.dumps({"source": ["nobody"]}))
        events.put_targets(Rule=NAME, Targets=[{"Id": "1", "Arn": arn, "Input": "{}"}])
        athena = self.client("athena")
        athena.create_prepared_statement(StatementName=NAME, WorkGroup=WORKGROUP, QueryStatement="SELECT 1 AS a")
        output = {"OutputLocation": f"s3://{self.bucket}/results/"}
        query = athena.start_query_execution(QueryString="SELECT 1 AS a", ResultConfiguration=output)
        self.values["query"] = query["QueryExecutionId"]

    def _run(self) -> None:
        """Run the pipeline once, to its end."""
        sagemaker = self.client("sagemaker")
        sagemaker.create_model_package_group(ModelPackageGroupName=GROUP, ModelPackageGroupDescription="for clients")
        sagemaker.create_pipeline(
            PipelineName=PIPELINE, PipelineDefinition=json.dumps(self._definition()), RoleArn=ROLE
        )
        arn = sagemaker.start_pipeline_execution(PipelineName=PIPELINE)["PipelineExecutionArn"]

        def ended() -> str | None:
            status = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionStatus"]
            return None if status == "Executing" else str(status)

        status = wait_until(ended)
        steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)["PipelineExecutionSteps"]
        assert status == "Succeeded", steps
        metadata = {step["StepName"]: step["Metadata"] for step in steps}
        self.values |= {
            "execution": arn,
            "pipeline": arn.rpartition("/execution/")[0],
            "processing_job": metadata["Prepare"]["ProcessingJob"]["Arn"].rpartition("/")[2],
            "training_job": metadata["Train"]["TrainingJob"]["Arn"].rpartition("/")[2],
            "package": metadata["Register-RegisterModel"]["RegisterModel"]["Arn"],
        }

    def _definition(self) -> dict[str, Any]:
        cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
        output = f"s3://{self.bucket}/runs"
        rows = {"Get": "Steps.Prepare.ProcessingOutputConfig.Outputs['rows'].S3Output.S3Uri"}
        prepare = {
            "RoleArn": ROLE,
            "AppSpecification": {"ImageUri": self.values["processing_image"]},
            "ProcessingResources": {"ClusterConfig": cluster},
            "ProcessingOutputConfig": {
                "Outputs": [
                    {
                        "OutputName": "rows",
                        "S3Output": {
                            "S3Uri": f"{output}/rows",
                            "LocalPath": "/opt/ml/processing/output/rows",
                            "S3UploadMode": "EndOfJob",
                        },
                    }
                ]
            },
        }
        train = {
            "RoleArn": ROLE,
            "AlgorithmSpecification": {
                "TrainingImage": self.values["training_image"],
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
            },
            "HyperParameters": {"epochs": "2"},
            "InputDataConfig": [
                {
                    "ChannelName": "train",
                    "DataSource": {
                        "S3DataSource": {
                            "S3Uri": rows,
                            "S3DataType": "S3Prefix",
                            "S3DataDistributionType": "FullyReplicated",
                        }
                    },
                }
            ],
            "OutputDataConfig": {"S3OutputPath": f"{output}/models"},
            "ResourceConfig": cluster,
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        }
        container = {
            "Image": self.values["serving_image"],
            "ModelDataUrl": {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"},
        }
        register = {
            "ModelPackageGroupName": GROUP,
            "ModelApprovalStatus": "PendingManualApproval",
            "InferenceSpecification": {
                "Containers": [container],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
        }
        return {
            "Version": "2020-12-01",
            "Parameters": [{"Name": "Unused", "Type": "String", "DefaultValue": "x"}],
            "Steps": [
                {"Name": "Prepare", "Type": "Processing", "Arguments": prepare},
                {"Name": "Train", "Type": "Training", "Arguments": train},
                {"Name": "Register-RegisterModel", "Type": "RegisterModel", "Arguments": register},
            ],
        }

    def _endpoint(self) -> None:
        sagemaker = self.client("sagemaker")
        container = {"Image": self.values["serving_image"], "ModelDataUrl": self.values["model_data"]}
        sagemaker.create_model(ModelName=NAME, PrimaryContainer=container, ExecutionRoleArn=ROLE)
        variant = {"VariantName": "all", "ModelName": NAME, "InstanceType": "ml.c5.large", "InitialInstanceCount": 1}
        sagemaker.create_endpoint_config(EndpointConfigName=NAME, ProductionVariants=[variant])
        sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName=NAME)
        sagemaker.get_waiter("endpoint_in_service").wait(
            EndpointName=ENDPOINT, WaiterConfig={"Delay": 1, "MaxAttempts": 300}
        )
        runtime = self.client("sagemaker-runtime")
        for _ in range(3):
            runtime.invoke_endpoint(EndpointName=ENDPOINT, ContentType="text/csv", Body=b"1,2")
