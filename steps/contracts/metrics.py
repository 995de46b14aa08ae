"""What the trainer prints and the tuner, the local cloud and the tables read: metric names and their expressions.

https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-define-metrics-variables.html
"""

from __future__ import annotations

# The trainer prints the running best under this name: SageMaker ranks trials by the objective's latest value.
OBJECTIVE = "validation:best_accuracy"
ACCURACY = "validation:accuracy"
RMSE = "validation:rmse"
LOSS = "validation:loss"
TRAIN_LOSS = "train:loss"
# The last epoch that was finished: a job's description holds the latest values of its metrics, and no count of them.
EPOCH = "epoch"

_NUMBER = r"([0-9.eE+-]+)"
PATTERNS = {name: f"{name}={_NUMBER}" for name in (OBJECTIVE, ACCURACY, RMSE, LOSS, TRAIN_LOSS)} | {
    # Lines about an epoch under way name it too: only the line that sums it up has the loss right behind.
    EPOCH: f"{EPOCH}=([0-9]+) {TRAIN_LOSS}="
}
