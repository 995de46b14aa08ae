"""A machine on which jobs run as in the local cloud, with a server of S3 alone; its fixture is `machine`."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.aws.validation import validate_response
from pipeline.local.context import Context
from pipeline.local.logs import Logs
from pipeline.local.machine.image_store import ImageRegistry
from pipeline.local.sagemaker.jobs import JobServices
from pipeline.local.sagemaker.training import TrainingJobs
from pipeline.local.store import Store
from tests.unit.pipeline.local.identities import Permissive

ROLE = "arn:aws:iam::123456789012:role/job"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/train:1"
# Prints its arguments and the files below the folder of its channels.
PROGRAM = """
    import os, pathlib, sys
    print("arguments", sys.argv[1:], flush=True)
    data = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "input/data"
    for path in sorted(data.rglob("*")) if data.exists() else ():
        if path.is_fifo():
            print(path.name, path.read_text(), flush=True)
        elif path.is_file():
            print(path.relative_to(data), path.read_text(), flush=True)
    print((data.parent / "config/inputdataconfig.json").read_text(), flush=True)
"""


class Metrics(list[tuple[str, dict[str, str], dict[str, float]]]):
    """Stands for CloudWatch: what was observed."""

    def observe(self, *observed: Any) -> None:
        self.append(observed)


class Machine:
    """Training jobs of one image, and what they left."""

    def __init__(self, directory: Path, s3: Any, bucket: str) -> None:
        self.bucket, self.metrics = bucket, Metrics()
        self.logs = Logs(directory / "logs", lambda service, resource: f"arn:{service}:{resource}")
        context = Context(directory, "123456789012", "us-east-1", Store(directory / "s"), {})
        self.images = directory / "images"
        images = ImageRegistry(self.images)
        source = directory / "source"
        for path, text in (
            ("program.py", textwrap.dedent(PROGRAM)),
            ("containers/x/Dockerfile", 'ENTRYPOINT ["python3", "program.py"]\n'),
        ):
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_text(text)
        images.publish("train", "1", source, [Path("program.py"), Path("containers/x/Dockerfile")])
        identity: Any = Permissive(s3=s3)
        cloudwatch: Any = self.metrics
        self.services = JobServices(context, self.logs, images, identity, cloudwatch)
        self.jobs = TrainingJobs(self.services)

    def run(self, **changes: Any) -> dict[str, Any]:
        """A job's description at its end."""
        request = {**request_of(self.bucket), **changes}
        self.jobs.create(request)
        described = self.jobs.wait(request["TrainingJobName"])
        assert validate_response("sagemaker", "DescribeTrainingJob", described) == []
        return described

    def lines(self, host: str = "algo-1") -> list[str]:
        """What a host printed, without the times."""
        (file,) = (path for path in self.logs._folder.rglob("*.log") if host in path.name)
        return [line.partition("\t")[2] for line in file.read_text().splitlines()]


def request_of(bucket: str) -> dict[str, Any]:
    return {
        "TrainingJobName": "job",
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/models"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 100},
    }


@pytest.fixture
def machine(tmp_path: Path, s3: Any, bucket: str) -> Iterator[Machine]:
    for name in "abcd":
        s3.put_object(Bucket=bucket, Key=f"train/{name}", Body=name.encode())
    manifest = json.dumps([{"prefix": f"s3://{bucket}/train/"}, "d", "b"])
    s3.put_object(Bucket=bucket, Key="lists/train.manifest", Body=manifest.encode())
    opened = Machine(tmp_path, s3, bucket)
    yield opened
    opened.jobs.close()
