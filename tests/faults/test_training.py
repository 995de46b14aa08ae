"""Training, when a rank, a checkpoint, a shard or the network fails: it goes on as it would have, or says why it ends.

Every job here has a time limit: none may hang.
"""

import json
import multiprocessing
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from steps.train import checkpoint
from tests.conftest import free_port
from tests.unit.steps.train.photos import launch, store_dataset

FLAGS = (
    *("--architecture", "resnet18", "--image-size", "32", "--epochs", "2", "--batch-size", "8", "--patience", "0"),
    *("--workers", "1", "--ema-decay", "0.9"),
)
CHECKPOINT_EACH_STEP = ("--checkpoint-minutes", "0.000001", "--checkpoints-kept", "3")
TIME_LIMIT = 480


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    log, _ = process.communicate(timeout=TIME_LIMIT)
    return process.returncode, log


def train(base: Path, *flags: str) -> tuple[int, str]:
    return finish(launch(base, free_port(), *FLAGS, *flags))


def epochs(base: Path) -> list[dict[str, object]]:
    times = {"seconds", "images_per_second", "data_wait_share"}
    history = json.loads((base / "model" / "history.json").read_text())["epochs"]
    return [{name: value for name, value in epoch.items() if name not in times} for epoch in history]


def wait_until(condition, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + TIME_LIMIT
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture(scope="module")
def dataset(s3, tmp_path_factory) -> Path:
    name = f"faults-{os.getpid()}"
    s3.create_bucket(Bucket=name)
    folder = tmp_path_factory.mktemp("dataset")
    store_dataset(s3, name, folder, train=61, validation=21, shards=3)
    return folder


@pytest.fixture
def base(dataset: Path, tmp_path: Path) -> Path:
    channel = tmp_path / "input" / "data" / "index"
    channel.parent.mkdir(parents=True)
    channel.symlink_to(dataset)
    return tmp_path


@pytest.fixture(scope="module")
def undisturbed(dataset: Path, tmp_path_factory) -> list[dict[str, object]]:
    """The epochs of a training that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "input" / "data").mkdir(parents=True)
    (folder / "input" / "data" / "index").symlink_to(dataset)
    status, log = train(folder)
    assert status == 0, log
    return epochs(folder)


def test_sigterm_while_a_checkpoint_is_saved_leaves_one_to_go_on_from(undisturbed, base):
    process = launch(base, free_port(), *FLAGS, *CHECKPOINT_EACH_STEP)
    folder = base / "checkpoints" / "job-1"
    # With a checkpoint each step the second one is under way or about to be.
    wait_until(lambda: any(folder.glob("*.part")) and any(folder.glob("epoch-*.pt")), process)
    process.send_signal(signal.SIGTERM)
    status, log = finish(process)
    assert status != 0
    saved = re.search(r"SIGTERM: saved epoch (\d+), step (\d+)", log)
    assert saved, log
    newest = max(folder.glob("epoch-*.pt")).name
    assert newest.startswith(f"epoch-{int(saved[1]) - 1:04d}-step-{int(saved[2]):06d}")
    status, log = train(base)
    assert status == 0, log
    assert "resumed at epoch" in log
    assert epochs(base) == undisturbed


def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before_it(undisturbed, base):
    process = launch(base, free_port(), *FLAGS, *CHECKPOINT_EACH_STEP)
    folder = base / "checkpoints" / "job-1"
    wait_until(lambda: len(list(folder.glob("epoch-*.pt"))) == 3, process)
    # Without notice: a machine that is gone.
    os.kill(int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]), signal.SIGKILL)
    status, log = finish(process)
    assert status != 0
    newest, before = sorted(folder.glob("epoch-*.pt"))[:-3:-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    position = checkpoint.decode(before.read_bytes())[0]
    status, log = train(base)
    assert status == 0, log
    assert f"{newest.name} is damaged" in log
    assert f"resumed at epoch {position.epoch + 1}, step {position.step}" in log
    assert epochs(base) == undisturbed


def test_a_missing_shard_ends_every_rank_with_its_name(s3, bucket, tmp_path):
    store_dataset(s3, bucket, tmp_path / "input" / "data" / "index", train=40, validation=9, shards=2)
    key = s3.list_objects_v2(Bucket=bucket, Prefix="train/")["Contents"][0]["Key"]
    s3.delete_object(Bucket=bucket, Key=key)
    status, log = train(tmp_path)
    assert status != 0
    assert len([line for line in log.splitlines() if f"s3://{bucket}/{key}: the shard does not exist" in line]) == 2, (
        log
    )
    assert f"s3://{bucket}/{key}" in (tmp_path / "output" / "failure").read_text()


def test_one_shard_is_enough_for_all_ranks_and_their_loader_processes(s3, bucket, tmp_path):
    store_dataset(s3, bucket, tmp_path / "input" / "data" / "index", train=64, validation=16, shards=1)
    status, log = train(tmp_path, "--workers", "4", "--epochs", "1")
    assert status == 0, log
    # 32 photos per rank in batches of 8.
    assert "64 training photos in 1 shards, 4 steps per epoch" in log


def test_too_few_photos_for_the_ranks_are_refused_on_every_rank_before_they_meet(s3, bucket, tmp_path):
    store_dataset(s3, bucket, tmp_path / "input" / "data" / "index", train=3, validation=3, shards=1)
    status, log = finish(launch(tmp_path, free_port(), *FLAGS, processes=3))
    assert status != 0
    assert log.count("3 training photos for 3 processes") >= 1, log


def test_a_loss_that_is_no_number_ends_both_ranks(base):
    status, log = train(base, "--optimizer", "sgd", "--learning-rate", "1e30")
    assert status != 0
    assert re.search(r"loss is not a finite number.*smaller learning rate", log), log
    assert not (base / "model" / "model.json").exists()


def test_more_ranks_than_a_checkpoint_was_written_by_are_refused(base):
    status, log = train(base, "--epochs", "1", *CHECKPOINT_EACH_STEP)
    assert status == 0, log
    status, log = finish(launch(base, free_port(), *FLAGS, "--epochs", "1", processes=1))
    assert status != 0
    assert "a checkpoint of another training: processes is 1 and was 2" in log


def _stop(rank: int, port: int, answers) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2", "GLOO_SOCKET_IFNAME": "lo"}
    import torch

    from steps.train.collectives import process_group
    from steps.train.history import out_of_patience
    from steps.train.world import BackendChoice, World

    with process_group(World.detect(), BackendChoice("gloo", "test"), torch.device("cpu")) as group:
        # Rank 1 alone is out of patience.
        accuracies = [0.5, 0.4, 0.4] if rank == 1 else [0.3, 0.4, 0.5]
        answers.put((rank, *(group.any(out_of_patience(each, 2)) for each in (accuracies, [0.1, 0.2]))))


def test_one_ranks_verdict_stops_all_ranks():
    spawn = multiprocessing.get_context("spawn")
    answers, port = spawn.Queue(), free_port()
    ranks = [spawn.Process(target=_stop, args=(rank, port, answers)) for rank in range(2)]
    for rank in ranks:
        rank.start()
    results = sorted(answers.get(timeout=TIME_LIMIT) for _ in ranks)
    for rank in ranks:
        rank.join(TIME_LIMIT)
    assert results == [(0, True, False), (1, True, False)]
