"""A Spark cluster of a processing job's instances, in Spark's own standalone mode: no YARN, no HDFS, no other service.

    result = run(Cluster.of_job(folder, scratch), work)

Each instance calls `run`. On the first one it starts a master and a worker, and calls `work` with a session once all
workers have executors; on the others it serves as a worker until the first is done, and returns None. An instance that
is alone computes in its driver. All instances fail where one fails, with its reason.

What is protected: the processes of a cluster authenticate each other and encrypt what they exchange, by a secret that
is made for the job. It is in an object of the job's folder, so who may read that folder and reaches the job's network
while it runs may also run code as the job's role; in a VPC its security group keeps others out. The files that Spark
spills to the instances' volumes are encrypted as the volumes are, by the job's key, and processes of one instance trust
each other: a container has one user.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, TypeVar

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.runtime import container
from steps.runtime.container import Instance
from steps.runtime.machine import Machine, machine
from steps.runtime.s3 import is_on_this_machine
from steps.spark import configuration
from steps.spark.configuration import LOOPBACK
from steps.spark.daemons import Daemon, answers, start_master, start_worker
from steps.spark.driver import LOOK_SECONDS, S3_SECONDS, Watch, await_executors, compute
from steps.spark.meeting import Invitation, Meeting
from steps.spark.sizes import Sizes, sizes

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Result = TypeVar("Result")

log = logging.getLogger(__name__)

# AWS starts the instances of a job within minutes of each other.
START_SECONDS = 600.0
# Without the master for this long, it is gone: a long pause for garbage takes less.
_MASTER_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A job's cluster, as one of its instances sees it.

    `folder` is the job's own in S3, which no cluster before has used, and `scratch` a folder of this instance that does
    not exist yet, for spilled data and logs. `machine` is what this instance may use, `address` where the others reach
    it, and `settings` are more of Spark's properties.
    """

    instance: Instance
    folder: S3Uri
    scratch: Path
    machine: Machine
    address: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    start_seconds: float = START_SECONDS

    @classmethod
    def of_job(cls, folder: S3Uri, scratch: Path, settings: Mapping[str, str] | None = None) -> Cluster:
        """The cluster of this processing job, with objects below `folder`, which jobs may share."""
        instance, whole = container.instance(), machine()
        if is_on_this_machine():
            # So all instances are processes of this machine and share it.
            whole = whole.part(instance.count)
        place = folder.join(container.job_name() or "job")
        return cls(instance=instance, folder=place, scratch=scratch, machine=whole, settings=settings or {})


def run(cluster: Cluster, work: Callable[[SparkSession], Result]) -> Result | None:
    """What `work` returns on the first instance, and None on the others once it has.

    Raises StepError in one line where master, worker or another instance fails, or a part of the cluster does not come
    up in time, and on the first instance as `steps.spark.driver.compute` does.
    """
    share = sizes(cluster.machine, cluster.instance.count)
    with ExitStack() as stack:
        stack.enter_context(_ended_by_sigterm())
        # The logs of the processes stay; the secret and what they spilled does not.
        for name in ("conf", "local"):
            stack.callback(shutil.rmtree, cluster.scratch / name, ignore_errors=True)
        stack.enter_context(configuration.environment(cluster.scratch / "conf", cluster.scratch))
        if cluster.instance.count == 1:
            _configure(cluster, share, LOOPBACK, "")
            return compute(f"local[{share.executor_cores}]", work)
        meeting = Meeting(cluster.folder, cluster.instance)
        try:
            if cluster.instance.index == 0:
                return _lead(cluster, share, meeting, work, stack)
            _serve(cluster, share, meeting, stack)
            return None
        except BaseException as error:
            _report(meeting, error)
            raise


def _lead(
    cluster: Cluster, share: Sizes, meeting: Meeting, work: Callable[[SparkSession], Result], stack: ExitStack
) -> Result:
    """`stack` ends the processes, after the others could see how this instance ended."""
    until = time.monotonic() + cluster.start_seconds
    address, secret = _address(cluster, until), secrets.token_hex(32)
    _configure(cluster, share, address, secret)
    master, url = start_master(address, cluster.scratch, until - time.monotonic())
    stack.callback(master.end)
    worker = start_worker(url, address, share, cluster.scratch)
    stack.callback(worker.end)
    meeting.invite(Invitation(master=url, secret=secret))
    log.info("a Spark cluster of %d instances: %s, with %s", cluster.instance.count, url, share)
    watch = stack.enter_context(Watch(meeting, [master, worker]))

    def with_executors(spark: SparkSession) -> Result:
        await_executors(spark, cluster.instance.count * share.executors, until)
        return work(spark)

    result = compute(url, with_executors, watch)
    meeting.end()
    return result


