"""The whole step: a packed model and shards in S3 in, evaluation, predictions and report out."""

import hashlib
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from pipeline import ROOT
from steps.contracts.errors import StepError
from steps.contracts.evaluation import DIGESTS, FILE, GOLDEN, PREDICTIONS_SCHEMA
from tests.unit.steps.arguments import EVALUATE, flags_of
from tests.unit.steps.evaluate.conftest import mislabelled
from tests.unit.steps.evaluate.networks import pack, write_trainable_artifact
from tests.unit.steps.train.photos import CLASSES, Photo, photo, photos


def test_the_gate_reads_what_the_predictions_say(job):
    job.store([*photos(9, 100), mislabelled("far", 0, 2), mislabelled("near", 1, 2), photo("right", 1)])
    job.put_model()
    evaluation = job.run()
    assert evaluation["multiclass_classification_metrics"]["accuracy"]["value"] == pytest.approx(10 / 12)
    assert evaluation["regression_metrics"]["rmse"]["value"] == pytest.approx(((4 + 1) / 12) ** 0.5)
    assert evaluation["multiclass_classification_metrics"]["confusion_matrix"] == {
        "0": {"0": 3, "1": 0, "2": 0},
        "1": {"0": 0, "1": 4, "2": 0},
        "2": {"0": 1, "1": 1, "2": 3},
    }
    assert evaluation["multiclass_classification_metrics"]["accuracy_best_constant_classifier"]["value"] == 5 / 12
    assert evaluation["per_class"]["2"]["accuracy"] == 3 / 5


def test_the_digests_are_those_of_the_model_that_was_evaluated_and_of_the_outputs(job):
    job.store(photos(9, 100))
    job.put_model()
    job.run()
    digests = json.loads((job.output / DIGESTS).read_text())
    expected = {"model": job.model / "model.tar.gz", "golden": job.output / GOLDEN, "evaluation": job.output / FILE}
    assert digests == {"version": 1} | {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in expected.items()
    }


def test_there_is_a_row_for_every_photo_of_the_test_split(job):
    test = photos(11, 100)
    job.store(test, shards=3)
    job.put_model()
    job.run()
    table = job.predictions()
    assert table.schema.equals(PREDICTIONS_SCHEMA)
    rows = table.to_pylist()
    assert {row["image_id"]: row["quantity"] for row in rows} == {photo.image_id: photo.quantity for photo in test}
    for row in rows:
        assert sum(row["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert row["predicted"] == int(np.argmax(row["probabilities"]))
        assert row["expected"] == pytest.approx(np.dot(row["probabilities"], [0, 1, 2]), abs=1e-6)


def test_the_batch_size_changes_no_prediction(job):
    job.store(photos(7, 100))
    job.put_model()
    job.run(batch_size=1)
    one_by_one = job.predictions()
    job.run(batch_size=64)
    assert job.predictions()["predicted"] == one_by_one["predicted"]
    assert np.allclose(job.predictions()["expected"], one_by_one["expected"], atol=1e-5)


def test_the_metrics_are_those_of_the_decision_in_force_and_both_are_reported(job):
    # Squares that cover two thirds of a corner lie between two classes; a flat network is unsure of all.
    job.store([*photos(6, 100), mislabelled("a", 2, 0), mislabelled("b", 2, 0)])
    job.put_model(scale=0.0004)
    by_class, by_expectation = job.run("argmax"), job.run("expected")
    assert by_class["decision"] == "argmax"
    assert by_expectation["decision"] == "expected"
    assert by_class["decisions"] == by_expectation["decisions"]
    for evaluation in (by_class, by_expectation):
        in_force = evaluation["decisions"][evaluation["decision"]]
        assert evaluation["multiclass_classification_metrics"]["accuracy"]["value"] == in_force["accuracy"]
        assert evaluation["regression_metrics"]["rmse"]["value"] == in_force["rmse"]
    assert by_class["decisions"]["argmax"] != by_class["decisions"]["expected"]


def test_a_quantity_that_the_model_does_not_know_is_counted_as_wrong(job):
    job.store(photos(9, 100))
    job.put_model(classes=(0, 1))
    evaluation = job.run()
    assert evaluation["multiclass_classification_metrics"]["accuracy"]["value"] == pytest.approx(2 / 3)
    assert evaluation["multiclass_classification_metrics"]["confusion_matrix"]["2"] == {"0": 0, "1": 3, "2": 0}
    assert evaluation["per_class"]["2"]["accuracy"] == 0


def test_a_photo_that_cannot_be_decoded_is_named(job):
    job.store([*photos(3, 100), Photo("broken", b"\xff\xd8\xff" + b"x" * 50, 1)])
    job.put_model()
    with pytest.raises(StepError, match="broken"):
        job.run()
    assert not (job.output / FILE).exists()


def test_a_shard_that_is_gone_is_named(job):
    job.store(photos(6, 100))
    job.put_model()
    job.s3.delete_object(Bucket=job.bucket, Key="test/test-000-000001.tar")
    with pytest.raises(StepError, match=re.escape("test-000-000001.tar")):
        job.run()


def test_a_network_that_gives_nan_ends_the_step(job):
    job.store(photos(3, 100))
    job.put_model(scale=float("nan"))
    with pytest.raises(StepError, match="not finite"):
        job.run()
    assert not (job.output / FILE).exists()


def start(job, *flags):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SAGEMAKER_BASE_DIR": str(job.base)}
    command = [sys.executable, "-m", "steps.evaluate", *flags_of(EVALUATE), *flags]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=480, check=False)


def test_the_process_evaluates_as_the_function_does(job):
    job.store(photos(6, 100))
    job.put_archive(pack(write_trainable_artifact(job.base / "artifact", CLASSES, job.dataset_sha256)))
    done = start(job, "--decision", "expected", "--batch-size", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads((job.output / FILE).read_text())
    assert len(job.predictions()) == 6
    assert written["agreement"] == {**written["agreement"], "photos": 6, "same_counts": 6}
    assert written == job.run("expected", 2)


def test_the_process_leaves_its_reason_where_sagemaker_reads_it(job):
    job.store(photos(3, 100))
    done = start(job, "--decision", "argmax")
    assert done.returncode == 1
    assert "model.tar.gz" in (job.base / "output/message").read_text()
    assert "Traceback" not in done.stdout + done.stderr


def test_a_batch_size_of_nothing_is_refused_by_its_name(job):
    job.store(photos(3, 100))
    job.put_model()
    done = start(job, "--decision", "argmax", "--batch-size", "0")
    assert done.returncode != 0
    assert "batch" in done.stdout + done.stderr
