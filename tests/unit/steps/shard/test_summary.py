"""What a run's summary has besides the numbers of the shards."""

from __future__ import annotations

from steps.contracts.shard_plan import read_plan
from tests.unit.steps.shard.conftest import Job


def test_the_summary_has_the_plan_for_people(job: Job) -> None:
    job.add_bins(40)
    job.run(instances=2)
    (folder,) = {path.parent for path in job.folder.rglob("shard.json")}
    assert read_plan(folder).labelled == 40
