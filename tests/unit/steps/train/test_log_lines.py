import re

from steps.train.history import History
from steps.train.log_lines import epoch_line, number, progress_line, resource_line

from .test_checkpoint import record

# As in the pipeline's metric definitions: {"Name": name, "Regex": rf"{name}=([0-9.eE+-]+)"}.
METRICS = ("validation:best_accuracy", "validation:accuracy", "validation:rmse", "validation:loss", "train:loss")


def history(*accuracies: float) -> History:
    return History(
        epochs=[
            record(epoch).model_copy(update={"validation_accuracy": accuracy})
            for epoch, accuracy in enumerate(accuracies, 1)
        ]
    )


def parsed(line: str) -> dict[str, float]:
    found = {name: re.findall(rf"{name}=([0-9.eE+-]+)", line) for name in METRICS}
    assert all(len(values) == 1 for values in found.values())
    return {name: float(values[0]) for name, values in found.items()}


def test_metric_definitions_read_each_metric_once():
    assert parsed(epoch_line(history(0.25))) == {
        "validation:best_accuracy": 0.25,
        "validation:accuracy": 0.25,
        "validation:rmse": 1.2,
        "validation:loss": 1.4,
        "train:loss": 1.5,
    }


def test_the_latest_best_accuracy_is_the_best_so_far():
    values = [parsed(epoch_line(history(*[0.3, 0.5, 0.4][:epochs]))) for epochs in (1, 2, 3)]
    assert [value["validation:best_accuracy"] for value in values] == [0.3, 0.5, 0.5]
    assert [value["validation:accuracy"] for value in values] == [0.3, 0.5, 0.4]


def test_the_artifact_is_due_exactly_when_the_best_accuracy_rises():
    accuracies = [0.3, 0.5, 0.5, 0.4, 0.6]
    due = [history(*accuracies[:epochs]).improved for epochs in range(1, 6)]
    assert due == [True, True, False, False, True]


def test_a_progress_line_holds_no_metric():
    line = progress_line(epoch=2, step=10, steps=99, loss=1.25, images_per_second=512.3, waiting=0.031)
    assert line == "epoch=2 step=10/99 loss=1.2500 images_per_second=512 data_wait_share=0.031"
    assert not any(re.search(rf"{name}=", line) for name in METRICS)


def test_what_was_measured_stands_in_the_epoch_line_and_what_was_not_does_not():
    plain = epoch_line(history(0.25))
    assert "gradient_norm" not in plain
    assert "gpu" not in plain
    measured = History(
        epochs=[record(1).model_copy(update={"gradient_norm": 1.5, "gradient_norm_max": 9.0, "gpu_memory_bytes": 10})]
    )
    assert epoch_line(measured).endswith(" gradient_norm=1.5000 gradient_norm_max=9.0000 gpu_memory_bytes=10")
    parsed(epoch_line(measured))


def test_a_person_reads_where_time_and_memory_went():
    measured = record(3).model_copy(
        update={
            "gradient_norm": 1.234,
            "gradient_norm_max": 4.56,
            "gpu_utilisation": 0.925,
            "gpu_memory_bytes": 10_240_000_000,
        }
    )
    assert resource_line(record(3), 100) == "epoch 3: 100.0 ms per step, 1% of it waiting for data"
    assert resource_line(measured, 100) == (
        "epoch 3: 100.0 ms per step, 1% of it waiting for data; GPU busy 92%, 10.2 GB; gradient norm 1.23, at most 4.56"
    )


def test_small_numbers_have_no_exponent():
    assert number(0.00001) == "0.000010"
