"""A check that says yes to what fails: whatever a step refuses about its arguments or settings, something finds before.

Two tables. `ARGUMENTS` has the source of each argument of a step: a setting, whose limits must be at least as narrow as
the step's, or what the compiler or a command writes. `FAILURES` has each `raise` of a step's error with what finds it
first: a setting with a value that loading refuses, a check of the account, or why nothing could know it before the run.
A new argument or a new `raise` without an entry fails these tests.
"""

from __future__ import annotations

import ast
import dataclasses
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import yaml
from pydantic.fields import FieldInfo

from pipeline import ROOT
from pipeline.operations.preflight import CHECKS
from pipeline.settings import Settings
from pipeline.settings.file import SettingsError, load_settings
from pipeline.settings.limits import Limits
from steps.evaluate.settings import Settings as Evaluate
from steps.explore.settings import Settings as Explore
from steps.monitor.settings import Settings as Monitor
from steps.plan.settings import Settings as Plan
from steps.query.settings import Settings as Query
from steps.shard.settings import Settings as Shard
from steps.train.recipe import Recipe

# ------------------------------------------------------------------------------------------------ arguments

STEPS: dict[str, Any] = {
    "query": Query,
    "explore": Explore,
    "plan": Plan,
    "shard": Shard,
    "train": Recipe,
    "evaluate": Evaluate,
    "monitor": Monitor,
}
COMPILED = "written by the compiler or a command, from names and URIs of the settings"
UNSET = "has a default that nothing sets"
DATASET = {
    **{name: f"shard.{name}" for name in ("image_size", "quality", "split", "seed", "validation_fraction")},
    **{name: f"shard.{name}" for name in ("test_fraction", "common_items", "compact")},
    "image_location": "data.image_location",
    "shard_megabytes": "shard.megabytes",
    "split_file_location": "shard.split_file",
}
ARGUMENTS: dict[str, dict[str, str]] = {
    "query": {
        **{name: f"data.{name}" for name in ("image_location", "maximum_quantity", "database", "workgroup")},
        "data_version": "data.version",
        "inventory": "data.inventory",
        "timeout_minutes": "data.query_minutes",
    },
    "explore": {"maximum_quantity": "data.maximum_quantity", "engine": "explore.engine"},
    "plan": {**DATASET, "planner": "shard.planner"},
    "shard": {**DATASET, **{name: f"shard.{name}" for name in ("maximum_rejects", "maximum_removed")}},
    "train": {
        **{field.name: f"training.{field.name}" for field in dataclasses.fields(Recipe)},
        "decision": "evaluation.decision",
        "shards_location": COMPILED,
        "tracker": "tracking.kind",
        "tracking_server": "tracking.mlflow_server",
        "tracking_experiment": "tracking.experiment",
        "tracking_secret": "tracking.wandb_secret",
    },
    "evaluate": {
        **{name: f"gate.{name}" for name in ("minimum_accuracy", "maximum_rmse", "maximum_accuracy_loss")},
        **{name: f"gate.{name}" for name in ("minimum_sure_accuracy", "sure_coverage")},
        **dict.fromkeys(("tuning_job", "run", "evaluation_image", "serving_image"), COMPILED),
        "decision": "evaluation.decision",
        "group": "registry.group",
        "approval": "registry.approval",
        # A yes or no of the settings is a text of the step.
        "register_again": COMPILED,
        "batch_size": UNSET,
    },
    "monitor": {
        **{name: f"monitoring.{name}" for name in ("hours", "level", "minimum_psi", "minimum_photos", "cooldown_days")},
        **{name: f"monitoring.{name}" for name in ("minimum_tail", "truth_delay_hours", "minimum_true_photos")},
        **{name: f"monitoring.{name}" for name in ("truth", "minimum_accuracy", "minimum_set_coverage")},
        "minimum_sure_accuracy": "monitoring.minimum_sure_accuracy",
        **dict.fromkeys(("captures", "endpoint", "until", "namespace", "retrain"), COMPILED),
        **dict.fromkeys(("variant", "baseline", "maximum_photos"), UNSET),
    },
}
# Limits of two arguments together, or in a step's own code; FAILURES has them.
_IN_CODE = {("plan", "image_size"), ("shard", "image_size")}


