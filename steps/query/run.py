"""The step: many small metadata files in S3 -> consolidated Parquet, labels, and a summary of what was left out."""

from __future__ import annotations

import hashlib
import logging
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from steps.contracts import hand_over
from steps.contracts.errors import StepError
from steps.contracts.hand_over import HandOver
from steps.contracts.query_summary import EXAMPLES, LABELS, NAME, Refusal, Summary
from steps.contracts.s3_uri import S3Uri
from steps.query import direct, eda, inventory, labels, measures, page, statements
from steps.query.eda import Counts, Findings
from steps.query.execution import Athena, QueryFailedError, service_errors
from steps.query.inventory import Inventory
from steps.query.metadata import Metadata, parse
from steps.query.statements import Tables
from steps.runtime import container

log = logging.getLogger(__name__)

ABOVE_MAXIMUM = "above-maximum"
NULL_QUANTITY = "null-quantity"
MALFORMED = "malformed-metadata"
# Quantities from here on are counted as one: the largest of the real data is near 200.
LARGEST_QUANTITY = 1_000


@dataclass(frozen=True)
class Outputs:
    """Where this job's outputs go in S3: `labels` is one place for all runs, the others are this run's own."""

    metadata: S3Uri
    labels: S3Uri
    summary: S3Uri

    @property
    def staged(self) -> S3Uri:
        """Where Athena writes the labels, before their key is known."""
        return self.summary.join("staged-labels")

    @classmethod
    def declared(cls) -> Outputs:
        """As the processing job declares them."""
        return cls(*[S3Uri.parse(container.processing_output_uri(name)) for name in ("metadata", "labels", "summary")])


@dataclass(frozen=True)
class Source:
    """The raw location and what it lists."""

    location: S3Uri
    listed: Inventory

    @property
    def metadata(self) -> S3Uri:
        """The folder of metadata files."""
        return self.location.join(inventory.METADATA)

    @property
    def files(self) -> int:
        """How many Parquet files a table of as many rows as there are metadata files gets."""
        return statements.bucket_count(self.listed.metadata)


@dataclass(frozen=True)
class Found:
    """What the queries say: who read the metadata (and why, if not Athena), what became of each id, and the rest."""

    reader: Literal["athena", "direct"]
    reader_reason: str
    findings: Findings


def run(
    *,
    image_location: str,
    maximum_quantity: int,
    data_version: str,
    database: str,
    workgroup: str,
    timeout_minutes: float,
) -> Summary:
    """Consolidate the metadata below `image_location`, write the labels, and leave `query.json`.

    Raises StepError on what cannot be read or written, on a query that fails or takes longer than `timeout_minutes`,
    and where no photo is left that has a label.
    """
    if maximum_quantity < 1:
        raise StepError(f"--maximum-quantity {maximum_quantity}: write 1 or more")
    raw = S3Uri.parse(image_location)
    tables = Tables(statements.database_name(database), job_suffix())
    outputs = Outputs.declared()
    results = outputs.summary.join("athena")
    athena = Athena(tables.database, statements.workgroup_name(workgroup), results, timeout_minutes * 60)

    with tempfile.TemporaryDirectory() as scratch:
        listed = inventory.take(raw, Path(scratch))
        log.info("%s holds %d photos and %d metadata files", raw, listed.images, listed.metadata)
        for output in (outputs.metadata, outputs.summary):
            clear(output, raw)
        athena.ensure_database()
        # A try of this job that was killed left its tables.
        drop(tables)
        try:
            found = query(athena, tables, Source(raw, listed), outputs, maximum_quantity)
            folder = Path(scratch, "labels")
            folder.mkdir()
            place = labels.publish(outputs.staged, outputs.labels, raw, folder)
        except QueryFailedError as error:
            raise StepError(f"Athena, {athena.executions[-1].statement}: {error}") from error
        finally:
            drop(tables)
    clear(outputs.staged, raw)
    summary = Summary(
        labels_location=str(place),
        image_location=image_location,
        data_version=data_version,
        maximum_quantity=maximum_quantity,
        reader=found.reader,
        reader_reason=found.reader_reason,
        metadata_files=listed.metadata,
        images=listed.images,
        labels=found.findings.counts.labels,
        refused=found.findings.refused,
        executions=athena.executions,
    )
    leave(summary, found.findings)
    log.info("%d photos have a label, by quantity %s", summary.labelled, summary.labels)
    log.info("left out: %s", {name: one.photos for name, one in summary.refused.items()} or "none")
    return summary


def query(athena: Athena, tables: Tables, source: Source, outputs: Outputs, maximum_quantity: int) -> Found:
    """All statements, in order: consolidate, judge every id, write the labels, describe them.

    Raises QueryFailedError, and StepError where there is no label to write.
    """
    reader, reason = consolidate(athena, tables, source, outputs.metadata)
    folder = outputs.summary.join("inventory")
    source.listed.put(folder)
    athena.run("create inventory", statements.create_inventory(tables, folder))
    refused = refusals(athena, tables, source)
    counts = Counts(
        source.listed.images, source.listed.metadata, quantities(athena, tables, maximum_quantity), maximum_quantity
    )
    above = sum(counts.quantities.values()) - sum(counts.labels.values())
    if above:
        refused[ABOVE_MAXIMUM] = Refusal(photos=above, examples=[])
    if not counts.labels:
        found = ", ".join(f"{name}: {one.photos}" for name, one in refused.items())
        raise StepError(f"no photo below {source.location} has a quantity of 0 to {maximum_quantity} ({found})")
    athena.run(LABELS, statements.write_labels(tables, outputs.staged, source.files), [str(maximum_quantity)])
    sample = measures.sample(source.metadata, source.listed)
    return Found(reader, reason, eda.collect(athena, tables, counts, refused, sample))


