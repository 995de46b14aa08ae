"""Endpoints: created, updated behind a canary, rolled back by alarms, invoked.

One process stands for a variant's instances. An update starts the new fleet next to the old one and moves the traffic
according to its DeploymentConfig. If the new fleet does not start, or an alarm goes off, the old one goes on serving.

A container that has ended is replaced, as SageMaker replaces an instance that does not answer /ping; the endpoint stays
InService meanwhile (https://developers.deepgram.com/docs/health-checks-sagemaker). It is assumed that an endpoint whose
containers end again and again becomes Failed: AWS does not document it.
"""

from __future__ import annotations

import functools
import logging
import re
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeline.local import threads
from pipeline.local.cloudwatch import CloudWatch
from pipeline.local.context import Request, ServiceError, now
from pipeline.local.events import Events
from pipeline.local.identity import service_calls
from pipeline.local.machine.image_store import ImageNotFoundError
from pipeline.local.sagemaker.capture import Capture
from pipeline.local.sagemaker.jobs import REASON_LIMIT, STOPPED, JobServices
from pipeline.local.sagemaker.models import Models
from pipeline.local.sagemaker.resources import chosen, could_not_find, invalid, listing, selected, stored
from pipeline.local.sagemaker.rollout import Policy, Traffic, roll_out
from pipeline.local.sagemaker.serving import CUSTOM_ATTRIBUTES, PING_SECONDS, Answer, ServingError, Variant
from pipeline.local.sagemaker.tags import delete_tagged

log = logging.getLogger(__name__)

ENDPOINT = "endpoint"
CHANGING = ("Creating", "Updating", "RollingBack")
PAYLOAD_LIMIT = 6_291_456  # bytes of a real-time request
SERVERLESS_PAYLOAD_LIMIT = 4 * 1024 * 1024
WATCH_SECONDS = 0.5
# Starts of containers in the place of ended ones, within this time; with one more end the endpoint has failed.
REPLACEMENTS, REPLACEMENT_SECONDS = 3, 300.0


@dataclass
class _Live:
    """An endpoint that answers."""

    traffic: Traffic
    capture: Capture | None
    payload_limit: int


