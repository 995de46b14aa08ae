"""The groups of the account's side: network, encryption, images, retention, alerts, ci, and names from `name`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from pipeline.settings import Role, Settings
from tests.unit.pipeline.settings.test_file import BASE, mistakes, settings_of, with_values

SUBNETS = ["subnet-0123456789abcdef0"]
GROUPS = ["sg-0123456789abcdef0"]
KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
DIGEST = "sha256:" + "0123456789abcdef" * 4


def beside(text: str) -> str:
    """The base file with `text` before its profiles, from line 8 on."""
    return BASE.replace("profiles:", f"{text}\nprofiles:")


# ------------------------------------------------------------------------------------------------ what is taken


@pytest.mark.parametrize(
    ("group", "values"),
    [
        ("network", {"subnets": SUBNETS, "security_groups": GROUPS, "encrypt_traffic": True}),
        ("network", {"subnets": ["subnet-01234567"], "security_groups": ["sg-01234567"] * 5}),
        ("encryption", {"kms_key": KEY}),
        ("encryption", {"kms_key": "arn:aws:kms:us-east-1:444455556666:key/mrk-0123456789abcdef0123456789abcdef"}),
        ("encryption", {"kms_key": ""}),
        ("images", {"builder": "codebuild"}),
        ("images", {"python_base": f"public.ecr.aws/docker/library/python@{DIGEST}"}),
        ("images", {"python_base": f"localhost:5000/python:3.11@{DIGEST}", "training_base": ""}),
        (
            "images",
            {"training_base": "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.5.1-gpu-py311"},
        ),
        ("retention", {"checkpoint_days": 2, "capture_days": 3650, "superseded_days": 7}),
        ("alerts", {"email": "ml-team+bins@example.co.uk", "monthly_budget": 250.5}),
        ("alerts", {"email": ""}),
        ("ci", {"github_repository": "example-owner/bin.counting", "branch": "release/1.2", "make_provider": True}),
    ],
)
def test_values_that_work_are_taken_as_they_are(tmp_path: Path, group: str, values: dict[str, Any]) -> None:
    taken = getattr(settings_of(tmp_path, with_values(**{group: values})), group)
    assert {key: getattr(taken, key) for key in values} == values


def test_nothing_of_it_is_on_unless_it_is_asked_for(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, BASE)
    assert settings.network.model_dump() == {
        "subnets": [],
        "security_groups": [],
        "isolation": False,
        "encrypt_traffic": False,
    }
    assert (settings.encryption.kms_key, settings.alerts.email, settings.alerts.monthly_budget) == ("", "", 0)
    assert (settings.images.builder, settings.ci.github_repository, settings.ci.make_provider) == ("auto", "", False)


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("group", "key", "value", "message"),
    [
        ("network", "isolation", "yes", "valid boolean"),
        ("network", "subnets", [f"subnet-{n:08x}" for n in range(17)], "at most 16 items"),
        ("network", "security_groups", ["sg-0123"], "must be a security group's id, sg-0a1b2c3d, not 'sg-0123'"),
        ("encryption", "kms_key", "alias/bins", "(not an alias), not 'alias/bins'"),
        ("encryption", "kms_key", "1234abcd-12ab-34cd-56ef-1234567890ab", "must be the ARN of a key"),
        ("images", "builder", "podman", "must be auto, docker or codebuild, not 'podman'"),
        ("images", "python_base", "", "must be an image as HOST/REPOSITORY:TAG"),
        ("images", "python_base", "python:3.11; rm -rf /", "must be an image as HOST/REPOSITORY:TAG"),
        ("images", "training_base", "https://example.com/image", "must be empty, or an image"),
        ("images", "training_base", f"public.ecr.aws/x/y@{DIGEST[:-1]}", "must be empty, or an image"),
        ("retention", "checkpoint_days", 0, "must be 1 to 3650 (it is 0)"),
        ("retention", "capture_days", 3651, "must be 1 to 3650 (it is 3651)"),
        ("retention", "superseded_days", 1.5, "valid integer"),
        ("alerts", "email", "ml-team", "must be an address, team@example.com, not 'ml-team'"),
        ("alerts", "email", "a@example.com, b@example.com", "must be an address"),
        ("alerts", "monthly_budget", -1, "must be at least 0 (it is -1)"),
        ("ci", "github_repository", "https://github.com/owner/name", "must be OWNER/NAME"),
        ("ci", "github_repository", "owner/*", "must be OWNER/NAME, not 'owner/*'"),
        ("ci", "branch", "main:*", "must be a branch"),
        ("ci", "branch", "", "must be a branch"),
    ],
)
def test_a_wrong_value_is_named_with_its_line_and_key(
    tmp_path: Path, group: str, key: str, value: Any, message: str
) -> None:
    text = beside(f"{group}:\n  {key}: {value!r}" if isinstance(value, str | list) else f"{group}:\n  {key}: {value}")
    (line,) = mistakes(tmp_path, text)
    assert re.match(rf"9: {group}\.{key}(\.\d+)?: ", line)
    assert message in line


@pytest.mark.parametrize("group", ["network", "encryption", "images", "retention", "alerts", "ci"])
def test_an_unknown_key_is_answered_with_the_known_ones(tmp_path: Path, group: str) -> None:
    (line,) = mistakes(tmp_path, beside(f"{group}:\n  zzz: 1"))
    assert line.startswith(f"9: {group}.zzz: unknown key; keys of this group: ")


def test_a_wrong_entry_of_a_list_has_its_own_line(tmp_path: Path) -> None:
    text = beside(f"network:\n  security_groups: {GROUPS}\n  subnets:\n    - subnet-01234567\n    - vpc-01234567")
    (line,) = mistakes(tmp_path, text)
    assert line.startswith("12: network.subnets.1: must be a subnet's id, subnet-0a1b2c3d, not 'vpc-01234567'")


# ------------------------------------------------------------------------------------------------ plan and exploration


@pytest.mark.parametrize(
    ("shard", "image"),
    [
        ({}, None),
        ({"common_items": 0.5}, None),
        ({"planner": "local"}, "processing"),
        ({"planner": "local", "plan_instance_type": "ml.m5.large", "plan_volume_gigabytes": 200}, "processing"),
        ({"planner": "spark"}, "spark"),
        ({"plan_instance_count": 2}, "spark"),
        ({"planner": "spark", "plan_instance_count": 100}, "spark"),
    ],
)
def test_the_planner_and_its_instances_decide_on_a_job_and_its_image(
    tmp_path: Path, shard: dict[str, Any], image: str | None
) -> None:
    assert settings_of(tmp_path, with_values(shard=shard)).shard.plan_image == image


def test_a_plan_has_the_instance_type_of_the_shards_unless_it_has_its_own(tmp_path: Path) -> None:
    shard = {"planner": "local", "instance_type": "ml.m5.xlarge"}
    assert settings_of(tmp_path, with_values(shard=shard)).shard.plan_type == "ml.m5.xlarge"
    own = {**shard, "plan_instance_type": "ml.m5.2xlarge"}
    assert settings_of(tmp_path, with_values(shard=own)).shard.plan_type == "ml.m5.2xlarge"


@pytest.mark.parametrize(
    ("explore", "image"),
    [
        ({}, None),
        ({"enabled": False}, None),
        ({"enabled": True}, "processing"),
        ({"enabled": True, "engine": "spark"}, "spark"),
        ({"enabled": True, "instance_count": 2}, "spark"),
        ({"enabled": True, "engine": "local", "instance_type": "ml.m5.large"}, "processing"),
    ],
)
def test_an_exploration_is_a_choice_and_its_engine_decides_on_its_image(
    tmp_path: Path, explore: dict[str, Any], image: str | None
) -> None:
    assert settings_of(tmp_path, with_values(explore=explore)).explore.image == image


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "shard:\n  planner: local\n  plan_instance_count: 3",
            "10: shard.plan_instance_count: planner: local plans on one instance, and plan_instance_count is 3; take"
            " planner: spark or auto, or leave plan_instance_count out",
        ),
        (
            "shard:\n  plan_instance_type: ml.m5.large",
            "9: shard.plan_instance_type: nothing reads plan_instance_type: ShardImages plans in its own job; set"
            " planner: local or spark, or plan_instance_count, or leave plan_instance_type out",
        ),
        (
            "shard:\n  plan_volume_gigabytes: 100",
            "9: shard.plan_volume_gigabytes: nothing reads plan_volume_gigabytes: ShardImages plans in its own job; set"
            " planner: local or spark, or plan_instance_count, or leave plan_volume_gigabytes out",
        ),
        (
            "shard:\n  planner: local\n  plan_instance_type: ml.g4dn.xlarge\n  plan_volume_gigabytes: 126",
            "11: shard.plan_volume_gigabytes: ml.g4dn.xlarge has disks of its own, 125 GB in all, and SageMaker refuses"
            " a larger volume; set 125 or less, or take another type",
        ),
        ("shard: {planner: duckdb}", "8: shard.planner: must be auto, local or spark, not 'duckdb'"),
        ("shard: {common_items: 0}", "8: shard.common_items: must be above 0 and at most 1 (it is 0)"),
        ("shard: {common_items: 1.5}", "8: shard.common_items: must be above 0 and at most 1 (it is 1.5)"),
        ("shard: {plan_instance_count: 0}", "8: shard.plan_instance_count: must be 1 to 100 (it is 0)"),
        (
            "explore:\n  instance_type: ml.m5.large",
            "9: explore.instance_type: nothing reads instance_type without enabled: true; add it, or leave"
            " instance_type out",
        ),
        (
            "explore:\n  engine: spark",
            "9: explore.engine: nothing reads engine without enabled: true; add it, or leave engine out",
        ),
        (
            "explore:\n  enabled: true\n  engine: local\n  instance_count: 2",
            "11: explore.instance_count: engine: local explores on one instance, and instance_count is 2; take engine:"
            " spark or auto, or leave instance_count out",
        ),
    ],
)
def test_settings_of_a_plan_or_an_exploration_that_contradict_are_a_line(
    tmp_path: Path, text: str, expected: str
) -> None:
    (line,) = mistakes(tmp_path, beside(text))
    assert line == expected


# ------------------------------------------------------------------------------------------------ what conflicts

ISOLATION = "network.isolation leaves trials without a network, but "
OLD = (
    "the GPUs of {} are too old for AWS's PyTorch image with CUDA 13; take a newer type such as ml.g5.2xlarge, or"
    " set images.{}_base to an image that runs on them"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "retention: {checkpoint_days: 1}",
            "8: retention.checkpoint_days: checkpoints expire after 1 days, and a trial may take 2d"
            " (training.wait_time); retain them as long",
        ),
        (
            "monitoring: {truth: s3://labels/counts}\nretention: {capture_days: 3}",
            "9: retention.capture_days: captures expire after 3 days, and true counts are compared with captures of up"
            " to 96 hours before (monitoring.truth_delay_hours and monitoring.hours); retain them as long",
        ),
        (
            "monitoring:\n  truth: s3://labels/counts\n  truth_delay_hours: 2160",
            "10: monitoring.truth_delay_hours: captures expire after 90 days, and true counts are compared with"
            " captures of up to 2184 hours before (monitoring.truth_delay_hours and monitoring.hours); retain them as"
            " long",
        ),
        (
            "training: {spot: false, run_time: 20d}",
            "8: training.run_time: checkpoints expire after 14 days, and a trial may take 20d (training.run_time);"
            " retain them as long",
        ),
        (
            "training:\n  instance_type: ml.g4dn.xlarge\n  volume_gigabytes: 126",
            "10: training.volume_gigabytes: ml.g4dn.xlarge has disks of its own, 125 GB in all, and SageMaker refuses a"
            " larger volume; set 125 or less, or take another type",
        ),
        (
            "network:\n  subnets: [subnet-01234567]",
            "9: network.subnets: subnets and security_groups go together; add security_groups",
        ),
        (
            "network:\n  security_groups: [sg-01234567]",
            "9: network.security_groups: subnets and security_groups go together; add subnets",
        ),
        (
            "network:\n  subnets: [subnet-01234567]\n  security_groups: [sg-01234567]\nendpoint:\n  mode: serverless",
            "12: endpoint.mode: a serverless endpoint does not run in your VPC; take real-time, or leave"
            " network.subnets and network.security_groups out",
        ),
        (
            "network:\n  isolation: true\ntraining:\n  input: stream",
            f"11: training.input: {ISOLATION}training.input: stream reads S3; take fastfile, or file",
        ),
        (
            # What is not written in the file is a default: then the line is that of the setting which asks for more.
            "training:\n  epochs: 3\nnetwork:\n  isolation: true",
            f"11: network.isolation: {ISOLATION}training.input: stream reads S3; take fastfile, or file",
        ),
        (
            "network:\n  isolation: true\ntraining:\n  input: file\n  weights: s3://photos/w.pth",
            f"12: training.weights: {ISOLATION}training.weights are read from S3; leave them out",
        ),
        (
            "network:\n  isolation: true\ntraining:\n  input: file\n  weights: imagenet",
            f"12: training.weights: {ISOLATION}training.weights are read from S3; leave them out",
        ),
        (
            "training:\n  image_size: 224\n  architecture: regnet_y_128gf",
            "10: training.architecture: torchvision publishes no weights of regnet_y_128gf from ImageNet alone; take"
            " regnet_y_8gf, or set training.weights: none",
        ),
        (
            "tuning:\n  ranges:\n    architecture: {values: [resnet18, vit_h_14]}",
            "10: tuning.ranges.architecture: torchvision publishes no weights of vit_h_14 from ImageNet alone; take"
            " vit_l_16, or set training.weights: none",
        ),
        (
            "network: {isolation: true}\ntraining: {input: file}\ntracking:\n  kind: wandb\n  wandb_secret: key",
            f"11: tracking.kind: {ISOLATION}tracking.kind: wandb calls a server; take none",
        ),
        (
            f"encryption:\n  kms_key: {KEY.replace('us-east-1', 'eu-west-1')}",
            "9: encryption.kms_key: the key is not in the account's region, us-east-1; its jobs cannot use it",
        ),
        (
            "alerts:\n  monthly_budget: 100.0",
            "9: alerts.monthly_budget: monthly_budget requires email, the address to warn",
        ),
        (
            "tuning:\n  strategy: Hyperband\n  hyperband:\n    maximum_epochs: 40",
            "11: tuning.hyperband.maximum_epochs: maximum_epochs is 40 but a trial trains for 30 epochs; take 30 at"
            " most, or raise training.epochs",
        ),
        (
            "tuning:\n  strategy: Hyperband\n  hyperband:\n    maximum_epochs: 3\n    minimum_epochs: 9",
            "12: tuning.hyperband.minimum_epochs: minimum_epochs is 9, above maximum_epochs, which is 3",
        ),
        (
            "training:\n  backend: nccl\n  instance_type: ml.p3.2xlarge",
            f"10: training.instance_type: {OLD.format('ml.p3.2xlarge', 'training')}",
        ),
        (
            "evaluation:\n  instance_type: ml.p3.8xlarge",
            f"9: evaluation.instance_type: {OLD.format('ml.p3.8xlarge', 'evaluation')}",
        ),
    ],
)
def test_settings_that_do_not_go_together_have_the_line_of_the_key_to_change(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert mistakes(tmp_path, beside(text)) == [expected]


def test_a_conflict_within_a_profile_has_the_profiles_line(tmp_path: Path) -> None:
    text = beside("training:\n  input: stream").replace("dev: {}", "dev:\n    network:\n      isolation: true")
    assert mistakes(tmp_path, text)[0].startswith("9: training.input: network.isolation leaves")
    text = BASE.replace("dev: {}", "dev:\n    network:\n      isolation: true")
    assert mistakes(tmp_path, text)[0].startswith("11: profiles.dev.network.isolation: network.isolation leaves")


@pytest.mark.parametrize(
    "text",
    [
        "training: {instance_type: ml.p3.2xlarge}\nevaluation: {instance_type: ml.p3.2xlarge}\n"
        "images: {training_base: own.example/of-cuda-12:1}",
        "evaluation: {instance_type: ml.p3.2xlarge}\nimages: {evaluation_base: own.example/of-cuda-12:1}",
        # AWS's image with SMDDP is of CUDA 12.
        "training: {instance_type: ml.p3dn.24xlarge, backend: smddp}\nevaluation: {instance_type: ml.p3.2xlarge}",
    ],
)
def test_old_gpus_are_taken_with_an_image_that_may_run_on_them(tmp_path: Path, text: str) -> None:
    assert settings_of(tmp_path, beside(text)).evaluation.instance_type == "ml.p3.2xlarge"


@pytest.mark.parametrize("instance_type", ["ml.p5en.48xlarge", "ml.p6-b200.48xlarge"])
def test_what_wants_gpus_is_taken_on_a_type_that_is_newer_than_the_table(tmp_path: Path, instance_type: str) -> None:
    values = {"instance_type": instance_type, "backend": "nccl", "precision": "fp16", "sync_batch_norm": True}
    assert settings_of(tmp_path, with_values(training=values)).training.backend == "nccl"


def test_isolated_trials_are_taken_with_a_channel(tmp_path: Path) -> None:
    text = beside("network: {isolation: true}\ntraining: {input: fastfile}")
    assert settings_of(tmp_path, text).network.isolation is True


# ------------------------------------------------------------------------------------------------ names


def test_what_the_pipeline_owns_is_named_after_it(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, BASE.replace("name: bins", "name: night-shift"))
    assert (settings.data.database, settings.data.workgroup) == ("night_shift", "night-shift")
    assert (settings.registry.group, settings.endpoint.name) == ("night-shift", "night-shift")
    assert (settings.stack, settings.image_builder) == ("night-shift-account", "night-shift-images")
    assert (settings.alerts_topic, settings.deploy_function) == ("night-shift-alerts", "night-shift-deploy")
    assert settings.role_name("ci") == "night-shift-ci"
    assert settings.repository("training").endswith("/night-shift-training")


def test_a_name_that_is_given_is_kept(tmp_path: Path) -> None:
    text = beside("registry: {group: shared}\nendpoint: {name: counting}").replace(
        "  image_location:", "  database: lake\n  workgroup: analysts\n  image_location:"
    )
    settings = settings_of(tmp_path, text)
    assert (settings.data.database, settings.data.workgroup) == ("lake", "analysts")
    assert (settings.registry.group, settings.endpoint.name) == ("shared", "counting")


def test_two_pipelines_of_an_account_share_nothing_that_is_named(tmp_path: Path) -> None:
    def names(settings: Settings) -> set[str]:
        return {
            settings.data.database,
            settings.registry.group,
            settings.endpoint.name,
            settings.stack,
            settings.image_builder,
            settings.alerts_topic,
            settings.deploy_function,
            settings.dead_letter_queue,
            *settings.alarms,
            *map(settings.role_name, get_args(Role)),
        }

    one, other = (settings_of(tmp_path, BASE.replace("name: bins", f"name: {name}")) for name in ("bins", "bins2"))
    assert not names(one) & names(other)


def test_the_code_is_not_kept_where_jobs_may_write(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, BASE)
    assert not settings.code_prefix.startswith(f"{settings.data.prefix}/")
    assert settings.checkpoints_uri == "s3://bins-111122223333/bin-counting/checkpoints"


@pytest.mark.parametrize("name", ["Bins", "1bins", "bins_x", "bins-", "b--x", "x" * 25])
def test_a_name_that_could_not_name_everything_is_refused(tmp_path: Path, name: str) -> None:
    (line,) = mistakes(tmp_path, BASE.replace("name: bins", f"name: {name}"))
    assert line.startswith("1: name: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("shard: {run_time: 6d}", "run_time is 6d; a processing job runs for 5d at most"),
        ("endpoint: {instance_type: ml.inf1.xlarge}", "without a canary and without alarms"),
    ],
)
def test_a_value_that_would_fail_or_do_harm_later_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    merged = with_values(**yaml.safe_load(text))
    (line,) = mistakes(tmp_path, merged)
    assert expected in line


@pytest.mark.parametrize(
    ("group", "values"),
    [
        ("training", {"volume_gigabytes": 450}),
        ("training", {"volume_gigabytes": 16_384, "instance_type": "ml.m5.4xlarge"}),
        ("shard", {"run_time": "5d"}),
        ("endpoint", {"instance_type": "ml.inf2.xlarge"}),
    ],
)
def test_values_at_these_limits_are_accepted(tmp_path: Path, group: str, values: dict[str, Any]) -> None:
    accepted = getattr(settings_of(tmp_path, with_values(**{group: values})), group)
    assert {key: getattr(accepted, key) for key in values} == values


@pytest.mark.parametrize("region", ["cn-north-1", "us-gov-west-1"])
def test_a_region_of_another_partition_is_refused(tmp_path: Path, region: str) -> None:
    (line,) = mistakes(tmp_path, BASE.replace("us-east-1", region))
    assert f"{region} is in another partition than `aws`" in line
    assert "GovCloud (US) and China regions are not supported" in line


def test_results_are_not_written_where_a_run_reads_photos(tmp_path: Path) -> None:
    raw = "s3://bins-111122223333/raw"
    settings = settings_of(tmp_path, BASE)
    data = settings.data.model_dump() | {"bucket": "bins-111122223333", "image_location": raw}

    def whole(prefix: str) -> Settings:
        return Settings.model_validate(settings.model_dump() | {"data": data | {"prefix": prefix}})

    for prefix in ("raw/bin-images", "raw/metadata/results"):
        with pytest.raises(ValueError, match="runs write below"):
            whole(prefix)
    # Beside the raw folders, and around them, a run clears nothing but its own results.
    for prefix in ("raw", "raw/bin-images-results", "results"):
        assert whole(prefix).data.prefix == prefix
