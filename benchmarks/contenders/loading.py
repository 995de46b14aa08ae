"""Shards in S3 to batches in the training process: our loader, a naive one, other loaders, and decoding alone.

The figures are the seconds until the first batch, with the construction of the loader, and the rate of photos after it.
Batches are not used: a training would take the same time with each loader.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from benchmarks.child import Work
from steps.contracts.dataset import Shard

SIDE = 224
CLASSES = range(6)
SECONDS_OF_DECODING = 3.0


def timed(loader: Callable[[], Iterable[int]]) -> Work:
    """The work of a loader that yields the number of photos of each batch."""

    def work() -> dict[str, float]:
        started = time.perf_counter()
        batches = iter(loader())
        photos = next(batches)
        first = time.perf_counter()
        rest = sum(batches)
        return {"first": first - started, "rate": rest / (time.perf_counter() - first), "photos": photos + rest}

    return work


def ours(index: str, workers: int, batch_size: int) -> Work:
    """The training step's loader, for one rank."""
    from steps.train.assignment import Share, training_plan
    from steps.train.loader import Loader
    from steps.train.reading import Reading

    shards = _shards(index)

    def loader() -> Iterator[int]:
        plan = functools.partial(training_plan, [s.samples for s in shards], Share(0, 1, workers, batch_size), 1)
        reading = Reading(shards, CLASSES, SIDE, plan, shuffle_seed=1)
        with Loader(reading, workers=workers, pin_memory=False) as batches:
            for _, targets, _ in batches.batches():
                yield len(targets)

    return timed(loader)


