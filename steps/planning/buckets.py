"""Into how many buckets photos are dealt, so that a bucket fits in memory and fills shards."""

from __future__ import annotations

# Photos of a bucket at most: some 20 MB of a plan, and about three shards of 200 MB with photos of 256 pixels.
PHOTOS = 32_768
# Buckets of a first wave that is large enough to be shared by instances and by processes.
_FIRST, _ENOUGH = 4, 100


def bucket_count(photos: int, *, first: bool) -> int:
    """The number of buckets of a wave, a power of two; `first` is the wave that a data set begins with.

    Later waves may be a few photos each, as of every night: they get a single bucket, and so few shards.
    """
    least = _FIRST if first and photos >= _ENOUGH else 1
    return max(least, 1 << max(0, -(-photos // PHOTOS) - 1).bit_length())
