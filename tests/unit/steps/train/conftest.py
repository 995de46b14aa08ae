from pathlib import Path

import pytest

from .photos import store_dataset


@pytest.fixture
def base(s3, bucket: str, tmp_path: Path) -> Path:
    """The /opt/ml of a training job with 60 photos to train on, in 3 shards, and 21 to validate."""
    store_dataset(s3, bucket, tmp_path / "input" / "data" / "index", train=60, validation=21, shards=3)
    return tmp_path
