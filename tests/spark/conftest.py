"""Spark on clusters of processes of this machine: `make test-spark`. Elsewhere there is nothing to collect."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

if not os.environ.get("TEST_SPARK"):
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="module")
def spark(s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A session that computes in its driver, on two cores, and reads and writes the local S3."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    from steps.runtime.machine import Machine
    from steps.spark import configuration
    from steps.spark.sizes import sizes
    from tests.spark.instances import JAVA

    folder = tmp_path_factory.mktemp("spark")
    share = sizes(Machine(cores=2, memory=2 << 30), 1)
    with configuration.environment(folder / "conf", folder):
        # The queries are many and their rows few.
        few = {"spark.sql.codegen.wholeStage": "false"}
        values = configuration.properties(share, folder, configuration.LOOPBACK, "")
        configuration.write(folder / "conf", {**values, **JAVA, **few})
        opened = SparkSession.builder.master("local[2]").getOrCreate()
        java = SparkContext._gateway.proc
        try:
            yield opened
        finally:
            opened.stop()
            java.kill()
            java.wait()
            SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None
            SparkSession._instantiatedSession = None
