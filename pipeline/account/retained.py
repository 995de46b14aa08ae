"""Resources that deleted stacks retained in the account, the bucket and the image repositories, and their import.

An import records the given properties and applies none of them; the next update compares the template with the record.
So the record holds true values, and no more of them than necessary.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/import-resources-manually.html
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.aws import cloudformation as template
from pipeline.aws import errors as aws_errors
from pipeline.aws.responses import says_missing
from pipeline.clients import client
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

BUCKET, POLICY, REPOSITORY = "AWS::S3::Bucket", "AWS::S3::BucketPolicy", "AWS::ECR::Repository"
# The property that identifies a resource.
_NAMING = {BUCKET: "BucketName", POLICY: "Bucket", REPOSITORY: "RepositoryName"}
# Encryption of a repository that was created without a setting for it.
_AES = {"EncryptionType": "AES256"}


@dataclass(frozen=True)
class RetainedResource:
    """A resource of the template that exists in the account and belongs to no stack."""

    logical: str
    """Logical id: the name in the template."""
    kind: str
    name: str
    """Name in the account."""
    recorded: Mapping[str, Any]
    """Properties that the import records, with their present values, without the name."""
    changes: tuple[str, ...]
    """Properties of the template that differ from the record."""

    @property
    def imported(self) -> dict[str, Any]:
        """An item of CreateChangeSet's ResourcesToImport."""
        identifier = {_NAMING[self.kind]: self.name}
        return {"ResourceType": self.kind, "LogicalResourceId": self.logical, "ResourceIdentifier": identifier}


def first_stage(settings: Settings, text: str, values: Mapping[str, str]) -> template.ResolvedTemplate:
    """A template with its parameters, before any resource is created; a reference to a bucket is the bucket's name."""
    declared = template.read(text)
    pseudo = {
        "AWS::AccountId": settings.account.id,
        "AWS::Region": settings.account.region,
        "AWS::Partition": "aws",
        "AWS::StackName": settings.stack,
        "AWS::URLSuffix": "amazonaws.com",
    }
    evaluation = template.ResolvedTemplate(declared, values, pseudo)

    def bucket(logical: str, attribute: str = "") -> str:
        name = str(evaluation.value(declared["Resources"][logical]["Properties"]["BucketName"]))
        return f"arn:aws:s3:::{name}" if attribute == "Arn" else name

    evaluation.reference = evaluation.attribute = bucket
    return evaluation


def retained_resources(
    settings: Settings, evaluation: template.ResolvedTemplate, besides: Collection[str] = ()
) -> list[RetainedResource]:
    """The resources of a template's first stage that have a deletion policy and exist in the account.

    `besides` are the logical ids of resources that a stack has. Raises PipelineError for a bucket of another account or
    region, and for a repository whose encryption, which cannot be changed, differs from the settings.
    """
    resources = []
    for logical, resource in evaluation.resources().items():
        kind = resource["Type"]
        if logical in besides or kind not in _NAMING or "DeletionPolicy" not in resource:
            continue
        wanted = evaluation.value(resource["Properties"])
        name = wanted.pop(_NAMING[kind])
        recorded = _recorded(settings, kind, name, wanted)
        if recorded is not None:
            changes = tuple(key for key, value in wanted.items() if value != recorded.get(key))
            resources.append(RetainedResource(logical, kind, name, recorded, changes))
    return resources


def buckets(evaluation: template.ResolvedTemplate) -> dict[str, str]:
    """Names of a template's buckets, by logical id."""
    return {
        logical: str(evaluation.value(resource["Properties"][_NAMING[BUCKET]]))
        for logical, resource in evaluation.resources().items()
        if resource["Type"] == BUCKET
    }


def import_template(text: str, resources: Sequence[RetainedResource]) -> str:
    """The part of a template that imports `resources` into a new stack: an import adds nothing else, nor an output."""
    whole = template.read(text)
    imported = {}
    for retained in resources:
        resource = whole["Resources"][retained.logical]
        naming = _NAMING[retained.kind]
        # The name as in the template: a policy's is a reference to its bucket.
        properties = {naming: resource["Properties"][naming], **retained.recorded}
        imported[retained.logical] = {**resource, "Properties": properties}
    return json.dumps(template.part(whole, imported), separators=(",", ":"))


def _recorded(settings: Settings, kind: str, name: str, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """The properties that an import records, without the name; None where the resource does not exist."""
    from botocore.exceptions import ClientError

    owner = {"ExpectedBucketOwner": settings.account.id}
    try:
        if kind == REPOSITORY:
            return _repository(settings, name, wanted)
        if kind == POLICY:
            answer = client(settings, "s3").get_bucket_policy(Bucket=name, **owner)
            return {"PolicyDocument": json.loads(answer["Policy"])}
        _check_region(settings, client(settings, "s3").head_bucket(Bucket=name, **owner))
    except ClientError as error:
        if says_missing(error):
            return None
        if kind == BUCKET and aws_errors.has_code(error, aws_errors.DENIED):
            raise PipelineError(
                f"the bucket {name} exists, and belongs to another account or is closed to these credentials; set"
                " another name in data.bucket: bucket names are unique across all accounts"
            ) from error
        raise
    return {}


def _repository(settings: Settings, name: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """A repository's encryption, where the template sets it or it uses a key.

    It cannot be changed: an update would replace the repository, which CloudFormation refuses under the same name.
    """
    (repository,) = client(settings, "ecr").describe_repositories(repositoryNames=[name])["repositories"]
    encryption = repository.get("encryptionConfiguration", {"encryptionType": _AES["EncryptionType"]})
    actual = {"EncryptionType": encryption["encryptionType"]}
    if "kmsKey" in encryption:
        actual["KmsKey"] = encryption["kmsKey"]
    if actual != wanted.get("EncryptionConfiguration", _AES):
        key = settings.encryption.kms_key or "no key"
        raise PipelineError(
            f"the repository {name} exists and is encrypted with {encryption.get('kmsKey', 'no key')}, but"
            f" encryption.kms_key names {key}, and a repository's encryption cannot be changed: set encryption.kms_key"
            " back, or delete the repository with its images:"
            f" aws ecr delete-repository --repository-name {name} --force"
        )
    is_set = "EncryptionConfiguration" in wanted or actual != _AES
    return {"EncryptionConfiguration": actual} if is_set else {}


def _check_region(settings: Settings, head: Mapping[str, Any]) -> None:
    region = head.get("BucketRegion", settings.account.region)
    if region != settings.account.region:
        raise PipelineError(
            f"the bucket {settings.data.bucket} is in {region}, the pipeline in {settings.account.region}; set another"
            " data.bucket, or another account.region"
        )
