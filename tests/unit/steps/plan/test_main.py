"""The plan step's start."""

from __future__ import annotations

import pytest

from steps.contracts.errors import StepError
from steps.plan.__main__ import main
from tests.unit.steps.arguments import PLAN, flags_of


def test_a_version_that_no_model_package_records_is_refused_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHARD_VERSION", "v[2]")
    with pytest.raises(StepError, match=r"^the parameter ShardVersion: 'v\[2\]' contains '\['"):
        main(flags_of(PLAN))


def test_a_planner_that_is_none_is_named() -> None:
    with pytest.raises(StepError, match=r"^python3 -m steps\.plan: --planner is 'duckdb': input should be 'auto'"):
        main(flags_of({**PLAN, "planner": "duckdb"}))


def test_contradicting_arguments_are_refused_as_the_shard_step_refuses_them() -> None:
    with pytest.raises(StepError, match="their sum must be less than 1"):
        main(flags_of({**PLAN, "validation_fraction": 0.5, "test_fraction": 0.5}))
