"""`report.html`: the evaluation for the person who approves the model, in one file."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from steps.contracts.artifact import ONNX, WEIGHTS, ModelDescription
from steps.contracts.dataset import DatasetIndex
from steps.contracts.evaluation import Evaluation, Score, Selective
from steps.contracts.imagenet_weights import LICENCE, caveat, origin_of, published_at
from steps.contracts.left_out import left_out
from steps.contracts.query_summary import Summary
from steps.contracts.shard_summary import ShardSummary
from steps.contracts.wording import count_of
from steps.evaluate import figures
from steps.evaluate.artifact import read_history
from steps.evaluate.photo_samples import Miscounts
from steps.evaluate.settings import Settings
from steps.evaluate.trials import Trials
from steps.reports.page import render

TEMPLATE = Path(__file__).with_name("report.html.template")
# Longer tables end with the number of rows left out.
TRIALS_SHOWN = 25
EXAMPLES_SHOWN = 5
_LIBRARIES = ("numpy", "onnxruntime", "torch", "torchvision", "opencv-python-headless", "simplejpeg")
_DECISIONS = {"argmax": "likeliest count", "expected": "rounded expectation"}
_BASELINES = {
    "largest_class": "always the most frequent count",
    "median": "always the median",
    "random": "a random count",
}

Row = tuple[str, ...]


@dataclass(frozen=True)
class EvaluationOutputs:
    """The content of the report. `folder` is the unpacked artifact; an input that the job does not have is None."""

    settings: Settings
    evaluation: Evaluation
    miscounts: Miscounts
    index: DatasetIndex
    sharding: ShardSummary | None
    summary: Summary | None
    trials: Trials | None
    model: ModelDescription
    folder: Path


@dataclass(frozen=True)
class Check:
    """One comparison of the gate."""

    passed: bool
    text: str


def write_report(path: Path, outputs: EvaluationOutputs) -> None:
    """Write the report."""
    evaluation = outputs.evaluation
    checks = gate_checks(evaluation, outputs.settings)
    matrix = evaluation.multiclass_classification_metrics.confusion_matrix
    page = render(
        TEMPLATE,
        evaluation=evaluation,
        metrics=evaluation.multiclass_classification_metrics,
        regression=evaluation.regression_metrics,
        checks=checks,
        passed=all(check.passed for check in checks),
        headline=headline(evaluation.selective),
        caveat=caveat(outputs.model.hyperparameters.get("weights", "")),
        risk_coverage=figures.risk_coverage(evaluation.selective),
        scores=_scores(evaluation),
        intervals=_intervals(evaluation),
        accuracy_by_quantity=figures.accuracy_by_quantity(evaluation.per_class),
        errors=figures.errors(matrix),
        reliability=figures.reliability(evaluation.calibration),
        curves=figures.curves(read_history(outputs.folder), _best_epoch(outputs.model)),
        miscounts=outputs.miscounts,
        thumbnail=figures.thumbnail,
        trials=outputs.trials,
        tuned=_tuned(outputs.trials),
        trial_rows=_trial_rows(outputs.trials),
        index=outputs.index,
        sharding=outputs.sharding,
        left_out=_left_out(outputs),
        provenance=_provenance(outputs),
    )
    path.write_text(page)


def _best_epoch(model: ModelDescription) -> int | None:
    """The epoch of the model's weights; None for a model that does not name it."""
    epoch = model.metrics.get("epoch")
    return None if epoch is None else int(epoch)


def gate_checks(evaluation: Evaluation, settings: Settings) -> list[Check]:
    """The gate's comparisons with the thresholds of the settings. The pipeline's own condition decides, not these."""
    accuracy = evaluation.multiclass_classification_metrics.accuracy.value
    rmse, loss = evaluation.regression_metrics.rmse.value, evaluation.gate.accuracy_loss
    checks = []
    if (least := settings.minimum_accuracy) is not None:
        checks.append(Check(accuracy >= least, f"accuracy {accuracy:.1%}, required: at least {least:.1%}"))
    if (most := settings.maximum_rmse) is not None:
        checks.append(Check(rmse <= most, f"RMSE {rmse:.3f}, required: at most {most:.3f}"))
    if (most := settings.maximum_accuracy_loss) is not None:
        if evaluation.champion is None:
            text = f"champion: {evaluation.gate.champion}"
        elif evaluation.champion.this_model:
            text = f"champion: {evaluation.gate.champion}, so no loss is counted"
        else:
            change = f"{100 * loss:.1f} points of accuracy lost" if loss > 0 else f"{-100 * loss:z.1f} points gained"
            text = f"{change} against {evaluation.gate.champion}, required: a loss of at most {100 * most:.1f}"
        checks.append(Check(loss <= most, text))
    if least := settings.minimum_sure_accuracy:
        gate = evaluation.gate
        text = (
            f"accuracy of the surest {gate.sure_coverage:.0%} {gate.sure_accuracy:.1%}, required: at least {least:.1%}"
        )
        checks.append(Check(gate.sure_accuracy >= least, text))
    return checks


