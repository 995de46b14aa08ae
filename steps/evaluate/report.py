"""`report.html`: what a person reads before approving, in one file that needs nothing else."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path
from string import Template

from steps.common.artifact import HISTORY
from steps.common.dataset import DatasetIndex
from steps.common.errors import StepError
from steps.common.evaluation import Evaluation
from steps.common.images import ImageError, decode_rgb, resize
from steps.common.page import bar, style, table
from steps.evaluate.evidence import Evidence
from steps.evaluate.mistakes import Shown

TEMPLATE = Path(__file__).with_name("report.html.template")
PHOTO_SIDE = 160  # pixels of a photo's longer side in the report
CHART_WIDTH, CHART_HEIGHT = 640, 220


def write_report(path: Path, evidence: Evidence) -> None:
    """Write the report."""
    evaluation = evidence.evaluation
    numbers, regression = evaluation.multiclass_classification_metrics, evaluation.regression_metrics
    largest = evaluation.baselines["largest_class"]
    path.write_text(
        Template(TEMPLATE.read_text()).substitute(
            style=style(),
            accuracy=f"{numbers.accuracy.value:.1%}",
            accuracy_deviation=f"{numbers.accuracy.standard_deviation:.1%}",
            within_one=f"{evaluation.within_one.value:.1%}",
            rmse=f"{regression.rmse.value:.3f}",
            rmse_deviation=f"{regression.rmse.standard_deviation:.3f}",
            photos=f"{evaluation.dataset.item_count:,}",
            verdict=_verdict(numbers.accuracy.value, largest.accuracy),
            comparison=_comparison(evaluation),
            confusion=_confusion(numbers.confusion_matrix),
            per_class=_per_class(evaluation),
            worst=_photos(evidence.mistakes.worst) or "<p>None: every photo was counted right.</p>",
            first=_photos([one for kind in evidence.mistakes.typical() for one in kind.shown]),
            curves=_curves(evidence.folder / HISTORY),
            data=_data(evidence.index),
            facts=table(("", ""), [(key, value) for key, value in evaluation.model.items()]),
        )
    )


def _verdict(accuracy: float, baseline: float) -> str:
    points = (accuracy - baseline) * 100
    if points > 0:
        return f"{points:.1f} points better than always answering the most frequent count."
    return f"{-points:.1f} points worse than always answering the most frequent count: not worth deploying."


def _comparison(evaluation: Evaluation) -> str:
    names = {
        "argmax": "this model, likeliest count",
        "expected": "this model, rounded expectation",
        "largest_class": "always the most frequent count",
        "median": "always the median",
        "random": "a random count",
    }
    scores = [*evaluation.decisions.items(), *evaluation.baselines.items()]
    rows = []
    for key, score in scores:
        in_force = " (in force)" if key == evaluation.decision else ""
        rows.append((names[key] + in_force, f"{score.accuracy:.1%}", f"{score.rmse:.3f}", f"{score.within_one:.1%}"))
    return table(("", "accuracy", "RMSE", "off by one at most"), rows)


def _confusion(matrix: dict[str, dict[str, int]]) -> str:
    """A table whose cells are shaded by their share of the row."""
    head = "".join(f"<th scope='col'>{html.escape(column)}</th>" for column in matrix)
    rows = []
    for truth, row in matrix.items():
        total = sum(row.values()) or 1
        cells = []
        for predicted, photos in row.items():
            kind = "right" if truth == predicted else "wrong"
            share = photos / total
            cells.append(f"<td class='{kind}' style='--share:{share:.3f}' title='{share:.1%} of the row'>{photos}</td>")
        rows.append(f"<tr><th scope='row'>{html.escape(truth)}</th>{''.join(cells)}</tr>")
    return (
        "<table class='confusion'><thead><tr><th></th>"
        f"<th colspan='{len(matrix)}'>predicted</th></tr><tr><th>truth</th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _per_class(evaluation: Evaluation) -> str:
    rows = []
    for quantity, report in evaluation.per_class.items():
        accuracy = f"{report.accuracy:.1%}"
        rows.append((quantity, f"{report.photos:,}", accuracy, f"{report.rmse:.2f}", bar(report.accuracy)))
    return table(("objects", "photos", "accuracy", "RMSE", ""), rows)


def _photos(shown: Sequence[Shown]) -> str:
    figures = []
    for one in shown:
        name = html.escape(one.image_id)
        caption = f"{one.predicted} instead of {one.quantity}" if one.error else f"{one.quantity}, right"
        figures.append(
            f"<figure class='{'wrong' if one.error else 'right'}'><img alt='photo {name}' src='{_thumbnail(one.jpeg)}'>"
            f"<figcaption><b>{caption}</b><br>{name}, {one.confidence:.0%} sure</figcaption></figure>"
        )
    return f"<div class='photos'>{''.join(figures)}</div>" if figures else ""


def _thumbnail(jpeg: bytes) -> str:
    import simplejpeg

    try:
        pixels = decode_rgb(jpeg, PHOTO_SIDE)
    except ImageError:
        return ""
    height, width = pixels.shape[:2]
    scale = PHOTO_SIDE / max(height, width)
    small = resize(pixels, max(1, round(width * scale)), max(1, round(height * scale)))
    return "data:image/jpeg;base64," + base64.b64encode(simplejpeg.encode_jpeg(small, quality=80)).decode()


def _curves(path: Path) -> str:
    if not path.exists():
        return "<p>The artifact holds no history.</p>"
    try:
        epochs = json.loads(path.read_text())["epochs"]
        accuracy, rmse, training, validation = (
            [float(epoch[key]) for epoch in epochs]
            for key in ("validation_accuracy", "validation_rmse", "train_loss", "validation_loss")
        )
    except (ValueError, TypeError, KeyError) as error:
        raise StepError(f"{path}: not a training history ({error!r}); train the model again") from error
    if not epochs:
        return "<p>The artifact holds no history.</p>"
    return (
        _chart("Accuracy by epoch", {"validation accuracy": accuracy})
        + _chart("RMSE by epoch", {"validation RMSE": rmse})
        + _chart("Loss by epoch", {"training loss": training, "validation loss": validation})
    )


def _chart(title: str, lines: dict[str, list[float]]) -> str:
    """A line chart as SVG; colours come from the page's own."""
    left, right, top, bottom = 48, 12, 12, 28
    values = [value for line in lines.values() for value in line]
    low, high = min(0.0, *values), max(values) or 1.0
    count = max(len(line) for line in lines.values())
    span_x, span_y = CHART_WIDTH - left - right, CHART_HEIGHT - top - bottom

    def place(epoch: int, value: float) -> tuple[float, float]:
        x = left + span_x * (epoch / max(1, count - 1))
        return x, top + span_y * (1 - (value - low) / (high - low))

    marks = []
    for step in range(5):
        value = low + (high - low) * step / 4
        _, y = place(0, value)
        marks.append(f"<line class='grid' x1='{left}' x2='{CHART_WIDTH - right}' y1='{y:.1f}' y2='{y:.1f}'/>")
        marks.append(f"<text x='{left - 6}' y='{y + 4:.1f}' text-anchor='end'>{value:.2f}</text>")
    for epoch in sorted({0, count // 2, count - 1}):
        x, _ = place(epoch, low)
        marks.append(f"<text x='{x:.1f}' y='{CHART_HEIGHT - 8}' text-anchor='middle'>{epoch + 1}</text>")
    legend = []
    for number, (name, line) in enumerate(lines.items()):
        points = [place(epoch, value) for epoch, value in enumerate(line)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        marks.append(f"<polyline class='line{number}' points='{path}'/>")
        marks += [f"<circle class='line{number}' cx='{x:.1f}' cy='{y:.1f}' r='3'/>" for x, y in points]
        legend.append(f"<span class='key line{number}'>{html.escape(name)}</span>")
    return (
        f"<figure class='chart'><figcaption>{html.escape(title)} {''.join(legend)}</figcaption>"
        f"<svg viewBox='0 0 {CHART_WIDTH} {CHART_HEIGHT}' role='img' aria-label='{html.escape(title)}'>"
        f"{''.join(marks)}</svg></figure>"
    )


def _data(index: DatasetIndex) -> str:
    splits = [
        (
            name,
            f"{split.samples:,}",
            f"{len(split.shards):,}",
            f"{split.bytes / 1e6:,.1f} MB",
            _counts(split.class_counts),
        )
        for name, split in index.splits.items()
    ]
    weights = ", ".join(f"{c}: {w:.2f}" for c, w in zip(index.classes, index.class_weights, strict=True))
    rejected = [(reason, f"{len(ids):,}", ", ".join(ids[:5])) for reason, ids in index.rejects.items()]
    text: str = table(("split", "photos", "shards", "size", "photos by count"), splits)
    text += f"<p>Split: {index.sharding.split}, seed {index.sharding.seed}. Class weights: {weights}.</p>"
    if rejected:
        return text + "<h3>Photos left out</h3>" + table(("reason", "photos", "for example"), rejected)
    return text + "<p>No photo was left out.</p>"


def _counts(counts: dict[int, int]) -> str:
    return ", ".join(f"{quantity}: {photos:,}" for quantity, photos in counts.items())
