"""Metric names in the trainer's log, and the expressions by which the tuner and others read them.

https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-define-metrics-variables.html
"""

from __future__ import annotations

# The best value so far: SageMaker ranks trials by the objective's latest value.
OBJECTIVE = "validation:best_accuracy"
ACCURACY = "validation:accuracy"
RMSE = "validation:rmse"
LOSS = "validation:loss"
TRAIN_LOSS = "train:loss"
# The last finished epoch: a job's description contains the latest values of its metrics, but not their number.
EPOCH = "epoch"

_NUMBER = r"([0-9.eE+-]+)"
PATTERNS = {name: f"{name}={_NUMBER}" for name in (OBJECTIVE, ACCURACY, RMSE, LOSS, TRAIN_LOSS)} | {
    # Progress lines contain the epoch too: only the line at its end has the loss right behind it.
    EPOCH: f"{EPOCH}=([0-9]+) {TRAIN_LOSS}="
}
