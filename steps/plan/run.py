"""The plan step: plan the data set by the engine that suits it, and hand on where the plan is."""

from __future__ import annotations

import logging
from collections.abc import Callable

from steps.contracts import hand_over, shard_plan
from steps.contracts.hand_over import HandOver
from steps.contracts.s3_uri import S3Uri
from steps.contracts.shard_plan import ShardPlan
from steps.contracts.wording import count_of
from steps.plan.engines import Room, choose
from steps.plan.labels import count_labels, whole_labels
from steps.plan.settings import Settings
from steps.planning.engine import Engine
from steps.planning.local import LocalEngine
from steps.planning.run import Places, StoredPlan, make_plan
from steps.runtime import container

log = logging.getLogger(__name__)

# Calls its argument with an engine on the first instance of the job, and returns the plan there; None on the others.
Spark = Callable[[Callable[[Engine], StoredPlan]], StoredPlan | None]


def run(settings: Settings, spark: Spark) -> None:
    """Plan the job's labels, and write the plan's place and description into the summary.

    Raises StepError for labels without a usable data set; see the called modules.
    """
    instance = container.instance()
    choice = choose(settings.planner, instance.count, count_labels(), Room.here())
    log.info("planning with %s, since %s", choice.name, choice.reason)
    places = Places.declared()
    stored: StoredPlan | None = None
    if choice.engine == "spark":
        stored = spark(lambda engine: make_plan(settings, container.processing_input("labels"), places, engine))
    elif instance.index == 0:
        stored = make_plan(settings, whole_labels(instance.count), places, LocalEngine())
    if stored is None:
        log.info("the first instance hands the plan on; this one is done")
    else:
        _hand_on(stored)


def _hand_on(stored: StoredPlan) -> None:
    """Write the plan's place for the next step, and the plan for people."""
    folder = container.processing_output("summary")
    (folder / shard_plan.NAME).write_text(stored.plan.model_dump_json(indent=2))
    (folder / hand_over.NAME).write_text(HandOver(uri=str(stored.uri)).model_dump_json())
    _log(stored.plan, stored.uri)


def _log(plan: ShardPlan, uri: S3Uri) -> None:
    """What the planner has not logged."""
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in sorted(plan.left_out.items())) or "none"
    log.info("handed on: %s; left out: %s; largest group: %s", uri, left_out, count_of(plan.largest_group, "photo"))
    if plan.leakage.caveat:
        log.warning("leakage between the splits is %s", plan.leakage.caveat)
