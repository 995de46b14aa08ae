"""An account for the deploy function: moto's registry and endpoints, and what moto lacks of UpdateEndpoint."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError
from moto.sagemaker.models import sagemaker_backends

from steps.deploy.conclusion import conclude, settle
from steps.deploy.deployment import Decision, deploy, roll_back
from steps.deploy.events import DeployRequest, EndpointChange, RollbackRequest, Version
from steps.deploy.settings import Clients, Settings
from tests.unit.steps.arguments import DEPLOY

ACCOUNT, REGION, GROUP, ENDPOINT = "123456789012", "us-east-1", "bins", "counting"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/bins-serving"
GOLDEN = {"image_id": "00001", "jpeg": base64.b64encode(b"a photo").decode(), "count": 2}
PROBABILITIES = {"0": 0.1, "1": 0.2, "2": 0.7}


@dataclass
class Runtime:
    """The endpoint's answers: those of the version that its configuration names, unless a test says otherwise."""

    account: Account
    probabilities: dict[str, float] = field(default_factory=lambda: dict(PROBABILITIES))
    count: int = 2
    error: bool = False
    busy: int = 0
    """So many requests are answered with 503."""
    meanwhile: Callable[[], None] = lambda: None
    """What happens in the account while the next request is answered."""

    def invoke_endpoint(self, **request: Any) -> Any:
        assert request["Body"] == b"a photo"
        happens, self.meanwhile = self.meanwhile, lambda: None
        happens()
        if self.busy:
            self.busy -= 1
            answer = {"Error": {"Code": "ModelError", "Message": "busy"}, "OriginalStatusCode": 503}
            raise ClientError(answer, "InvokeEndpoint")
        if self.error:
            raise ClientError({"Error": {"Code": "ModelError", "Message": "it broke"}}, "InvokeEndpoint")
        version = self.account.endpoint.endpoint_config_name.rsplit("-v", 1)[1].split("-")[0]
        answer = {"count": self.count, "probabilities": self.probabilities, "expected": 1.6, "model_version": version}
        return {"Body": io.BytesIO(json.dumps(answer).encode())}


@dataclass
class Account:
    """What tests do with the account. `updates` are the UpdateEndpoint requests so far."""

    aws: Clients
    updates: list[dict[str, Any]]
    settings: Settings = field(default_factory=lambda: Settings(**{**DEPLOY, "instance_count": 4}))
    recorded: list[Decision] = field(default_factory=list)
    properties: dict[str, dict[str, str]] = field(default_factory=dict)
    """CustomerMetadataProperties of versions, by their ARN; moto drops them."""

    @property
    def sagemaker(self) -> Any:
        return self.aws.sagemaker

    @property
    def endpoint(self) -> Any:
        """moto's endpoint, to change its state as the service would."""
        return sagemaker_backends[ACCOUNT][REGION].endpoints[ENDPOINT]

    def register(self, status: str = "Approved", golden: bool = False) -> Version:
        """A new version of the group, with its model and, if `golden`, its golden photos in the bucket."""
        number = len(self.properties) + 1
        model = f"bin-counting/models/{number}/output/model.tar.gz"
        container = {"Image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/x:1", "ModelDataUrl": f"s3://bins/{model}"}
        arn = self.sagemaker.create_model_package(
            ModelPackageGroupName=GROUP,
            InferenceSpecification={
                "Containers": [container],
                "SupportedContentTypes": ["image/jpeg"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
            ModelApprovalStatus=status,
        )["ModelPackageArn"]
        properties = {"model_sha256": self.put(model, f"model {number}".encode())}
        if golden:
            photos = {"version": 1, "photos": [{**GOLDEN, "probabilities": PROBABILITIES}]}
            key = f"bin-counting/runs/{number}/golden.json"
            properties |= {
                "golden_photos": f"s3://bins/{key}",
                "golden_sha256": self.put(key, json.dumps(photos).encode()),
            }
        self.properties[arn] = properties
        return Version.of(arn)

    def put(self, key: str, body: bytes) -> str:
        """Write an object; returns its SHA-256."""
        self.aws.s3.put_object(Bucket="bins", Key=key, Body=body)
        return hashlib.sha256(body).hexdigest()

    def keys(self, prefix: str) -> list[str]:
        """Keys of the bucket below a prefix."""
        return [entry["Key"] for entry in self.aws.s3.list_objects_v2(Bucket="bins", Prefix=prefix).get("Contents", [])]

    def roll_back(self, version: Version, comment: str = "") -> Decision:
        """An approver's call of the rollback function."""
        return roll_back(self.aws, self.settings, RollbackRequest(version, comment), self.recorded.append)

    def set_status(self, version: Version, status: str) -> None:
        self.sagemaker.update_model_package(ModelPackageArn=version.arn, ModelApprovalStatus=status)

    def deploy(self, version: Version, **request: Any) -> Decision:
        return deploy(self.aws, self.settings, DeployRequest(version, **request))

    def changed(self, status: str = "IN_SERVICE", name: str = ENDPOINT, seconds_left: float = math.inf) -> Decision:
        """An endpoint event reaches the function, which has `seconds_left`."""
        change = EndpointChange(name, status)
        return conclude(self.aws, self.settings, change, self.recorded.append, lambda: seconds_left)

    def approved(self, version: Version, **request: Any) -> Decision:
        """An approval reaches the function, as its handler takes it."""
        settle(self.aws, self.settings, self.recorded.append, lambda: math.inf)
        return self.deploy(version, **request)

    def in_service(self, config: str | None = None) -> None:
        """The change under way ends well, or with the configuration `config`."""
        self.endpoint.endpoint_status = "InService"
        if config:
            self.endpoint.endpoint_config_name = config

    def tags(self) -> dict[str, str]:
        # moto appends a tag that is there; SageMaker replaces its value.
        return {tag["Key"]: tag["Value"] for tag in self.sagemaker.list_tags(ResourceArn=self.endpoint.arn)["Tags"]}

    def exists(self) -> bool:
        return bool(self.sagemaker.list_endpoints()["Endpoints"])
