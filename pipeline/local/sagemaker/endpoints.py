"""Models, endpoint configurations and endpoints.

An update starts the new fleet, moves all traffic once it answers, and ends the old one; when the new fleet does not
come up, the old one goes on serving. One process stands for a variant's instances.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from pipeline.local.context import now
from pipeline.local.errors import ServiceError
from pipeline.local.events import Events
from pipeline.local.images import ImageNotFoundError
from pipeline.local.sagemaker import jobs
from pipeline.local.sagemaker.registry import Registry
from pipeline.local.sagemaker.resources import Request, chosen, ordered, page, selected
from pipeline.local.sagemaker.serving import Answer, ServingError, Variant

log = logging.getLogger(__name__)

MODEL, CONFIG, ENDPOINT = "model", "endpoint-config", "endpoint"
PAYLOAD_LIMIT = 6_291_456  # bytes of a real-time request


class Endpoints:
    """CreateModel, CreateEndpointConfig, CreateEndpoint, InvokeEndpoint and what belongs to them."""

    def __init__(self, services: jobs.JobServices, registry: Registry, events: Events) -> None:
        self._services = services
        self._context = services.context
        self._registry = registry
        self._events = events
        self._serving: dict[str, Variant] = {}
        self._changes: list[threading.Thread] = []

    def operations(self) -> dict[str, Callable[[Request], Request]]:
        """Operation names and their handlers."""
        return {
            "CreateModel": self.create_model,
            "DescribeModel": lambda request: self._get(MODEL, request["ModelName"]),
            "ListModels": self._list_models,
            "DeleteModel": lambda request: self._delete(MODEL, request["ModelName"]),
            "CreateEndpointConfig": self._create_config,
            "DescribeEndpointConfig": lambda request: self._get(CONFIG, request["EndpointConfigName"]),
            "ListEndpointConfigs": self._list_configs,
            "DeleteEndpointConfig": lambda request: self._delete(CONFIG, request["EndpointConfigName"]),
            "CreateEndpoint": self._create,
            "UpdateEndpoint": self._update,
            "DescribeEndpoint": self._describe,
            "ListEndpoints": self._list,
            "DeleteEndpoint": self._delete_endpoint,
        }

    # ----------------------------------------------------------------------------------------- models and configs

    def _get(self, kind: str, name: str) -> Request:
        document = self._context.store.get(kind, name)
        if document is None:
            arn = self._context.arn("sagemaker", f"{kind}/{name}")
            raise ServiceError("ValidationException", f'Could not find {kind.replace("-", " ")} "{arn}".')
        return document

    def _delete(self, kind: str, name: str) -> Request:
        self._get(kind, name)
        self._context.store.delete(kind, name)
        return {}

    def _new(self, kind: str, name: str, request: Request, **more: object) -> str:
        arn = self._context.arn("sagemaker", f"{kind}/{name.lower()}")
        document = {key: value for key, value in request.items() if key != "Tags"}
        if not self._context.store.create(kind, name, {**document, **more, "CreationTime": now()}):
            message = f'Cannot create already existing {kind.replace("-", " ")} "{arn}".'
            raise ServiceError("ValidationException", message)
        return arn

    def create_model(self, request: Request) -> Request:
        """A model has one container here, given by its image and data or by a package version."""
        containers = request.get("Containers") or [request.get("PrimaryContainer")]
        if len(containers) != 1 or not containers[0]:
            raise ServiceError("ValidationException", "The local cloud serves models of exactly one container.")
        self._definition(containers[0])
        name = request["ModelName"]
        arn = self._context.arn("sagemaker", f"{MODEL}/{name.lower()}")
        self._new(MODEL, name, request, ModelArn=arn)
        return {"ModelArn": arn}

    def _definition(self, container: Request) -> Request:
        """Image, model data and environment of a container; those of its package version where it names one."""
        definition = dict(container)
        if package := container.get("ModelPackageName"):
            described = self._registry.describe({"ModelPackageName": package})
            if described["ModelApprovalStatus"] != "Approved":
                message = f"Cannot create Model for ModelPackage {package}: it is not approved for deployment"
                raise ServiceError("ValidationException", message)
            registered = described["InferenceSpecification"]["Containers"][0]
            environment = {**registered.get("Environment", {}), **container.get("Environment", {})}
            definition = {**registered, "Environment": environment}
        for field in ("Image", "ModelDataUrl"):
            if field not in definition:
                raise ServiceError("ValidationException", f"The container has no {field}.")
        return definition

    def _list_models(self, request: Request) -> Request:
        items = selected(request, self._context.store.list(MODEL), "ModelName")
        keys = {"Name": "ModelName", "CreationTime": "CreationTime"}
        fields = ("ModelName", "ModelArn", "CreationTime")
        return page(request, [chosen(item, fields) for item in ordered(request, items, keys, "CreationTime")], "Models")

    def _create_config(self, request: Request) -> Request:
        variants = request["ProductionVariants"]
        if len(variants) != 1:
            raise ServiceError("ValidationException", "The local cloud serves exactly one production variant.")
        self._get(MODEL, variants[0]["ModelName"])
        name = request["EndpointConfigName"]
        arn = self._context.arn("sagemaker", f"{CONFIG}/{name.lower()}")
        self._new(CONFIG, name, request, EndpointConfigArn=arn)
        return {"EndpointConfigArn": arn}

    def _list_configs(self, request: Request) -> Request:
        items = selected(request, self._context.store.list(CONFIG), "EndpointConfigName")
        keys = {"Name": "EndpointConfigName", "CreationTime": "CreationTime"}
        fields = ("EndpointConfigName", "EndpointConfigArn", "CreationTime")
        summaries = [chosen(item, fields) for item in ordered(request, items, keys, "CreationTime")]
        return page(request, summaries, "EndpointConfigs")

    # -------------------------------------------------------------------------------------------------- endpoints

    def _create(self, request: Request) -> Request:
        name, config = request["EndpointName"], request["EndpointConfigName"]
        self._get(CONFIG, config)
        arn = self._context.arn("sagemaker", f"{ENDPOINT}/{name.lower()}")
        self._new(ENDPOINT, name, request, EndpointArn=arn, EndpointStatus="Creating", LastModifiedTime=now())
        self._emit(name)
        self._in_background(self._bring_up, name, config)
        return {"EndpointArn": arn}

    def _update(self, request: Request) -> Request:
        name, config = request["EndpointName"], request["EndpointConfigName"]
        self._get(CONFIG, config)
        document = self._get(ENDPOINT, name)
        if document["EndpointStatus"] != "InService":
            status = document["EndpointStatus"]
            raise ServiceError(
                "ValidationException", f"Cannot update in-progress endpoint {name!r} in status {status}."
            )
        self._set(name, EndpointStatus="Updating", PendingConfig=config)
        self._in_background(self._bring_up, name, config)
        return {"EndpointArn": document["EndpointArn"]}

    def _in_background(self, work: Callable[[str, str], None], name: str, config: str) -> None:
        thread = threading.Thread(target=work, args=(name, config), name=f"endpoint {name}", daemon=True)
        self._changes.append(thread)
        thread.start()

    def _bring_up(self, name: str, config: str) -> None:
        """Start `config`'s variant and move the traffic; what served before goes on where that fails."""
        before = self._serving.get(name)
        try:
            variant = self._start_variant(name, config)
        except Exception as error:
            reason = str(error)
            if not isinstance(error, ServingError | ImageNotFoundError | ServiceError):
                log.exception("endpoint %s", name)
                reason = f"{type(error).__name__}: {error}"
            status = "InService" if before is not None else "Failed"
            self._set(name, EndpointStatus=status, FailureReason=reason[: jobs.REASON_LIMIT], PendingConfig=None)
            return
        self._serving[name] = variant
        self._set(name, EndpointStatus="InService", EndpointConfigName=config, FailureReason=None, PendingConfig=None)
        if before is not None:
            before.stop()

    def _start_variant(self, name: str, config: str) -> Variant:
        production = self._get(CONFIG, config)["ProductionVariants"][0]
        model = self._get(MODEL, production["ModelName"])
        container = (model.get("Containers") or [model.get("PrimaryContainer")])[0]
        variant = Variant(self._services, name, production["VariantName"], self._definition(container))
        variant.start()
        return variant

    def restore(self) -> None:
        """After a restart: bring up again what was in service; what was being created has failed."""
        for document in self._context.store.list(ENDPOINT):
            if document["EndpointStatus"] in ("InService", "Updating"):
                self._in_background(self._bring_up, document["EndpointName"], document["EndpointConfigName"])
            elif document["EndpointStatus"] == "Creating":
                self._set(
                    document["EndpointName"], EndpointStatus="Failed", FailureReason="The local cloud was stopped."
                )
        for thread in self._changes:
            thread.join()

    def _set(self, name: str, **changes: object) -> None:
        def change(document: Request) -> None:
            document.update(changes, LastModifiedTime=now())
            for key in [key for key, value in document.items() if value is None]:
                del document[key]

        try:
            self._context.store.update(ENDPOINT, name, change)
        except KeyError:
            log.info("endpoint %s was deleted in the meantime", name)
            return
        if "EndpointStatus" in changes:
            self._emit(name)

    def _describe(self, request: Request) -> Request:
        name = request["EndpointName"]
        document = self._get(ENDPOINT, name)
        if pending := document.pop("PendingConfig", None):
            variants = self._get(CONFIG, pending)["ProductionVariants"]
            document["PendingDeploymentSummary"] = {
                "EndpointConfigName": pending,
                "ProductionVariants": [chosen(variant, ("VariantName",)) for variant in variants],
            }
        if name in self._serving:
            variant = self._serving[name]
            production = self._get(CONFIG, document["EndpointConfigName"])["ProductionVariants"][0]
            count = production.get("InitialInstanceCount", 1)
            image = variant.definition["Image"]
            document["ProductionVariants"] = [
                {
                    "VariantName": variant.name,
                    "DeployedImages": [{"SpecifiedImage": image, "ResolvedImage": image}],
                    "CurrentWeight": 1.0,
                    "DesiredWeight": 1.0,
                    "CurrentInstanceCount": count,
                    "DesiredInstanceCount": count,
                }
            ]
        return document

    def _list(self, request: Request) -> Request:
        items = selected(request, self._context.store.list(ENDPOINT), "EndpointName", "EndpointStatus")
        keys = {"Name": "EndpointName", "CreationTime": "CreationTime", "Status": "EndpointStatus"}
        fields = ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus")
        summaries = [chosen(item, fields) for item in ordered(request, items, keys, "CreationTime")]
        return page(request, summaries, "Endpoints")

    def _delete_endpoint(self, request: Request) -> Request:
        name = request["EndpointName"]
        status = self._get(ENDPOINT, name)["EndpointStatus"]
        if status in ("Creating", "Updating"):
            raise ServiceError(
                "ValidationException", f"Cannot update in-progress endpoint {name!r} in status {status}."
            )
        self._context.store.delete(ENDPOINT, name)
        if variant := self._serving.pop(name, None):
            variant.stop()
        return {}

    def invoke(self, name: str, body: bytes, headers: dict[str, str]) -> tuple[str, Answer]:
        """Send a request to the endpoint; gives the variant's name and the container's answer."""
        document = self._context.store.get(ENDPOINT, name)
        if document is None:
            message = f"Endpoint {name} of account {self._context.account_id} not found."
            raise ServiceError("ValidationError", message)
        if len(body) > PAYLOAD_LIMIT:
            raise ServiceError("ValidationError", f"The body has {len(body)} bytes; at most {PAYLOAD_LIMIT} are taken.")
        variant = self._serving.get(name)
        if variant is None:
            raise ServiceError("ValidationError", f"Endpoint {name} is {document['EndpointStatus']}, not InService.")
        return variant.name, variant.invoke(body, headers)

    def close(self) -> None:
        """End all containers; the endpoints stay InService in the store and are restored by the next start."""
        for thread in self._changes:
            thread.join(60)
        for variant in list(self._serving.values()):
            variant.stop()

    def _emit(self, name: str) -> None:
        document = self._context.store.get(ENDPOINT, name)
        if document is None:
            return
        status = {"InService": "IN_SERVICE"}.get(document["EndpointStatus"], document["EndpointStatus"].upper())
        fields = ("EndpointName", "EndpointArn", "EndpointConfigName", "CreationTime", "LastModifiedTime")
        detail = {**chosen(document, (*fields, "FailureReason")), "EndpointStatus": status}
        self._events.emit("SageMaker Endpoint State Change", [document["EndpointArn"]], detail)
