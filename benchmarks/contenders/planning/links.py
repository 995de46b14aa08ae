"""What connects photos, so that they belong in the same split: alike items, a group's name, and equal bytes.

Each of these is a node: a distinct set of items, a named group, or the bytes of several photos. Photos are connected
through the nodes that they have in common, and through pairs of alike sets of items.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks.contenders.planning.alike import Alike, alike
from benchmarks.contenders.planning.groups import Integers, ItemSets


@dataclass(frozen=True)
class Links:
    """The nodes of photos, numbered from 0 to `count`.

    `of_photo` is each photo's first node, -1 for a photo without any. Membership m is that of the photo `photos[m]` in
    the node `nodes[m]`. The first nodes are the sets of items, some of which are `alike`.
    """

    count: int
    of_photo: Integers
    photos: Integers
    nodes: Integers
    alike: Alike

    def shared(self, usable: NDArray[np.bool_]) -> Integers:
        """Pairs of nodes, shape (pairs, 2), that the `usable` photos connect by being in both."""
        firsts = self.of_photo[self.photos]
        connects = (firsts != self.nodes) & usable[self.photos]
        return np.stack([firsts[connects], self.nodes[connects]], axis=1)

    def has_any(self, photos: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """For each node whether one of `photos` is in it."""
        present = np.zeros(self.count, bool)
        present[self.nodes[photos[self.photos]]] = True
        return present


def link(sets: ItemSets, *numbers: Integers) -> Links:
    """The links by `sets` and by further `numbers`: photos with the same number, if not -1, are connected."""
    of_photo, count = sets.of_photo.copy(), len(sets)
    filled = np.flatnonzero(of_photo >= 0)
    photos, nodes = [filled], [of_photo[filled]]
    for column in numbers:
        filled = np.flatnonzero(column >= 0)
        node = np.where(column >= 0, column + count, -1)
        of_photo = np.where(of_photo >= 0, of_photo, node)
        photos, nodes = [*photos, filled], [*nodes, node[filled]]
        count += int(column.max(initial=-1)) + 1
    return Links(count, of_photo, np.concatenate(photos), np.concatenate(nodes), alike(sets))


def groups_of(labels: pa.Table, usable: NDArray[np.bool_]) -> Integers:
    """A number for each named group of the `usable` photos, -1 for photos without one."""
    return _numbers(labels["bin_group"], usable)


def copies_of(labels: pa.Table, usable: NDArray[np.bool_]) -> Integers:
    """A number for the bytes of the `usable` photos that several of them have, -1 for all other photos.

    By ETag and size, which S3's listing has for photos that are not read. Equal ETags are equal bytes: an ETag is the
    MD5 digest of an object, or of the digests of its parts. The converse does not hold: copies that were uploaded in
    other parts, or are encrypted by a key of KMS, have other ETags and are not recognized.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
    """
    sizes = labels["image_bytes"].cast(pa.string())
    numbers = _numbers(pc.binary_join_element_wise(labels["image_etag"], sizes, "/"), usable)
    numbers[labels["image_bytes"].to_numpy() == 0] = -1
    total = np.bincount(numbers[numbers >= 0], minlength=1)
    numbers[numbers >= 0] = np.where(total[numbers[numbers >= 0]] > 1, numbers[numbers >= 0], -1)
    return numbers


def _numbers(column: pa.ChunkedArray, usable: NDArray[np.bool_]) -> Integers:
    codes = column.combine_chunks().dictionary_encode().indices.fill_null(-1)
    return np.where(usable, np.asarray(codes, dtype=np.int64), -1)
