"""The lines that rank 0 prints, and that SageMaker's metric definitions read.

SageMaker ranks trials by the latest value of the objective, therefore `validation:best_accuracy` is the running best,
the accuracy of the artifact that is written.
https://docs.aws.amazon.com/sagemaker/latest/dg/define-train-metrics.html
"""

from __future__ import annotations

from steps.train.history import History


def epoch_line(history: History) -> str:
    """The last epoch: `epoch=3 train:loss=1.2345 validation:loss=... validation:best_accuracy=0.4400 ...`."""
    record = history.epochs[-1]
    metrics = {
        "train:loss": record.train_loss,
        "validation:loss": record.validation_loss,
        "validation:accuracy": record.validation_accuracy,
        "validation:rmse": record.validation_rmse,
        "validation:best_accuracy": history.best.validation_accuracy,
        "learning_rate": record.learning_rate,
        "seconds": record.seconds,
        "images_per_second": record.images_per_second,
        "data_wait_share": record.data_wait_share,
    }
    return " ".join([f"epoch={record.epoch}", *(f"{name}={number(value)}" for name, value in metrics.items())])


def progress_line(*, epoch: int, step: int, steps: int, loss: float, images_per_second: float, waiting: float) -> str:
    """Where a long epoch stands."""
    return (
        f"epoch={epoch} step={step}/{steps} loss={loss:.4f} "
        f"images_per_second={images_per_second:.0f} data_wait_share={waiting:.3f}"
    )


def number(value: float) -> str:
    """A decimal without an exponent, which not every expression for a metric reads."""
    return f"{value:.6f}" if abs(value) < 1 else f"{value:.4f}"
