"""The charts and thumbnails of the evaluation report, and the published baseline that they show."""

from __future__ import annotations

import base64
from collections import Counter

from steps.contracts.evaluation import Calibration, ClassReport, Selective
from steps.contracts.wording import count_of
from steps.evaluate.artifact import Epoch
from steps.photos.jpeg import ImageError, decode_rgb, resize
from steps.reports.charts import Bar, Drawing, Point, bars, diagonal, lines

# The published baseline on the Amazon Bin Image Dataset, quantities 0 to 5: a ResNet34 trained from scratch on the
# whole data set (535,234 photos), on its authors' own split. https://github.com/silverbottlep/abid_challenge
PUBLISHED_ACCURACY = 0.5567
PUBLISHED_RMSE = 0.930
PUBLISHED_ACCURACY_BY_QUANTITY = {0: 0.977, 1: 0.834, 2: 0.672, 3: 0.549, 4: 0.426, 5: 0.449}
PUBLISHED_NAME = "published ResNet34"

PHOTO_SIDE = 200  # pixels of a thumbnail's longer side


def accuracy_by_quantity(per_class: dict[str, ClassReport]) -> Drawing:
    """Accuracy by true quantity, with the published one across the bars."""
    data = [
        Bar(quantity, report.accuracy, mark=PUBLISHED_ACCURACY_BY_QUANTITY.get(int(quantity)))
        for quantity, report in per_class.items()
    ]
    marks = PUBLISHED_NAME if any(bar.mark is not None for bar in data) else ""
    return bars("Accuracy by true count", "true count", "share of photos", data, percent=True, marks=marks)


def errors(matrix: dict[str, dict[str, int]]) -> Drawing:
    """Photos by error (predicted less true count), from the most negative to the most positive."""
    photos_by_error: Counter[int] = Counter()
    for truth, row in matrix.items():
        for predicted, photos in row.items():
            photos_by_error[int(predicted) - int(truth)] += photos
    occurring = [error for error, photos in photos_by_error.items() if photos]
    data = [
        Bar(f"{error:+d}" if error else "0", photos_by_error[error], faint=bool(error))
        for error in range(min(occurring), max(occurring) + 1)
    ]
    return bars("Distribution of errors", "predicted less true count", "photos", data)


def reliability(calibration: Calibration) -> Drawing:
    """Accuracy against confidence, one point per bin."""
    points = []
    for each in calibration.bins:
        text = f"{count_of(each.photos, 'photo')}: confidence {each.confidence:.1%}, accuracy {each.accuracy:.1%}"
        points.append(Point(each.confidence, each.accuracy, each.photos, text))
    return diagonal("Reliability diagram", "confidence", "accuracy", points)


def risk_coverage(selective: Selective) -> Drawing:
    """Accuracy of the surest photos by their share."""
    places = [round(100 * point.coverage) for point in selective.curve]
    data = {"accuracy": [point.accuracy for point in selective.curve]}
    return lines("Accuracy by coverage", data, places, below="surest photos, in percent", marked=None)


def curves(epochs: list[Epoch], best: int | None) -> list[Drawing]:
    """Accuracy, RMSE and loss by epoch; the epoch `best`, that of the model, is marked. No charts without epochs."""
    if not epochs:
        return []
    places = [record.epoch for record in epochs]
    charts = {
        "Validation accuracy": {"validation accuracy": [record.validation_accuracy for record in epochs]},
        "Validation RMSE": {"validation RMSE": [record.validation_rmse for record in epochs]},
        "Loss": {
            "training": [record.train_loss for record in epochs],
            "validation": [record.validation_loss for record in epochs],
        },
    }
    return [lines(title, data, places, below="epoch", marked=best) for title, data in charts.items()]


def thumbnail(jpeg: bytes) -> str:
    """A small copy of a photo as a data URI; empty for a photo that cannot be decoded."""
    import simplejpeg

    try:
        pixels = decode_rgb(jpeg, PHOTO_SIDE)
    except ImageError:
        return ""
    height, width = pixels.shape[:2]
    scale = min(1.0, PHOTO_SIDE / max(height, width))
    small = resize(pixels, max(1, round(width * scale)), max(1, round(height * scale)))
    return "data:image/jpeg;base64," + base64.b64encode(simplejpeg.encode_jpeg(small, quality=80)).decode()
