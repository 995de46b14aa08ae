"""Made-up labels with the statistics of the public data set, in any number: bins that are photographed again and again.

An item comes or goes between two photos of a bin. The catalogue has 0.86 items per photo (459,476 for 535,234 photos of
the public set), some of them in far more bins than others.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from steps.contracts.labels import SCHEMA

# Bins with 0 to 5 items, of the photos with up to 5 objects; photos per bin, and their shares.
_ITEMS = np.array([9_701, 41_147, 76_863, 90_058, 80_550, 62_448]) / 360_767
_VISITS, _SHARES = [1, 2, 3, 4, 6, 10], [0.62, 0.2, 0.09, 0.05, 0.03, 0.01]
_KINDS_PER_PHOTO = 0.86
_LARGEST = 5
# Chances that an item comes, and that one goes, between two photos.
_COMES, _GOES = 0.35, 0.25
# Photos that are made at once.
_AT_ONCE = 500_000
_BYTES = 57_000


def write_labels(path: Path, photos: int, *, hot: float = 0.0, seed: int = 1) -> None:
    """Write labels of `photos` photos; with the chance `hot` a drawn item is one of three that are everywhere."""
    with pq.ParquetWriter(path, SCHEMA, compression="snappy") as writer:
        for begin in range(0, photos, _AT_ONCE):
            count = min(_AT_ONCE, photos - begin)
            writer.write_table(labels(count, photos, hot=hot, seed=seed, begin=begin), row_group_size=125_000)


def labels(photos: int, of: int | None = None, *, hot: float = 0.0, seed: int = 1, begin: int = 0) -> pa.Table:
    """Labels of the `photos` from number `begin` on, of a data set of `of` photos (the labels contract)."""
    rng = np.random.default_rng([seed, begin])
    kinds = int(_KINDS_PER_PHOTO * (of or photos)) + _LARGEST

    def draw(shape: tuple[int, ...]) -> np.ndarray:
        items = (kinds * rng.random(shape) ** 2).astype(np.int64)
        return np.where(rng.random(shape) < hot, items % 3, items)

    visits = np.empty(0, np.int64)
    while visits.sum() < photos:
        visits = np.append(visits, rng.choice(_VISITS, size=max(photos // 2, 1), p=_SHARES))
    bins = int(np.searchsorted(np.cumsum(visits), photos)) + 1
    visits = visits[:bins]
    held = draw((bins, _LARGEST))
    held[np.arange(_LARGEST)[None, :] >= rng.choice(len(_ITEMS), size=bins, p=_ITEMS)[:, None]] = -1
    rows = []
    for visit in range(max(_VISITS)):
        here = np.flatnonzero(visits > visit)
        if visit:
            fate = rng.random(len(here))
            empty, full = (held[here] < 0).any(axis=1), (held[here] >= 0).any(axis=1)
            comes = here[(fate < _COMES) & empty]
            held[comes, np.argmax(held[comes] < 0, axis=1)] = draw((len(comes),))
            goes = here[(fate >= _COMES) & (fate < _COMES + _GOES) & full]
            held[goes, np.argmax(held[goes] >= 0, axis=1)] = -1
        rows.append((here, held[here].copy()))
    owners = np.concatenate([here for here, _ in rows])
    order = np.argsort(owners, kind="stable")[:photos]
    items = np.sort(np.concatenate([items for _, items in rows])[order], axis=1)
    items[:, 1:][items[:, 1:] == items[:, :-1]] = -1
    filled = items >= 0
    lengths = filled.sum(axis=1)
    names = pa.array(items[filled]).cast(pa.string())
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    ids = pa.array([f"{number:010d}" for number in range(begin, begin + photos)])
    several = (rng.random(photos) < 0.25) & (lengths > 0)
    columns = {
        "image_id": ids,
        "quantity": pa.array(np.minimum(_LARGEST, lengths + several), pa.int32()),
        "asins": pa.ListArray.from_arrays(offsets, names).cast(pa.list_(pa.string())),
        "image_key": pa.array([f"bin-images/{name}.jpg" for name in ids.to_pylist()]),
        "image_etag": pa.array([f"{number:032x}" for number in range(begin, begin + photos)]),
        "image_bytes": pa.array(np.full(photos, _BYTES), pa.int64()),
        "bin_group": pa.nulls(photos, pa.string()),
    }
    return pa.table(columns, SCHEMA)
