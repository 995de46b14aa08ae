"""Buckets, their policies, and image repositories."""

from __future__ import annotations

import json
from typing import Any

from pipeline.local.cloudformation.kinds.kind import Kind, Properties, found, send, unless_missing

# What CloudFormation calls otherwise than S3 does, in a rule of a lifecycle.
_ACTIONS = {
    "ExpirationInDays": ("Expiration", "Days"),
    "ExpiredObjectDeleteMarker": ("Expiration", "ExpiredObjectDeleteMarker"),
}


class Bucket(Kind):
    """A bucket of the object server, with its versioning and lifecycle.

    Encryption at rest, ownership and the block of public access have no meaning there: it answers only to whoever has
    the cloud's own key. They are taken and not applied.
    """

    naming = "BucketName"
    known = frozenset(
        {
            "BucketEncryption",
            "LifecycleConfiguration",
            "OwnershipControls",
            "PublicAccessBlockConfiguration",
            "VersioningConfiguration",
        }
    )
    forgotten = False

    def exists(self, name: str, properties: Properties) -> bool:  # noqa: ARG002
        """Whether there is a bucket of that name."""
        return found(lambda: self._s3.head_bucket(Bucket=name))

    def put(self, name: str, properties: Properties) -> None:
        """Make it, or bring it up to date."""
        if not self.exists(name, properties):
            self._s3.create_bucket(Bucket=name)
        if versioning := properties.get("VersioningConfiguration"):
            self._s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=versioning)
        if rules := properties.get("LifecycleConfiguration", {}).get("Rules"):
            lifecycle = {"Rules": [lifecycle_rule(rule) for rule in rules]}
            send(self._s3, "PutBucketLifecycleConfiguration", Bucket=name, LifecycleConfiguration=lifecycle)
        else:
            self._s3.delete_bucket_lifecycle(Bucket=name)

    def delete(self, name: str, properties: Properties) -> None:  # noqa: ARG002
        """Delete it. The object server would take what is in it along, where S3 refuses."""
        with unless_missing():
            if self._s3.list_object_versions(Bucket=name, MaxKeys=1).get("Versions"):
                raise RuntimeError(f"The bucket you tried to delete is not empty: {name}")
            self._s3.delete_bucket(Bucket=name)

    def attributes(self, name: str, properties: Properties) -> dict[str, str]:  # noqa: ARG002
        """Its ARN and its domain names."""
        region = self.account.context.region
        return {
            "Arn": f"arn:aws:s3:::{name}",
            "DomainName": f"{name}.s3.amazonaws.com",
            "RegionalDomainName": f"{name}.s3.{region}.amazonaws.com",
        }

    @property
    def _s3(self) -> Any:
        return self.account.client("s3")


def lifecycle_rule(rule: Properties) -> dict[str, Any]:
    """A rule as S3's API takes it, of one as CloudFormation has it.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-s3-bucket-rule.html
    """
    made: dict[str, Any] = {"Filter": {"Prefix": rule.get("Prefix", "")}, "Status": rule["Status"]}
    for name, value in rule.items():
        match name:
            case "Id":
                made["ID"] = value
            case "Prefix" | "Status":
                pass
            case "NoncurrentVersionExpirationInDays":
                made["NoncurrentVersionExpiration"] = {"NoncurrentDays": value}
            case "NoncurrentVersionExpiration" | "AbortIncompleteMultipartUpload":
                made[name] = value
            case _ if name in _ACTIONS:
                action, key = _ACTIONS[name]
                made.setdefault(action, {})[key] = value
            case _:
                raise ValueError(f"the local cloud's buckets know no {name} in a lifecycle")
    return made


class BucketPolicy(Kind):
    """A bucket's policy. Statements that refuse plain HTTP are left out: the object server is on loopback, without TLS,
    and would refuse everybody, for ever.
    """

    # A bucket has one policy.
    naming = "Bucket"
    known = frozenset({"PolicyDocument"})
    forgotten = False

    def exists(self, name: str, properties: Properties) -> bool:  # noqa: ARG002
        """Whether the bucket has a policy."""
        return found(lambda: self._s3.get_bucket_policy(Bucket=name))

    def put(self, name: str, properties: Properties) -> None:
        """Put what is left of it."""
        document = properties["PolicyDocument"]
        kept = [one for one in document["Statement"] if "aws:SecureTransport" not in json.dumps(one)]
        if kept:
            self._s3.put_bucket_policy(Bucket=name, Policy=json.dumps({**document, "Statement": kept}))
        elif self.exists(name, properties):
            self._s3.delete_bucket_policy(Bucket=name)

    def delete(self, name: str, properties: Properties) -> None:  # noqa: ARG002
        """Take it away."""
        with unless_missing():
            self._s3.delete_bucket_policy(Bucket=name)

    @property
    def _s3(self) -> Any:
        return self.account.client("s3")


class Repository(Kind):
    """An ECR repository."""

    naming = "RepositoryName"
    known = frozenset(
        {
            "EncryptionConfiguration",
            "ImageScanningConfiguration",
            "ImageTagMutability",
        }
    )
    replacing = frozenset({"EncryptionConfiguration"})

    def exists(self, name: str, properties: Properties) -> bool:  # noqa: ARG002
        """Whether there is a repository of that name."""
        return found(lambda: self._ecr.describe_repositories(repositoryNames=[name]))

    def put(self, name: str, properties: Properties) -> None:
        """Make it, or bring it up to date."""
        mutability = properties.get("ImageTagMutability", "MUTABLE")
        scanning = {"scanOnPush": properties.get("ImageScanningConfiguration", {}).get("ScanOnPush", False)}
        if self.exists(name, properties):
            self._ecr.put_image_tag_mutability(repositoryName=name, imageTagMutability=mutability)
            scanned = {"repositoryName": name, "imageScanningConfiguration": scanning}
            send(self._ecr, "PutImageScanningConfiguration", **scanned)
        else:
            request: dict[str, Any] = {"imageTagMutability": mutability, "imageScanningConfiguration": scanning}
            if encryption := properties.get("EncryptionConfiguration"):
                request["encryptionConfiguration"] = {
                    "encryptionType": encryption["EncryptionType"],
                    **({"kmsKey": encryption["KmsKey"]} if "KmsKey" in encryption else {}),
                }
            send(self._ecr, "CreateRepository", repositoryName=name, **request)

    def delete(self, name: str, properties: Properties) -> None:  # noqa: ARG002
        """Delete it; one with images is refused."""
        with unless_missing():
            self._ecr.delete_repository(repositoryName=name)

    def attributes(self, name: str, properties: Properties) -> dict[str, str]:  # noqa: ARG002
        """Its ARN and its address."""
        context = self.account.context
        host = f"{context.account_id}.dkr.ecr.{context.region}.amazonaws.com"
        return {"Arn": self.account.arn("ecr", f"repository/{name}"), "RepositoryUri": f"{host}/{name}"}

    @property
    def _ecr(self) -> Any:
        return self.account.client("ecr")
