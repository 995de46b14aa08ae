"""Models and endpoint configurations."""

from __future__ import annotations

from collections.abc import Callable

from botocore.exceptions import ClientError

from pipeline.local.context import Context, Request, now
from pipeline.local.identity.identity import Identity
from pipeline.local.sagemaker.registry import ADDITIONAL, ModelRegistry
from pipeline.local.sagemaker.resources import could_not_find, invalid, listing, location, selected, stored
from pipeline.local.sagemaker.tags import delete_tagged

MODEL, CONFIG = "model", "endpoint-config"


class Models:
    """CreateModel, CreateEndpointConfig, and the other operations of these resources."""

    def __init__(self, context: Context, registry: ModelRegistry, identity: Identity) -> None:
        self._context = context
        self._identity = identity
        self._registry = registry

    def operations(self) -> dict[str, Callable[[Request], Request]]:
        """Handlers by operation."""
        return {
            "CreateModel": self.create_model,
            "DescribeModel": lambda request: self._get(MODEL, request["ModelName"]),
            "ListModels": lambda request: self._list("ListModels", MODEL, "ModelName", request),
            "DeleteModel": lambda request: self._delete(MODEL, request["ModelName"], "ModelArn"),
            "CreateEndpointConfig": self._create_config,
            "DescribeEndpointConfig": lambda request: self.config(request["EndpointConfigName"]),
            "ListEndpointConfigs": lambda request: self._list(
                "ListEndpointConfigs", CONFIG, "EndpointConfigName", request
            ),
            "DeleteEndpointConfig": lambda request: self._delete(
                CONFIG, request["EndpointConfigName"], "EndpointConfigArn"
            ),
        }

    def config(self, name: str) -> Request:
        """An endpoint configuration. Raises ServiceError if there is none."""
        return self._get(CONFIG, name)

    def container(self, model_name: str) -> Request:
        """Image, model data and environment of a model's container, or of the model package that it names."""
        model = self._get(MODEL, model_name)
        return self._definition((model.get("Containers") or [model.get("PrimaryContainer")])[0])

    def role(self, model_name: str) -> str:
        """ARN of a model's execution role."""
        return str(self._get(MODEL, model_name)["ExecutionRoleArn"])

    def create_model(self, request: Request) -> Request:
        """Create a model of one container, defined by its image and data or by a package version."""
        containers = request.get("Containers") or [request.get("PrimaryContainer")]
        if len(containers) != 1 or not containers[0]:
            raise invalid("The local cloud serves models of exactly one container.")
        if "ExecutionRoleArn" not in request:
            raise invalid("The local cloud's models have an ExecutionRoleArn.")
        arn = self._context.arn("sagemaker", f"{MODEL}/{request['ModelName']}")
        self._identity.assume(request["ExecutionRoleArn"], "sagemaker", arn)
        self._check_data(self._definition(containers[0])["ModelDataUrl"], request["ExecutionRoleArn"])
        return {"ModelArn": self._new(MODEL, request["ModelName"], request, "ModelArn")}

    def _check_data(self, uri: str, role_arn: str) -> None:
        """Refuse model data that the model's role cannot read. Raises ServiceError."""
        data = location(uri)
        try:
            self._identity.client(self._identity.as_role(role_arn), "s3").head_object(Bucket=data.bucket, Key=data.key)
        except ClientError:
            # CreateModel needs s3:GetObject of the role; the wording is as users quote it:
            # https://repost.aws/knowledge-center/sagemaker-s3-accessdenied-training
            message = (
                f'Could not access model data at {uri}. Please ensure that the role "{role_arn}" exists and that its'
                ' trust relationship policy allows the action "sts:AssumeRole" for the service principal'
                ' "sagemaker.amazonaws.com". Also ensure that the role has "s3:GetObject" permissions and that the'
                f" object is located in {self._context.region}."
            )
            raise invalid(message) from None

    def _definition(self, container: Request) -> Request:
        definition = dict(container)
        if package := container.get("ModelPackageName"):
            described = self._registry.describe({"ModelPackageName": package})
            if described["ModelApprovalStatus"] != "Approved":
                raise invalid(f"Cannot create Model for ModelPackage {package}: it is not approved for deployment")
            registered = _specification(described, container.get("InferenceSpecificationName"))["Containers"][0]
            environment = {**registered.get("Environment", {}), **container.get("Environment", {})}
            definition = {**registered, "Environment": environment}
        for field in ("Image", "ModelDataUrl"):
            if field not in definition:
                raise invalid(f"The container has no {field}.")
        return definition

    def _list(self, operation: str, kind: str, name: str, request: Request) -> Request:
        documents = selected(request, self._context.store.list(kind), name)
        return listing(operation, request, documents, {"Name": name, "CreationTime": "CreationTime"})

    def _create_config(self, request: Request) -> Request:
        variants = request["ProductionVariants"]
        if len(variants) != 1:
            raise invalid("The local cloud serves exactly one production variant.")
        (variant,) = variants
        model = self._get(MODEL, variant["ModelName"])
        if ("ServerlessConfig" in variant) == ("InstanceType" in variant):
            raise invalid("A production variant has either an InstanceType or a ServerlessConfig.")
        if "ServerlessConfig" in variant:
            _check_serverless(model, request)
        return {"EndpointConfigArn": self._new(CONFIG, request["EndpointConfigName"], request, "EndpointConfigArn")}

    def _get(self, kind: str, name: str) -> Request:
        missing = could_not_find(kind.replace("-", " "), self._context.arn("sagemaker", f"{kind}/{name}"))
        return stored(self._context.store, kind, name, missing)

    def _delete(self, kind: str, name: str, arn_field: str) -> Request:
        delete_tagged(self._context.store, kind, name, self._get(kind, name)[arn_field])
        return {}

    def _new(self, kind: str, name: str, request: Request, arn_field: str) -> str:
        arn = self._context.arn("sagemaker", f"{kind}/{name.lower()}")
        document = {key: value for key, value in request.items() if key != "Tags"}
        if not self._context.store.create(kind, name, {**document, arn_field: arn, "CreationTime": now()}):
            raise invalid(f'Cannot create already existing {kind.replace("-", " ")} "{arn}".')
        return arn


def _specification(package: Request, name: str | None) -> Request:
    """A version's inference specification, or the additional one of that name. Raises ServiceError."""
    if name is None:
        return dict(package["InferenceSpecification"])
    for specification in package.get(ADDITIONAL, []):
        if specification["Name"] == name:
            return dict(specification)
    raise invalid(f"The model package {package['ModelPackageArn']} has no inference specification {name!r}.")


def _check_serverless(model: Request, config: Request) -> None:
    """Raise ServiceError for settings that serverless endpoints do not support.

    https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html#serverless-endpoints-how-it-works-exclusions
    """
    excluded = {
        "Data capture": "DataCaptureConfig" in config,
        "Network isolation": model.get("EnableNetworkIsolation", False),
        "VPC configuration": "VpcConfig" in model,
    }
    for feature, is_set in excluded.items():
        if is_set:
            raise invalid(f"{feature} is not supported for serverless endpoints.")
