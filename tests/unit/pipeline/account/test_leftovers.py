"""What is told CloudFormation of what an account has already, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.account.leftovers import Leftover, first_stage, import_template, leftovers
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


def found(settings: Settings, text: str = TEMPLATE) -> list[Leftover]:
    return leftovers(settings, first_stage(settings, text, {"Key": settings.encryption.kms_key}))


def repository(key: str = "") -> None:
    import boto3

    encryption = {"encryptionType": "KMS", "kmsKey": key} if key else {"encryptionType": "AES256"}
    boto3.client("ecr", "us-east-1").create_repository(repositoryName="photos", encryptionConfiguration=encryption)


def imported(text: str, taken: list[Leftover]) -> dict[str, Any]:
    properties: dict[str, Any] = template.read(import_template(text, taken))["Resources"]["Images"]["Properties"]
    return properties


def test_what_is_not_there_is_not_taken_over(account: None, settings: Settings) -> None:
    assert found(settings) == []


def test_a_repository_is_told_with_the_encryption_that_it_has(account: None, secure: Settings) -> None:
    repository(KEY)
    taken = found(secure)
    encryption = {"EncryptionType": "KMS", "KmsKey": KEY}
    assert imported(TEMPLATE, taken) == {"RepositoryName": "photos", "EncryptionConfiguration": encryption}
    assert taken[0].changes == ("ImageTagMutability",)


@pytest.mark.parametrize(
    ("text", "told"), [(TEMPLATE, {"EncryptionConfiguration": {"EncryptionType": "AES256"}}), (SILENT, {})]
)
def test_encryption_by_default_is_told_as_the_template_does(
    account: None, settings: Settings, text: str, told: dict[str, Any]
) -> None:
    """Else the first update would want to make the repository anew."""
    repository()
    assert imported(text, found(settings, text)) == {"RepositoryName": "photos", **told}


def test_an_import_has_no_outputs(account: None, settings: Settings) -> None:
    repository()
    assert "Outputs" not in template.read(import_template(TEMPLATE, found(settings)))


@pytest.mark.parametrize("text", [TEMPLATE, SILENT])
@pytest.mark.parametrize(("there", "wanted"), [("", KEY), (OTHER_KEY, KEY), (OTHER_KEY, "")])
def test_a_repository_of_another_encryption_is_refused(
    account: None, settings: Settings, secure: Settings, text: str, there: str, wanted: str
) -> None:
    repository(there)
    with pytest.raises(PipelineError) as refused:
        found(secure if wanted else settings, text)
    assert str(refused.value) == (
        f"the repository photos is there, encrypted with {there or 'no key'}, and encryption.kms_key names"
        f" {wanted or 'no key'}; a repository keeps its encryption: change encryption.kms_key back, or delete the"
        " repository with its images: aws ecr delete-repository --repository-name photos --force"
    )