@pytest.mark.parametrize("step", STEPS)
def test_every_argument_of_a_step_has_a_source(step: str) -> None:
    assert set(ARGUMENTS[step]) == {field.name for field in dataclasses.fields(STEPS[step])}


def field_of(place: str) -> FieldInfo:
    group, key = place.split(".")
    annotation: Any = Settings.model_fields[group].annotation
    field: FieldInfo = annotation.model_fields[key]
    return field


def compared() -> Iterator[Any]:
    for step, sources in ARGUMENTS.items():
        for argument, place in sources.items():
            if place not in (COMPILED, UNSET):
                yield pytest.param(step, argument, place, id=f"{step}-{argument}")


@pytest.mark.parametrize(("step", "argument", "place"), compared())
def test_a_setting_permits_nothing_that_its_step_refuses(step: str, argument: str, place: str) -> None:
    """Limits and lists of values; conditions in code are in FAILURES."""
    annotated = get_type_hints(STEPS[step], include_extras=True)[argument]
    plain, *extras = get_args(annotated)
    declared = FieldInfo.from_annotation(annotated)
    setting, limits = field_of(place), Limits.of(declared)
    own = Limits.of(setting)
    if get_origin(plain) is Literal and get_origin(setting.annotation) is Literal:
        assert set(get_args(setting.annotation)) <= set(get_args(plain))
    assert extras or plain
    for name in ("low", "high"):
        bound, excluded = getattr(limits, name), getattr(limits, f"excludes_{name}")
        if bound is None:
            continue
        mine = getattr(own, name)
        assert mine is not None, f"{place} has no {name} limit, {argument} of {step} has {bound}"
        if excluded is False and getattr(own, f"excludes_{name}") and setting.annotation is int:
            mine += 1 if name == "low" else -1
        assert limits.contain(mine) or (mine == bound and excluded and getattr(own, f"excludes_{name}"))


# ------------------------------------------------------------------------------------------------ failures


@dataclass(frozen=True)
class Refused:
    """Loading the settings refuses the value."""

    place: str
    value: Any
    with_values: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Checked:
    """A check of the account finds it."""

    name: str


def setting(place: str, value: Any, **others: Any) -> Refused:
    return Refused(place, value, tuple((name.replace("__", "."), other) for name, other in others.items()))


# About the photos, the metadata or the labels: known when they are read.
DATA = "data"
# A file of an earlier step or run is missing or damaged.
DAMAGE = "damage"
# An answer of AWS, or of the machine that the job runs on.
SERVICE = "service"
# A contract within a step, or between the launcher and a step: a mistake in the code, not in settings.
CODE = "code"
# The function's event or the endpoint's state.
EVENT = "event"

