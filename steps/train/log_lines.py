"""The log lines of rank 0, from which SageMaker's metric definitions read values.

SageMaker ranks trials by the latest value of the objective. Therefore `validation:best_accuracy` is the accuracy of
the best epoch so far, that of the written artifact.
https://docs.aws.amazon.com/sagemaker/latest/dg/define-train-metrics.html
"""

from __future__ import annotations

from steps.train.history import EpochRecord, History

# Figures that the line contains under other names.
_RENAMED = ("train_loss", "validation_loss", "validation_accuracy", "validation_rmse")


def epoch_line(history: History) -> str:
    """The last epoch: `epoch=3 train:loss=1.2345 validation:loss=... validation:best_accuracy=0.4400 ...`."""
    record = history.epochs[-1]
    metrics = {
        "train:loss": record.train_loss,
        "validation:loss": record.validation_loss,
        "validation:accuracy": record.validation_accuracy,
        "validation:rmse": record.validation_rmse,
        "validation:best_accuracy": history.best.validation_accuracy,
        **record.model_dump(exclude={"epoch", "per_class", *_RENAMED}, exclude_none=True),
    }
    return " ".join([f"epoch={record.epoch}", *(f"{name}={number(value)}" for name, value in metrics.items())])


def resource_line(record: EpochRecord, steps: int) -> str:
    """Time and memory of an epoch of `steps` steps, for a person.

    `epoch 3: 81.2 ms per step, 3% of it waiting for data; GPU busy 93%, 10.2 GB; gradient norm 1.23, at most 4.56`.
    """
    parts = [f"{1000 * record.seconds / steps:.1f} ms per step, {record.data_wait_share:.0%} of it waiting for data"]
    gpu = []
    if record.gpu_utilisation is not None:
        gpu.append(f"busy {record.gpu_utilisation:.0%}")
    if record.gpu_memory_bytes is not None:
        gpu.append(f"{record.gpu_memory_bytes / 1e9:.1f} GB")
    if gpu:
        parts.append(f"GPU {', '.join(gpu)}")
    if record.gradient_norm is not None and record.gradient_norm_max is not None:
        parts.append(f"gradient norm {record.gradient_norm:.3g}, at most {record.gradient_norm_max:.3g}")
    return f"epoch {record.epoch}: " + "; ".join(parts)


def progress_line(*, epoch: int, step: int, steps: int, loss: float, images_per_second: float, waiting: float) -> str:
    """The progress within a long epoch."""
    return (
        f"epoch={epoch} step={step}/{steps} loss={loss:.4f} "
        f"images_per_second={images_per_second:.0f} data_wait_share={waiting:.3f}"
    )


def number(value: float) -> str:
    """A decimal without an exponent, which some expressions for metrics do not match; a whole number unchanged."""
    if isinstance(value, int):
        return str(value)
    return f"{value:.6f}" if abs(value) < 1 else f"{value:.4f}"
