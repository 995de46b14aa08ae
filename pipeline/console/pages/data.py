"""The data of a run: quantities, splits, leakage, what was left out, items and their measures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from starlette.responses import Response

from pipeline.console.console import Console, NotFoundError, View
from pipeline.console.pages import reads
from pipeline.console.readings import FOREVER
from pipeline.console.routes import Routes, Values
from pipeline.operations.dataset import exploration, photos, planned
from pipeline.operations.dataset.description import QUERY, STEP
from pipeline.operations.dataset.exploration import EXPLORE, RunData
from pipeline.operations.dataset.planned import STEP as PLAN
from pipeline.operations.runs.progress import Progress
from steps.contracts import photo_files
from steps.contracts.dataset import DatasetIndex
from steps.contracts.errors import PipelineError
from steps.contracts.left_out import LeftOut
from steps.contracts.shard_summary import Leakage
from steps.reports import data_charts
from steps.reports.charts import Bar, Drawing, bars

# Numbers of items from which on all are one bar.
MOST = 100
# Photos of each reason that are shown.
SAMPLES = 6
# Seconds after which a part that could not be read is tried again.
TRIED_AGAIN = 60.0
# Reasons for which there is no photo to show: no file, or one that is no photo by its name or its content.
_WITHOUT_PHOTO = (
    *("metadata-without-image", "missing-image", "not-jpeg", "undecodable", "too-large"),
    photo_files.HIDDEN,
    photo_files.OTHER_FORMAT,
    photo_files.OTHER_FILE,
    photo_files.FOLDER_BELOW,
    photo_files.UNUSABLE_ID,
)
# A photo is looked at again and again while its page is open; it may be replaced later.
_PHOTO_HEADERS = {
    "content-security-policy": "default-src 'none'; sandbox",
    "cache-control": "private, max-age=3600",
}


@dataclass(frozen=True)
class Reason:
    """What was left out for one reason: ids of photos that may be shown, and names of what has no photo."""

    left_out: LeftOut
    photos: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def others(self) -> int:
        """How many more there are than those that are shown or named."""
        return self.left_out.photos - len(self.photos) - len(self.names)


def newest(console: Console, values: Values) -> View:  # noqa: ARG001  # a page
    """The data of the newest run that has any."""
    runs = reads.newest_runs(console)
    refresh = reads.BUSY if any(not run.ended for run in runs) else reads.IDLE
    for run in runs:
        progress = reads.progress_of_listed(console, run)
        if exploration.has_data(progress):
            return View("data.html", _values(console, progress), refresh)
    return View("data.html", {"run": None, "looked": len(runs)}, refresh)


def data(console: Console, values: Values) -> View:
    """The data of a run, as far as the run has come."""
    progress = reads.progress_of(console, values["run"])
    return View("data.html", _values(console, progress), 0.0 if progress.execution.ended else reads.BUSY)


def photo(console: Console, values: Values) -> Response:
    """A photo that the run names as left out; no other object of the bucket."""
    progress = reads.progress_of(console, values["run"])
    read, image_id = data_of(console, progress), values["photo"]
    if read.query is None or image_id not in read.named:
        raise NotFoundError(f"The run {progress.execution.id} names no such photo among those that it left out.")
    try:
        content = photos.find(console.settings, read.query.image_location, image_id)
    except PipelineError as error:
        raise NotFoundError(str(error)) from error
    if content is None:
        raise NotFoundError(f"There is no photo {image_id} below {read.query.image_location} any more.")
    return Response(content, media_type="image/jpeg", headers=_PHOTO_HEADERS)


def data_of(console: Console, progress: Progress) -> RunData:
    """What the run has written about its data; kept, since outputs of a job that has succeeded stay as they are."""
    jobs = {step.name: step.arn("ProcessingJob") for step in progress.steps if step.status == "Succeeded"}
    return console.readings.get(
        ("data", progress.execution.arn, *(jobs.get(name) for name in (QUERY, EXPLORE, PLAN, STEP))),
        lambda: exploration.read(console.settings, progress),
        lambda read: TRIED_AGAIN if read.problems else FOREVER,
    )


def _values(console: Console, progress: Progress) -> dict[str, object]:
    read = data_of(console, progress)
    leakage = read.sharding.leakage if read.sharding else None
    names = (QUERY, EXPLORE, PLAN, STEP)
    states = {step.name: step for step in progress.steps if step.name in names}
    return {
        "run": progress.execution,
        "data": read,
        "steps": [states[name] for name in names if name in states and states[name].status != "Succeeded"],
        "quantities": _quantities(read),
        "reasons": [_reason(each) for each in read.left_out],
        "splits": list(_splits(read.index)) if read.index else [],
        "classes": list(_classes(read.index)) if read.index else [],
        "plan": planned.facts(read.plan, read.index) if read.plan else None,
        "leakage": leakage,
        "leakage_chart": _leakage(leakage) if leakage and leakage.is_known else None,
        "item_charts": data_charts.items(read.explored, MOST) if read.explored else [],
        "measure_charts": data_charts.measures(read.explored) if read.explored else [],
    }


def _quantities(read: RunData) -> Drawing | None:
    """Photos by quantity: of all with a usable one, or of those with a label where a run has no other numbers."""
    if read.query is None:
        return None
    totals = read.explored.quantities if read.explored else read.query.labels
    return data_charts.quantities(totals, read.query.maximum_quantity)


def _reason(each: LeftOut) -> Reason:
    ids = filter(photo_files.is_usable_id, () if each.reason in _WITHOUT_PHOTO else each.examples)
    shown = list(ids)[:SAMPLES]
    names = [name for name in each.examples if name not in shown][:SAMPLES] if not shown else []
    return Reason(each, tuple(shown), tuple(names))


@dataclass(frozen=True)
class SplitRow:
    """A split: its photos, their share and the share that the settings want, its shards and their bytes."""

    name: str
    photos: int
    share: float
    wanted: float
    shards: int
    bytes: int


def _splits(index: DatasetIndex) -> Iterator[SplitRow]:
    total = sum(split.samples for split in index.splits.values())
    for name, split in index.splits.items():
        wanted = index.sharding.fractions[name]
        yield SplitRow(name, split.samples, split.samples / total, wanted, len(split.shards), split.bytes)


@dataclass(frozen=True)
class ClassRow:
    """A class: its photos by split, its share of the training photos relative to the largest class, and its weight."""

    quantity: int
    photos: tuple[int, ...]
    length: float
    weight: float


def _classes(index: DatasetIndex) -> Iterator[ClassRow]:
    counts = index.splits["train"].class_counts
    largest = max(counts.values())
    for quantity, weight in zip(index.classes, index.class_weights, strict=True):
        photos_by_split = tuple(split.class_counts.get(quantity, 0) for split in index.splits.values())
        yield ClassRow(quantity, photos_by_split, counts[quantity] / largest, weight)


def _leakage(leakage: Leakage) -> Drawing:
    """Shares of the held-out photos that show a bin, or an item, of the training photos."""
    data = [
        Bar("bin", leakage.split.share(leakage.split.same_bin)),
        Bar("bin, random", leakage.random.share(leakage.random.same_bin), faint=True),
        Bar("item", leakage.split.share(leakage.split.same_item)),
        Bar("item, random", leakage.random.share(leakage.random.same_item), faint=True),
    ]
    return bars("Shared with training", "", "share of validation and test photos", data, percent=True)


ROUTES = Routes({"/data": newest, "/runs/{run}/data": data}, downloads={"/runs/{run}/photos/{photo}": photo})
