"""The metrics' expressions, against the lines that the trainer prints."""

from __future__ import annotations

import re

from steps.contracts import metrics
from steps.train.history import EpochRecord, History
from steps.train.log_lines import epoch_line, progress_line


def history(epochs: int) -> History:
    records = [
        EpochRecord(
            epoch=number,
            train_loss=2.0 / number,
            validation_loss=3.0 / number,
            validation_accuracy=0.5 - 0.1 * abs(number - 2),
            validation_rmse=1.0 + 0.1 * abs(number - 2),
            per_class={0: 0.5},
            learning_rate=1e-5,
            seconds=12.5,
            images_per_second=1234.5,
            data_wait_share=0.01,
        )
        for number in range(1, epochs + 1)
    ]
    return History(epochs=records)


def test_every_metric_is_read_once_from_an_epochs_line() -> None:
    line = f"INFO steps.train.run: {epoch_line(history(3))}"
    found = {name: re.findall(pattern, line) for name, pattern in metrics.PATTERNS.items()}
    assert {name: [float(value) for value in values] for name, values in found.items()} == {
        metrics.OBJECTIVE: [0.5],
        metrics.ACCURACY: [0.4],
        metrics.RMSE: [1.1],
        metrics.LOSS: [1.0],
        metrics.TRAIN_LOSS: [0.666667],
        metrics.EPOCH: [3.0],
    }


def test_an_epoch_under_way_is_not_counted() -> None:
    line = progress_line(epoch=4, step=10, steps=20, loss=0.7, images_per_second=100, waiting=0.1)
    assert not any(re.search(pattern, line) for pattern in metrics.PATTERNS.values())