def naive(index: str, workers: int, batch_size: int) -> Work:
    """The same shards in the usual way: a pipe from the AWS CLI, Pillow, floats."""
    import io

    import webdataset as wds
    from PIL import Image

    from steps.model.network import import_torchvision

    import_torchvision()
    from torchvision import transforms

    urls = [f"pipe:aws s3 cp {shard.uri} -" for shard in _shards(index)]
    # A rotation and a jitter of colours, which are also usual, would double the time.
    transform = transforms.Compose(
        [
            transforms.RandomHorizontalFlip(),
            transforms.RandomResizedCrop(SIDE),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )

    def loader() -> Iterator[int]:
        samples = wds.DataPipeline(
            wds.SimpleShardList(urls),
            wds.shuffle(1000),
            wds.split_by_worker,
            wds.tarfile_to_samples(),
            wds.shuffle(1000),
            wds.to_tuple("jpg", "cls"),
            wds.map_tuple(lambda jpeg: transform(Image.open(io.BytesIO(jpeg)).convert("RGB")), int),
            wds.batched(batch_size),
        )
        for _, targets in wds.WebLoader(samples, batch_size=None, num_workers=workers):
            yield len(targets)

    return timed(loader)


def decoding(index: str, workers: int, batch_size: int) -> Work:
    """The decoder alone, on `workers` processes, from photos in memory into one batch of memory."""
    import multiprocessing

    shard = _shards(index)[0]
    # In a process that ends: obstore does not work after a fork.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        photos = pool.apply(_photos_of, [shard.model_dump_json()])

    def work() -> dict[str, float]:
        with multiprocessing.get_context("fork").Pool(workers) as pool:
            rates = pool.starmap(_decode, [(photos, batch_size)] * workers, chunksize=1)
        return {"rate": sum(rates)}

    return work


def _shards(index: str) -> list[Shard]:
    return [Shard(**shard) for shard in json.loads(Path(index).read_text())]


def _photos_of(shard: str) -> list[bytes]:
    from steps.shards.reading import read_shard

    return [sample.jpeg for sample in read_shard(Shard.model_validate_json(shard))]


def _decode(photos: list[bytes], batch_size: int) -> float:
    import itertools

    import cv2
    import numpy as np

    from steps.photos.jpeg import write_network_input

    cv2.setNumThreads(0)
    batch = np.zeros((batch_size, 3, SIDE, SIDE), np.uint8)
    started, done = time.perf_counter(), 0
    for number, jpeg in enumerate(itertools.cycle(photos)):
        write_network_input(jpeg, batch[number % batch_size])
        done += 1
        if number % 64 == 0 and time.perf_counter() - started > SECONDS_OF_DECODING:
            break
    return done / (time.perf_counter() - started)


def image_folder(folder: str, workers: int, batch_size: int) -> Work:
    """torchvision's ImageFolder over the same photos on the local disk, without S3."""
    from torch.utils.data import DataLoader

    from steps.model.network import import_torchvision

    import_torchvision()
    from torchvision import datasets, transforms

    transform = transforms.Compose([transforms.Resize((SIDE, SIDE)), transforms.PILToTensor()])

    def loader() -> Iterator[int]:
        photos = datasets.ImageFolder(folder, transform)
        for _, targets in DataLoader(photos, batch_size=batch_size, shuffle=True, num_workers=workers):
            yield len(targets)

    return timed(loader)


def litdata(uri: str, cache: str, workers: int, batch_size: int) -> Work:
    """LitData's streaming, with our decoder."""
    from litdata import StreamingDataLoader, StreamingDataset
    from litdata.streaming import downloader

    # Its client requires HTTPS, which the server on this machine does not have; there is no setting for it.
    downloader._OBSTORE_CLIENT_OPTIONS["allow_http"] = True

    from steps.photos.jpeg import network_input

    class Photos(StreamingDataset):  # type: ignore[misc]
        def __getitem__(self, index: object) -> tuple[object, int]:
            sample = super().__getitem__(index)
            return network_input(sample["jpg"], SIDE), sample["cls"]

    options = {
        "endpoint_url": os.environ["AWS_ENDPOINT_URL_S3"],
        "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
        "region_name": os.environ["AWS_DEFAULT_REGION"],
    }

    def loader() -> Iterator[int]:
        photos = Photos(uri, cache_dir=cache, storage_options=options, shuffle=True)
        for _, targets in StreamingDataLoader(photos, batch_size=batch_size, num_workers=workers):
            yield len(targets)

    return timed(loader)


def mosaicml_streaming(uri: str, cache: str, workers: int, batch_size: int) -> Work:
    """MosaicML Streaming, with our decoder."""
    from steps.model.network import import_torchvision

    import_torchvision()
    from streaming import StreamingDataset
    from torch.utils.data import DataLoader

    from steps.photos.jpeg import network_input

    os.environ["S3_ENDPOINT_URL"] = os.environ["AWS_ENDPOINT_URL_S3"]

    class Photos(StreamingDataset):  # type: ignore[misc]
        def __getitem__(self, index: object) -> tuple[object, int]:
            sample = super().__getitem__(index)
            return network_input(sample["jpg"], SIDE), sample["cls"]

    def loader() -> Iterator[int]:
        photos = Photos(remote=uri, local=cache, batch_size=batch_size, shuffle=True, num_canonical_nodes=1)
        for _, targets in DataLoader(photos, batch_size=batch_size, num_workers=workers):
            yield len(targets)

    return timed(loader)


def write_litdata(photos: str, folder: str) -> Work:
    """The photos of a folder as LitData's chunks."""
    from litdata.streaming.writer import BinaryWriter  # the writer of `optimize`, without its processes

    def work() -> None:
        writer = BinaryWriter(folder, chunk_bytes="64MB")
        for number, (jpeg, quantity) in enumerate(_photos_below(photos)):
            writer[number] = {"jpg": jpeg, "cls": quantity}
        writer.done()
        writer.merge()

    return work


def write_mosaicml_streaming(photos: str, folder: str) -> Work:
    """The photos of a folder as MosaicML Streaming's shards."""
    from steps.model.network import import_torchvision

    import_torchvision()
    from streaming import MDSWriter

    def work() -> None:
        with MDSWriter(out=folder, columns={"jpg": "bytes", "cls": "int"}, size_limit="64mb") as writer:
            for jpeg, quantity in _photos_below(photos):
                writer.write({"jpg": jpeg, "cls": quantity})

    return work


def _photos_below(folder: str) -> Iterator[tuple[bytes, int]]:
    for path in sorted(Path(folder).glob("*/*.jpg")):
        yield path.read_bytes(), int(path.parent.name)
