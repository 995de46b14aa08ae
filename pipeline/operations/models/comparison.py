"""Two versions of the model side by side, and whether their difference is more than the luck of the photos."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pipeline.clients import client
from pipeline.operations.models import evaluations, registry
from pipeline.operations.models.evaluations import Difference
from pipeline.operations.models.registry import Version
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

if TYPE_CHECKING:
    import pyarrow as pa

METRICS = ("accuracy", "rmse", "mae", "within_one")


@dataclass(frozen=True)
class Shared:
    """The photos that both versions counted: the second's metrics on them less the first's.

    `photos` are those with one truth for both; `relabelled` had another truth each time and are left out.
    """

    photos: int
    relabelled: int
    accuracy: Difference
    rmse: Difference


@dataclass(frozen=True)
class Comparison:
    """Two versions. `other_data` says why their figures do not compare, empty where they do.

    `differences` are the second's figures less the first's, None where one is missing. `shared` is None where there is
    nothing to bootstrap, and `not_shared` says why.
    """

    first: Version
    second: Version
    differences: dict[str, float | None]
    per_class: dict[str, float | None]
    other_data: str
    shared: Shared | None
    not_shared: str

    def flat(self) -> dict[str, Any]:
        """For machines."""
        shared = None if self.shared is None else asdict(self.shared)
        return {
            "first": self.first.flat(),
            "second": self.second.flat(),
            "differences": self.differences,
            "per_class_accuracy_differences": self.per_class,
            "comparable": not self.other_data,
            "other_data": self.other_data,
            "shared": shared,
            "not_shared": self.not_shared,
        }


def compare(settings: Settings, first: str, second: str) -> Comparison:
    """The versions that `first` and `second` mean (`latest`, a number, an ARN).

    Raises PipelineError where there is no such version, both are one, or one has no evaluation to compare.
    """
    one, other = (registry.resolve(settings, reference) for reference in (first, second))
    if one.arn == other.arn:
        raise PipelineError(f"{first} and {second} are both {one.name}; name two versions: python -m pipeline models")
    for version in (one, other):
        if version.evaluation.accuracy is None:
            raise PipelineError(_no_figures(version))
    shared, not_shared = _shared(settings, one, other)
    classes = sorted({*one.evaluation.per_class, *other.evaluation.per_class}, key=int)
    return Comparison(
        first=one,
        second=other,
        differences={name: _less(getattr(other.evaluation, name), getattr(one.evaluation, name)) for name in METRICS},
        per_class={name: _less(class_accuracy(other, name), class_accuracy(one, name)) for name in classes},
        other_data=_other_data(one, other),
        shared=shared,
        not_shared=not_shared,
    )


def class_accuracy(version: Version, quantity: str) -> float | None:
    """Share of the photos with this true quantity that the version counted right; None where it saw none."""
    found = version.evaluation.per_class.get(quantity)
    return None if found is None else found.accuracy


def _no_figures(version: Version) -> str:
    if version.evaluation.problem:
        return version.evaluation.problem
    where = version.evaluation_uri
    lost = f"its evaluation is no longer at {where}" if where else "it was registered without one"
    return f"{version.name} has no figures: {lost}; take another version: python -m pipeline models"


def _less(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _other_data(one: Version, other: Version) -> str:
    mine, theirs = one.evaluation, other.evaluation
    if not (mine.dataset_sha256 and theirs.dataset_sha256):
        return "an evaluation does not say which data it was made on"
    if mine.split != theirs.split:
        return f"the splits differ: {mine.split} for {one.name}, {theirs.split} for {other.name}"
    if mine.dataset_sha256 != theirs.dataset_sha256:
        hashes = (f"{version.evaluation.dataset_sha256[:12]} for {version.name}" for version in (one, other))
        return f"the data sets differ: {', '.join(hashes)}"
    return ""


# ---------------------------------------------------------------------------------------------- photo by photo


def _shared(settings: Settings, one: Version, other: Version) -> tuple[Shared | None, str]:
    """What the photos that both counted show, else why there is nothing to see."""
    s3 = client(settings, "s3")
    tables = []
    for version in (one, other):
        table = _predictions(s3, version)
        if table is None:
            return None, f"the predictions of {version.name} are no longer there"
        tables.append(table)
    joined = tables[0].join(tables[1], keys="image_id", join_type="inner", right_suffix="_second")
    return _paired(joined) if joined.num_rows else (None, "the two have no photo in common")


def _paired(joined: pa.Table) -> tuple[Shared | None, str]:
    from steps.contracts.statistics import paired_bootstrap as bootstrap
    from steps.contracts.statistics.tally import Tally

    truth, first, truth_then, second = (
        joined[name].to_numpy() for name in ("quantity", "predicted", "quantity_second", "predicted_second")
    )
    agreed = truth == truth_then
    if not agreed.any():
        return None, "every photo that they share had another truth each time"
    pairs = Tally()
    pairs.add(truth[agreed], second[agreed], first[agreed])
    accuracy, rmse = (Difference(one.value, one.lower, one.upper) for one in bootstrap.differences(pairs))
    return Shared(int(agreed.sum()), int((~agreed).sum()), accuracy, rmse), ""


def _predictions(s3: Any, version: Version) -> pa.Table | None:
    """Image ids, truths and counts of a version; None where they are no longer there.

    Raises PipelineError where the file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from steps.contracts.evaluation import PREDICTIONS

    uri = f"{version.evaluation_uri.rpartition('/')[0]}/{PREDICTIONS}"
    content = evaluations.fetch(s3, uri)
    if content is None:
        return None
    try:
        return pq.read_table(io.BytesIO(content), columns=["image_id", "quantity", "predicted"])
    except (pa.ArrowException, KeyError) as error:
        first = str(error).splitlines()[0]
        raise PipelineError(f"{uri}: not the predictions of an evaluation ({first}); restore the file") from error
