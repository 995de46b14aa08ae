"""`report.html`: what a person reads before approving, in one file that needs nothing else."""

from __future__ import annotations

import hashlib
import html
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from string import Template

from steps.contracts.artifact import ONNX, WEIGHTS
from steps.contracts.evaluation import Evaluation, Score
from steps.contracts.query_summary import Summary
from steps.contracts.shard_summary import ShardSummary
from steps.evaluate import figures, history, published
from steps.evaluate.evidence import Evidence
from steps.evaluate.mistakes import Mistakes
from steps.evaluate.trials import Trials
from steps.evaluate.verdict import checks
from steps.reports.page import Markup, style, table

TEMPLATE = Path(__file__).with_name("report.html.template")
# Longer tables say how much they leave out.
TRIALS_SHOWN = 25
_LIBRARIES = ("numpy", "onnxruntime", "torch", "torchvision", "opencv-python-headless", "simplejpeg")
_DECISIONS = {"argmax": "likeliest count", "expected": "rounded expectation"}


def write_report(path: Path, evidence: Evidence) -> None:
    """Write the report."""
    evaluation = evidence.evaluation
    numbers, regression = evaluation.multiclass_classification_metrics, evaluation.regression_metrics
    path.write_text(
        Template(TEMPLATE.read_text()).substitute(
            style=style(),
            photos=f"{evaluation.dataset.item_count:,}",
            verdict=_verdict(evidence),
            registration=_registration(evaluation),
            accuracy=f"{numbers.accuracy.value:.1%}",
            accuracy_deviation=f"{numbers.accuracy.standard_deviation:.1%}",
            within_one=f"{evaluation.within_one.value:.1%}",
            within_one_deviation=f"{evaluation.within_one.standard_deviation:.1%}",
            rmse=f"{regression.rmse.value:.3f}",
            rmse_deviation=f"{regression.rmse.standard_deviation:.3f}",
            champion=_champion_card(evaluation),
            comparison=_comparison(evaluation),
            difference=_difference(evaluation),
            per_class=figures.accuracy_by_quantity(evaluation.per_class),
            per_class_table=_per_class(evaluation),
            errors=figures.errors(numbers.confusion_matrix),
            confusion=figures.confusion(numbers.confusion_matrix),
            reliability=figures.reliability(evaluation.calibration),
            calibration=f"{evaluation.calibration.expected_calibration_error:.1%}",
            worst=figures.photos(evidence.mistakes.worst) or "<p>None: every photo was counted right.</p>",
            typical=_typical(evidence.mistakes) or "<p>None.</p>",
            curves=figures.curves(history.read(evidence.folder)),
            trials=_trials(evidence.trials),
            data=_data(evidence),
            provenance=_provenance(evidence),
        )
    )


def _verdict(evidence: Evidence) -> Markup:
    """In ten seconds: does it pass, and why or why not."""
    found = checks(evidence.evaluation, evidence.settings)
    items = "".join(f"<li class='{'passed' if one.passed else 'failed'}'>{html.escape(one.text)}</li>" for one in found)
    if not found:
        return Markup("")
    passed = all(one.passed for one in found)
    words = "passes the gate" if passed else "does not pass the gate"
    return Markup(
        f"<div class='verdict {'passed' if passed else 'failed'}'><b>This model {words}.</b><ul>{items}</ul></div>"
    )


def _registration(evaluation: Evaluation) -> Markup:
    registration = evaluation.registration
    then = "registers a version" if registration.wanted else "registers nothing"
    return Markup(f"<p>Registry: {html.escape(registration.reason)}. A run that passes the gate {then}.</p>")


def _champion_card(evaluation: Evaluation) -> Markup:
    champion = evaluation.champion
    if champion is None:
        baseline = evaluation.baselines["largest_class"].accuracy
        points = 100 * (evaluation.multiclass_classification_metrics.accuracy.value - baseline)
        return Markup(
            f"<div class='card'>against the most frequent count<b>{points:+.1f}</b>"
            "<span class='soft'>points of accuracy</span></div>"
        )
    return Markup(
        f"<div class='card'>against version {champion.version}<b>{100 * champion.accuracy.value:+.1f}</b>"
        "<span class='soft'>points of accuracy</span></div>"
    )


def _difference(evaluation: Evaluation) -> Markup:
    champion = evaluation.champion
    if champion is None:
        return Markup(f"<p>Champion: {html.escape(evaluation.gate.champion)}.</p>")
    if champion.this_model:
        return Markup(f"<p>The champion, version {champion.version}, is this very model.</p>")
    accuracy = figures.interval(champion.accuracy, percent=True)
    rmse = figures.interval(champion.rmse, percent=False)
    if champion.accuracy.lower <= 0 <= champion.accuracy.upper:
        meaning = "The interval holds zero: these photos do not tell which of the two is more accurate."
    else:
        better = "more" if champion.accuracy.value > 0 else "less"
        meaning = f"On photos like these, this model is {better} accurate than version {champion.version}."
    return Markup(f"<p>This model less version {champion.version}: accuracy {accuracy}, RMSE {rmse}. {meaning}</p>")


def _comparison(evaluation: Evaluation) -> Markup:
    def row(name: str, score: Score) -> tuple[str, ...]:
        accuracy, within_one = f"{score.accuracy:.1%}", f"{score.within_one:.1%}"
        return name, accuracy, within_one, f"{score.rmse:.3f}", f"{score.mae:.3f}"

    rows = []
    for decision, score in evaluation.decisions.items():
        in_force = ", in force" if decision == evaluation.decision else ""
        rows.append(row(f"this model ({_DECISIONS[decision]}{in_force})", score))
    if evaluation.champion:
        rows.append(row(f"champion: version {evaluation.champion.version}", evaluation.champion.score))
    names = {
        "largest_class": "always the most frequent count",
        "median": "always the median",
        "random": "a random count",
    }
    rows += [row(names[name], score) for name, score in evaluation.baselines.items()]
    if set(evaluation.per_class) <= set(map(str, published.ACCURACY_BY_QUANTITY)):
        rows.append(
            (f"{published.NAME} ({published.CAVEAT})", f"{published.ACCURACY:.1%}", "", f"{published.RMSE:.3f}", "")
        )
    return table(("", "accuracy", "off by one at most", "RMSE", "MAE"), rows)