class Endpoints:
    """CreateEndpoint, InvokeEndpoint, and the other operations of these resources."""

    def __init__(self, services: JobServices, models: Models, events: Events, cloudwatch: CloudWatch) -> None:
        self._services = services
        self._context = services.context
        self._models = models
        self._events = events
        self._cloudwatch = cloudwatch
        self._live: dict[str, _Live] = {}
        self._changes: list[threading.Thread] = []
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._replacing: set[str] = set()
        """Endpoints whose container has ended and is being replaced."""
        self._replaced: dict[str, list[float]] = defaultdict(list)
        """Times of the latest replacements by endpoint, by the monotonic clock."""
        self._watcher = threads.start("endpoints", self._watch, threads.nothing_depends)

    def operations(self) -> dict[str, Callable[[Request], Request]]:
        """Handlers by operation."""
        return {
            "CreateEndpoint": self._create,
            "UpdateEndpoint": self._update,
            "DescribeEndpoint": self._describe,
            "ListEndpoints": self._list,
            "DeleteEndpoint": self._delete,
        }

    def _create(self, request: Request) -> Request:
        name, config = request["EndpointName"], request["EndpointConfigName"]
        fleet = self._models.config(config)
        arn = self._context.arn("sagemaker", f"{ENDPOINT}/{name.lower()}")
        document = {key: value for key, value in request.items() if key != "Tags"}
        times = {"CreationTime": now(), "LastModifiedTime": now()}
        created = {**document, **times, "EndpointArn": arn, "EndpointStatus": "Creating"}
        with self._services.quotas.held():
            self._services.quotas.check_endpoint(fleet)
            if not self._context.store.create(ENDPOINT, name, created):
                raise invalid(f'Cannot create already existing endpoint "{arn}".')
        self._emit(created)
        self._in_background(name, lambda: self._deploy(name, config, Policy()))
        return {"EndpointArn": arn}

    def _update(self, request: Request) -> Request:
        name, config = request["EndpointName"], request["EndpointConfigName"]
        fleet = self._models.config(config)
        variant = fleet["ProductionVariants"][0]
        policy = Policy.of(request, variant, self._cloudwatch)
        if policy.alarms:
            # The execution role reads the alarms:
            # https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html
            checks = service_calls.alarms(self._services.identity.authorizer.account)
            self._services.require(self._models.role(variant["ModelName"]), checks, "sagemaker", "UpdateEndpoint")

        def check(document: Request) -> None:
            if document["EndpointStatus"] != "InService":
                raise invalid(f"Cannot update endpoint {name!r} in status {document['EndpointStatus']}.")
            before = self._models.config(document["EndpointConfigName"])["ProductionVariants"][0]
            if "ServerlessConfig" in variant and "ServerlessConfig" not in before:
                # https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints-update.html
                reason = "instances cannot be converted to a serverless variant"
                raise invalid(f"Cannot update endpoint {name!r}: {reason}.")
            if "DeploymentConfig" in request and variant["VariantName"] != before["VariantName"]:
                raise invalid("Deployment guardrails require that the variant's name stays the same.")
            self._services.quotas.check_endpoint(fleet)

        deployment = request.get("DeploymentConfig")
        changes = {"EndpointStatus": "Updating", "PendingConfig": config, "LastDeploymentConfig": deployment}
        with self._services.quotas.held():
            arn = self._claim(name, check, **changes)
        self._in_background(name, lambda: self._deploy(name, config, policy))
        return {"EndpointArn": arn}

    def _describe(self, request: Request) -> Request:
        name = request["EndpointName"]
        document = stored(self._context.store, ENDPOINT, name, self._could_not_find(name))
        live = self._live.get(name)
        if pending := document.pop("PendingConfig", None):
            (production,) = self._models.config(pending)["ProductionVariants"]
            document["PendingDeploymentSummary"] = {
                "EndpointConfigName": pending,
                "ProductionVariants": [
                    _pending_variant(production["VariantName"], document, live.traffic if live else None)
                ],
                "StartTime": document["LastModifiedTime"],
            }
        if live:
            config = self._models.config(document["EndpointConfigName"])
            document["ProductionVariants"] = [_variant_summary(live.traffic, config["ProductionVariants"][0])]
            if capture := config.get("DataCaptureConfig"):
                document["DataCaptureConfig"] = {
                    "EnableCapture": live.capture is not None,
                    "CaptureStatus": "Started" if live.capture else "Stopped",
                    "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
                    "DestinationS3Uri": capture["DestinationS3Uri"],
                    "KmsKeyId": capture.get("KmsKeyId", ""),
                }
        return document

    def _list(self, request: Request) -> Request:
        documents = selected(request, self._context.store.list(ENDPOINT), "EndpointName", "EndpointStatus")
        keys = {"Name": "EndpointName", "CreationTime": "CreationTime", "Status": "EndpointStatus"}
        return listing("ListEndpoints", request, documents, keys)

    def _delete(self, request: Request) -> Request:
        name = request["EndpointName"]
        arn = self._claim(name, lambda _: None, EndpointStatus="Deleting")
        delete_tagged(self._context.store, ENDPOINT, name, arn)
        with self._lock:
            live = self._live.pop(name, None)
        if live:
            self._stop(live)
        return {}

    def invoke(self, name: str, body: bytes, members: Request) -> tuple[str, Answer]:
        """Send a request to the endpoint. Returns the variant's name and the container's answer.

        `members` are those of InvokeEndpoint besides the body.
        """
        live = self._live.get(name)
        if live is None:
            missing = f"Endpoint {name} of account {self._context.account_id} not found."
            document = stored(self._context.store, ENDPOINT, name, ServiceError("ValidationError", missing))
            message = f"Endpoint {name} is {document['EndpointStatus']}, not InService."
            raise ServiceError("ValidationError", message)
        if len(body) > live.payload_limit:
            message = f"The body has {len(body)} bytes; at most {live.payload_limit} are accepted."
            raise ServiceError("ValidationError", message)
        headers = {"Content-Type": members.get("ContentType", "application/octet-stream")}
        for member, header in (("Accept", "Accept"), ("CustomAttributes", CUSTOM_ATTRIBUTES)):
            if member in members:
                headers[header] = members[member]
        with live.traffic.variant(members.get("TargetVariant")) as variant:
            started = time.perf_counter()
            answer = variant.invoke(body, headers)
            microseconds = (time.perf_counter() - started) * 1e6
        self._cloudwatch.observe(
            "AWS/SageMaker",
            {"EndpointName": name, "VariantName": variant.name},
            {
                "Invocations": 1,
                "Invocation4XXErrors": float(400 <= answer.status < 500),
                "Invocation5XXErrors": float(answer.status >= 500),
                "ModelLatency": microseconds,
            },
        )
        if live.capture and answer.status < 400:
            sent = (headers["Content-Type"], body)
            live.capture.record(sent, (answer.content_type, answer.body), members.get("InferenceId"))
        return variant.name, answer

    def restore(self) -> None:
        """After a restart: start the endpoints that were in service, with the configuration that was.

        An update that was interrupted is rolled back, an endpoint that was being created has failed, and one that was
        being deleted is deleted.
        """
        # Copies of models that a killed cloud left.
        shutil.rmtree(self._context.directory / "endpoints", ignore_errors=True)
        for document in self._context.store.list(ENDPOINT):
            name, config, status = (document[f"Endpoint{part}"] for part in ("Name", "ConfigName", "Status"))
            if status in ("InService", "Updating", "RollingBack"):
                pending = document.get("PendingConfig")
                interrupted = f"{STOPPED} The update to {pending} was rolled back." if pending else None
                self._in_background(name, functools.partial(self._deploy, name, config, Policy(), interrupted))
            elif status == "Creating":
                self._failed(name, STOPPED, "Failed")
            elif status == "Deleting":
                delete_tagged(self._context.store, ENDPOINT, name, document["EndpointArn"])
        for thread in self._changes:
            thread.join()

    def close(self) -> None:
        """Stop all containers. The endpoints stay InService in the store, and the next start restores them."""
        self._ended.set()
        for thread in self._changes:
            thread.join(60)
        self._watcher.join(10)
        for live in list(self._live.values()):
            self._stop(live)

    def _stop(self, live: _Live) -> None:
        live.traffic.retire(live.traffic.in_service)
        if live.capture:
            live.capture.flush()

    def _in_background(self, name: str, work: Callable[[], None]) -> None:
        self._changes = [thread for thread in self._changes if thread.is_alive()]
        self._changes.append(threads.start(f"endpoint {name}", work, functools.partial(self._give_up, name)))

    def _give_up(self, name: str, error: Exception) -> None:
        """End a change whose thread has failed."""
        self._failed(name, self._context.reason(error), "InService" if name in self._live else "Failed")

    def _deploy(self, name: str, config: str, policy: Policy, interrupted: str | None = None) -> None:
        """Start `config`'s variant and move the traffic; if that fails, the variant before continues to serve.

        `interrupted` is why an update before this one had no end.
        """
        before = self._live.get(name)
        try:
            variant = self._start_variant(name, config)
        except Exception as error:
            reason = str(error)
            if not isinstance(error, ServingError | ImageNotFoundError | ServiceError):
                log.exception("endpoint %s", name)
                reason = self._context.reason(error)
            self._failed(name, reason, "InService" if before else "Failed")
            return
        if before is None:
            self._live[name] = self._new_live(name, config, Traffic(variant))
            self._serves(name, config, interrupted)
            return
        if alarmed := roll_out(before.traffic, variant, policy, self._cloudwatch, self._ended):
            self._set(name, EndpointStatus="RollingBack")
            before.traffic.return_back()
            before.traffic.retire(variant)
            self._failed(name, alarmed, "InService")
        elif self._ended.is_set():
            variant.stop()  # the next start restores the variant before
        else:
            old = before.traffic.settle(variant)
            self._live[name] = self._new_live(name, config, before.traffic)
            self._serves(name, config)
            before.traffic.retire(old)
            if before.capture:
                before.capture.flush()

    def _new_live(self, name: str, config: str, traffic: Traffic) -> _Live:
        document = self._models.config(config)
        capture = document.get("DataCaptureConfig", {})
        role = self._models.role(document["ProductionVariants"][0]["ModelName"])
        serverless = "ServerlessConfig" in document["ProductionVariants"][0]
        enabled = capture.get("EnableCapture", bool(capture))
        captured = Capture(self._services.s3(role), capture, name, traffic.in_service.name) if enabled else None
        return _Live(traffic, captured, SERVERLESS_PAYLOAD_LIMIT if serverless else PAYLOAD_LIMIT)

    def _start_variant(self, name: str, config: str) -> Variant:
        production = self._models.config(config)["ProductionVariants"][0]
        container = self._models.container(production["ModelName"])
        base = self._context.directory / "endpoints" / name
        group = f"/aws/sagemaker/Endpoints/{name}"
        role = self._models.role(production["ModelName"])
        seconds = production.get("ContainerStartupHealthCheckTimeoutInSeconds", PING_SECONDS)
        variant = Variant(self._services, production["VariantName"], container, role, base, group, ping_seconds=seconds)
        variant.start()
        return variant

    def _watch(self) -> None:
        """Write captures that are due, and replace containers that have ended."""
        while not self._ended.wait(WATCH_SECONDS):
            for name, live in list(self._live.items()):
                if live.capture:
                    live.capture.flush_when_due()
                ended = live.traffic.in_service
                if ended.exit_status is not None and name not in self._replacing:
                    self._replacing.add(name)
                    self._in_background(name, functools.partial(self._replace, name, live.traffic, ended))

    def _replace(self, name: str, traffic: Traffic, ended: Variant) -> None:
        """Start a container in the place of one that has ended. The endpoint fails if that happens too often."""
        reason = f"The container of variant {ended.name} ended with exit code {ended.exit_status}."
        try:
            while self._may_replace(name):
                log.warning("endpoint %s: %s Another one is started.", name, reason)
                ended.write(f"warning: {reason} Another one is started.")
                config = self._context.store.get(ENDPOINT, name) or {}
                try:
                    variant = self._start_variant(name, config["EndpointConfigName"])
                except Exception as error:
                    reason = f"{reason.partition('.')[0]}. Another one did not start: {self._context.reason(error)}"
                    continue
                with self._lock:
                    live = self._live.get(name)
                    is_current = live is not None and live.traffic is traffic and traffic.replace(ended, variant)
                # An update, or a deletion, was faster.
                (ended if is_current else variant).stop()
                return
            if self._ended.is_set():
                return  # the next start begins with a new container
            with self._lock:
                live = self._live.pop(name, None)
            if live is not None:
                self._stop(live)
                self._failed(name, reason, "Failed")
        finally:
            self._replacing.discard(name)

    def _may_replace(self, name: str) -> bool:
        """Count a replacement. Returns whether the endpoint has not had too many of late, and the cloud goes on."""
        at = time.monotonic()
        recent = [before for before in self._replaced[name] if at - before < REPLACEMENT_SECONDS]
        self._replaced[name] = [*recent, at]
        return len(recent) < REPLACEMENTS and not self._ended.is_set()

    def _could_not_find(self, name: str) -> ServiceError:
        return could_not_find(ENDPOINT, self._context.arn("sagemaker", f"{ENDPOINT}/{name}"))

    def _claim(self, name: str, check: Callable[[Request], None], **changes: object) -> str:
        """Change an endpoint in one step, unless it is changing or `check` refuses. Returns its ARN.

        The second of two requests at the same time is refused. Raises ServiceError.
        """

        def change(document: Request) -> None:
            if document["EndpointStatus"] in CHANGING:
                raise invalid(f"Cannot update in-progress endpoint {name!r} in status {document['EndpointStatus']}.")
            check(document)
            _apply(document, changes)

        try:
            document = self._context.store.update(ENDPOINT, name, change)
        except KeyError:
            raise self._could_not_find(name) from None
        self._emit(document)
        return str(document["EndpointArn"])

    def _serves(self, name: str, config: str, reason: str | None = None) -> None:
        self._set(name, EndpointStatus="InService", EndpointConfigName=config, FailureReason=reason, PendingConfig=None)

    def _failed(self, name: str, reason: str, status: str) -> None:
        self._set(name, EndpointStatus=status, FailureReason=reason[:REASON_LIMIT], PendingConfig=None)

    def _set(self, name: str, **changes: object) -> None:
        try:
            document = self._context.store.update(ENDPOINT, name, lambda document: _apply(document, changes))
        except KeyError:
            log.info("endpoint %s was deleted meanwhile", name)
            return
        self._emit(document)

    def _emit(self, document: Request) -> None:
        # Events spell InService as IN_SERVICE.
        status = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", document["EndpointStatus"]).upper()
        fields = ("EndpointName", "EndpointArn", "EndpointConfigName", "CreationTime", "LastModifiedTime")
        detail = {**chosen(document, (*fields, "FailureReason")), "EndpointStatus": status}
        self._events.emit("SageMaker Endpoint State Change", [document["EndpointArn"]], detail)


