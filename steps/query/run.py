"""The step: from many small metadata files in S3 to consolidated Parquet, labels, and a summary of the ids left out."""

from __future__ import annotations

import hashlib
import logging
import tempfile
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from steps.contracts import exploration, hand_over
from steps.contracts.errors import StepError
from steps.contracts.hand_over import HandOver
from steps.contracts.query_summary import EXAMPLES, LABELS, NAME, Refusal, Summary
from steps.contracts.s3_uri import S3Uri
from steps.query import direct, eda, labels, page, s3_inventory, statements
from steps.query.eda import Counts, Findings
from steps.query.execution import Athena, QueryFailedError, UnansweredError, service_errors
from steps.query.inventory import IMAGES, METADATA, Inventory, list_inventory
from steps.query.metadata import Metadata, parse
from steps.query.objects import upload
from steps.query.settings import Settings
from steps.query.statements import Tables
from steps.runtime import container

log = logging.getLogger(__name__)

NULL_QUANTITY = "null-quantity"
MALFORMED = "malformed-metadata"
# All quantities from this one on are counted together: the largest of the real data is near 200.
LARGEST_QUANTITY = 1_000


@dataclass(frozen=True)
class Outputs:
    """The locations of this job's outputs in S3: all runs share `labels`, the others belong to this run."""

    metadata: S3Uri
    labels: S3Uri
    summary: S3Uri

    @property
    def staged(self) -> S3Uri:
        """The folder that Athena writes the labels to, before their key can be computed."""
        return self.summary.join("staged-labels")

    @classmethod
    def declared(cls) -> Outputs:
        """The locations that the processing job declares."""
        return cls(*[S3Uri.parse(container.processing_output_uri(name)) for name in ("metadata", "labels", "summary")])


@dataclass(frozen=True)
class Source:
    """The raw location and its inventory."""

    location: S3Uri
    inventory: Inventory

    @property
    def metadata(self) -> S3Uri:
        """The folder of metadata files."""
        return self.location.join(METADATA)

    @property
    def files(self) -> int:
        """Number of Parquet files of a table with one row per metadata file."""
        return statements.bucket_count(self.inventory.metadata)


def run(settings: Settings) -> Summary:
    """Consolidate the metadata below the image location, and write the labels and `query.json`.

    Raises StepError for an error of S3, for a query that fails or takes longer than the time limit, and if no photo has
    a label.
    """
    raw = S3Uri.parse(settings.image_location)
    tables = statements.tables_of(statements.database_name(settings.database), job_suffix())
    outputs = Outputs.declared()
    results = outputs.summary.join("athena")
    workgroup = statements.workgroup_name(settings.workgroup)
    athena = Athena(settings.database, workgroup, results, settings.timeout_minutes * 60)

    with tempfile.TemporaryDirectory() as scratch:
        written, listed_by = (
            s3_inventory.read(S3Uri.parse(settings.inventory), raw.bucket) if settings.inventory else (None, None)
        )
        inventory = list_inventory(raw, Path(scratch), written)
        log.info("%s contains %d photos and %d metadata files", raw, inventory.images, inventory.metadata)
        for output in (outputs.metadata, outputs.summary):
            clear(output, raw)
        athena.ensure_database()
        # Tables of an earlier attempt of this job that was killed.
        drop(tables)
        try:
            source = Source(raw, inventory)
            reader, reason = consolidate(athena, tables, source, outputs.metadata)
            findings = query(athena, tables, source, outputs, settings.maximum_quantity)
            folder = Path(scratch, "labels")
            folder.mkdir()
            published = labels.publish(outputs.staged, outputs.labels, raw, folder)
        except QueryFailedError as error:
            raise StepError(f"Athena, {error.statement}: {error}") from error
        finally:
            drop(tables)
    clear(outputs.staged, raw)
    summary = Summary(
        labels_location=str(published),
        image_location=settings.image_location,
        data_version=settings.data_version,
        maximum_quantity=settings.maximum_quantity,
        reader=reader,
        reader_reason=reason,
        metadata_files=inventory.metadata,
        images=inventory.images,
        listed_by=listed_by,
        labels=findings.counts.labels,
        refused=findings.refused,
        executions=athena.executions,
    )
    write_summary(summary, findings)
    log.info("%d photos have a label, by quantity %s", summary.labelled, summary.labels)
    log.info("left out: %s", {reason: refusal.photos for reason, refusal in summary.refused.items()} or "none")
    return summary


def query(athena: Athena, tables: Tables, source: Source, outputs: Outputs, maximum_quantity: int) -> Findings:
    """Run the statements on the consolidated metadata in order: evaluate every id, write the labels, describe them.

    Raises QueryFailedError, and StepError if no id can be a label.
    """
    folder = outputs.summary.join("inventory")
    upload(source.inventory.path, folder.join(source.inventory.path.name))
    athena.run("create inventory", statements.create_inventory(tables, folder))
    refused = refusals(athena, tables, source, maximum_quantity)
    usable = quantities(athena, tables, maximum_quantity)
    counts = Counts(source.inventory.images, source.inventory.metadata, usable, maximum_quantity)
    others = source.inventory.left_out
    for reason, total in others.totals.items():
        refused[reason] = Refusal(photos=total, examples=others.examples[reason])
    if not counts.labels:
        reasons = ", ".join(f"{reason}: {refusal.photos}" for reason, refusal in refused.items())
        raise StepError(f"no photo below {source.location} has a quantity of 0 to {maximum_quantity} ({reasons})")
    athena.run(LABELS, statements.write_labels(tables, outputs.staged, source.files), [str(maximum_quantity)])
    return eda.collect(athena, tables, counts, refused)


