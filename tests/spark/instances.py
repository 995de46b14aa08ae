"""The instances of a processing job as processes: each runs `python -m tests.spark.instances WORK`, as a step would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline import ROOT
from steps.contracts.s3_uri import S3Uri
from steps.runtime import container
from steps.runtime.errors import run_as_job
from steps.runtime.machine import Machine
from steps.spark.cluster import Cluster, run
from tests.spark import works

MARK = "TEST_SPARK_JOB"
# Many short jobs: what starts soon is better than what computes fast.
JAVA = {f"spark.{name}.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC" for name in ("driver", "executor")}
# One instance's: enough for Spark, and little enough for two on a small machine.
MACHINE = Machine(cores=1, memory=3 << 30)


@dataclass
class Job:
    """A job of `count` instances below `folder`, which has its name, and with objects in `bucket`.

    `options` reach the work.
    """

    folder: Path
    bucket: str
    work: str
    options: dict[str, Any] = field(default_factory=dict)
    count: int = 2
    start_seconds: float = 300
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def base(self, index: int) -> Path:
        """An instance's `/opt/ml`."""
        return self.folder / f"algo-{index + 1}"

    def start(self, *indexes: int) -> None:
        """Start these instances."""
        hosts = [f"algo-{number}" for number in range(1, self.count + 1)]
        for index in indexes:
            config = self.base(index) / "config"
            config.mkdir(parents=True)
            request = {"ProcessingJobName": self.folder.name}
            (config / "processingjobconfig.json").write_text(json.dumps(request))
            (config / "resourceconfig.json").write_text(json.dumps({"current_host": hosts[index], "hosts": hosts}))
            arguments = json.dumps({**self.options, "bucket": self.bucket, "start_seconds": self.start_seconds})
            with (self.base(index) / "log").open("wb") as log:
                self.processes[index] = subprocess.Popen(
                    [sys.executable, "-m", "tests.spark.instances", self.work, arguments],
                    cwd=ROOT,
                    env={
                        **os.environ,
                        "SAGEMAKER_BASE_DIR": str(self.base(index)),
                        "PYTHONUNBUFFERED": "1",
                        # The packages of the image and no others.
                        "IMAGE_ALONE": "1",
                        MARK: str(self.folder),
                    },
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )

    def wait(self, seconds: float = 300) -> dict[int, int]:
        """The exit statuses of the instances, each within `seconds`."""
        return {index: process.wait(seconds) for index, process in self.processes.items()}

    def reason(self, index: int) -> str:
        """Why an instance failed, as SageMaker reads it."""
        path = self.base(index) / "output" / "message"
        return path.read_text() if path.exists() else ""

    def log(self, index: int) -> str:
        """An instance's log."""
        return (self.base(index) / "log").read_text(errors="replace")

    def logs(self) -> str:
        """The ends of all logs, for the message of a failed test."""
        return "\n".join(f"--- {index}\n{self.log(index)[-6000:]}" for index in self.processes)

    def result(self) -> Any:
        """What the work returned."""
        return json.loads((self.base(0) / "result.json").read_text())


@contextmanager
def job(folder: Path, bucket: str, work: str, **options: Any) -> Iterator[Job]:
    """A job, of which nothing runs afterwards."""
    created = Job(folder, bucket, work, options)
    try:
        yield created
    finally:
        for process in created.processes.values():
            process.terminate()
        created.wait()


def main() -> None:
    """Run the work named by the arguments as an instance of a cluster."""
    options = json.loads(sys.argv[2])
    cluster = Cluster.of_job(S3Uri(options["bucket"], "jobs"), container.base() / "spark")
    # Two instances do not share an address in a real job; all of 127.0.0.0/8 is this machine.
    address = f"127.0.0.{cluster.instance.index + 1}"
    cluster = replace(cluster, machine=MACHINE, address=address, settings=JAVA, start_seconds=options["start_seconds"])
    result = run(cluster, lambda spark: getattr(works, sys.argv[1])(spark, options))
    (container.base() / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    run_as_job(main)
