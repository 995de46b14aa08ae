"""How the instances of a job agree without talking to each other: by objects in the run's own folder.

The first instance to plan says which shards are used again, and all take that. Each that has written its share leaves a
part of the index; whoever then sees the parts of all puts them together. The last one does, since S3 lists what was
written before (https://aws.amazon.com/s3/consistency/); where two do, they write the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from steps.contracts.dataset import Shard, SplitName
from steps.contracts.errors import StepError
from steps.contracts.parsing import parse
from steps.contracts.s3_uri import S3Uri
from steps.runtime.container import Instance
from steps.runtime.s3 import list_objects, open_store

if TYPE_CHECKING:
    from obstore.store import S3Store


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Agreement(_Message):
    """The shards (keys) that the job uses again, and the generation that it writes."""

    shards: list[str]
    generation: str


class NewShard(_Message):
    """A shard that this job wrote."""

    shard: Shard
    class_counts: dict[int, int]


class Part(_Message):
    """What one instance did: its shards, photos that it refused by reason, photos whose split was known before."""

    instance: int
    shards: dict[SplitName, list[NewShard]]
    rejects: dict[str, list[str]]
    kept: int


@dataclass(frozen=True)
class Gathering:
    """The meeting place of a job's instances, `folder`, from the view of one of them."""

    folder: S3Uri
    instance: Instance

    def agree(self, proposal: Agreement) -> Agreement:
        """What the first instance proposed, which may be this one. Raises StepError when S3 fails."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        place, store = self.folder.join("agreement.json"), self._store()
        try:
            with _naming(place, "writing"):
                obstore.put(store, place.key, proposal.model_dump_json().encode(), mode="create")
        except AlreadyExistsError:
            return parse(Agreement, _get(store, place), str(place), "proposal of an instance")
        return proposal

    def deliver(self, part: Part) -> list[Part] | None:
        """Leave this instance's part; returns those of all instances once all are there, else None."""
        import obstore

        store = self._store()
        place = self._place(part.instance)
        with _naming(place, "writing"):
            obstore.put(store, place.key, part.model_dump_json().encode())
        places = [self._place(number) for number in range(self.instance.count)]
        there = {key for key, _ in list_objects(self.folder.join("part-"))}
        if not {place.key for place in places} <= there:
            return None
        return [parse(Part, _get(store, place), str(place), "part of an index") for place in places]

    def _place(self, instance: int) -> S3Uri:
        return self.folder.join(f"part-{instance:03d}.json")

    def _store(self) -> S3Store:
        return open_store(self.folder.bucket)


@contextmanager
def _naming(uri: S3Uri, doing: str) -> Iterator[None]:
    """Turn obstore's errors, but for that of an object which is there already, into StepErrors that name the object."""
    from obstore.exceptions import AlreadyExistsError, BaseError

    try:
        yield
    except AlreadyExistsError:
        raise
    except (BaseError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise StepError(f"{uri}: {doing} it failed, with all retries: {reason}") from error


def put(uri: S3Uri, content: bytes) -> None:
    """Write an object. Raises StepError when S3 fails."""
    import obstore

    with _naming(uri, "writing"):
        obstore.put(open_store(uri.bucket), uri.key, content)


def _get(store: S3Store, uri: S3Uri) -> bytes:
    import obstore

    with _naming(uri, "reading"):
        return bytes(obstore.get(store, uri.key).bytes())
