"""What an import records about resources that an account has, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.account.retained import RetainedResource, first_stage, import_template, retained_resources
from pipeline.aws import cloudformation as template
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from tests.unit.pipeline.operations.conftest import KEY, account, no_account, secure, settings

__all__ = ["account", "no_account", "secure", "settings"]

TEMPLATE = """
Parameters: {Key: {Type: String}}
Conditions: {HasKey: !Not [!Equals [!Ref Key, ""]]}
Resources:
  Images:
    Type: AWS::ECR::Repository
    DeletionPolicy: Retain
    Properties:
      RepositoryName: photos
      ImageTagMutability: IMMUTABLE
      EncryptionConfiguration: !If [HasKey, {EncryptionType: KMS, KmsKey: !Ref Key}, {EncryptionType: AES256}]
Outputs: {Images: {Value: !Ref Images}}
"""
SILENT = TEMPLATE.replace("{EncryptionType: AES256}]", "!Ref AWS::NoValue]")
OTHER_KEY = KEY[:-1] + "0"


def retained(settings: Settings, text: str = TEMPLATE) -> list[RetainedResource]:
    return retained_resources(settings, first_stage(settings, text, {"Key": settings.encryption.kms_key}))


def repository(key: str = "") -> None:
    import boto3

    encryption = {"encryptionType": "KMS", "kmsKey": key} if key else {"encryptionType": "AES256"}
    boto3.client("ecr", "us-east-1").create_repository(repositoryName="photos", encryptionConfiguration=encryption)


def imported(text: str, resources: list[RetainedResource]) -> dict[str, Any]:
    properties: dict[str, Any] = template.read(import_template(text, resources))["Resources"]["Images"]["Properties"]
    return properties


def test_a_missing_resource_is_not_imported(account: None, settings: Settings) -> None:
    assert retained(settings) == []


def test_a_repository_is_recorded_with_its_encryption(account: None, secure: Settings) -> None:
    repository(KEY)
    taken = retained(secure)
    encryption = {"EncryptionType": "KMS", "KmsKey": KEY}
    assert imported(TEMPLATE, taken) == {"RepositoryName": "photos", "EncryptionConfiguration": encryption}
    assert taken[0].changes == ("ImageTagMutability",)


@pytest.mark.parametrize(
    ("text", "recorded"), [(TEMPLATE, {"EncryptionConfiguration": {"EncryptionType": "AES256"}}), (SILENT, {})]
)
def test_default_encryption_is_recorded_as_in_the_template(
    account: None, settings: Settings, text: str, recorded: dict[str, Any]
) -> None:
    """Otherwise the first update would replace the repository."""
    repository()
    assert imported(text, retained(settings, text)) == {"RepositoryName": "photos", **recorded}


def test_an_import_has_no_outputs(account: None, settings: Settings) -> None:
    repository()
    assert "Outputs" not in template.read(import_template(TEMPLATE, retained(settings)))


@pytest.mark.parametrize("text", [TEMPLATE, SILENT])
@pytest.mark.parametrize(("actual", "wanted"), [("", KEY), (OTHER_KEY, KEY), (OTHER_KEY, "")])
def test_a_repository_of_another_encryption_is_refused(
    account: None, settings: Settings, secure: Settings, text: str, actual: str, wanted: str
) -> None:
    repository(actual)
    with pytest.raises(PipelineError) as refused:
        retained(secure if wanted else settings, text)
    assert str(refused.value) == (
        f"the repository photos exists and is encrypted with {actual or 'no key'}, but encryption.kms_key names"
        f" {wanted or 'no key'}, and a repository's encryption cannot be changed: set encryption.kms_key back, or"
        " delete the repository with its images: aws ecr delete-repository --repository-name photos --force"
    )
