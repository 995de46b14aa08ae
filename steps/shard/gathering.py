"""How the instances of a job agree: by objects in the run's own folder.

The first instance to plan proposes which shards are used again, and all follow. An instance that has written its share
stores a part of the index; an instance that then lists the parts of all puts them together. At least the last one does,
since S3 lists what was written before (https://aws.amazon.com/s3/consistency/); where two do, they write the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from steps.contracts.dataset import Shard, SplitName
from steps.contracts.parsing import Contract, parse
from steps.contracts.s3_uri import S3Uri
from steps.runtime.container import Instance
from steps.runtime.s3 import list_objects, read_object, write_object


class Agreement(Contract):
    """The shards (keys) that the job uses again, and the generation that it writes."""

    shards: list[str]
    generation: str


class NewShard(Contract):
    """A shard that this job wrote."""

    shard: Shard
    class_counts: dict[int, int]


class Part(Contract):
    """The work of one instance: its shards, refused photos by reason, and photos with a split from an earlier run."""

    instance: int
    shards: dict[SplitName, list[NewShard]]
    rejects: dict[str, list[str]]
    kept: int


@dataclass(frozen=True)
class Gathering:
    """The objects by which a job's instances agree, below `folder`, as one of the instances uses them."""

    folder: S3Uri
    instance: Instance

    def agree(self, proposal: Agreement) -> Agreement:
        """The proposal of the first instance, which may be this one. Raises StepError when S3 fails."""
        place = self.folder.join("agreement.json")
        if write_object(place, proposal.model_dump_json().encode(), replace=False):
            return proposal
        return parse(Agreement, read_object(place), str(place), "proposal of an instance")

    def deliver(self, part: Part) -> list[Part] | None:
        """Store this instance's part. Returns the parts of all instances if all exist, else None."""
        write_object(self._place(part.instance), part.model_dump_json().encode())
        places = [self._place(number) for number in range(self.instance.count)]
        stored = {key for key, _ in list_objects(self.folder.join("part-"))}
        if not {place.key for place in places} <= stored:
            return None
        return [parse(Part, read_object(place), str(place), "part of an index") for place in places]

    def _place(self, instance: int) -> S3Uri:
        return self.folder.join(f"part-{instance:03d}.json")
