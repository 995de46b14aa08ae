"""How the instances of a job come to one cluster: by objects in a folder of the job's own.

The first instance writes where its master is, with the secret of the cluster. Each instance writes how it ended, so
that the line of the first failure reaches the logs of all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from steps.contracts.parsing import Contract, parse
from steps.contracts.s3_uri import S3Uri
from steps.runtime.container import Instance
from steps.runtime.s3 import list_objects, read_object, write_object

_ENDING = re.compile(r"ending-([0-9]{3})\.json")


class Invitation(Contract):
    """The master's URL (`spark://HOST:PORT`), and the secret by which the processes of the cluster know each other."""

    master: str
    secret: str


class Ending(Contract):
    """How an instance ended: `error` is empty after success, and the reason in one line otherwise."""

    error: str


@dataclass(frozen=True)
class Meeting:
    """The objects of a job's cluster below `folder`, as one of the instances uses them. All raise StepError of S3."""

    folder: S3Uri
    instance: Instance

    @property
    def place(self) -> S3Uri:
        """The object with the invitation."""
        return self.folder.join("cluster.json")

    def invite(self, invitation: Invitation) -> None:
        """Write the invitation, as the first instance."""
        write_object(self.place, invitation.model_dump_json().encode())

    def invitation(self) -> Invitation | None:
        """The invitation, if it is written already."""
        if self.place.key not in dict(list_objects(self.place)):
            return None
        return parse(Invitation, read_object(self.place), str(self.place), "cluster's invitation")

    def end(self, error: str = "") -> None:
        """Write how this instance ended."""
        place = self.folder.join(f"ending-{self.instance.index:03d}.json")
        write_object(place, Ending(error=error).model_dump_json().encode())

    def endings(self) -> dict[int, Ending]:
        """How instances ended, by index."""
        prefix = self.folder.join("ending-")
        places = [S3Uri(prefix.bucket, key) for key, _ in list_objects(prefix)]
        matches = [(match, place) for place in places if (match := _ENDING.fullmatch(place.key.rpartition("/")[2]))]
        return {
            int(match[1]): parse(Ending, read_object(place), str(place), "report of an instance's end")
            for match, place in matches
        }