Entry = str | Refused | Checked
LOCATION = setting("data.image_location", "s3://a..b/x")
FAILURES: dict[str, list[Entry]] = {
    "contracts.artifact:check_file": [DAMAGE, DAMAGE],
    "contracts.artifact:read_description": [DAMAGE],
    "contracts.dataset:check": [DAMAGE, DAMAGE, DATA, DATA],
    "contracts.dataset:manifest": [CODE],
    "contracts.imagenet_weights:published": [setting("training.architecture", "vit_h_14")],
    "contracts.labels:label_files": [DAMAGE, DAMAGE],
    "contracts.labels:read_labels": [DAMAGE, DAMAGE],
    "contracts.package_properties:recordable": [setting("training.version", "v(2)")],
    "contracts.parsing:parse": [DAMAGE],
    "contracts.parsing:read": [DAMAGE],
    "contracts.s3_uri:S3Uri.parse": [setting("shard.split_file", "split.csv", shard__split="file")],
    "contracts.s3_uri:location": [
        LOCATION,
        setting("data.image_location", "s3://bins-raw/../x"),
        setting("training.weights", "s3://bins-raw/my weights.pth"),
    ],
    "contracts.s3_inventory:newest": [Checked("inventory"), Checked("inventory")],
    "contracts.s3_inventory:check": [
        setting("data.inventory", "s3://lists/another-bucket/daily"),
        *[Checked("inventory")] * 3,
    ],
    "contracts.split_table:files": [Checked("split file")],
    "contracts.split_table:parse": [Checked("split file"), Checked("split file")],
    "contracts.split_table:combined": [Checked("split file")],
    "contracts.split_table:_csv": [Checked("split file"), Checked("split file")],
    "contracts.split_table:_text": [Checked("split file")],
    "contracts.truth_table:rows": [Checked("true counts"), Checked("true counts")],
    "contracts.truth_table:_csv": [Checked("true counts")],
    "contracts.truth_table:_csv_rows": [Checked("true counts"), Checked("true counts")],
    "contracts.truth_table:_whole": [Checked("true counts")],
    "contracts.truth_table:_parquet": [Checked("true counts")],
    "contracts.truth_table:_text": [Checked("true counts")],
    "contracts.truth_table:_integers": [Checked("true counts"), Checked("true counts")],
    "contracts.text_tables:decoded": [Checked("split file")],
    "contracts.text_tables:separator": [Checked("split file"), Checked("split file")],
    "deploy.conclusion:conclude": [EVENT],
    "deploy.conclusion:_replace": [EVENT],
    "deploy.conclusion:_restore": [EVENT],
    "deploy.conclusion:_repair": [EVENT],
    "deploy.conclusion:_deploy_due": [EVENT],
    "deploy.deployment:roll_back": [EVENT, EVENT],
    "deploy.deployment:_check_group": [EVENT],
    "deploy.deployment:_change": [EVENT, EVENT, EVENT],
    "deploy.deployment:_update": [EVENT],
    "deploy.events:Version.of": [EVENT],
    "deploy.events:read_endpoint_change": [EVENT],
    "deploy.events:read_request": [EVENT],
    "deploy.events:read_rollback": [EVENT],
    "deploy.settings:Settings.from_environment": [
        Checked("deploy function"),
        setting("endpoint.mode", "batch"),
        setting("network.subnets", ["subnet-0a1b2c3d"]),
    ],
    "deploy.settings:_parse": [setting("endpoint.instance_count", "two")],
    "evaluate.artifact:find_archive": [DAMAGE],
    "evaluate.artifact:unpack": [DAMAGE],
    "evaluate.artifact:read_history": [DAMAGE],
    "evaluate.artifact:load_network": [DAMAGE],
    "evaluate.artifact:AgreementCheck.add": [DAMAGE],
    "evaluate.champion:load_champion": [DAMAGE],
    "evaluate.champion:_fetch": [SERVICE],
    "evaluate.photo_samples:Baseline.write": [DATA],
    "evaluate.predictions:predict": [DATA],
    "evaluate.predictions:_decoded.decode": [DAMAGE],
    "evaluate.run:_check_trained_on": [DAMAGE],
    "evaluate.run:_not_calibrated_on": [DAMAGE],
    "evaluate.run:evaluate": [DAMAGE],
    "evaluate.run:_read_sharding": [DAMAGE],
    "evaluate.trials:sagemaker_client": [Checked("permissions")],
    "explore.engines:choose": [setting("explore.instance_count", 2, explore__enabled=True, explore__engine="local")],
    # The image is chosen with the engine.
    "explore.engines:work_with": [CODE],
    "explore.findings:collect": [DATA],
    "explore.local:DuckDB.table": [DAMAGE],
    "explore.local:DuckDB._run": [SERVICE, SERVICE],
    "explore.tables:add": [DAMAGE],
    "explore.tables:_check_items": [DAMAGE, DAMAGE],
    "model.network:build_network": [
        setting("training.architecture", "resnet33"),
        setting("training.image_size", 100, training__architecture="vit_b_16"),
    ],
    "model.network:check_half_size": [
        setting("training.progressive_resizing", 0.5, training__architecture="alexnet", training__image_size=112)
    ],
    "model.predictor:Predictor.load": [DAMAGE],
    "model.predictor:Predictor.probabilities": [DAMAGE],
    "model.predictor:_check_signature": [DAMAGE],
    "monitor.alert:retrain": [SERVICE],
    "monitor.run:_fetch_baseline": [DAMAGE],
    "monitor.serving:find": [EVENT, EVENT, EVENT],
    "monitor.truth:read_counts": [DATA],
    "monitor.truth:_keys": [Checked("true counts")],
    "photos.statistics:read_baseline": [DAMAGE, DAMAGE],
    "photos.statistics:read_levels": [DAMAGE],
    "plan.__main__:main": [setting("shard.version", "v[2]")],
    # The image is chosen with the planner.
    "plan.cluster:plan_with_spark": [CODE],
    "plan.labels:_files": [DAMAGE],
    "plan.labels:_rows": [DAMAGE, DAMAGE],
    "planning.assignments:Lineage.waves": [DAMAGE],
    "planning.assignments:parquet_file": [DAMAGE],
    "planning.duckdb_engine:DuckSession._disk": [SERVICE, SERVICE],
    "planning.rule:_Planning._common_items": [DATA],
    "planning.rule:_Planning._photos": [DAMAGE, DAMAGE],
    "planning.rule:_Planning._left_out": [DATA],
    "planning.rule:check_splits": [DATA, DATA, DATA],
    "planning.run:make_plan": [EVENT],
    "query.direct:_read": [SERVICE],
    "query.execution:service_errors": [SERVICE, SERVICE],
    "query.execution:Athena.run": [SERVICE],
    "query.execution:Athena._start": [SERVICE],
    "query.execution:Athena._wait": [SERVICE],
    "query.inventory:list_inventory": [Checked("raw photos")],
    "query.labels:_read": [DAMAGE],
    "query.listing:in_order": [DATA],
    "query.objects:store_errors": [SERVICE],
    "query.run:run": [SERVICE],
    "query.s3_inventory:S3Inventory._check_cover": [DATA],
    "query.s3_inventory:_database_errors": [DAMAGE],
    "query.s3_inventory:_fetch": [DAMAGE],
    "query.run:query": [DATA],
    "query.run:clear": [setting("data.prefix", "metadata", data__image_location="s3://bins-111122223333")],
    "query.statements:database_name": [setting("data.database", "Bins!")],
    "query.statements:workgroup_name": [setting("data.workgroup", "a b")],
    "query.statements:folder": [setting("data.image_location", "s3://bins-raw/a//b")],
    "runtime.arguments:_Parser.error": [CODE],
    "runtime.arguments:_value": [LOCATION, setting("training.epochs", 0)],
    "runtime.credentials:RenewedCredentials.require": [SERVICE],
    "runtime.credentials:RenewedCredentials._fetch": [SERVICE],
    "runtime.credentials:_raise_refused": [SERVICE],
    "runtime.parallel_listing:_Listing._take": [SERVICE],
    "runtime.s3:s3_errors": [SERVICE],
    "serve.settings:_number": [CODE],
    "shard.__main__:main": [setting("shard.version", "v[2]")],
    "shard.bucket:read_bucket": [DAMAGE, DAMAGE, DAMAGE],
    "shard.bucket:_read": [DAMAGE],
    "shard.catalog:_split": [DAMAGE],
    "shard.gathering:Gathering.wait_for_plan": [SERVICE, DATA],
    "shard.run:_finish": [CODE],
    "shard.ledger:": [DAMAGE, DAMAGE],
    "shard.photos:PhotoSource": [Checked("permissions")],
    "shard.planned:Planned.left_out": [DAMAGE, DAMAGE],
    "shard.planned:check_inputs": [CODE],
    "shard.planned:_places": [CODE],
    "shard.planned:_check": [CODE],
    # Failures of the processes of an instance, by their own reasons.
    "shard.processes:_take": [SERVICE, DATA],
    "shard.rejects:Rejects.add_counts": [DATA],
    "planning.settings:DatasetSettings.__post_init__": [
        setting("shard.image_size", 15),
        setting("shard.validation_fraction", 0.95),
        setting("shard.split", "file"),
    ],
    "shards.reading:Mount.path": [CODE],
    "spark.cluster:_address": [SERVICE],
    "spark.cluster:_await_invitation": [SERVICE],
    "spark.cluster:_raise_first_failure": [SERVICE],
    "spark.cluster:_work_until_the_end": [SERVICE, SERVICE],
    "spark.configuration:home": [CODE],
    "spark.configuration:_java": [CODE],
    "spark.daemons:start_master": [SERVICE],
    "spark.driver:_failure": [SERVICE],
    "spark.driver:await_executors": [SERVICE],
    "spark.s3:_files": [DAMAGE],
    "spark.s3:_row_groups": [DAMAGE],
    "spark.s3:_cast": [CODE],
    "spark.s3:_runs": [CODE],
    "spark.s3:_Object.__init__": [CODE],
    "spark.s3:_parquet_errors": [DAMAGE],
    "spark.sizes:_too_small": [SERVICE],
    "spark.staging:_delete": [SERVICE],
    "shards.reading:register_webdataset_scheme.gopen": [CODE],
    "shards.reading:_naming": [DAMAGE, SERVICE, SERVICE, SERVICE],
    "shards.reading:_damaged": [DAMAGE],
    "train.assignment:training_plan": [setting("training.batch_size", 1)],
    "train.checkpoint:_refuse_another_training": [DAMAGE],
    "train.collectives:Group.fail_together": [CODE],
    "train.collectives:Group.on_rank_0": [CODE],
    "train.collectives:_peers_alive": [SERVICE],
    "train.device:choose_device": [setting("training.instance_type", "ml.p3.2xlarge")],
    "train.export:_trace": [SERVICE, SERVICE],
    "train.export:check_agreement": [SERVICE],
    "train.initial_weights:load_initial_weights": [DATA],
    "train.initial_weights:_read": [DATA, DATA],
    "train.initial_weights:_check_digest": [DATA],
    "train.initial_weights:_fetch": [
        setting("training.weights", "s3://bins-raw/weights.bin"),
        DATA,
        Checked("weights"),
    ],
    "train.loader:_Ring.batch": [CODE],
    "train.loader:Loader.batches": [CODE, SERVICE],
    "train.loop:_next": [DAMAGE],
    "train.loop:_refuse_not_finite": [setting("training.learning_rate", 5.0)],
    "train.precision:Precision.choose": [
        setting("training.precision", "bf16", training__instance_type="ml.g4dn.xlarge"),
        setting("training.precision", "fp16", training__instance_type="ml.m5.large"),
    ],
    "train.reading:Reading._batches": [DAMAGE, DAMAGE],
    "train.reading:_Sequence.apply": [DAMAGE],
    "train.resume:_restore_best": [DAMAGE],
    "train.trial:build_trial": [setting("training.sync_batch_norm", True, training__instance_type="ml.m5.large")],
    "train.validate:validate": [setting("training.learning_rate", 5.0), DAMAGE],
    "train.world:World.detect": [CODE, CODE],
    "train.world:choose_backend": [
        setting("training.backend", "smddp", training__instance_type="ml.g5.2xlarge"),
        setting("training.backend", "nccl", training__instance_type="ml.m5.large"),
    ],
}
ERRORS = {"StepError", "DeployError", "UnansweredError", "QueryFailedError"}


