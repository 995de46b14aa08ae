"""How the instances of a job agree: by objects in the run's own folder.

Where the job plans, its first instance publishes the plan, and the others wait for it. An instance that has written its
share stores a part of the index; an instance that then lists the parts of all puts them together. At least the last one
does, since S3 lists what was written before (https://aws.amazon.com/s3/consistency/); where two do, they write the
same.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from pydantic import Field

from steps.contracts.errors import StepError
from steps.contracts.parsing import Contract, parse
from steps.contracts.s3_uri import S3Uri
from steps.contracts.wording import count_of
from steps.runtime.container import Instance
from steps.runtime.s3 import list_objects, read_object, write_object
from steps.shard.work import Work

log = logging.getLogger(__name__)

# Seconds between two looks for the plan, at first and at most, between two lines of the log, and in all: DuckDB plans
# a billion photos in a few hours.
FIRST_PAUSE, LONGEST_PAUSE, LOGGED_EACH, LONGEST_WAIT = 0.5, 15.0, 60.0, 12 * 3_600.0


class Published(Contract):
    """The URI of the description of the plan that the job uses."""

    plan: str = Field(pattern=r"^s3://")


class Failure(Contract):
    """Why the first instance could not plan."""

    reason: str


class Part(Contract):
    """The work of one instance."""

    instance: int
    work: Work


@dataclass(frozen=True)
class Gathering:
    """The objects by which a job's instances agree, below `folder`, as one of the instances uses them."""

    folder: S3Uri
    instance: Instance

    def publish(self, plan: S3Uri) -> S3Uri:
        """Publish the URI of a plan. Returns the published one, which may be that of an earlier attempt at this job."""
        content = Published(plan=str(plan)).model_dump_json().encode()
        return plan if write_object(self._plan, content, replace=False) else self._published()

    def published(self) -> S3Uri | None:
        """The URI of the job's plan, if it is published. Raises StepError for a damaged object."""
        keys = {key for key, _ in list_objects(self._plan)}
        return self._published() if self._plan.key in keys else None

    def fail(self, reason: str) -> None:
        """Say to the other instances why there will be no plan: AWS's pages do not say that it ends them."""
        write_object(self._failure, Failure(reason=reason).model_dump_json().encode())

    def wait_for_plan(self) -> S3Uri:
        """The URI of the job's plan, once it is published.

        Raises StepError when the first instance failed, or published none within LONGEST_WAIT.
        """
        started = logged = time.monotonic()
        pause = FIRST_PAUSE
        while (plan := self.published()) is None:
            now = time.monotonic()
            if self._failure.key in {key for key, _ in list_objects(self._failure)}:
                failure = parse(Failure, read_object(self._failure), str(self._failure), "failure of an instance")
                raise StepError(f"the first instance could not plan: {failure.reason}")
            if now - started > LONGEST_WAIT:
                raise StepError(
                    f"{self._plan}: the first instance has published no plan in {LONGEST_WAIT / 3_600:g} hours; its log"
                    " says how far it is"
                )
            if now - logged >= LOGGED_EACH:
                logged = now
                minutes = count_of(int((now - started) / 60), "minute")
                log.info("waiting for the plan of the first instance, for %s so far", minutes)
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        return plan

    def deliver(self, part: Part) -> list[Part] | None:
        """Store this instance's part. Returns the parts of all instances if all exist, else None."""
        write_object(self._place(part.instance), part.model_dump_json().encode())
        places = [self._place(number) for number in range(self.instance.count)]
        stored = {key for key, _ in list_objects(self.folder.join("part-"))}
        if not {place.key for place in places} <= stored:
            return None
        return [parse(Part, read_object(place), str(place), "part of an index") for place in places]

    @property
    def _failure(self) -> S3Uri:
        return self.folder.join("no-plan.json")

    @property
    def _plan(self) -> S3Uri:
        return self.folder.join("plan.json")

    def _published(self) -> S3Uri:
        return S3Uri.parse(parse(Published, read_object(self._plan), str(self._plan), "location of a plan").plan)

    def _place(self, instance: int) -> S3Uri:
        return self.folder.join(f"part-{instance:03d}.json")
