"""A pretended account (moto), as the tests of the operations have it."""

from tests.unit.pipeline.operations.conftest import account, no_account

__all__ = ["account", "no_account"]
