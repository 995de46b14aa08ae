"""The driver on the first instance: its session, and a watch over the processes that the session depends on."""

from __future__ import annotations

import logging
import re
import subprocess
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from steps.contracts.errors import StepError
from steps.spark.daemons import Daemon
from steps.spark.meeting import Meeting

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Result = TypeVar("Result")

# Between looks at processes of this instance, and at the objects of the others.
LOOK_SECONDS, S3_SECONDS = 1.0, 5.0
# An executor that fails reports its exception, which Spark repeats with all of its traces.
_STEP_ERROR = re.compile(r"steps\.contracts\.errors\.StepError: (.+)")


class Watch:
    """Looks after the processes of the first instance and after the other instances while the driver works.

    Spark's driver waits without end where nobody is left to work for it. `fault` then has the reason, and the driver's
    Java process is ended, so that its calls return.
    """

    def __init__(self, meeting: Meeting, daemons: list[Daemon]) -> None:
        self.fault = ""
        self._meeting, self._daemons = meeting, daemons
        self._java: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch over the cluster", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def end_on_fault(self, java: subprocess.Popen[bytes]) -> None:
        """End this process on a fault; at once, after a fault."""
        with self._lock:
            self._java = java
            if self.fault:
                java.kill()

    def _look(self) -> None:
        looked = time.monotonic()
        while not self._done.wait(LOOK_SECONDS):
            fault = next((daemon.fault for daemon in self._daemons if daemon.fault), "")
            if not fault and time.monotonic() - looked > S3_SECONDS:
                fault, looked = self._fault_of_others(), time.monotonic()
            if fault:
                with self._lock:
                    self.fault = fault
                    if self._java is not None:
                        self._java.kill()
                return

    def _fault_of_others(self) -> str:
        try:
            endings = self._meeting.endings()
        except Exception as error:
            return f"the other instances are out of sight: {error}"
        failed = (f"instance {index + 1} failed: {ending.error}" for index, ending in endings.items() if ending.error)
        return next(failed, "")


class SparkError(Exception):
    """An error of Spark with its text and its traces.

    PySpark's own ask the driver's Java process for their text, which ends before an error is reported.
    """


def compute(master: str, work: Callable[[SparkSession], Result], watch: Watch | None = None) -> Result:
    """What `work` returns for a session with this master, whose Java process ends with it.

    Raises StepError for a fault of the watch, for a StepError of an executor, and where the Java process ends by
    itself; SparkError for other errors of Spark; and what else `work` raises.
    """
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    # It logs each failed call, which is raised, too.
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    java: subprocess.Popen[bytes] | None = None
    try:
        # The Java process comes first, so that there is something to end while the session waits for its master.
        SparkContext._ensure_initialized()
        java = SparkContext._gateway.proc
        if watch is not None:
            watch.end_on_fault(java)
        spark = SparkSession.builder.master(master).appName("bin counting").getOrCreate()
        result = work(spark)
        spark.stop()
        # Else objects that Python frees later would report that their counterparts in Java are gone.
        SparkContext._gateway.shutdown()
    except Exception as error:
        failure = _failure(error, watch, java)
    else:
        return result
    finally:
        if java is not None:
            java.kill()
            java.wait()
        # PySpark would use the process again, for a later session.
        SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None
        SparkSession._instantiatedSession = None
    # Not in the handler: Python would keep PySpark's error as the context.
    raise failure


def _failure(error: Exception, watch: Watch | None, java: subprocess.Popen[bytes] | None) -> BaseException:
    """What is raised for an error of a session."""
    plain = _plain(error)
    if isinstance(error, StepError):
        return plain
    if watch is not None and watch.fault:
        reason = watch.fault
    elif (reported := _STEP_ERROR.search(str(plain))) is not None:
        reason = reported[1].strip()
    elif java is not None and (status := java.poll()) is not None:
        reason = f"Spark's driver ended with status {status}; its last lines are above"
    else:
        return plain
    failure = StepError(reason)
    failure.__cause__ = plain
    return failure


def _plain(error: BaseException) -> BaseException:
    """`error`, or its text as a SparkError where it is Spark's; and so the errors that led to it."""
    plain = error
    if type(error).__module__.partition(".")[0] in ("py4j", "pyspark"):
        try:
            text = str(error)
        except Exception:  # the Java process has ended already
            text = type(error).__name__
        plain = SparkError(text).with_traceback(error.__traceback__)
    cause, context, suppresses = error.__cause__, error.__context__, error.__suppress_context__
    plain.__cause__ = None if cause is None else _plain(cause)
    plain.__context__ = None if context is None else _plain(context)
    plain.__suppress_context__ = suppresses
    return plain


def await_executors(spark: SparkSession, count: int, until: float) -> None:
    """Wait until the cluster has `count` executors. Raises StepError where it has fewer at the time `until`."""
    tracker = spark.sparkContext._jsc.sc().statusTracker()
    while (present := len(tracker.getExecutorInfos()) - 1) < count:  # less the driver
        if time.monotonic() > until:
            raise StepError(
                f"of the cluster's {count} executors {present} started in time; the logs of the other instances have"
                " the reason"
            )
        time.sleep(LOOK_SECONDS)
