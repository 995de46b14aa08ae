"""The wrapper of a step's main function, which reports failures as SageMaker expects."""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from steps.contracts.errors import StepError
from steps.contracts.full_disk import explained, is_disk_full
from steps.runtime import container

log = logging.getLogger(__name__)

# SageMaker keeps this much of a failure file in FailureReason (DescribeProcessingJob, DescribeTrainingJob).
FAILURE_REASON_LIMIT = 1024
# Seconds. Without this pause 16 of 100 processes aborted on a busy machine, with it none of 60.
LAST_ANSWER_SECONDS = 0.1


def log_to_stdout(process: str = "") -> None:
    """Log to standard output, which is a job's log; `process` stands in each line of a process of several."""
    line = f"%(asctime)s %(levelname)s %(name)s{process}: %(message)s"
    logging.basicConfig(level=logging.INFO, format=line, stream=sys.stdout, force=True)
    logging.getLogger("botocore").setLevel(logging.WARNING)  # it logs the source of credentials for each client


def run_as_job(main: Callable[[], None]) -> None:
    """Run a step's `main` as the container's process.

    Any exception ends the process with status 1 and writes its message to the files in which SageMaker reads a job's
    failure reason (`container.failure_files`). The log gets one line for a StepError, a traceback for any other.
    """
    log_to_stdout()
    try:
        main()
    except Exception as error:
        if is_disk_full(error):
            # Whatever the place of the failure makes of it.
            reason = explained(error, _disks())
            log.error("%s", reason, exc_info=not isinstance(error, StepError))
        elif isinstance(error, StepError):
            reason = str(error)
            log.error("%s", reason)
        else:
            reason = f"{type(error).__name__}: {error}"
            log.exception("unexpected error")
        _write_reason(reason[:FAILURE_REASON_LIMIT])
        logging.shutdown()
        sys.exit(1)
    finally:
        # A process that ends while obstore delivers its last answer sometimes aborts.
        time.sleep(LAST_ANSWER_SECONDS)


def _write_reason(reason: str) -> None:
    for path in container.failure_files():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(reason)
        except OSError as error:
            log.error("%s: the reason of this failure cannot be written: %s", path, error)


def _disks() -> list[Path]:
    """The folders to which steps write."""
    return [container.base(), Path(tempfile.gettempdir()), Path.cwd()]
