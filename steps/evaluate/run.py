"""Judge the best model on the test split: predictions, metrics, report."""

from __future__ import annotations

import gzip
import logging
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import ValidationError

from steps.common import container
from steps.common.artifact import ModelDescription
from steps.common.dataset import DatasetIndex, read_index
from steps.common.errors import StepError
from steps.common.evaluation import FILE, PREDICTIONS, REPORT, Evaluation
from steps.common.predictor import Decision, Predictor, decide
from steps.common.shards import iterate
from steps.evaluate import metrics
from steps.evaluate.predictions import predict
from steps.evaluate.report import write_report

log = logging.getLogger(__name__)

CHUNK_BYTES = 1024 * 1024


def run(*, decision: Decision, batch_size: int) -> None:
    """Evaluate the input `model` on the test split of the input `index`, into the output `evaluation`.

    Raises StepError when an input is not usable, a shard is damaged, or a metric is not finite.
    """
    if batch_size < 1:
        raise StepError(f"--batch-size is {batch_size}; want 1 or more")
    folder = unpack(container.processing_input("model"))
    predictor = Predictor.load(folder)
    index = read_index(container.processing_input("index"))
    test = index.splits["test"]
    log.info("evaluating %s on %s photos", predictor.description.architecture, test.samples)
    predictions = predict(iterate(test.shards), predictor, decision, batch_size)
    evaluation = evaluate(
        np.asarray(predictions.truth, np.int32),
        np.concatenate(predictions.probabilities),
        decision=decision,
        index=index,
        model=predictor.description,
    )
    output = container.processing_output("evaluation")
    pq.write_table(predictions.table(predictor.description.classes, decision), output / PREDICTIONS)
    write_report(output / REPORT, evaluation, predictions, index, folder)
    # Last: the gate reads it, so it is there only when all the rest is.
    (output / FILE).write_text(evaluation.model_dump_json(indent=1))
    log.info(
        "accuracy %.4f, RMSE %.4f (largest class %.4f, %.4f)",
        evaluation.multiclass_classification_metrics.accuracy.value,
        evaluation.regression_metrics.rmse.value,
        evaluation.baselines["largest_class"].accuracy,
        evaluation.baselines["largest_class"].rmse,
    )


def evaluate(
    truth: NDArray[np.int32],
    probabilities: NDArray[np.float32],
    *,
    decision: Decision,
    index: DatasetIndex,
    model: ModelDescription,
) -> Evaluation:
    """The evaluation of counts (N,) and probabilities (N, classes). Raises StepError for one that is not finite.

    A quantity that the model does not know cannot be counted right; it stays in every metric as the mistake it is.
    """
    classes: Sequence[int] = sorted({*model.classes, *map(int, np.unique(truth))})
    predicted = decide(probabilities, model.classes, decision)
    try:
        return Evaluation(
            multiclass_classification_metrics=metrics.classification(truth, predicted, classes),
            regression_metrics=metrics.regression(truth, predicted),
            per_class=metrics.per_class(truth, predicted),
            baselines={
                "largest_class": metrics.constant(truth, metrics.largest_class(truth)),
                "random": metrics.random_guess(truth, classes),
                "median": metrics.constant(truth, int(np.median(truth))),
            },
            decisions={
                "argmax": metrics.score(truth, decide(probabilities, model.classes, "argmax")),
                "expected": metrics.score(truth, decide(probabilities, model.classes, "expected")),
            },
            decision=decision,
            dataset={"sha256": index.sha256, "test_photos": len(truth), "split": index.sharding.split},
            model=_facts(model),
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise StepError(f"the evaluation is not usable: {where}: {first['msg']}") from error


def _facts(model: ModelDescription) -> dict[str, Any]:
    return {
        "architecture": model.architecture,
        "image_size": model.image_size,
        "image_uri": model.image_uri,
        "trained_on": model.dataset_sha256,
    }


def unpack(folder: Path) -> Path:
    """Unpack the `model.tar.gz` below `folder`; members that would leave their place are refused."""
    archives = sorted(folder.rglob("model.tar.gz"))
    if len(archives) != 1:
        raise StepError(f"{folder}: want one model.tar.gz, found {len(archives)}")
    target = folder / "unpacked"
    try:
        with gzip.open(archives[0]) as stream:
            with tarfile.open(fileobj=stream, mode="r:") as archive:
                archive.extractall(target, filter="data")
            # tarfile stops at the tar's end; gzip compares its checksum only at its own.
            while stream.read(CHUNK_BYTES):
                pass
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise StepError(f"{archives[0]}: not a usable model artifact: {error}") from error
    return target