def write_summary(summary: Summary, findings: Findings) -> None:
    """Write the output that the job uploads at its end."""
    folder = container.processing_output("summary")
    eda.write(findings, folder / eda.FOLDER)
    explored = eda.exploration(findings)
    (folder / exploration.NAME).write_text(explored.model_dump_json(indent=2))
    page.write(folder / page.NAME, findings, explored, summary.image_location)
    (folder / NAME).write_text(summary.model_dump_json(indent=2))
    (folder / hand_over.NAME).write_text(HandOver(uri=summary.labels_location).model_dump_json())


def job_suffix() -> str:
    """The suffix of this job's tables: a hash of the job's name, the same when the process is repeated."""
    return hashlib.sha256((container.job_name() or str(uuid.uuid4())).encode()).hexdigest()[:12]


def clear(output: S3Uri, raw: S3Uri) -> None:
    """Delete the objects of an earlier attempt of this job below `output`: a CTAS needs an empty location.

    Raises StepError, and deletes nothing, if `output` overlaps the raw data or is a whole bucket.
    """
    import awswrangler as wr

    own = f"{output.key.rstrip('/')}/"
    for folder in (METADATA, IMAGES):
        other = f"{raw.join(folder).key}/"
        if own == "/" or (output.bucket == raw.bucket and (own.startswith(other) or other.startswith(own))):
            raise StepError(f"the output {output} overlaps the raw data below {raw}, or is a whole bucket")
    with service_errors(f"clearing {output}/"):
        wr.s3.delete_objects(f"s3://{output.bucket}/{own}")


def consolidate(
    athena: Athena, tables: Tables, source: Source, output: S3Uri
) -> tuple[Literal["athena", "direct"], str]:
    """Fill the table of consolidated metadata; returns the reader of the files, and the reason if it is not Athena."""
    athena.run("create raw", statements.create_raw(tables, source.metadata))
    try:
        athena.run("consolidate", statements.consolidate(tables, source.metadata, output, source.files))
    except QueryFailedError as error:
        if error.is_final:
            raise
        reason = str(error)
    except UnansweredError as error:
        reason = str(error)
    else:
        return "athena", ""
    log.warning("Athena did not read the metadata (%s); reading the files directly", reason)
    clear(output, source.location)
    # Not where a query that was just stopped may still write.
    folder = output.join("direct")
    malformed = direct.consolidate(source.metadata, source.inventory.metadata_ids(), folder)
    log.info("%d files were read directly, %d of them are malformed or deleted", source.inventory.metadata, malformed)
    athena.run("create metadata", statements.create_metadata(tables, folder))
    return "direct", reason


def refusals(athena: Athena, tables: Tables, source: Source, maximum_quantity: int) -> dict[str, Refusal]:
    """The ids that are no labels, by reason."""
    totals: Counter[str] = Counter()
    examples: defaultdict[str, list[str]] = defaultdict(list)
    for row in athena.rows("count refused", statements.refused(tables, EXAMPLES, maximum_quantity)):
        reason = str(row["reason"])
        totals[reason] = int(str(row["total"]))
        examples[reason].append(str(row["image_id"]))
    if totals.pop(NULL_QUANTITY, 0):
        del examples[NULL_QUANTITY]
        for image_id, reason in null_or_missing(athena, tables, source):
            totals[reason] += 1
            examples[reason] = [*examples[reason], image_id][:EXAMPLES]
    return {reason: Refusal(photos=totals[reason], examples=examples[reason]) for reason in sorted(totals)}


def null_or_missing(athena: Athena, tables: Tables, source: Source) -> Iterator[tuple[str, str]]:
    """(id, reason) of the files without a quantity: a column is NULL for a null and for a missing key."""
    ids = (str(row["image_id"]) for row in athena.rows("list without quantity", statements.null_quantities(tables)))
    for image_id, metadata in direct.read(source.metadata, ids, parse):
        # Ion that is not JSON, such as a file with comments, counts as malformed.
        yield image_id, f"{metadata.kind}-quantity" if isinstance(metadata, Metadata) else MALFORMED


def quantities(athena: Athena, tables: Tables, maximum_quantity: int) -> dict[int, int]:
    """Photos by usable quantity, also above the maximum; the largest quantity includes all above it."""
    largest = max(LARGEST_QUANTITY, maximum_quantity + 1)
    rows = athena.rows("count labels", statements.distribution(tables, largest))
    return {int(str(row["quantity"])): int(str(row["photos"])) for row in rows}


def drop(tables: Tables) -> None:
    """Delete this job's tables from the catalog, not their data. An error is logged and does not fail the run.

    Tables are deleted in Glue: a DROP TABLE in Athena would be a query that is queued and waited for.
    """
    import awswrangler as wr

    for table in tables:
        try:
            with service_errors(f"dropping {table}"):
                wr.catalog.delete_table_if_exists(table.database, table.name)
        except StepError as error:
            log.warning("%s", error)