def leave(summary: Summary, findings: Findings) -> None:
    """Write what the job uploads when it ends."""
    folder = container.processing_output("summary")
    eda.write(findings, folder / eda.FOLDER)
    page.write(folder / page.NAME, findings, summary.image_location)
    (folder / NAME).write_text(summary.model_dump_json(indent=2))
    (folder / hand_over.NAME).write_text(HandOver(uri=summary.labels_location).model_dump_json())


def job_suffix() -> str:
    """What tells this job's tables from another's: a hash of the job's name, the same in a retry of the process."""
    return hashlib.sha256((container.job_name() or str(uuid.uuid4())).encode()).hexdigest()[:12]


def clear(output: S3Uri, raw: S3Uri) -> None:
    """Remove what an earlier try of this job left below `output`: CTAS wants an empty location.

    Raises StepError, and removes nothing, where that would reach the raw data or a whole bucket.
    """
    import awswrangler as wr

    mine = f"{output.key.rstrip('/')}/"
    for folder in (inventory.METADATA, inventory.IMAGES):
        theirs = f"{raw.join(folder).key}/"
        if mine == "/" or (output.bucket == raw.bucket and (mine.startswith(theirs) or theirs.startswith(mine))):
            raise StepError(f"the output {output} reaches into the raw data below {raw}, or is a whole bucket")
    with service_errors(f"clearing {output}/"):
        wr.s3.delete_objects(f"s3://{output.bucket}/{mine}")


def consolidate(
    athena: Athena, tables: Tables, source: Source, output: S3Uri
) -> tuple[Literal["athena", "direct"], str]:
    """Fill the table of consolidated metadata; gives who read the files, and why if it was not Athena."""
    athena.run("create raw", statements.create_raw(tables, source.metadata))
    try:
        athena.run("consolidate", statements.consolidate(tables, source.metadata, output, source.files))
    except QueryFailedError as error:
        if not error.is_about_data:
            raise
        reason = str(error)
    else:
        return "athena", ""
    log.warning("Athena's SerDe does not take the metadata (%s); reading the files directly", reason)
    clear(output, source.location)
    malformed = direct.consolidate(source.metadata, source.listed.metadata_ids(), output)
    log.info("%d files were read directly, %d of them are malformed or gone", source.listed.metadata, malformed)
    athena.run("create metadata", statements.create_metadata(tables, output))
    return "direct", reason


def refusals(athena: Athena, tables: Tables, source: Source) -> dict[str, Refusal]:
    """The ids that cannot be labels, by reason."""
    totals: dict[str, int] = {}
    examples: dict[str, list[str]] = {}
    for row in athena.rows("count refused", statements.refused(tables, EXAMPLES)):
        reason = str(row["reason"])
        totals[reason] = int(str(row["total"]))
        examples.setdefault(reason, []).append(str(row["image_id"]))
    if totals.pop(NULL_QUANTITY, 0):
        del examples[NULL_QUANTITY]
        for image_id, reason in null_or_missing(athena, tables, source):
            totals[reason] = totals.get(reason, 0) + 1
            examples[reason] = [*examples.get(reason, []), image_id][:EXAMPLES]
    return {reason: Refusal(photos=totals[reason], examples=examples[reason]) for reason in sorted(totals)}


def null_or_missing(athena: Athena, tables: Tables, source: Source) -> Iterator[tuple[str, str]]:
    """(id, reason) of the files without a quantity: a column is NULL for a null and for a key that is absent."""
    ids = (str(row["image_id"]) for row in athena.rows("list without quantity", statements.null_quantities(tables)))
    for image_id, found in direct.read(source.metadata, ids, parse):
        # Ion that is no JSON, such as a file with comments, is malformed to us.
        yield image_id, f"{found.kind}-quantity" if isinstance(found, Metadata) else MALFORMED


def quantities(athena: Athena, tables: Tables, maximum_quantity: int) -> dict[int, int]:
    """Photos of each usable quantity, above the maximum too; of the largest, that and above."""
    largest = max(LARGEST_QUANTITY, maximum_quantity + 1)
    rows = athena.rows("count labels", statements.distribution(tables, largest))
    return {int(str(row["quantity"])): int(str(row["photos"])) for row in rows}


def drop(tables: Tables) -> None:
    """Take this job's tables out of the catalog; the data stays. A table that stays is worth a warning, not the run.

    Straight from Glue: as a statement of Athena's each would be a query that is queued and waited for.
    """
    import awswrangler as wr

    for table in tables.all:
        try:
            with service_errors(f"dropping {table}"):
                wr.catalog.delete_table_if_exists(table.database, table.name)
        except StepError as error:
            log.warning("%s", error)
