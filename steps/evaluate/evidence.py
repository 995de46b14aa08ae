"""All that the report tells of a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from steps.contracts.artifact import ModelDescription
from steps.contracts.dataset import DatasetIndex
from steps.contracts.evaluation import Evaluation
from steps.contracts.query_summary import Summary
from steps.contracts.shard_summary import ShardSummary
from steps.evaluate.mistakes import Mistakes
from steps.evaluate.settings import Settings
from steps.evaluate.trials import Trials


@dataclass(frozen=True)
class Evidence:
    """What is None the job was not told of; `folder` is the unpacked artifact."""

    settings: Settings
    evaluation: Evaluation
    mistakes: Mistakes
    index: DatasetIndex
    sharding: ShardSummary | None
    summary: Summary | None
    trials: Trials | None
    model: ModelDescription
    folder: Path
