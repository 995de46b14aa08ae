"""The step: aggregates over everything that the query step wrote, and a page that draws them."""

from __future__ import annotations

import logging
from pathlib import Path

import pyarrow.parquet as pq

from steps.contracts.exploration import WHOLE_NAME, WholeExploration
from steps.explore import page, tables
from steps.explore.engines import Choice, Engine, choose, work_with
from steps.explore.findings import Findings, collect
from steps.explore.settings import Settings
from steps.runtime import container

log = logging.getLogger(__name__)

INPUTS, OUTPUT = ("metadata", "labels"), "exploration"


def run(settings: Settings) -> WholeExploration | None:
    """Explore the inputs `metadata` and `labels` into the output `exploration`.

    Returns None on instances of a Spark cluster but the first. Raises StepError for an input that is missing, empty or
    not as in its contract, and for an error of the engine.
    """
    choice = choose(settings.engine, container.instance().count)
    log.info("%s explores, since %s", choice.name, choice.reason)

    def work(engine: Engine) -> Findings:
        tables.add(engine, {name: location(name, choice) for name in INPUTS})
        return collect(engine, choice, settings.maximum_quantity)

    findings = work_with(choice, OUTPUT, work)
    if findings is None:
        log.info("explored, by the first instance")
        return None
    write(findings, container.processing_output(OUTPUT))
    whole = findings.whole
    log.info("explored %d metadata files and %d labels", whole.metadata_files, whole.labelled)
    return whole


def location(name: str, choice: Choice) -> str:
    """The folder of an input: SageMaker's copy on this instance, or for Spark the place in S3 that all of them read."""
    return str(container.processing_input(name)) if choice.engine == "local" else container.processing_input_uri(name)


def write(findings: Findings, folder: Path) -> None:
    """Write the tables as Parquet, the numbers and the page."""
    for name, table in findings.tables.items():
        pq.write_table(table, folder / f"{name}.parquet", compression="snappy")
    (folder / WHOLE_NAME).write_text(findings.whole.model_dump_json(indent=2))
    page.write(folder / page.NAME, findings)
