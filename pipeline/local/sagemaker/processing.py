"""Processing jobs.

https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html: the paths of inputs and
outputs, `/opt/ml/config/processingjobconfig.json` and `resourceconfig.json`, and `/opt/ml/output/message`.
"""

from __future__ import annotations

import functools
import threading
from pathlib import Path

from pipeline.local.context import Request, now
from pipeline.local.events import Events
from pipeline.local.machine import dockerfile, interpreters, transfer
from pipeline.local.machine.containers import Container, inside, moved
from pipeline.local.sagemaker import status_events
from pipeline.local.sagemaker.hosts import Usage, check_statuses, host_names, run_instances, write_json
from pipeline.local.sagemaker.jobs import JobFailedError, Jobs, JobServices
from pipeline.local.sagemaker.resources import check_volume, invalid

LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
# "LocalPath is an absolute path to the input data and must begin with /opt/ml/processing/" (ProcessingS3Input in
# botocore's model). For outputs it is assumed: the rest of /opt/ml is reserved,
# https://docs.aws.amazon.com/sagemaker/latest/dg/byoc-run-image.html
PROCESSING_PATH = "/opt/ml/processing/"
DEFAULT_SECONDS = 86_400  # StoppingCondition.MaxRuntimeInSeconds of a processing job


class ProcessingJobs(Jobs):
    """CreateProcessingJob and the other operations of its resource."""

    kind = "processing-job"
    prefix = "Processing"

    def __init__(self, services: JobServices, events: Events) -> None:
        self._events = events
        super().__init__(services)

    def on_status(self, document: Request) -> None:
        """Send the event of the job's new status."""
        self._events.emit(
            status_events.PROCESSING_CHANGE, [document[self.arn_member]], status_events.processing_detail(document)
        )

    def prepare(self, document: Request) -> None:
        """Refuse what AWS refuses when the job is created."""
        for source in document.get("ProcessingInputs", []):
            if "S3Input" not in source:
                raise invalid(f"The input {source['InputName']} has no S3Input.")
        for place in (*_inputs(document), *_outputs(document)):
            path = place.get("LocalPath", "")
            if not path.startswith(PROCESSING_PATH) or ".." in path.split("/"):
                raise invalid(f"LocalPath {path!r} must begin with {PROCESSING_PATH}.")
        check_volume(document["ProcessingResources"]["ClusterConfig"])
        self._services.quotas.check_processing(document)

    def execute(self, name: str, request: Request, stop: threading.Event) -> Request:
        """Run the job to its end. Returns its exit message."""
        self.need_capacity(name)
        self.update(name, ProcessingStartTime=now())
        specification = request["AppSpecification"]
        uri = specification["ImageUri"]
        role = self.role_of(request)
        self.check_network(role, request.get("NetworkConfig", {}).get("VpcConfig"), processing=True)
        image = self.image(role, uri)
        if (places := dockerfile.read(image)).is_hidden_by_processing:
            raise JobFailedError(
                f"AlgorithmError: the code of {uri} lies in {', '.join(places.code)}, and /opt/ml with all its"
                " subdirectories is reserved for the processing job's own folders"
            )
        try:
            packages = interpreters.environment_of(image)
        except interpreters.NotInstalledError as error:
            raise JobFailedError(f"ClientError: {error}") from error
        entry_point = specification.get("ContainerEntrypoint")
        arguments = specification.get("ContainerArguments", [])
        folder = self._services.folder("processing", name)
        hosts = host_names(request["ProcessingResources"]["ClusterConfig"]["InstanceCount"])
        bases = {host: folder / host for host in hosts}
        instances = {}
        for number, host in enumerate(hosts):
            _write_configuration(request, bases[host], host, hosts)
            self._download_inputs(request, bases[host], (number, len(hosts)))
            instances[host] = Container(
                context=self._context,
                base=bases[host],
                image=image,
                command=[
                    *(moved(bases[host], entry_point) if entry_point else self._services.images.entry_point(uri)),
                    *moved(bases[host], arguments),
                ],
                on_line=self._services.log_writer(role, LOG_GROUP, f"{name}/{host}-{int(now())}"),
                environment={**request.get("Environment", {}), "PROCESSING_JOB_NAME": name},
                packages=packages,
                credentials=functools.partial(self._services.identity.container_environment, role),
                on_end=self._services.identity.end_credentials,
            )
        limit = request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", DEFAULT_SECONDS)
        try:
            usage = Usage(name, instances, self._services.metric_writer(role, LOG_GROUP))
            statuses = run_instances(instances, stop, limit, (usage.tick,))
        except TimeoutError:
            raise JobFailedError(f"ClientError: the job ran longer than {limit} seconds") from None
        if stop.is_set():
            return {}
        check_statuses(statuses, bases, "message")
        for output in _outputs(request):
            for base in bases.values():
                transfer.upload(self._services.s3(role), inside(base, output["LocalPath"]), output["S3Uri"])
        path = bases[hosts[0]] / "output" / "message"
        message = path.read_text() if path.exists() else ""
        return {"ExitMessage": message} if message else {}

    def _download_inputs(self, request: Request, base: Path, place: tuple[int, int]) -> None:
        for source in request.get("ProcessingInputs", []):
            s3 = source["S3Input"]
            sources = self.sources(self.role_of(request), s3, place)
            self.download(self.role_of(request), sources, inside(base, s3["LocalPath"]))


def _write_configuration(request: Request, base: Path, host: str, hosts: list[str]) -> None:
    write_json(base / "config" / "processingjobconfig.json", request)
    write_json(base / "config" / "resourceconfig.json", {"current_host": host, "hosts": hosts})
    for output in _outputs(request):
        inside(base, output["LocalPath"]).mkdir(parents=True, exist_ok=True)


def _inputs(request: Request) -> list[Request]:
    return [source["S3Input"] for source in request.get("ProcessingInputs", [])]


def _outputs(request: Request) -> list[Request]:
    return [output["S3Output"] for output in request.get("ProcessingOutputConfig", {}).get("Outputs", [])]
