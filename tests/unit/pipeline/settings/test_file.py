"""pipeline.yaml: profiles, and every mistake with its line and what to write instead."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import ROOT
from pipeline.settings import Settings, iso_duration, seconds
from pipeline.settings.file import SettingsError, load_settings

BASE = """\
name: bins
account:
  id: "111122223333"
  region: us-east-1
data:
  bucket: bins-111122223333
  image_location: s3://photos
profiles:
  dev: {}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "pipeline.yaml"
    path.write_text(text)
    return path


def settings_of(folder: Path, text: str, profile: str = "dev") -> Settings:
    return load_settings(write(folder, text), profile)


def mistakes(folder: Path, text: str, profile: str = "dev") -> list[str]:
    """The lines of the error, without the folder."""
    path = write(folder, text)
    with pytest.raises(SettingsError) as caught:
        load_settings(path, profile)
    return str(caught.value).replace(f"{path}:", "").splitlines()


def with_values(**groups: dict[str, Any]) -> str:
    """The base file with groups added or replaced."""
    return yaml.safe_dump({**yaml.safe_load(BASE), **groups}, sort_keys=False)


@pytest.mark.parametrize("profile", ["local", "demo", "dev", "prod"])
def test_every_profile_of_the_project_loads(profile: str) -> None:
    settings = load_settings(ROOT / "pipeline.yaml", profile)
    assert settings.name == "bins"
    assert (settings.account.target == "local") == (profile in ("local", "demo"))


def test_several_mistakes_are_all_listed_in_the_order_of_their_lines(tmp_path: Path) -> None:
    text = BASE.replace("profiles:", "training:\n  epochs: 0\n  backnd: nccl\ntuning:\n  trials: many\nprofiles:")
    assert mistakes(tmp_path, text) == [
        "9: training.epochs: input should be greater than or equal to 1 (it is 0)",
        "10: training.backnd: unknown key; did you mean backend?",
        "12: tuning.trials: input should be a valid integer (it is 'many')",
    ]


def test_a_profile_is_laid_over_the_base_group_by_group(tmp_path: Path) -> None:
    text = BASE.replace("profiles:", "training: {epochs: 7, batch_size: 8}\nprofiles:")
    settings = settings_of(tmp_path, text.replace("dev: {}", "dev: {training: {epochs: 9}}"))
    assert (settings.training.epochs, settings.training.batch_size) == (9, 8)


def test_a_profiles_ranges_replace_those_of_the_base(tmp_path: Path) -> None:
    ranges = "tuning: {ranges: {momentum: {minimum: 0.1, maximum: 0.9}}}"
    text = BASE.replace("profiles:", f"{ranges}\nprofiles:").replace(
        "dev: {}", "dev: {tuning: {ranges: {optimizer: {values: [sgd, adamw]}}}}"
    )
    assert list(settings_of(tmp_path, text).tuning.ranges) == ["optimizer"]


def test_a_mistake_in_a_profile_has_the_profiles_line_and_place(tmp_path: Path) -> None:
    text = BASE.replace("dev: {}", "dev:\n    shard:\n      quality: 101")
    assert mistakes(tmp_path, text) == [
        "11: profiles.dev.shard.quality: input should be less than or equal to 100 (it is 101)"
    ]


def test_an_unknown_profile_is_answered_with_those_there_are(tmp_path: Path) -> None:
    path = write(tmp_path, BASE)
    with pytest.raises(SettingsError, match=re.escape("no profile 'stage'; profiles of the file: dev")):
        load_settings(path, "stage")


def test_an_unknown_key_that_resembles_nothing_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    [line] = mistakes(tmp_path, BASE.replace("profiles:", "gate: {zzz: 1}\nprofiles:"))
    assert line == "8: gate.zzz: unknown key; keys of this group: minimum_accuracy, maximum_rmse, maximum_accuracy_loss"


def test_a_key_that_comes_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    text = BASE.replace("  region: us-east-1\n", '  region: us-east-1\n  id: "444455556666"\n')
    assert mistakes(tmp_path, text) == ["5: account.id: already set in line 3"]


def test_a_missing_key_is_named_with_its_groups_line(tmp_path: Path) -> None:
    assert mistakes(tmp_path, BASE.replace("  bucket: bins-111122223333\n", "")) == ["5: data.bucket: is missing"]


def test_an_account_id_without_quotes_is_answered_with_the_quotes(tmp_path: Path) -> None:
    text = BASE.replace('"111122223333"', "111122223333")
    assert mistakes(tmp_path, text) == ['3: account.id: must be text; put it in quotes: "111122223333"']


