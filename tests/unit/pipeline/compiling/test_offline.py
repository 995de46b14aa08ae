"""Compiling without an account: no request, and no work that the SDK would do again and again."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from pipeline import ROOT
from pipeline.compiling.offline import OfflineSession, _once
from pipeline.settings import Settings
from pipeline.settings.file import load_settings


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(ROOT / "pipeline.yaml", "prod")


def test_a_configuration_is_validated_once_and_another_one_anew() -> None:
    seen: list[Any] = []
    validate = _once(seen.append)
    for config in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 2}):
        validate(config)
    assert seen == [{"a": 1, "b": 2}, {"a": 2}]


def test_a_wrong_configuration_is_refused_each_time() -> None:
    from sagemaker.core.config.config_manager import SageMakerConfig

    for _ in range(2):
        with pytest.raises(jsonschema.ValidationError):
            SageMakerConfig.validate_sagemaker_config({"SchemaVersion": "1.0", "Nonsense": True})


def test_a_second_compilation_validates_nothing_and_gives_the_same_bytes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.definition import compile_definition

    first = compile_definition(settings)
    validated: list[Any] = []
    monkeypatch.setattr(jsonschema, "validate", lambda config, _: validated.append(config))
    assert compile_definition(settings) == first
    assert validated == []


def test_a_request_is_an_error_that_names_its_address(settings: Settings) -> None:
    with pytest.raises(RuntimeError, match=r"must not call AWS, but it requested https://.*sagemaker"):
        OfflineSession(settings).sagemaker_client.list_pipelines()
