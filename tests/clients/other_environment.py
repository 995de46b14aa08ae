"""Calls of SDK v2 and PyAthena, by an environment of their own: `PYTHON -m tests.clients.other_environment VALUES`.

VALUES is the scene's names as JSON. The last line of the output is a JSON object of what each call returned; a call
that raised has the code of its error, or its type. Nothing is imported before a call needs it, so that the tests can
read the table without these packages.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Values = dict[str, str]


def _session(values: Values) -> Any:
    import boto3
    from sagemaker.session import Session

    # Without a bucket it asks AWS's own STS for the account: README, "AWS's own tools".
    return Session(boto3.Session(), default_bucket=values["bucket"])


def _estimator(values: Values) -> Any:
    from sagemaker.estimator import Estimator

    return Estimator(
        image_uri=values["training_image"],
        role=values["role"],
        instance_count=1,
        instance_type="ml.m5.large",
        output_path=f"s3://{values['bucket']}/v2/models",
        sagemaker_session=_session(values),
        hyperparameters={"epochs": 2},
        metric_definitions=[{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
        disable_profiler=True,
        base_job_name="v2",
    )


def _fitted(values: Values) -> Any:
    estimator = _estimator(values)
    estimator.fit({"train": f"s3://{values['bucket']}/input/"}, logs=False, wait=True)
    return estimator


def _fit(values: Values) -> Any:
    return _fitted(values).latest_training_job.describe()["TrainingJobStatus"]


def _attach(values: Values) -> Any:
    from sagemaker.estimator import Estimator

    attached = Estimator.attach(values["training_job"], sagemaker_session=_session(values))
    return attached.hyperparameters()["epochs"]


def _upload(values: Values) -> Any:
    session = _session(values)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "code.py").write_text("print()\n")
        session.upload_data(
            folder, key_prefix="v2/code", extra_args={"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/mine"}
        )
    described = session.boto_session.client("s3").head_object(Bucket=values["bucket"], Key="v2/code/code.py")
    return described["ServerSideEncryption"]


def _download(values: Values) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        return len(_session(values).download_data(folder, values["bucket"], key_prefix="input/"))


def _predict(values: Values) -> Any:
    from sagemaker.deserializers import JSONDeserializer
    from sagemaker.predictor import Predictor
    from sagemaker.serializers import CSVSerializer

    predictor = Predictor(
        values["name"],
        sagemaker_session=_session(values),
        serializer=CSVSerializer(),
        deserializer=JSONDeserializer(),
    )
    return predictor.predict("1,2")


def _process(values: Values) -> Any:
    from sagemaker.processing import ProcessingOutput, Processor

    processor = Processor(
        role=values["role"],
        image_uri=values["processing_image"],
        instance_count=1,
        instance_type="ml.m5.large",
        sagemaker_session=_session(values),
        base_job_name="v2",
    )
    output = ProcessingOutput(
        source="/opt/ml/processing/output/rows", destination=f"s3://{values['bucket']}/v2/rows", output_name="rows"
    )
    processor.run(outputs=[output], logs=False)
    return processor.latest_job.describe()["ProcessingJobStatus"]


def _model(values: Values) -> Any:
    from sagemaker.model import Model

    return Model(
        image_uri=values["serving_image"],
        model_data=values["model_data"],
        role=values["role"],
        sagemaker_session=_session(values),
    )


def _deploy(values: Values) -> Any:
    from sagemaker.deserializers import JSONDeserializer
    from sagemaker.predictor import Predictor
    from sagemaker.serializers import CSVSerializer

    model = _model(values)
    name = f"v2-{os.getpid()}"
    model.deploy(1, "ml.c5.large", endpoint_name=name)
    predictor = Predictor(
        name, sagemaker_session=_session(values), serializer=CSVSerializer(), deserializer=JSONDeserializer()
    )
    try:
        return predictor.predict("1,2")
    finally:
        predictor.delete_endpoint()


def _transform(values: Values) -> Any:
    model = _model(values)
    model._create_sagemaker_model("ml.m5.large")
    transformer = model.transformer(1, "ml.m5.large", output_path=f"s3://{values['bucket']}/v2/transformed")
    transformer.transform(f"s3://{values['bucket']}/input/", content_type="text/csv", wait=True, logs=False)
    job = transformer.latest_transform_job.name
    return _session(values).sagemaker_client.describe_transform_job(TransformJobName=job)["TransformJobStatus"]


def _register(values: Values) -> Any:
    package = _model(values).register(
        content_types=["text/csv"],
        response_types=["application/json"],
        inference_instances=["ml.c5.large"],
        transform_instances=["ml.m5.large"],
        model_package_group_name=f"v2-{os.getpid()}",
    )
    described = _session(values).sagemaker_client.describe_model_package(ModelPackageName=package.model_package_arn)
    return described["ModelPackageStatus"]


def _pipeline(values: Values) -> Any:
    from sagemaker.workflow.parameters import ParameterInteger
    from sagemaker.workflow.pipeline import Pipeline
    from sagemaker.workflow.pipeline_context import PipelineSession
    from sagemaker.workflow.steps import TrainingStep

    session = PipelineSession(_session(values).boto_session, default_bucket=values["bucket"])
    estimator = _estimator(values)
    estimator.sagemaker_session = session
    step = TrainingStep("Train", step_args=estimator.fit({"train": f"s3://{values['bucket']}/input/"}))
    unused = ParameterInteger("Unused", default_value=1)
    pipeline = Pipeline(f"v2-{os.getpid()}", parameters=[unused], steps=[step], sagemaker_session=session)
    pipeline.upsert(role_arn=values["role"])
    execution = pipeline.start(parameters={"Unused": 2})
    execution.wait(delay=1, max_attempts=300)
    return execution.describe()["PipelineExecutionStatus"]


def _describe_pipeline(values: Values) -> Any:
    from sagemaker.workflow.pipeline import Pipeline

    return Pipeline(values["name"], sagemaker_session=_session(values)).describe()["PipelineStatus"]


def _training_status(values: Values) -> Any:
    return _session(values).describe_training_job(values["training_job"])["TrainingJobStatus"]


def _analytics(values: Values) -> Any:
    from sagemaker.analytics import TrainingJobAnalytics

    analytics = TrainingJobAnalytics(values["training_job"], ["loss"], sagemaker_session=_session(values), period=3600)
    return sorted(analytics.dataframe()["value"])


def _logs(values: Values) -> Any:
    _session(values).logs_for_job(values["training_job"], wait=False)
    return True


def _s3_uploader(values: Values) -> Any:
    from sagemaker.s3 import S3Downloader, S3Uploader

    uri = f"s3://{values['bucket']}/v2/text"
    S3Uploader.upload_string_as_file_body("text", uri, kms_key="alias/mine", sagemaker_session=_session(values))
    return S3Downloader.read_file(uri, sagemaker_session=_session(values))


def _feature_group(values: Values) -> Any:
    from sagemaker.feature_store.feature_group import FeatureGroup

    return FeatureGroup(name="absent", sagemaker_session=_session(values)).describe()


# ------------------------------------------------------------------------------------------------------- PyAthena


def _connection(values: Values, **more: Any) -> Any:
    from pyathena import connect

    return connect(
        s3_staging_dir=f"s3://{values['bucket']}/pyathena/", schema_name=values["name"], poll_interval=0.1, **more
    )


def _rows(text: str, *arguments: Any, **options: Any) -> Callable[[Values], Any]:
    def run(values: Values) -> Any:
        cursor = _connection(values).cursor()
        return [list(row) for row in cursor.execute(text, *arguments, **options).fetchall()]

    return run


def _columns(values: Values) -> Any:
    cursor = _connection(values).cursor().execute("SELECT * FROM numbers LIMIT 1")
    return [column[0] for column in cursor.description]


def _view(values: Values) -> Any:
    cursor = _connection(values).cursor()
    cursor.execute("CREATE OR REPLACE VIEW small AS SELECT n FROM numbers WHERE n < 3")
    return [list(row) for row in cursor.execute("SELECT n FROM small ORDER BY n").fetchall()]


def _failing(values: Values) -> Any:
    try:
        _rows("SELECT nothing FROM numbers")(values)
    except Exception as error:
        return str(error).partition(":")[0]
    return "no error"


def _pandas(values: Values) -> Any:
    from pyathena.pandas.cursor import PandasCursor

    cursor = _connection(values, cursor_class=PandasCursor).cursor()
    return [int(n) for n in cursor.execute("SELECT n FROM numbers ORDER BY n").as_pandas()["n"]]


def _prepared(values: Values) -> Any:
    cursor = _connection(values).cursor()
    cursor.execute("PREPARE by_color FROM SELECT n FROM numbers WHERE color = ?")
    return [list(row) for row in cursor.execute("EXECUTE by_color USING 'blue'").fetchall()]


def _tables(values: Values) -> Any:
    cursor = _connection(values).cursor()
    return "numbers" in [table.name for table in cursor.list_table_metadata()]


CALLS: dict[str, tuple[Callable[[Values], Any], Any]] = {
    "v2: Session.describe_training_job": (_training_status, "Completed"),
    "v2: Session.logs_for_job": (_logs, True),
    "v2: TrainingJobAnalytics": (_analytics, [0.375]),
    "v2: Session.upload_data with KMS": (_upload, "aws:kms"),
    "v2: Session.download_data": (_download, 1),
    "v2: S3Uploader with KMS": (_s3_uploader, "text"),
    "v2: Estimator.attach": (_attach, "2"),
    "v2: Estimator.fit": (_fit, "Completed"),
    "v2: Processor.run": (_process, "Completed"),
    "v2: Predictor.predict": (_predict, {"model": "7", "bytes": 3}),
    "v2: Model.deploy": (_deploy, {"model": "7", "bytes": 3}),
    "v2: Transformer.transform": (_transform, "Completed"),
    "v2: Model.register": (_register, "Completed"),
    "v2: Pipeline.describe": (_describe_pipeline, "Active"),
    "v2: Pipeline.upsert and start": (_pipeline, "Succeeded"),
    "v2: FeatureGroup.describe, which is refused": (_feature_group, "UnknownOperationException"),
    "PyAthena: execute": (_rows("SELECT sum(n) FROM numbers"), [[6]]),
    "PyAthena: description": (_columns, ["n", "color"]),
    "PyAthena: parameters in the text": (_rows("SELECT n FROM numbers WHERE color = %(c)s", {"c": "blue"}), [[3]]),
    "PyAthena: execution parameters": (
        _rows("SELECT n FROM numbers WHERE color = ?", ["'blue'"], paramstyle="qmark"),
        [[3]],
    ),
    "PyAthena: a view": (_view, [[1], [2]]),
    "PyAthena: a failing query": (_failing, "COLUMN_NOT_FOUND"),
    "PyAthena: pandas": (_pandas, [1, 2, 3]),
    "PyAthena: a prepared statement": (_prepared, [[3]]),
    "PyAthena: list_table_metadata": (_tables, True),
    "PyAthena: SHOW TABLES": (_rows("SHOW TABLES LIKE 'numb*'"), "OperationalError"),
}


def answer(call: Callable[[Values], Any], values: Values) -> Any:
    """What a call returns, or the code or type of its error."""
    try:
        return call(values)
    except Exception as error:
        response = getattr(error, "response", None)
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return response["Error"]["Code"] if response else type(error).__name__


def main() -> None:
    """Make all calls."""
    values = json.loads(sys.argv[1])
    answers = {}
    for name, (call, _) in CALLS.items():
        began = time.monotonic()
        answers[name] = answer(call, values)
        sys.stderr.write(f"{name}: {time.monotonic() - began:.1f} s\n")
    sys.stdout.write(f"\n{json.dumps(answers)}\n")


if __name__ == "__main__":
    main()