def test_broken_yaml_is_reported_with_its_line(tmp_path: Path) -> None:
    [line] = mistakes(tmp_path, BASE.replace("region: us-east-1", "region: [us-east-1"))
    assert line.startswith("5: not valid YAML")


def test_a_file_that_is_not_there_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.yaml: cannot be read .*--settings"):
        load_settings(tmp_path / "absent.yaml", "dev")


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words\n"])
def test_a_file_that_holds_no_settings_is_refused(tmp_path: Path, text: str) -> None:
    assert mistakes(tmp_path, text) == ["1: must be a mapping of settings"]


@pytest.mark.parametrize(
    ("group", "values", "message"),
    [
        ("training", {"backend": "smddp"}, "backend smddp does not run on ml.g5.2xlarge; take ml.p3dn.24xlarge"),
        ("training", {"backend": "nccl", "instance_type": "ml.m5.large"}, "requires GPUs"),
        ("training", {"run_time": "3d", "wait_time": "1d"}, "wait_time includes the run time"),
        ("training", {"run_time": "90"}, "write a number and a unit: 90m, 12h or 30d"),
        ("tuning", {"trials": 2, "parallel": 3}, "parallel is 3 but there are only 2 trials"),
        ("tuning", {"strategy": "Hyperband", "early_stopping": True}, "leave early_stopping out"),
        ("tuning", {"hyperband": {"minimum_epochs": 0}}, "greater than 0"),
        ("tuning", {"ranges": {"momentum": {"minimum": 0.9, "maximum": 0.1}}}, "minimum must be below maximum"),
        (
            "tuning",
            {"ranges": {"momentum": {"minimum": 0, "maximum": 1, "scale": "Logarithmic"}}},
            "a logarithmic range starts above 0",
        ),
        ("shard", {"validation_fraction": 0.5, "test_fraction": 0.5}, "leave nothing to train on"),
        ("shard", {"split": "file"}, "split: file and split_file go together"),
        ("shard", {"split_file": "s3://photos/split.csv"}, "split: file and split_file go together"),
        ("data", {"bucket": "Bins", "image_location": "s3://photos"}, "'Bins' does not match"),
        ("data", {"bucket": "bins", "image_location": "pipe:rm -rf /"}, "does not match"),
        ("data", {"bucket": "bins", "image_location": "s3://photos", "database": "a; DROP"}, "does not match"),
        ("registry", {"group": "a b"}, "does not match"),
    ],
)
def test_values_that_cannot_work_are_refused_with_the_reason(
    tmp_path: Path, group: str, values: dict[str, Any], message: str
) -> None:
    found = mistakes(tmp_path, with_values(**{group: values}))
    assert len(found) == 1
    assert message in found[0]
    assert re.match(rf"\d+: {group}\b", found[0])


def test_smddp_picks_its_own_launcher_where_it_runs(tmp_path: Path) -> None:
    values = {"backend": "smddp", "instance_type": "ml.p4d.24xlarge"}
    assert settings_of(tmp_path, with_values(training=values)).training.launcher == "smddp"


@pytest.mark.parametrize(
    ("text", "iso", "in_seconds"), [("90m", "PT90M", 5400), ("12h", "PT12H", 43200), ("30d", "P30D", 2592000)]
)
def test_durations_are_read_as_iso_and_as_seconds(text: str, iso: str, in_seconds: int) -> None:
    assert (iso_duration(text), seconds(text)) == (iso, in_seconds)


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        (
            {"batch_size": {"minimum": 8, "maximum": 64}},
            "ranges.batch_size is not a decimal number; list its values",
        ),
        ({"optimizer": {"minimum": 0.1, "maximum": 1.0}}, "ranges.optimizer is not a decimal number"),
        (
            {"learning_rate": {"values": ["a", "b"]}},
            "ranges.learning_rate: 'a' is refused: Input should be a valid number",
        ),
        ({"optimizer": {"values": ["sgd", "adam"]}}, "ranges.optimizer: 'adam' is refused: Input should be 'sgd' or"),
        ({"batch_size": {"values": [16, 0]}}, "ranges.batch_size: 0 is refused: Input should be greater than 0"),
        (
            {"momentum": {"minimum": 0.5, "maximum": 1.5}},
            "ranges.momentum: 1.5 is refused: Input should be less than 1",
        ),
    ],
)
def test_a_range_that_the_trainer_could_not_take_is_refused(tmp_path: Path, ranges: Any, message: str) -> None:
    [line] = mistakes(tmp_path, with_values(tuning={"ranges": ranges}))
    assert message in line


