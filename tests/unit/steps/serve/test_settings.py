import os

import pytest

from steps.contracts.errors import StepError
from steps.serve.settings import ServingSettings, available_cores


def test_without_settings_the_network_takes_the_cores_that_there_are():
    settings = ServingSettings.read({})
    assert settings.threads == available_cores() == len(os.sched_getaffinity(0))
    assert (settings.port, settings.max_batch, settings.max_queue) == (8080, 8, 256)


def test_on_many_cores_there_are_no_more_decoders_than_a_serverless_endpoint_has_memory_for(monkeypatch):
    monkeypatch.setattr("steps.serve.settings.available_cores", lambda: 64)
    settings = ServingSettings.read({})
    assert (settings.threads, settings.decoders) == (64, 4)
    assert ServingSettings.read({"SERVING_DECODERS": "16"}).decoders == 16


def test_an_environment_overrules_the_defaults():
    environment = {"OMP_NUM_THREADS": "3", "SERVING_MAX_BATCH": " 16 ", "MODEL_VERSION": "7", "SERVING_MAX_QUEUE": ""}
    settings = ServingSettings.read(environment)
    assert (settings.threads, settings.max_batch, settings.model_version, settings.max_queue) == (3, 16, "7", 256)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", "1e3", "\u0663", "9" * 5000, "257", "+4", "1_0"])
def test_what_is_no_number_in_range_is_refused_with_the_variable(text):
    with pytest.raises(StepError, match=r"SERVING_MAX_BATCH is '.{1,60}; use a whole number from 1 to 256"):
        ServingSettings.read({"SERVING_MAX_BATCH": text})


def test_only_a_batch_job_takes_more_bytes_than_an_endpoint():
    payload = {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "12"}
    assert ServingSettings.read(payload).max_bytes == 6 * 1024 * 1024
    assert ServingSettings.read({**payload, "SAGEMAKER_BATCH": "true"}).max_bytes == 12 * 1024 * 1024
