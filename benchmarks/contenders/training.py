"""Trainings with the same photos, split, network and processor time: by the training step, and by a usual recipe.

Both write the probabilities of the test photos, in the order of the shards.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from benchmarks.child import Work, cpu_seconds
from benchmarks.step_arguments import TRAIN, flags_of


def ours(base: str, flags: list[str], output: str) -> Work:
    """The training step in the container's folder `base`, then its exported model on the test split.

    Its probabilities are calibrated on validation bins, as in an endpoint's answers.
    """
    import numpy as np

    from steps.contracts.dataset import read_index
    from steps.model.predictor import Predictor
    from steps.photos.jpeg import network_input
    from steps.train.recipe import read_recipe
    from steps.train.run import run

    os.environ["SAGEMAKER_BASE_DIR"] = base

    def work() -> None:
        recipe = read_recipe([*flags_of(TRAIN), *flags])
        run(recipe)
        predictor = Predictor.load(Path(base) / "model")
        index = read_index(Path(base) / "input" / "data" / "index")
        ids, jpegs, quantities = _photos(index, "test")
        size = predictor.description.image_size
        probabilities = [predictor.probabilities(network_input(jpeg, size)[None])[0] for jpeg in jpegs]
        calibration = predictor.description.calibration
        np.savez(
            output,
            probabilities=np.array(probabilities),
            quantities=quantities,
            classes=index.classes,
            ids=ids,
            epochs=recipe.epochs,
            validated=predictor.description.metrics["validation:accuracy"],
            calibration="" if calibration is None else calibration.model_dump_json(),
        )

    return work


def lite0(base: str, flags: list[str], output: str) -> Work:
    """As `ours`, with EfficientNet-Lite0 among torchvision's classifiers."""
    from benchmarks.contenders import lite0 as network

    network.register()
    return ours(base, flags, output)


def naive(
    base: str, output: str, *, architecture: str, size: int, seconds: float, batch_size: int, bf16: bool, seed: int
) -> Work:
    """Random crops, rotations and flips; AdamW with a rate that halves every six epochs; the last weights.

    It trains for whole epochs until it has had `seconds` of processor time, with its loaders; on a GPU by the clock.
    """
    import io

    import numpy as np
    import torch
    from PIL import Image
    from torch import nn
    from torch.utils.data import DataLoader, Dataset

    from steps.contracts.dataset import read_index
    from steps.model.network import import_torchvision

    models = import_torchvision()
    from torchvision import transforms

    normalise = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    in_training = transforms.Compose(
        [
            transforms.RandomHorizontalFlip(),
            transforms.RandomRotation(15),
            transforms.RandomResizedCrop(size),
            transforms.ColorJitter(brightness=0.2, contrast=0.2),
            transforms.ToTensor(),
            normalise,
        ]
    )
    in_testing = transforms.Compose([transforms.Resize((size, size)), transforms.ToTensor(), normalise])

    class Photos(Dataset):  # type: ignore[type-arg]
        def __init__(self, jpegs: list[bytes], targets: list[int], transform: object) -> None:
            self.jpegs, self.targets, self.transform = jpegs, targets, transform

        def __len__(self) -> int:
            return len(self.jpegs)

        def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
            image = Image.open(io.BytesIO(self.jpegs[number])).convert("RGB")
            return self.transform(image), self.targets[number]  # type: ignore[operator]

    def work() -> None:
        torch.manual_seed(seed)
        torch.set_num_threads(int(os.environ["SM_NUM_CPUS"]))
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        index = read_index(Path(base) / "input" / "data" / "index")
        place = {quantity: number for number, quantity in enumerate(index.classes)}
        _, jpegs, quantities = _photos(index, "train")
        train = Photos(jpegs, [place[quantity] for quantity in quantities], in_training)
        network = getattr(models, architecture)()
        network.fc = nn.Linear(network.fc.in_features, len(place))
        nn.init.kaiming_normal_(network.fc.weight)
        network = network.to(device, memory_format=torch.channels_last)
        criterion = nn.CrossEntropyLoss(torch.tensor(index.class_weights, dtype=torch.float32, device=device))
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=6, gamma=0.5)
        # A loader's processes count when they have ended, after each epoch.
        clock = time.perf_counter if device.type == "cuda" else cpu_seconds
        began, epochs = clock(), 0
        # As near as whole epochs come.
        while not epochs or (clock() - began) * (1 + 0.5 / epochs) < seconds:
            epochs += 1
            for photos, targets in DataLoader(train, batch_size, shuffle=True, num_workers=2, drop_last=True):
                with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                    output_ = network(photos.to(device, memory_format=torch.channels_last))
                loss = criterion(output_.float(), targets.to(device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            schedule.step()
        network.eval()
        ids, jpegs, quantities = _photos(index, "test")
        test = Photos(jpegs, [place[quantity] for quantity in quantities], in_testing)
        with torch.inference_mode():
            batches = [network(photos.to(device)).softmax(1).cpu().numpy() for photos, _ in DataLoader(test, 64)]
        probabilities = np.concatenate(batches)
        written = {"probabilities": probabilities, "quantities": quantities, "classes": index.classes, "ids": ids}
        np.savez(output, **written, epochs=epochs)

    return work


def _photos(index: object, split: str) -> tuple[list[str], list[bytes], list[int]]:
    """Ids, JPEGs and quantities of a split, read in a process that ends: obstore does not work after a fork."""
    import multiprocessing

    shards = [shard.model_dump_json() for shard in index.splits[split].shards]  # type: ignore[attr-defined]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        samples = [sample for shard in pool.map(_read, shards) for sample in shard]
    ids, jpegs, quantities = zip(*samples, strict=True)
    return list(ids), list(jpegs), list(quantities)


def _read(shard: str) -> list[tuple[str, bytes, int]]:
    from steps.contracts.dataset import Shard
    from steps.shards.reading import read_shard

    return [(sample.image_id, sample.jpeg, sample.quantity) for sample in read_shard(Shard.model_validate_json(shard))]
