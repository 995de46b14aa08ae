"""Images, the deploy function, its rules, alarms and queue."""

from __future__ import annotations

import json

from pipeline.account import deploy_function as serving
from pipeline.compiling import step_images as images
from pipeline.settings import Settings
from tests.unit.pipeline.account.stacks import alarms
from tests.unit.pipeline.operations.preflight.conftest import Look, changed, client, make_function


def publish(settings: Settings, *steps: str) -> None:
    """Put the steps' images into the account's repositories."""
    ecr = client("ecr")
    every = images.step_images(settings)
    for name in sorted({image.repository_name for image in every}):
        ecr.create_repository(repositoryName=name)
    for image in every:
        if image.step in steps:
            manifest = {"schemaVersion": 2, "config": {"digest": f"sha256:{image.step}"}, "layers": []}
            ecr.put_image(
                repositoryName=image.repository_name,
                imageManifest=json.dumps(manifest),
                imageManifestMediaType="application/vnd.docker.distribution.manifest.v2+json",
                imageTag=image.tag,
            )


def test_all_images_in_the_registry_are_fine(look: Look, settings: Settings) -> None:
    publish(settings, *images.used_steps(settings))
    assert look("images") == [("ok", "every step's image is in the registry")]


def test_an_image_that_is_missing_is_named_with_what_puts_it_there(look: Look, settings: Settings) -> None:
    publish(settings, *(step for step in images.used_steps(settings) if step != "train"))
    [(status, detail)] = look("images")
    assert status == "failed"
    assert detail == (
        f"train: {images.step_image('train', settings).uri} is missing in the registry;"
        " push it: python -m pipeline images push"
    )


def test_an_account_without_repositories_wants_its_bootstrap_first(look: Look) -> None:
    [(status, detail)] = look("images")
    assert status == "failed"
    assert "python -m pipeline bootstrap, then: python -m pipeline images push" in detail


def test_a_function_of_these_settings_is_fine_and_one_of_others_is_behind(look: Look, settings: Settings) -> None:
    make_function(settings, LOG_LEVEL="DEBUG")
    assert look("deploy function") == [("ok", "bins-deploy")]
    [(status, detail)] = look("deploy function", changed(settings, "endpoint", canary_percent=33))
    assert status == "warning"
    assert "has other settings (CANARY_PERCENT); update it: python -m pipeline bootstrap" in detail


def test_without_the_function_nothing_is_deployed(look: Look) -> None:
    assert look("deploy function") == [
        ("failed", "there is no function bins-deploy; create it: python -m pipeline bootstrap")
    ]


def test_a_rule_that_is_missing_and_one_that_is_disabled_are_told_apart(look: Look, settings: Settings) -> None:
    first, second = serving.deployment_rules(settings)
    client("events").put_rule(Name=first, EventPattern='{"source": ["x"]}', State="DISABLED")
    [(status, detail), (second_status, second_detail)] = look("rules")
    assert (status, second_status) == ("warning", "failed")
    assert f"the rule {first} is disabled" in detail
    assert f"there is no rule {second}" in second_detail


def test_an_alarm_that_is_missing_is_named(look: Look, settings: Settings) -> None:
    first, _ = alarms(settings)
    client("cloudwatch").put_metric_alarm(**first)
    [(status, detail)] = look("alarms")
    assert status == "failed"
    assert "there is no alarm bins-endpoint-latency" in detail


def test_the_dead_letter_queue_is_there_or_is_not(look: Look) -> None:
    assert look("dead letters")[0][0] == "failed"
    client("sqs").create_queue(QueueName="bins-dead-letters")
    assert look("dead letters") == [("ok", "bins-dead-letters")]
