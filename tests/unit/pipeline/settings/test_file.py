"""pipeline.yaml: profiles, and every mistake with its line and what to write instead."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import ROOT
from pipeline.settings import Settings, iso_duration, seconds
from pipeline.settings.fields import FORMS
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
        "9: training.epochs: must be 1 to 1000 (it is 0)",
        "10: training.backnd: unknown key; did you mean backend?",
        "12: tuning.trials: must be a whole number, not 'many'",
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
    assert mistakes(tmp_path, text) == ["11: profiles.dev.shard.quality: must be 1 to 100 (it is 101)"]


def test_an_unknown_profile_is_answered_with_those_there_are(tmp_path: Path) -> None:
    path = write(tmp_path, BASE)
    with pytest.raises(SettingsError, match=re.escape("no profile 'stage'; profiles of the file: dev")):
        load_settings(path, "stage")


def test_an_unknown_key_that_resembles_nothing_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    [line] = mistakes(tmp_path, BASE.replace("profiles:", "gate: {zzz: 1}\nprofiles:"))
    assert line == (
        "8: gate.zzz: unknown key; keys of this group: minimum_accuracy, maximum_rmse, maximum_accuracy_loss,"
        " minimum_sure_accuracy, sure_coverage"
    )


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
        ("tuning", {"hyperband": {"minimum_epochs": 0}}, "must be above 0 (it is 0)"),
        ("tuning", {"ranges": {"momentum": {"minimum": 0.9, "maximum": 0.1}}}, "minimum must be below maximum"),
        (
            "tuning",
            {"ranges": {"momentum": {"minimum": 0, "maximum": 1, "scale": "Logarithmic"}}},
            "a logarithmic range starts above 0",
        ),
        ("shard", {"validation_fraction": 0.5, "test_fraction": 0.5}, "leave nothing to train on"),
        ("shard", {"split": "file"}, "split: file and split_file go together"),
        ("shard", {"split_file": "s3://photos/split.csv"}, "split: file and split_file go together"),
        ("data", {"bucket": "Bins", "image_location": "s3://photos"}, "must be a bucket's name: 3 to 63"),
        ("data", {"bucket": "bins", "image_location": "pipe:rm -rf /"}, "is not an S3 URI"),
        ("data", {"bucket": "bins", "image_location": "s3://photos", "database": "a; DROP"}, "must be up to 128"),
        (
            "data",
            {"bucket": "bins", "image_location": "s3://photos/raw", "inventory": "s3://lists/others/daily"},
            "s3://lists/others/daily is no folder of a list of s3://photos/raw: it ends in photos/CONFIG-ID",
        ),
        ("monitoring", {"minimum_accuracy": 0.8}, "minimum_accuracy needs true counts; set truth to their location"),
        ("monitoring", {"minimum_set_coverage": 0.8}, "minimum_set_coverage needs true counts"),
        ("monitoring", {"minimum_sure_accuracy": 0.8}, "minimum_sure_accuracy needs true counts"),
        ("monitoring", {"truth": "labels/counts"}, "is not an S3 URI"),
        ("registry", {"group": "a b"}, "must be up to 63 letters and digits"),
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
        ({"batch_size": {"values": [16, 0]}}, "ranges.batch_size: 0 is refused: Input should be greater than"),
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
        (BASE + "  prod: {1: 2}\n", ['10: profiles.prod: a key must be text, put it in quotes: "1"']),
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


@pytest.mark.parametrize(
    ("training", "tuning", "message"),
    [
        ({"image_size": 48}, {}, "progressive_resizing requires an image_size of 64 or more"),
        ({"architecture": "vit_b_16"}, {}, "vit_b_16 is built for photos of one size"),
        ({}, {"ranges": {"architecture": {"values": ["resnet18", "maxvit_t"]}}}, "maxvit_t is built for photos of one"),
        ({}, {"strategy": "Hyperband"}, "Hyperband compares trials by their first epochs"),
    ],
)
def test_first_epochs_of_half_the_side_are_refused_where_they_cannot_be(
    tmp_path: Path, training: dict[str, Any], tuning: dict[str, Any], message: str
) -> None:
    training = {"weights": "none", **training}
    settings_of(tmp_path, with_values(training=training, tuning=tuning))
    text = with_values(training={**training, "progressive_resizing": 0.5}, tuning=tuning)
    assert any(message in line for line in mistakes(tmp_path, text))


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


def lines_of(folder: Path, key: str, written: str) -> list[str]:
    group, name = key.split(".")
    text = 'name: bins\naccount: {id: "111122223333", region: us-east-1}\ndata:\n  bucket: bins-111122223333\n'
    text += "  image_location: s3://photos\n"
    text += f"  {name}: {written}\n" if group == "data" else f"{group}:\n  {name}: {written}\n"
    return mistakes(folder, text + "profiles:\n  dev: {}\n")


@pytest.mark.parametrize(
    ("key", "written", "message"),
    [
        ("data.version", "1.10", 'must be text; put it in quotes: "1.10"'),
        ("data.version", "012", 'must be text; put it in quotes: "012"'),
        ("data.version", "12:30", 'must be text; put it in quotes: "12:30"'),
        ("data.version", "no", 'must be text; put it in quotes: "no"'),
        ("data.version", "0x1F", 'must be text; put it in quotes: "0x1F"'),
        ("data.version", "2026-11-28", 'must be text; put it in quotes: "2026-11-28"'),
        ("data.version", "1_000", 'must be text; put it in quotes: "1_000"'),
        ("data.version", "~", "has no value; leave the key out for its default"),
        ("tracking.kind", "off", "must be none, mlflow or wandb, not 'off'; YAML reads yes, no, on and off as"),
        ("tracking.kind", "mlfow", "not 'mlfow'; did you mean mlflow?"),
        ("training.learning_rate", "1e-3", "must be a number, not '1e-3'; YAML reads this as text, write 1.0e-3"),
        ("training.learning_rate", "5e-2", "write 5.0e-2"),
        ("gate.maximum_rmse", "1.5e1", "write 1.5e+1"),
        ("training.epochs", "010", "YAML reads 010 as 8; write the number in decimal"),
        ("training.epochs", "1:30", "YAML reads 1:30 as 90; write the number in decimal"),
        ("training.seed", "0b11", "YAML reads 0b11 as 3; write the number in decimal"),
        ("gate.maximum_rmse", ".inf", "must be above 0 (it is inf)"),
        ("gate.minimum_accuracy", ".nan", "must be 0 to 1 (it is nan)"),
    ],
)
def test_an_advice_names_what_is_written_and_not_what_yaml_read(
    tmp_path: Path, key: str, written: str, message: str
) -> None:
    """Kind: a number or a word that YAML 1.1 reads as something else than a person wrote."""
    [line] = lines_of(tmp_path, key, written)
    assert f" {key}: " in f" {line.partition(': ')[2]}" or key in line
    assert message in line


@pytest.mark.parametrize(
    ("key", "written", "message"),
    [
        ("training.run_time", "99999d", "is longer than 3650d (it is '99999d')"),
        ("training.run_time", "29d", "is 29d; a training job, and a pipeline's run, last 28d at most"),
        ("training.wait_time", "40d", "is 40d; a training job"),
        ("shard.run_time", "6d", "a processing job runs for 5d at most"),
        ("cache.keep_for", "0h", "write a number and a unit: 90m, 12h or 30d (it is '0h')"),
        ("data.instance_type", "ml.m5.xlrge", "'ml.m5.xlrge' is no instance type of SageMaker for this; did you mean"),
        ("training.instance_type", "ml.g5.2xlarg", "did you mean ml.g5.2xlarge?"),
        ("endpoint.batch_instance_type", "ml.t2.medium", "is no instance type of SageMaker for this"),
        ("training.architecture", "resnet33", "torchvision has no classifier 'resnet33'; did you mean resnet34?"),
        ("training.architecture", "ResNet-50", "did you mean resnet50?"),
        ("training.architecture", "maxvit_t", None),
        ("training.batch_size", "100000", "must be 2 to 4096 (it is 100000)"),
        ("training.learning_rate", "5.0", "must be above 0 and at most 1 (it is 5.0)"),
        ("shard.split_file", "s3://bins/../x", "has a folder '..'"),
        ("training.weights", "s3://bins//x.pth", "has a folder without a name"),
        ("training.weights", "s3://bins/x.bin", "weights must be a .safetensors file, or a .pth file"),
        ("training.weights", "ImageNet", "'ImageNet' are no initial weights; write imagenet, none or s3://"),
        ("data.prefix", "a/../b", "has a folder . or .., which programs read in different ways"),
        ("data.bucket", "xn--bins", None),
    ],
)
def test_a_value_with_which_every_run_fails_is_refused_with_its_line(
    tmp_path: Path, key: str, written: str, message: str | None
) -> None:
    if key == "data.bucket":
        [line] = mistakes(tmp_path, BASE.replace("bins-111122223333", written))
        assert line == "6: data.bucket: xn--bins begins with xn--, which S3 reserves; take another name"
        return
    if message is None:  # its one size is the default
        assert settings_of(tmp_path, with_values(training={"architecture": written})).training.image_size == 224
        return
    [line] = lines_of(tmp_path, key, written)
    assert re.match(r"[67]: ", line)
    assert message in line


@pytest.mark.parametrize(
    ("architecture", "size", "advice"),
    [
        ("vit_b_16", 100, "vit_b_16 supports multiples of 16 pixels, as 96"),
        ("vit_h_14", 32, "multiples of 14 pixels, as 28"),
        ("alexnet", 48, "alexnet supports photos of 63 pixels and more"),
        ("maxvit_t", 256, "maxvit_t supports photos of 224 pixels alone"),
    ],
)
def test_a_size_that_a_classifier_does_not_support_is_refused(
    tmp_path: Path, architecture: str, size: int, advice: str
) -> None:
    for groups in (
        {"training": {"architecture": architecture, "image_size": size}},
        {
            "training": {"image_size": size},
            "tuning": {"ranges": {"architecture": {"values": ["resnet18", architecture]}}},
        },
    ):
        [line] = mistakes(tmp_path, with_values(**groups))
        assert advice in line


def test_every_pattern_has_words() -> None:
    """Kind: a regular expression in a message."""

    def patterns(schema: Any) -> list[str]:
        if isinstance(schema, dict):
            own = [schema["pattern"]] if isinstance(schema.get("pattern"), str) else []
            return own + [pattern for value in schema.values() for pattern in patterns(value)]
        return [pattern for value in schema for pattern in patterns(value)] if isinstance(schema, list) else []

    used = set(patterns(Settings.model_json_schema()))
    assert used
    assert used <= set(FORMS)
    assert not [words for words in FORMS.values() if "^" in words or "[" in words]


def nested(levels: int, width: int) -> str:
    """Aliases of aliases: `width` to the power of `levels` values."""
    rows = ["a0: &a0 x"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (nested(12, 9), "has more than 20,000 values, with those of its aliases"),
        (nested(40, 2), "has more than 20,000 values"),
        ("a: &a {b: 1}\nc: &c {<<: [*a, *a]}\n" + "".join(f"m{n}: &m{n} {{<<: [*c, *c]}}\n" for n in range(9000)), ""),
        ("[" * 5000, "has too many levels within each other"),
        ("a: " + "x" * 200_001, "has 200,004 characters, at most 200,000 are read"),
        ("a: [" + "1, " * 30_000 + "]", "has more than 20,000 values"),
    ],
)
def test_a_file_that_grows_while_it_is_read_is_refused_at_once(tmp_path: Path, text: str, message: str) -> None:
    """Kind: input whose size says nothing of the work. No time is asserted: these did not end within minutes."""
    path = write(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load_settings(path, "dev")
    assert message in str(caught.value)


def test_aliases_and_merges_that_people_write_are_read(tmp_path: Path) -> None:
    text = BASE.replace("profiles:", "training: &trial {epochs: 7}\nprofiles:")
    settings = settings_of(tmp_path, text.replace("dev: {}", "dev: {training: {<<: *trial, batch_size: 8}}"))
    assert (settings.training.epochs, settings.training.batch_size) == (7, 8)
