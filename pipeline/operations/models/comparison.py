"""Two versions of the model side by side, and whether their difference is significant."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pipeline.operations.models import predicted, registry
from pipeline.operations.models.evaluations import Difference
from pipeline.operations.models.registry import Version
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

if TYPE_CHECKING:
    import pyarrow as pa

# Metrics by their field: their name, and whether the best value is the highest or the lowest.
METRICS: dict[str, tuple[str, Callable[[Iterable[float]], float]]] = {
    "accuracy": ("accuracy", max),
    "rmse": ("RMSE", min),
    "mae": ("MAE", min),
    "within_one": ("off by 1", max),
}
_HASH_SHOWN = 8


@dataclass(frozen=True)
class CommonPhotos:
    """The photos that both versions counted, and the second's metrics on them less the first's.

    `photos` is the number with equal truth; `relabelled` photos have another truth each time and are left out.
    """

    photos: int
    relabelled: int
    accuracy: Difference
    rmse: Difference


@dataclass(frozen=True)
class Comparison:
    """Two versions. `other_data` is why their figures do not compare, empty where they do.

    `differences` are the second's figures less the first's, None for a missing figure. `not_shared` is why there are no
    common photos to bootstrap (`shared` is None then).
    """

    first: Version
    second: Version
    differences: dict[str, float | None]
    per_class: dict[str, float | None]
    other_data: str
    shared: CommonPhotos | None
    not_shared: str

    def flat(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        return {
            "first": self.first.flat(),
            "second": self.second.flat(),
            "differences": self.differences,
            "per_class_accuracy_differences": self.per_class,
            "comparable": not self.other_data,
            "other_data": self.other_data,
            "shared": asdict(self.shared) if self.shared else None,
            "not_shared": self.not_shared,
        }


def compare(settings: Settings, first: str, second: str) -> Comparison:
    """Compare the versions that `first` and `second` refer to (`latest`, a number, an ARN).

    Raises PipelineError for an unknown version, for twice the same one, and for one without an evaluation.
    """
    a, b = (registry.resolve(settings, reference) for reference in (first, second))
    if a.arn == b.arn:
        raise PipelineError(f"{first} and {second} are both {a.name}; name two versions: python -m pipeline models")
    for version in (a, b):
        if version.evaluation.accuracy is None:
            raise PipelineError(_no_figures(version))
    shared, not_shared = _common_photos(settings, a, b)
    classes = sorted({*a.evaluation.per_class, *b.evaluation.per_class}, key=int)
    return Comparison(
        first=a,
        second=b,
        differences={name: _less(getattr(b.evaluation, name), getattr(a.evaluation, name)) for name in METRICS},
        per_class={name: _less(class_accuracy(b, name), class_accuracy(a, name)) for name in classes},
        other_data=_other_data(a, b),
        shared=shared,
        not_shared=not_shared,
    )


def class_accuracy(version: Version, quantity: str) -> float | None:
    """Share of the photos with this true quantity that the version counted right; None without such photos."""
    metrics = version.evaluation.per_class.get(quantity)
    return None if metrics is None else metrics.accuracy


def evaluated_on(version: Version) -> str:
    """Kind of the split and the first digits of the data set's hash; a hyphen without an evaluation."""
    return f"{version.evaluation.split} {version.evaluation.dataset_sha256[:_HASH_SHOWN]}".strip() or "-"


def verdict(name: str, difference: Difference, better: Callable[[Iterable[float]], float]) -> str:
    """Whether the version `name`, whose metric differs by this from another's, is better, worse, or neither."""
    if difference.lower == difference.upper == 0:
        return "no difference"
    if not difference.certain:
        return "may be chance"
    return f"{name} is {'better' if better((difference.value, 0)) == difference.value else 'worse'}"


def _no_figures(version: Version) -> str:
    if version.evaluation.problem:
        return version.evaluation.problem
    uri = version.evaluation_uri
    reason = f"its evaluation is no longer at {uri}" if uri else "it was registered without one"
    return f"{version.name} has no figures: {reason}; use another version: python -m pipeline models"


def _less(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _other_data(first: Version, second: Version) -> str:
    a, b = first.evaluation, second.evaluation
    if not (a.dataset_sha256 and b.dataset_sha256):
        return "an evaluation does not name its data set"
    if a.split != b.split:
        return f"the splits differ: {a.split} for {first.name}, {b.split} for {second.name}"
    if a.dataset_sha256 != b.dataset_sha256:
        hashes = (f"{version.evaluation.dataset_sha256[:12]} for {version.name}" for version in (first, second))
        return f"the data sets differ: {', '.join(hashes)}"
    return ""


def _common_photos(settings: Settings, first: Version, second: Version) -> tuple[CommonPhotos | None, str]:
    """The comparison on the photos that both counted, or why there is none."""
    tables = []
    for version in (first, second):
        table = predicted.read(settings, version, ("image_id", "quantity", "predicted"))
        if table is None:
            return None, f"the predictions of {version.name} no longer exist"
        tables.append(table)
    joined = tables[0].join(tables[1], keys="image_id", join_type="inner", right_suffix="_second")
    return _paired(joined) if joined.num_rows else (None, "the two have no photo in common")


def _paired(joined: pa.Table) -> tuple[CommonPhotos | None, str]:
    from steps.contracts.statistics import paired_bootstrap as bootstrap
    from steps.contracts.statistics.tally import Tally

    truth, first, other_truth, second = (
        joined[name].to_numpy() for name in ("quantity", "predicted", "quantity_second", "predicted_second")
    )
    equal = truth == other_truth
    if not equal.any():
        return None, "every common photo had another truth each time"
    pairs = Tally()
    pairs.add(truth[equal], second[equal], first[equal])
    accuracy, rmse = (
        Difference(interval.value, interval.lower, interval.upper) for interval in bootstrap.differences(pairs)
    )
    return CommonPhotos(int(equal.sum()), int((~equal).sum()), accuracy, rmse), ""
