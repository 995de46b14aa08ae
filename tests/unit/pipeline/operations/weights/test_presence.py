"""No run begins without its initial weights."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from pipeline.definition import compile_definition
from pipeline.operations.weights import presence
from pipeline.settings import Settings
from steps.contracts import imagenet_weights
from steps.contracts.errors import PipelineError
from steps.contracts.s3_uri import S3Uri
from tests.answers import Answers

pytestmark = pytest.mark.usefixtures("account")
BUCKET = "bins-111122223333"
FOLDER = f"s3://{BUCKET}/bin-counting/weights"
RESNET34 = f"{FOLDER}/resnet34-b627a593.pth"
RESNET18 = f"{FOLDER}/resnet18-f37072fd.pth"


def changed(settings: Settings, **groups: dict[str, Any]) -> Settings:
    base = settings.model_dump()
    return Settings.model_validate({**base, **{name: {**base[name], **values} for name, values in groups.items()}})


def searching(settings: Settings) -> Settings:
    return changed(settings, tuning={"ranges": {"architecture": {"values": ["resnet34", "resnet18"]}}})


def definition(settings: Settings) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(compile_definition(settings))
    return document


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """ResNet34's published file has a KiB."""
    file = imagenet_weights.FILES["resnet34"]._replace(mebibytes=0.001)
    monkeypatch.setitem(imagenet_weights.FILES, "resnet34", file)


def put(uri: str, content: bytes = bytes(1024)) -> None:
    s3 = boto3.client("s3", region_name="us-east-1")
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key=key, Body=content)


def test_the_files_are_those_that_the_trials_of_a_definition_read(settings: Settings) -> None:
    assert list(presence.files(definition(settings))) == [RESNET34]
    assert list(presence.files(definition(searching(settings)))) == [RESNET18, RESNET34]
    assert list(presence.files(definition(changed(settings, training={"weights": "none"})))) == []
    own = changed(settings, training={"weights": "s3://mine/w.pth"})
    assert list(presence.files(definition(own))) == ["s3://mine/w.pth"]
    assert list(presence.files({"Steps": [{"Name": "A", "Type": "Fail"}]})) == []


@pytest.mark.usefixtures("small")
def test_a_file_that_exists_is_no_problem(settings: Settings) -> None:
    put(RESNET34)
    presence.refuse_missing(settings, definition(settings))
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.delete_object(Bucket=BUCKET, Key=RESNET34.removeprefix(f"s3://{BUCKET}/"))
    with pytest.raises(PipelineError, match=f"there is no object {RESNET34}"):
        presence.refuse_missing(settings, definition(settings))


def test_each_missing_file_is_a_line_with_the_command_that_brings_it(settings: Settings) -> None:
    put(f"{RESNET34}.part")
    with pytest.raises(PipelineError) as caught:
        presence.refuse_missing(settings, definition(searching(settings)))
    lines = str(caught.value).splitlines()
    assert lines == [
        f"training.weights: there is no object {RESNET18}; put it there: python -m pipeline weights --architecture"
        " resnet18; without them each training fails",
        f"training.weights: there is no object {RESNET34}; put it there: python -m pipeline weights; without them each"
        " training fails",
    ]


def test_a_bucket_that_does_not_exist_has_no_weights(settings: Settings) -> None:
    with pytest.raises(PipelineError, match=f"there is no object {RESNET34}"):
        presence.refuse_missing(settings, definition(settings))


def test_a_file_of_ones_own_is_not_brought_by_a_command(settings: Settings) -> None:
    own = changed(settings, training={"weights": "s3://mine/resnet34-b627a593.pth"})
    with pytest.raises(PipelineError, match=r"there is no object s3://mine/resnet34\S+; upload it, or set another one"):
        presence.refuse_missing(own, definition(own))


@pytest.mark.parametrize(("content", "size"), [(b"x", "1 byte"), (b"", "0 bytes"), (bytes(20_000), "20,000 bytes")])
def test_an_object_of_another_size_than_the_published_file_is_refused(
    settings: Settings, content: bytes, size: str
) -> None:
    """The kind: each trial fails on the digest, after the query and the shards are paid."""
    put(RESNET34, content)
    with pytest.raises(PipelineError) as caught:
        presence.refuse_missing(settings, definition(settings))
    assert str(caught.value) == (
        f"training.weights: {RESNET34} has {size}, and torchvision's file about 87.3 MB; replace it: python -m pipeline"
        " weights; without them each training fails"
    )


def test_a_published_file_in_another_place_is_replaced_by_its_owner(settings: Settings) -> None:
    uri = "s3://mine/resnet34-b627a593.pth"
    own = changed(settings, training={"weights": uri})
    put(uri)
    with pytest.raises(PipelineError, match=r"1,024 bytes, .* 87\.3 MB; upload the published file there, or"):
        presence.refuse_missing(own, definition(own))


def test_a_file_of_ones_own_has_any_size(settings: Settings) -> None:
    own = changed(settings, training={"weights": "s3://mine/w.pth"})
    put("s3://mine/w.pth", b"x")
    assert list(presence.files(definition(own))) == ["s3://mine/w.pth"]
    assert presence.problem(boto3.client("s3", region_name="us-east-1"), own, "s3://mine/w.pth") == ""
    presence.refuse_missing(own, definition(own))


def test_credentials_that_may_not_look_refuse_nothing(settings: Settings, answers: Answers) -> None:
    answers.say_xml("s3.ListObjectsV2", "<Error><Code>AccessDenied</Code></Error>", status=403)
    presence.refuse_missing(settings, definition(settings))
    # The file is not there: only the refusal of the listing keeps it from being missed.
    with pytest.raises(ClientError, match="AccessDenied"):
        presence.size_of(boto3.client("s3", region_name="us-east-1"), S3Uri.parse(RESNET34))


@pytest.fixture
def answers() -> Answers:
    return Answers()