def test_ranges_of_every_kind_are_taken(tmp_path: Path) -> None:
    ranges = {
        "batch_size": {"values": [16, 32]},
        "optimizer": {"values": ["sgd", "adamw"]},
        "momentum": {"minimum": 0.5, "maximum": 0.9},
        "learning_rate": {"values": [1, 0.1]},
        "architecture": {"values": ["resnet18", "resnet34"]},
    }
    assert len(settings_of(tmp_path, with_values(tuning={"ranges": ranges})).tuning.ranges) == 5


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("name: &a [*a]\n", ["1: name.0: refers to itself"]),
        ("? [a, b]\n: c\nname: x\n", ["1: the file: a key must be text"]),
        (BASE + "  prod: {1: 2}\n", ["10: profiles.prod: a key must be text"]),
    ],
)
def test_what_no_settings_can_be_has_its_line(tmp_path: Path, text: str, lines: list[str]) -> None:
    assert mistakes(tmp_path, text) == lines


@pytest.mark.parametrize(
    "server",
    [
        "arn:aws:sagemaker:us-east-1:111122223333:mlflow-tracking-server/team",
        "arn:aws:sagemaker:us-east-1:111122223333:mlflow-app/app-ABC123",
        "https://mlflow.example.com:5000/team",
        "http://127.0.0.1:5000",
    ],
)
def test_a_tracking_server_is_an_arn_or_a_safe_url(tmp_path: Path, server: str) -> None:
    text = with_values(tracking={"kind": "mlflow", "mlflow_server": server})
    assert settings_of(tmp_path, text).tracking.mlflow_server == server


@pytest.mark.parametrize(
    "server", ["http://mlflow.example.com", "https://user:password@mlflow.example.com", "arn:aws:s3:::b", "file:///x"]
)
def test_a_tracking_server_without_encryption_or_with_a_password_is_refused(tmp_path: Path, server: str) -> None:
    (line,) = mistakes(tmp_path, with_values(tracking={"kind": "mlflow", "mlflow_server": server}))
    assert "tracking.mlflow_server" in line


@pytest.mark.parametrize(("kind", "wanted"), [("mlflow", "mlflow_server"), ("wandb", "wandb_secret")])
def test_a_tracker_without_its_place_is_refused_with_what_is_missing(tmp_path: Path, kind: str, wanted: str) -> None:
    (line,) = mistakes(tmp_path, with_values(tracking={"kind": kind}))
    assert f"tracking: kind {kind} requires {wanted}: " in line


@pytest.mark.parametrize(
    ("hyperband", "message"),
    [
        ({"maximum_epochs": 31}, "maximum_epochs is 31 but a trial trains for 30 epochs; take 30 at most"),
        ({"minimum_epochs": 31}, "minimum_epochs is 31 but a trial trains for 30 epochs"),
        ({"minimum_epochs": 9, "maximum_epochs": 3}, "minimum_epochs is 9, above maximum_epochs, which is 3"),
    ],
)
def test_hyperbands_bounds_have_to_suit_the_epochs(tmp_path: Path, hyperband: dict[str, int], message: str) -> None:
    tuning = {"strategy": "Hyperband", "hyperband": hyperband}
    [line] = mistakes(tmp_path, with_values(training={"epochs": 30}, tuning=tuning))
    assert message in line


def test_hyperbands_bounds_do_not_matter_to_another_strategy(tmp_path: Path) -> None:
    text = with_values(training={"epochs": 5}, tuning={"strategy": "Random", "hyperband": {"maximum_epochs": 20}})
    assert settings_of(tmp_path, text).tuning.hyperband.maximum_epochs == 20


@pytest.mark.parametrize(("epochs", "minimum"), [(1, 1), (8, 1), (9, 1), (30, 3), (100, 11)])
def test_hyperband_leaves_a_trial_a_ninth_of_its_epochs_unless_told_otherwise(
    tmp_path: Path, epochs: int, minimum: int
) -> None:
    text = with_values(training={"epochs": epochs}, tuning={"strategy": "Hyperband"})
    assert settings_of(tmp_path, text).hyperband_minimum() == minimum


@pytest.mark.parametrize(
    ("tuning", "stops_early"),
    [
        ({}, True),
        ({"early_stopping": False}, False),
        ({"strategy": "Hyperband"}, False),
        ({"strategy": "Hyperband", "early_stopping": False}, False),
        ({"strategy": "Random", "early_stopping": True}, True),
    ],
)
def test_trials_are_stopped_early_unless_refused_and_never_beside_hyperband(
    tmp_path: Path, tuning: dict[str, Any], stops_early: bool
) -> None:
    assert settings_of(tmp_path, with_values(tuning=tuning)).tuning.stops_early is stops_early
