"""The shard step's start."""

import pytest

from steps.contracts.errors import StepError
from steps.shard.__main__ import main
from tests.unit.steps.arguments import SHARD, flags_of


def test_a_version_that_no_model_package_records_is_refused_before_anything_is_read(monkeypatch) -> None:
    monkeypatch.setenv("SHARD_VERSION", "v[2]")
    with pytest.raises(StepError, match=r"^the parameter ShardVersion: 'v\[2\]' contains '\['"):
        main(flags_of(SHARD))
