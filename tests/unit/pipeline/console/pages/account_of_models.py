"""An account with versions and an endpoint, that moto pretends; what it does not keep is added to its answers."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import boto3

from pipeline.settings import Settings
from steps.contracts.names import EVALUATION_SHA256, GOLDEN_PHOTOS, GOLDEN_SHA256
from tests.unit.pipeline.operations.models import evaluated

JPEG = b"\xff\xd8\xff\xe0 a photo"
# Two hundred photos, of which these counts have three quarters and half right.
TRUTH = [1, 2, 3, 4] * 50
BETTER, WORSE = [1, 2, 3, 5] * 50, [1, 2, 5, 9] * 50


@dataclass
class AccountOfModels:
    """`asked` counts the requests by operation; `packages` are members that a version's description has besides."""

    settings: Settings
    asked: Counter[str] = field(default_factory=Counter)
    packages: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if boto3.DEFAULT_SESSION is None:
            boto3.setup_default_session()
        events = boto3.DEFAULT_SESSION.events
        events.register_first("before-send", self._count)
        events.register("after-call.sagemaker.DescribeModelPackage", self._describe)
        self.s3.create_bucket(Bucket=self.settings.data.bucket)

    def _count(self, event_name: str, **_: Any) -> None:
        self.asked[event_name.rsplit(".", maxsplit=1)[-1]] += 1

    def _describe(self, parsed: dict[str, Any], **_: Any) -> None:
        parsed.update(self.packages.get(parsed.get("ModelPackageArn", ""), {}))

    @property
    def sagemaker(self) -> Any:
        return boto3.client("sagemaker", region_name="us-east-1")

    @property
    def s3(self) -> Any:
        return boto3.client("s3", region_name="us-east-1")

    def create_group(self) -> None:
        self.sagemaker.create_model_package_group(ModelPackageGroupName=self.settings.registry.group)

    def register(self, run: str, counts: list[int] = BETTER, **more: Any) -> str:
        """A version that made these counts, with an evaluation below `runs/RUN`."""
        return evaluated.register(self.settings, run, TRUTH, counts, **more)

    def arn_of(self, version: int) -> str:
        return f"arn:aws:sagemaker:us-east-1:111122223333:model-package/{self.settings.registry.group}/{version}"

    def register_many(self, number: int) -> None:
        """Versions that share an evaluation."""
        self.register("shared")
        uri = f"s3://{self.settings.data.bucket}/runs/shared/evaluation.json"
        request, sagemaker = evaluated.package(self.settings, uri), self.sagemaker
        for _ in range(number - 1):
            sagemaker.create_model_package(**request)

    def describe(self, arn: str, properties: dict[str, str], **members: Any) -> None:
        """Add properties, and other members, to the description of a version."""
        self.packages[arn] = {"CustomerMetadataProperties": properties, **members}

    def golden(self, run: str, photos: int = 2) -> dict[str, str]:
        """Golden photos of a run, and the properties that name them."""
        content = json.dumps(
            {
                "version": 1,
                "photos": [
                    {
                        "image_id": f"golden{number}",
                        "jpeg": base64.b64encode(JPEG).decode(),
                        "count": number,
                        "probabilities": {"0": 0.25, str(number + 1): 0.75},
                    }
                    for number in range(photos)
                ],
            }
        ).encode()
        key = f"runs/{run}/golden.json"
        self.put(key, content)
        uri = f"s3://{self.settings.data.bucket}/{key}"
        return {GOLDEN_PHOTOS: uri, GOLDEN_SHA256: hashlib.sha256(content).hexdigest()}

    def put(self, key: str, content: bytes) -> None:
        self.s3.put_object(Bucket=self.settings.data.bucket, Key=key, Body=content)

    def serve(self, package: str) -> None:
        """The endpoint, with this version."""
        sagemaker, role = self.sagemaker, self.settings.role_arn("serving")
        sagemaker.create_model(ModelName="m", ExecutionRoleArn=role, Containers=[{"ModelPackageName": package}])
        variant = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 2, "InstanceType": "ml.c5.xlarge"}
        sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
        sagemaker.create_endpoint(EndpointName=self.settings.endpoint.name, EndpointConfigName="c")

    def approve(self, arn: str) -> None:
        self.sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")


TAMPERED = {EVALUATION_SHA256: "0" * 64}