def _apply(document: Request, changes: Mapping[str, object]) -> None:
    """Change a document's fields; None removes a field."""
    document.update(changes, LastModifiedTime=now())
    for key in [key for key, value in document.items() if value is None]:
        del document[key]


def _pending_variant(name: str, document: Request, traffic: Traffic | None) -> Request:
    """The new fleet of a change: it starts, and then has a share of the traffic while the alarms are watched."""
    share = traffic.share if traffic else 0.0
    stages: list[Request] = []
    if traffic and share:
        stages = [{"Status": "Baking", "StartTime": traffic.since}]
    elif document["EndpointStatus"] == "Updating":
        stages = [{"Status": "Creating", "StartTime": document["LastModifiedTime"]}]
    return {"VariantName": name, "CurrentWeight": share, "DesiredWeight": 1.0, "VariantStatus": stages}


def _variant_summary(traffic: Traffic, production: Request) -> Request:
    image = traffic.in_service.definition["Image"]
    summary = {
        "VariantName": traffic.in_service.name,
        "DeployedImages": [{"SpecifiedImage": image, "ResolvedImage": image}],
        "CurrentWeight": 1.0,
        "DesiredWeight": 1.0,
    }
    if "ServerlessConfig" in production:
        return {**summary, "CurrentServerlessConfig": production["ServerlessConfig"]}
    count = production["InitialInstanceCount"]
    return {**summary, "CurrentInstanceCount": count, "DesiredInstanceCount": count}
