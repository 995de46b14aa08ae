"""What deleted stacks have left in the account, the bucket and the image repositories, and how a new one takes it over.

An import records the properties that it is given, and applies none of them: what it is told is all that the next update
compares the template with. So it is told what is true, and no more than it has to be.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/import-resources-manually.html
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.aws import cloudformation as template
from pipeline.aws import errors as aws_errors
from pipeline.clients import client
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

BUCKET, POLICY, REPOSITORY = "AWS::S3::Bucket", "AWS::S3::BucketPolicy", "AWS::ECR::Repository"
# The property that each is found by.
_NAMING = {BUCKET: "BucketName", POLICY: "Bucket", REPOSITORY: "RepositoryName"}
_MISSING = ("404", "NoSuchBucket", "NoSuchBucketPolicy", "RepositoryNotFoundException")
_FORBIDDEN = ("403", "Forbidden", "AccessDenied")
# Of a repository that was made without a word about it.
_AES = {"EncryptionType": "AES256"}


@dataclass(frozen=True)
class Leftover:
    """One resource of the template that is there already, in no stack."""

    logical: str
    """Its name in the template."""
    kind: str
    name: str
    """What it is called in the account."""
    known: Mapping[str, Any]
    """Properties that are told of it, besides its name: as they are."""
    changes: tuple[str, ...]
    """Properties that the template sets, and that are other than what is told, or not told."""

    @property
    def imported(self) -> dict[str, Any]:
        """As CloudFormation wants a resource to import."""
        identifier = {_NAMING[self.kind]: self.name}
        return {"ResourceType": self.kind, "LogicalResourceId": self.logical, "ResourceIdentifier": identifier}


def first_stage(settings: Settings, text: str, values: Mapping[str, str]) -> template.ResolvedTemplate:
    """A template with its parameters, before anything of it is made: what refers to a bucket has the bucket's name."""
    declared = template.read(text)
    pseudo = {
        "AWS::AccountId": settings.account.id,
        "AWS::Region": settings.account.region,
        "AWS::Partition": "aws",
        "AWS::StackName": settings.stack,
        "AWS::URLSuffix": "amazonaws.com",
    }
    evaluation = template.ResolvedTemplate(declared, values, pseudo)

    def bucket(name: str, attribute: str = "") -> str:
        found = str(evaluation.value(declared["Resources"][name]["Properties"]["BucketName"]))
        return f"arn:aws:s3:::{found}" if attribute == "Arn" else found

    evaluation.reference = evaluation.attribute = bucket
    return evaluation


def leftovers(
    settings: Settings, evaluation: template.ResolvedTemplate, besides: Collection[str] = ()
) -> list[Leftover]:
    """What a template's first stage keeps and the account has already. `besides` are names in the template of what a
    stack holds.

    Raises PipelineError for a bucket that somebody else owns or of another region, and for a repository whose
    encryption, which stays for ever, is not that of the settings.
    """
    found = []
    for logical, resource in evaluation.resources().items():
        kind = resource["Type"]
        if logical in besides or kind not in _NAMING or "DeletionPolicy" not in resource:
            continue
        wanted = evaluation.value(resource["Properties"])
        name = wanted.pop(_NAMING[kind])
        known = _known(settings, kind, name, wanted)
        if known is not None:
            changes = tuple(one for one in wanted if wanted[one] != known.get(one))
            found.append(Leftover(logical, kind, name, known, changes))
    return found


def buckets(evaluation: template.ResolvedTemplate) -> dict[str, str]:
    """The names of a template's buckets, by theirs in the template."""
    resources = {name: one for name, one in evaluation.resources().items() if one["Type"] == BUCKET}
    return {name: str(evaluation.value(one["Properties"][_NAMING[BUCKET]])) for name, one in resources.items()}


def import_template(text: str, taken: Sequence[Leftover]) -> str:
    """The part of a template that begins a stack with what there is: an import adds nothing else, nor an output."""
    whole = template.read(text)
    part = {key: value for key, value in whole.items() if key != "Outputs"}
    part["Resources"] = {}
    for one in taken:
        resource = whole["Resources"][one.logical]
        naming = _NAMING[one.kind]
        # The name as the template has it: a policy's is a reference to its bucket.
        properties = {naming: resource["Properties"][naming], **one.known}
        part["Resources"][one.logical] = {**resource, "Properties": properties}
    return json.dumps(part)


def _known(settings: Settings, kind: str, name: str, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """What an import has to tell of it besides its name; None where it is not there."""
    from botocore.exceptions import ClientError

    try:
        match kind:
            case "AWS::ECR::Repository":
                return _repository(settings, name, wanted)
            case "AWS::S3::BucketPolicy":
                answer = client(settings, "s3").get_bucket_policy(Bucket=name, **_owner(settings))
                return {"PolicyDocument": json.loads(answer["Policy"])}
        _check_region(settings, client(settings, "s3").head_bucket(Bucket=name, **_owner(settings)))
    except ClientError as error:
        if aws_errors.has_code(error, _MISSING):
            return None
        if kind == BUCKET and aws_errors.has_code(error, _FORBIDDEN):
            raise PipelineError(
                f"the bucket {name} is there, and belongs to another account or is closed to these credentials;"
                " name another one in data.bucket: names are taken all over AWS"
            ) from error
        raise
    return {}


def _repository(settings: Settings, name: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """A repository's encryption, where the template sets it or it is a key's. Nothing changes it: an update would make
    the repository anew, and CloudFormation refuses that under the same name.
    """
    (found,) = client(settings, "ecr").describe_repositories(repositoryNames=[name])["repositories"]
    given = found.get("encryptionConfiguration", {"encryptionType": _AES["EncryptionType"]})
    actual = {"EncryptionType": given["encryptionType"]}
    if "kmsKey" in given:
        actual["KmsKey"] = given["kmsKey"]
    if actual != wanted.get("EncryptionConfiguration", _AES):
        key = settings.encryption.kms_key or "no key"
        raise PipelineError(
            f"the repository {name} is there, encrypted with {given.get('kmsKey', 'no key')}, and encryption.kms_key"
            f" names {key}; a repository keeps its encryption: change encryption.kms_key back, or delete the repository"
            f" with its images: aws ecr delete-repository --repository-name {name} --force"
        )
    named = "EncryptionConfiguration" in wanted or actual != _AES
    return {"EncryptionConfiguration": actual} if named else {}


def _check_region(settings: Settings, head: Mapping[str, Any]) -> None:
    region = head.get("BucketRegion", settings.account.region)
    if region != settings.account.region:
        raise PipelineError(
            f"the bucket {settings.data.bucket} is in {region}, the pipeline in {settings.account.region}; name another"
            " bucket in data.bucket, or another account.region"
        )


def _owner(settings: Settings) -> dict[str, str]:
    return {"ExpectedBucketOwner": settings.account.id}
