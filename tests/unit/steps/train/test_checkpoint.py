import pytest
import torch

from steps.contracts.errors import StepError
from steps.train.average import WeightAverage
from steps.train.checkpoint import Progress, State, decode, encode, read_newest, write
from steps.train.diagnostics import NormSum
from steps.train.history import EpochRecord, History

FINGERPRINT = {"learning_rate": "0.1", "dataset": "abc"}


def record(epoch: int) -> EpochRecord:
    return EpochRecord(
        epoch=epoch,
        train_loss=1.5,
        validation_loss=1.4,
        validation_accuracy=0.3,
        validation_rmse=1.2,
        per_class={0: 0.5, 3: 0.1},
        learning_rate=0.1,
        seconds=10,
        images_per_second=99,
        data_wait_share=0.01,
    )


def progress(epoch: int = 0, step: int = 0) -> Progress:
    history = History(epochs=[record(n + 1) for n in range(epoch)])
    return Progress(epoch, step, 3.5, 40, 2.5, 0.5, NormSum(8.0, 3.0, 4), history)


def trained() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    network = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    return network, optimizer


def state_of(network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> State:
    return State(network.state_dict(), optimizer.state_dict(), {}, WeightAverage(network, 0.9).state_dict())


def encoded(position: Progress, fingerprint: dict[str, str] = FINGERPRINT) -> bytes:
    return encode(position, fingerprint, state_of(*trained()))


def test_progress_network_and_optimizer_come_back():
    network, optimizer = trained()
    position, state = decode(encode(progress(2, 5), FINGERPRINT, state_of(network, optimizer)))
    assert position == progress(2, 5)
    assert all(torch.equal(state.network[name], tensor) for name, tensor in network.state_dict().items())
    assert torch.equal(state.optimizer["state"][0]["exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"])
    assert state.average is not None
    assert all(torch.equal(state.average["network"][name], tensor) for name, tensor in network.state_dict().items())


def test_the_newest_is_read_by_epoch_and_step(tmp_path):
    for position in (progress(2, 1), progress(0, 10), progress(1, 11)):
        write(tmp_path, position, encoded(position), 2)
    found = read_newest(tmp_path, FINGERPRINT)
    assert found is not None
    assert (decode(found)[0].epoch, decode(found)[0].step) == (2, 1)


def test_the_newest_two_are_kept_and_nothing_else_is_left(tmp_path):
    for step in range(1, 5):
        write(tmp_path, progress(0, step), encoded(progress(0, step)), 2)
    steps = sorted(path.name.split("-")[3] for path in tmp_path.iterdir())
    assert steps == ["000003", "000004"]


def test_a_folder_without_checkpoints_means_from_the_beginning(tmp_path):
    assert read_newest(tmp_path, FINGERPRINT) is None
    assert read_newest(tmp_path / "absent", FINGERPRINT) is None


@pytest.mark.parametrize(
    "damage", [lambda data: data[:100], lambda data: b"", lambda data: data[:-9] + b"x" + data[-8:]]
)
def test_a_damaged_newest_gives_way_to_the_one_before_it_and_is_logged(tmp_path, caplog, damage):
    write(tmp_path, progress(0, 1), encoded(progress(0, 1)), 2)
    newest = write(tmp_path, progress(0, 2), encoded(progress(0, 2)), 2)
    newest.write_bytes(damage(newest.read_bytes()))
    found = read_newest(tmp_path, FINGERPRINT)
    assert found is not None
    assert decode(found)[0].step == 1
    assert newest.name in caplog.text


def test_a_half_written_file_is_not_a_checkpoint(tmp_path):
    (tmp_path / "epoch-0009-step-000001-0123456789abcdef.part").write_bytes(b"half")
    assert read_newest(tmp_path, FINGERPRINT) is None


@pytest.mark.parametrize("change", [{"learning_rate": "0.2"}, {"dataset": "other"}])
def test_a_checkpoint_of_another_training_is_refused_with_what_differs(tmp_path, change):
    write(tmp_path, progress(0, 1), encoded(progress(0, 1)), 2)
    (name,) = change
    with pytest.raises(StepError, match=f"another training: {name} is {change[name]} and was {FINGERPRINT[name]}"):
        read_newest(tmp_path, {**FINGERPRINT, **change})


def test_a_checkpoint_cannot_bring_code(tmp_path):
    import io
    import pickle

    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    buffer = io.BytesIO()
    torch.save({"fingerprint": FINGERPRINT, "network": Payload()}, buffer)
    write(tmp_path, progress(0, 1), buffer.getvalue(), 2)
    with pytest.raises(pickle.UnpicklingError):
        read_newest(tmp_path, FINGERPRINT)
    assert not (tmp_path / "ran").exists()