def _serve(cluster: Cluster, share: Sizes, meeting: Meeting, stack: ExitStack) -> None:
    until = time.monotonic() + cluster.start_seconds
    address, invitation = _address(cluster, until), _await_invitation(meeting, until, cluster.start_seconds)
    _configure(cluster, share, address, invitation.secret)
    worker = start_worker(invitation.master, address, share, cluster.scratch)
    stack.callback(worker.end)
    log.info("a worker of %s at %s, with %s", invitation.master, address, share)
    _work_until_the_end(meeting, invitation.master, worker)


def _await_invitation(meeting: Meeting, until: float, seconds: float) -> Invitation:
    while (invitation := meeting.invitation()) is None:
        _raise_first_failure(meeting)
        if time.monotonic() > until:
            raise StepError(
                f"no Spark master within {seconds:.0f} seconds: the first instance has not written {meeting.place}; its"
                " log has the reason"
            )
        time.sleep(LOOK_SECONDS)
    return invitation


def _work_until_the_end(meeting: Meeting, master: str, worker: Daemon) -> None:
    """Return when the first instance has ended well. Raises StepError where it failed, or the worker."""
    host, _, port = master.removeprefix("spark://").rpartition(":")
    seen, looked = time.monotonic(), 0.0
    while True:
        now = time.monotonic()
        if now - looked > S3_SECONDS or worker.fault:
            looked = now
            if _raise_first_failure(meeting):
                return
        # The worker ends where it loses its master, which may just have ended well.
        if worker.fault:
            raise StepError(worker.fault)
        if answers(host, int(port)):
            seen = now
        elif now - seen > _MASTER_SECONDS:
            raise StepError(f"{master} does not answer any more; the log of the first instance has the reason")
        time.sleep(LOOK_SECONDS)


def _raise_first_failure(meeting: Meeting) -> bool:
    """Whether the first instance has ended well. Raises StepError where it failed."""
    ending = meeting.endings().get(0)
    if ending is not None and ending.error:
        raise StepError(f"the first instance failed: {ending.error}")
    return ending is not None


def _configure(cluster: Cluster, share: Sizes, address: str, secret: str) -> None:
    values = configuration.properties(share, cluster.scratch, address, secret)
    configuration.write(cluster.scratch / "conf", {**values, **cluster.settings})


def _address(cluster: Cluster, until: float) -> str:
    """Where the other instances reach this one.

    The names of a job's hosts may resolve some time after its start: AWS's own image for Spark waits for them, too
    (smspark/job.py in https://github.com/aws/sagemaker-spark-container).
    """
    if cluster.address:
        return cluster.address
    if is_on_this_machine():
        return LOOPBACK
    host = cluster.instance.host
    while True:
        try:
            address = socket.gethostbyname(host)
        except OSError as error:
            reason = str(error)
        else:
            if not address.startswith("127."):
                return address
            reason = f"it is {address}, which other instances do not reach"
        if time.monotonic() > until:
            raise StepError(f"the address of this instance, {host}, is unknown: {reason}")
        time.sleep(LOOK_SECONDS)


def _report(meeting: Meeting, error: BaseException) -> None:
    """Write the reason of this instance's end for the others."""
    if isinstance(error, StepError):
        reason = str(error)
    elif isinstance(error, SystemExit):
        reason = "it was stopped"
    else:
        reason = f"{type(error).__name__}: {error}"
    try:
        meeting.end((reason.splitlines() or [type(error).__name__])[0])
    except Exception:
        # The failure itself is what the log should end with.
        log.exception("the reason of this failure does not reach the other instances")


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Raise SystemExit at SIGTERM, so that child processes are ended, and the other instances are informed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _: FrameType | None) -> NoReturn:
        signal.signal(number, signal.SIG_IGN)  # what follows is not to be broken off
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