def headline(selective: Selective) -> str:
    """What the model counts by itself, as the first sentence of the report."""
    if selective.sure is None:
        half = selective.at(0.5)
        return (
            f"The surest half of the photos is counted at {half.accuracy:.1%} right. This model has no calibration, so"
            " it calls no count sure."
        )
    sure = selective.sure
    if sure.accuracy is None:
        reason = f"no confidence promises {sure.wanted:.0%} right"
        if sure.confidence is not None:
            reason = f"no photo has the confidence of {sure.confidence:.2f} that promises {sure.wanted:.0%} right"
        half = selective.at(0.5)
        return f"This model calls no count sure: {reason}. Its surest half is counted at {half.accuracy:.1%} right."
    return (
        f"Counts {sure.share:.1%} of the photos by itself at {sure.accuracy:.1%} right (wanted: {sure.wanted:.0%}); the"
        " others are for a person."
    )


def _scores(evaluation: Evaluation) -> list[Row]:
    def row(name: str, score: Score) -> Row:
        accuracy, within_one = f"{score.accuracy:.1%}", f"{score.within_one:.1%}"
        return name, accuracy, within_one, f"{score.rmse:.3f}", f"{score.mae:.3f}"

    rows = []
    for decision, score in evaluation.decisions.items():
        in_force = ", in force" if decision == evaluation.decision else ""
        rows.append(row(f"this model ({_DECISIONS[decision]}{in_force})", score))
    if evaluation.champion:
        rows.append(row(f"champion: version {evaluation.champion.version}", evaluation.champion.score))
    rows += [row(_BASELINES[name], score) for name, score in evaluation.baselines.items()]
    if set(evaluation.per_class) <= set(map(str, figures.PUBLISHED_ACCURACY_BY_QUANTITY)):
        name = f"{figures.PUBLISHED_NAME} (whole data set, another split)"
        rows.append((name, f"{figures.PUBLISHED_ACCURACY:.1%}", "", f"{figures.PUBLISHED_RMSE:.3f}", ""))
    return rows


def _intervals(evaluation: Evaluation) -> str:
    """The differences between the challenger and the champion, each with its 95% interval, and their meaning."""
    champion = evaluation.champion
    if champion is None or champion.this_model:
        return ""

    accuracy, rmse = champion.accuracy, champion.rmse
    if accuracy.lower <= 0 <= accuracy.upper:
        meaning = "The interval of the accuracy contains 0: these photos do not show which model is more accurate."
    else:
        better = "more" if accuracy.value > 0 else "less"
        meaning = f"On photos like these, this model is {better} accurate than version {champion.version}."
    return (
        f"This model less version {champion.version}: accuracy {100 * accuracy.value:+z.1f} points"
        f" (95% interval {100 * accuracy.lower:+z.1f} to {100 * accuracy.upper:+z.1f}),"
        f" RMSE {rmse.value:+z.3f} (95% interval {rmse.lower:+z.3f} to {rmse.upper:+z.3f}). {meaning}"
    )


def _tuned(trials: Trials | None) -> list[str]:
    """Names of the tuned hyperparameters."""
    return sorted({name for trial in trials.trials for name in trial.values}) if trials else []


def _trial_rows(trials: Trials | None) -> list[Row]:
    rows = []
    for trial in trials.trials[:TRIALS_SHOWN] if trials else ():
        objective = "-" if trial.objective is None else f"{trial.objective:.4f}"
        minutes = "-" if trial.seconds is None else f"{trial.seconds / 60:.1f}"
        name = trial.name + (" (this model)" if trials and trial.name == trials.best else "")
        values = (_short(trial.values.get(key, "")) for key in _tuned(trials))
        rows.append((name, trial.status, objective, minutes, *values))
    return rows


def _short(text: str) -> str:
    """A number with four digits: SageMaker returns up to 17."""
    try:
        number = float(text.strip('"'))
    except ValueError:
        return text
    return f"{number:.4g}"


def _left_out(outputs: EvaluationOutputs) -> list[Row]:
    """Rows of (step, reason, photos, examples)."""
    return [
        (each.step, each.reason, f"{each.photos:,}", ", ".join(each.examples[:EXAMPLES_SHOWN]))
        for each in left_out(outputs.summary, outputs.sharding)
    ]


def _provenance(outputs: EvaluationOutputs) -> list[Row]:
    provenance, agreement = outputs.evaluation.provenance, outputs.evaluation.agreement
    facts = {
        "architecture": f"{outputs.model.architecture}, input of {outputs.model.image_size} pixels",
        "ONNX Runtime against PyTorch": (
            f"{agreement.same_counts:,} of {count_of(agreement.photos, 'photo')} with the same count, "
            f"probabilities differ by at most {agreement.largest_difference:.1g}"
        ),
        "initial weights": origin_of(weights := outputs.model.hyperparameters.get("weights", "")),
        "terms of the initial weights": LICENCE if published_at(weights) else "",
        "pipeline run": provenance.run,
        "training job": provenance.training_job,
        "training image": provenance.training_image,
        "model": provenance.model,
        "weights, SHA-256": _sha256(outputs.folder / WEIGHTS),
        "ONNX graph, SHA-256": _sha256(outputs.folder / ONNX),
        "dataset index": provenance.index,
        "test dataset, SHA-256": outputs.evaluation.dataset.sha256,
        "training dataset, SHA-256": outputs.model.dataset_sha256,
        "query execution": provenance.query_execution,
        "image location": provenance.image_location,
        "data version": provenance.data_version,
        "Python": platform.python_version(),
        **{name: version(name) for name in _LIBRARIES},
    }
    return [(name, value) for name, value in facts.items() if value]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