def raised() -> dict[str, int]:
    """The number of errors that each function of the steps constructs."""
    counts: defaultdict[str, int] = defaultdict(int)

    def visit(node: ast.AST, module: str, names: tuple[str, ...]) -> None:
        for child in ast.iter_child_nodes(node):
            inner = (*names, child.name) if isinstance(child, ast.FunctionDef | ast.ClassDef) else names
            if isinstance(child, ast.Call) and isinstance(child.func, ast.Name) and child.func.id in ERRORS:
                counts[f"{module}:{'.'.join(names)}"] += bool(child.args)
            visit(child, module, inner)

    for path in sorted(Path(ROOT, "steps").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT / "steps").with_suffix("").parts)
        visit(ast.parse(path.read_text()), module, ())
    return dict(counts)


def test_every_failure_of_a_step_has_an_entry() -> None:
    assert raised() == {place: len(entries) for place, entries in FAILURES.items()}


def refused() -> list[Refused]:
    entries = (entry for entries in FAILURES.values() for entry in entries if isinstance(entry, Refused))
    return list({str(entry): entry for entry in entries}.values())


@pytest.mark.parametrize("entry", refused(), ids=lambda entry: f"{entry.place}={entry.value}")
def test_loading_the_settings_refuses_it_first(tmp_path: Path, entry: Refused) -> None:
    document = yaml.safe_load((ROOT / "pipeline.yaml").read_text())
    path = tmp_path / "pipeline.yaml"
    for place, value in (*entry.with_values, (entry.place, entry.value)):
        group, key = place.split(".")
        document.setdefault(group, {})[key] = value
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    with pytest.raises(SettingsError, match=entry.place.split(".")[0]):
        load_settings(path, "prod")


def test_the_checks_that_find_the_rest_exist() -> None:
    names = {e.name for entries in FAILURES.values() for e in entries if isinstance(e, Checked)}
    assert names <= set(CHECKS)
