"""The report's charts and photos."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable

from steps.contracts.evaluation import Calibration, ClassReport, Difference
from steps.evaluate import published
from steps.evaluate.history import Epoch
from steps.evaluate.mistakes import Shown
from steps.photos.jpeg import ImageError, decode_rgb, resize
from steps.reports.charts import Bar, Point, bars, diagonal, lines
from steps.reports.page import Markup

PHOTO_SIDE = 200  # pixels of a photo's longer side in the report


def confusion(matrix: dict[str, dict[str, int]]) -> Markup:
    """A table whose cells are shaded by their share of the row."""
    head = "".join(f"<th scope='col'>{html.escape(column)}</th>" for column in matrix)
    rows = []
    for truth, row in matrix.items():
        total = sum(row.values()) or 1
        cells = []
        for predicted, photos in row.items():
            kind = "right" if truth == predicted else "wrong"
            share = photos / total
            hint = f"{share:.1%} of the photos with {truth}"
            cells.append(f"<td class='{kind}' style='--share:{share:.3f}' title='{html.escape(hint)}'>{photos:,}</td>")
        rows.append(f"<tr><th scope='row'>{html.escape(truth)}</th>{''.join(cells)}</tr>")
    return Markup(
        "<table class='confusion'><thead><tr><td></td>"
        f"<th colspan='{len(matrix)}'>predicted</th></tr><tr><th>truth</th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def accuracy_by_quantity(per_class: dict[str, ClassReport]) -> Markup:
    """Accuracy by true quantity, with the published one across the bars."""
    data = [
        Bar(quantity, report.accuracy, mark=published.ACCURACY_BY_QUANTITY.get(int(quantity)))
        for quantity, report in per_class.items()
    ]
    marks = published.NAME if any(bar.mark is not None for bar in data) else ""
    return bars("Accuracy by true count", "objects", "share counted right", data, percent=True, marks=marks)


def errors(matrix: dict[str, dict[str, int]]) -> Markup:
    """How many photos are off by how much, from too few to too many."""
    found: dict[int, int] = {}
    for truth, row in matrix.items():
        for predicted, photos in row.items():
            error = int(predicted) - int(truth)
            found[error] = found.get(error, 0) + photos
    seen = [error for error, photos in found.items() if photos]
    data = [
        Bar(f"{error:+d}" if error else "right", found.get(error, 0), faint=bool(error))
        for error in range(min(seen), max(seen) + 1)
    ]
    return bars("How far off", "objects too few or too many", "photos", data)


def reliability(calibration: Calibration) -> Markup:
    """How often the model is right against how sure it is."""
    points = [
        Point(
            one.confidence,
            one.accuracy,
            one.photos,
            f"{one.photos:,} photos: {one.confidence:.1%} sure, {one.accuracy:.1%} right",
        )
        for one in calibration.bins
    ]
    return diagonal("Reliability", "how sure the model is", "share counted right", points)


def curves(epochs: list[Epoch]) -> Markup:
    """Accuracy, RMSE and loss by epoch."""
    if not epochs:
        return Markup("<p>The artifact holds no history.</p>")
    places = [one.epoch for one in epochs]
    best = max(epochs, key=lambda one: one.validation_accuracy).epoch
    charts = {
        "Validation accuracy": {"validation accuracy": [one.validation_accuracy for one in epochs]},
        "Validation RMSE": {"validation RMSE": [one.validation_rmse for one in epochs]},
        "Loss": {
            "training": [one.train_loss for one in epochs],
            "validation": [one.validation_loss for one in epochs],
        },
    }
    return Markup("".join(lines(title, data, places, below="epoch", marked=best) for title, data in charts.items()))


def interval(difference: Difference, *, percent: bool) -> str:
    """A difference with its 95% interval, in words."""
    if percent:
        value, lower, upper = (f"{100 * one:+.1f}" for one in (difference.value, difference.lower, difference.upper))
        return f"{value} points (95%: {lower} to {upper})"
    return f"{difference.value:+.3f} (95%: {difference.lower:+.3f} to {difference.upper:+.3f})"


def photos(shown: Iterable[Shown]) -> Markup:
    """Miscounted photos with truth and prediction."""
    figures = []
    for one in shown:
        name = html.escape(one.image_id)
        figures.append(
            f"<figure><img alt='photo {name}' src='{_thumbnail(one.jpeg)}'>"
            f"<figcaption><b>{one.predicted} instead of {one.quantity}</b><br>{name}, {one.confidence:.0%} sure"
            "</figcaption></figure>"
        )
    return Markup(f"<div class='photos'>{''.join(figures)}</div>" if figures else "")


def _thumbnail(jpeg: bytes) -> str:
    import simplejpeg

    try:
        pixels = decode_rgb(jpeg, PHOTO_SIDE)
    except ImageError:
        return ""
    height, width = pixels.shape[:2]
    scale = min(1.0, PHOTO_SIDE / max(height, width))
    small = resize(pixels, max(1, round(width * scale)), max(1, round(height * scale)))
    return "data:image/jpeg;base64," + base64.b64encode(simplejpeg.encode_jpeg(small, quality=80)).decode()