def _per_class(evaluation: Evaluation) -> Markup:
    rows = [
        (quantity, f"{report.photos:,}", f"{report.accuracy:.1%}", f"{report.rmse:.2f}")
        for quantity, report in evaluation.per_class.items()
    ]
    return table(("objects", "photos", "accuracy", "RMSE"), rows)


def _typical(mistakes: Mistakes) -> Markup:
    sections = [
        f"<h3>{kind.quantity} taken for {kind.predicted}: {kind.photos:,} photos</h3>{figures.photos(kind.shown)}"
        for kind in mistakes.typical()
    ]
    return Markup("".join(sections))


def _trials(found: Trials | None) -> Markup:
    if found is None:
        return Markup("<p>The evaluation was not told of a tuning job.</p>")
    tuned = sorted({name for one in found.trials for name in one.values})
    rows = []
    for one in found.trials[:TRIALS_SHOWN]:
        objective = "-" if one.objective is None else f"{one.objective:.4f}"
        minutes = "-" if one.seconds is None else f"{one.seconds / 60:.1f}"
        name = one.name + (" (this model)" if one.name == found.best else "")
        rows.append((name, one.status, objective, minutes, *(_short(one.values.get(key, "")) for key in tuned)))
    more = len(found.trials) - len(rows)
    left_out = f"<p>And {more} more with a lower objective.</p>" if more > 0 else ""
    lead = f"<p>{html.escape(found.strategy)} search, job <code>{html.escape(found.job)}</code>.</p>"
    return Markup(lead + table(("trial", "status", found.objective, "minutes", *tuned), rows) + left_out)


def _short(text: str) -> str:
    """A number as a person reads it: the service gives up to 17 digits."""
    try:
        number = float(text.strip('"'))
    except ValueError:
        return text
    return f"{number:.4g}"


def _data(evidence: Evidence) -> Markup:
    index = evidence.index
    splits = [
        (
            name,
            f"{split.samples:,}",
            f"{len(split.shards):,}",
            f"{split.bytes / 1e6:,.1f} MB",
            ", ".join(f"{quantity}: {photos:,}" for quantity, photos in split.class_counts.items()),
        )
        for name, split in index.splits.items()
    ]
    weights = ", ".join(f"{c}: {w:.2f}" for c, w in zip(index.classes, index.class_weights, strict=True))
    text = str(table(("split", "photos", "shards", "size", "photos by count"), splits))
    text += f"<p>Split: {index.sharding.split}, seed {index.sharding.seed}. Balanced class weights: {weights}.</p>"
    return Markup(text + _leakage(evidence.sharding) + _left_out(evidence.sharding, evidence.summary))


def _leakage(sharding: ShardSummary | None) -> str:
    if sharding is None:
        return "<p>What the splits share is not known: this job has no input `sharding`.</p>"
    ours, at_random = sharding.leakage.split, sharding.leakage.random

    def share(photos: int) -> str:
        return f"{photos:,} ({photos / ours.photos:.1%})" if ours.photos else "0"

    rows = [
        ("that show a bin which is trained on", share(ours.same_bin), share(at_random.same_bin)),
        ("that show any item which is trained on", share(ours.same_item), share(at_random.same_item)),
    ]
    head = (f"of {ours.photos:,} held-out photos, those", "in this split", "in a random split")
    return "<h3>What the splits share</h3>" + table(head, rows)


def _left_out(sharding: ShardSummary | None, summary: Summary | None) -> str:
    rejects = sharding.rejects if sharding else {}
    rows = [(reason, f"{len(ids):,}", ", ".join(ids[:5])) for reason, ids in rejects.items()]
    if summary is not None:
        rows += [(reason, f"{one.photos:,}", ", ".join(one.examples[:5])) for reason, one in summary.refused.items()]
    if not rows:
        return "<p>No photo was left out.</p>"
    return "<h3>Photos left out</h3>" + table(("reason", "photos", "for example"), rows)


def _provenance(evidence: Evidence) -> Markup:
    provenance, agreement = evidence.evaluation.provenance, evidence.evaluation.agreement
    facts: Mapping[str, str] = {
        "architecture": f"{evidence.model.architecture}, photos of {evidence.model.image_size} pixels",
        "ONNX Runtime against PyTorch": (
            f"{agreement.same_counts:,} of {agreement.photos:,} photos counted alike, "
            f"probabilities differ by {agreement.largest_difference:.1g} at most"
        ),
        "pipeline run": provenance.run,
        "training job": provenance.training_job,
        "training image": provenance.training_image,
        "model": provenance.model,
        "weights, SHA-256": _sha256(evidence.folder / WEIGHTS),
        "ONNX graph, SHA-256": _sha256(evidence.folder / ONNX),
        "dataset index": provenance.index,
        "dataset, SHA-256": evidence.evaluation.dataset.sha256,
        "dataset trained on, SHA-256": evidence.model.dataset_sha256,
        "query": provenance.query_execution,
        "photos": provenance.image_location,
        "data version": provenance.data_version,
        "Python": platform.python_version(),
        **{name: version(name) for name in _LIBRARIES},
    }
    return table(("", ""), [(name, value) for name, value in facts.items() if value])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
