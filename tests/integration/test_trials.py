"""The trials of a run in the local cloud, read as from an account: while they run, after them, and from the cache."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from pipeline import ROOT
from pipeline.operations.models import curves, trials
from pipeline.operations.runs import executions
from pipeline.settings import Settings
from pipeline.settings.file import load_settings
from steps.contracts.errors import PipelineError
from tests.integration.conftest import ROLE, LocalCloud, wait_until
from tests.integration.test_tuning import tuning

# Prints an epoch's line as the trainer does, and leaves its history in the model; trial by trial a little better. Goes
# on when the test has seen the first line.
TRAIN = """
    import json, os, pathlib, sys, time
    rate = float(sys.argv[sys.argv.index("--rate") + 1])
    base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
    names = ("train_loss", "validation_loss", "validation_accuracy", "validation_rmse")
    epochs = []
    for epoch in (1, 2, 3):
        values = (2 / epoch, 3 / epoch, rate * epoch / 3, 1.5)
        epochs.append({"epoch": epoch, **dict(zip(names, values)), "per_class": {}})
        (base / "model/history.json").write_text(json.dumps({"version": 1, "epochs": epochs}))
        print(
            f"epoch={epoch} train:loss={values[0]:.4f} validation:loss={values[1]:.4f}"
            f" validation:accuracy={values[2]:.6f} validation:rmse={values[3]:.4f}"
            f" validation:best_accuracy={values[2]:.6f}",
            flush=True,
        )
        while not pathlib.Path(SEEN).exists():
            time.sleep(0.05)
"""


@pytest.fixture
def settings() -> Settings:
    """Those of the local profile, for a pipeline of this test's own."""
    values = load_settings(ROOT / "pipeline.yaml", "local").model_dump()
    return Settings.model_validate({**values, "name": f"p-{uuid.uuid4().hex[:10]}"})


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    """The file that lets the trials go on."""
    return tmp_path / "seen"


@pytest.fixture
def pipeline(local_cloud: LocalCloud, sagemaker: Any, settings: Settings, seen: Path) -> Any:
    """A pipeline whose one step is a cached TuneModel. Returns a function that starts it."""
    from steps.contracts import metrics

    bucket = local_cloud.bucket()
    local_cloud.client("s3").put_object(Bucket=bucket, Key="index/part.json", Body=b"{}")
    request = tuning(bucket, local_cloud.image(TRAIN.replace("SEEN", repr(str(seen))), "train.py"), trials=2)
    del request["HyperParameterTuningJobName"]
    config = request["HyperParameterTuningJobConfig"]
    config["HyperParameterTuningJobObjective"]["MetricName"] = metrics.OBJECTIVE
    config["ResourceLimits"]["MaxParallelTrainingJobs"] = 1
    request["TrainingJobDefinition"]["AlgorithmSpecification"]["MetricDefinitions"] = [
        {"Name": name, "Regex": pattern} for name, pattern in metrics.PATTERNS.items()
    ]
    cache = {"Enabled": True, "ExpireAfter": "PT1H"}
    step = {"Name": trials.STEP, "Type": "Tuning", "Arguments": request, "CacheConfig": cache}
    definition = {"Version": "2020-12-01", "Parameters": [], "Steps": [step]}
    sagemaker.create_pipeline(PipelineName=settings.name, PipelineDefinition=json.dumps(definition), RoleArn=ROLE)

    def start() -> executions.Execution:
        return executions.start(settings, {})

    return start


def test_trials_and_curves_are_read_as_they_run_after_it_and_from_the_cache(
    pipeline: Any, settings: Settings, seen: Path
) -> None:
    first = pipeline()

    def under_way() -> tuple[trials.TuningJob, list[curves.Epoch]] | None:
        try:
            job = trials.read(settings, first.id)
        except PipelineError:  # there is no tuning job yet
            return None
        epochs = curves.read(settings, job.trials[0]) if job.trials else []
        return (job, epochs) if epochs else None

    job, epochs = wait_until(under_way)
    assert (job.status, job.trials[0].status) == ("InProgress", "InProgress")
    assert epochs[0].train_loss == 2.0
    seen.touch()
    wait_until(lambda: executions.resolve(settings, first.id).ended)
    job = trials.read(settings, first.id)
    best = job.trial()
    assert job.status == "Completed"
    assert [trial.number for trial in job.trials] == [1, 2]
    rate = {trial.number: float(trial.values["rate"]) for trial in job.trials}
    assert best.number == max(rate, key=rate.__getitem__)
    assert best.objective == pytest.approx(rate[best.number], abs=1e-5)
    assert (best.rmse, best.loss, best.epochs) == (1.5, 1.0, 3)
    epochs = curves.read(settings, best)
    # The artifact has all digits, the log six.
    assert epochs[2].validation_accuracy == rate[best.number] * 3 / 3
    second = pipeline()
    wait_until(lambda: executions.resolve(settings, second.id).ended)
    again = trials.read(settings, "latest")
    assert (again.run, again.cached_from, again.name) == (second.id, first.id, job.name)
    assert again.trials == job.trials
