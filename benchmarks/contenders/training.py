"""Trainings with the same photos, split, network and epochs: by the training step, and by a usual recipe.

Both write the probabilities of the test photos, in the order of the shards.
"""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.child import Work
from benchmarks.step_arguments import TRAIN, flags_of


def ours(base: str, flags: list[str], output: str) -> Work:
    """The training step in the container's folder `base`, then its exported model on the test split."""
    import numpy as np

    from steps.contracts.dataset import read_index
    from steps.model.predictor import Predictor
    from steps.photos.jpeg import network_input
    from steps.train.recipe import read_recipe
    from steps.train.run import run

    os.environ["SAGEMAKER_BASE_DIR"] = base

    def work() -> None:
        run(read_recipe([*flags_of(TRAIN), *flags]))
        predictor = Predictor.load(Path(base) / "model")
        index = read_index(Path(base) / "input" / "data" / "index")
        jpegs, quantities = _photos(index, "test")
        size = predictor.description.image_size
        probabilities = [predictor.probabilities(network_input(jpeg, size)[None])[0] for jpeg in jpegs]
        np.savez(output, probabilities=np.array(probabilities), quantities=quantities, classes=index.classes)

    return work


def naive(
    base: str, output: str, *, architecture: str, size: int, epochs: int, batch_size: int, bf16: bool, seed: int
) -> Work:
    """Random crops, rotations and flips; AdamW with a rate that halves every six epochs; the last weights."""
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
        jpegs, quantities = _photos(index, "train")
        train = Photos(jpegs, [place[quantity] for quantity in quantities], in_training)
        network = getattr(models, architecture)()
        network.fc = nn.Linear(network.fc.in_features, len(place))
        nn.init.kaiming_normal_(network.fc.weight)
        network = network.to(device, memory_format=torch.channels_last)
        criterion = nn.CrossEntropyLoss(torch.tensor(index.class_weights, dtype=torch.float32, device=device))
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=6, gamma=0.5)
        for _ in range(epochs):
            for photos, targets in DataLoader(train, batch_size, shuffle=True, num_workers=2, drop_last=True):
                with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                    output_ = network(photos.to(device, memory_format=torch.channels_last))
                loss = criterion(output_.float(), targets.to(device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            schedule.step()
        network.eval()
        jpegs, quantities = _photos(index, "test")
        test = Photos(jpegs, [place[quantity] for quantity in quantities], in_testing)
        with torch.inference_mode():
            batches = [network(photos.to(device)).softmax(1).cpu().numpy() for photos, _ in DataLoader(test, 64)]
        np.savez(output, probabilities=np.concatenate(batches), quantities=quantities, classes=index.classes)

    return work


def _photos(index: object, split: str) -> tuple[list[bytes], list[int]]:
    """JPEGs and quantities of a split, read in a process that ends: obstore does not work after a fork."""
    import multiprocessing

    shards = [shard.model_dump_json() for shard in index.splits[split].shards]  # type: ignore[attr-defined]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        samples = [sample for shard in pool.map(_read, shards) for sample in shard]
    return [jpeg for jpeg, _ in samples], [quantity for _, quantity in samples]


def _read(shard: str) -> list[tuple[bytes, int]]:
    from steps.contracts.dataset import Shard
    from steps.shards.reading import read_shard

    return [(sample.jpeg, sample.quantity) for sample in read_shard(Shard.model_validate_json(shard))]
