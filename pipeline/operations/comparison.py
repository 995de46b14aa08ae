"""Two versions of the model side by side."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import PipelineError
from pipeline.operations import registry
from pipeline.operations.registry import Version
from pipeline.operations.responses import says_missing
from pipeline.session import client
from pipeline.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

PREDICTIONS = "predictions.parquet"
# name, path in evaluation.json, whether more is better
_METRICS: tuple[tuple[str, tuple[str, ...], bool], ...] = (
    ("accuracy", ("multiclass_classification_metrics", "accuracy", "value"), True),
    ("off by one at most", ("within_one", "value"), True),
    ("weighted F1", ("multiclass_classification_metrics", "weighted_f1", "value"), True),
    ("RMSE", ("regression_metrics", "rmse", "value"), False),
    ("MAE", ("regression_metrics", "mae", "value"), False),
    ("calibration error", ("calibration", "expected_calibration_error"), False),
)


@dataclass(frozen=True)
class Row:
    """A metric of both versions, None where an evaluation does not tell it."""

    name: str
    first: float | None
    second: float | None
    more_is_better: bool

    @property
    def difference(self) -> float | None:
        """The second less the first."""
        return None if self.first is None or self.second is None else self.second - self.first


@dataclass(frozen=True)
class Interval:
    """The second less the first, with the 95% interval of a paired bootstrap."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Paired:
    """Both versions on the photos that both were evaluated on."""

    photos: int
    accuracy: Interval
    rmse: Interval


@dataclass(frozen=True)
class Comparison:
    """`caveat` says why figures of the two do not compare, empty where they do; `paired` is None without photos that
    both were evaluated on, or when the predictions are no longer in S3.
    """

    first: Version
    second: Version
    metrics: tuple[Row, ...]
    by_quantity: tuple[Row, ...]
    caveat: str
    paired: Paired | None


def compare(settings: Settings, first: str, second: str) -> Comparison:
    """The versions `first` and `second` (numbers, ARNs or `latest`).

    Raises PipelineError where one is not there, and where both are the same.
    """
    versions = registry.resolve(settings, first), registry.resolve(settings, second)
    if versions[0].arn == versions[1].arn:
        raise PipelineError(f"{first} and {second} are the same {versions[0].name}; name two")
    s3 = client(settings, "s3")
    evaluations = [registry.read_evaluation(s3, one.evaluation_uri) if one.evaluation_uri else {} for one in versions]
    return Comparison(
        first=versions[0],
        second=versions[1],
        metrics=tuple(
            Row(name, registry.number(evaluations[0], *path), registry.number(evaluations[1], *path), more)
            for name, path, more in _METRICS
        ),
        by_quantity=tuple(_by_quantity(*evaluations)),
        caveat=_caveat(*versions),
        paired=_paired(s3, *versions),
    )


def _by_quantity(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Row]:
    quantities = sorted({*first.get("per_class", {}), *second.get("per_class", {})}, key=int)

    def accuracy(evaluation: Mapping[str, Any], quantity: str) -> float | None:
        return registry.number(evaluation, "per_class", quantity, "accuracy")

    return [Row(one, accuracy(first, one), accuracy(second, one), more_is_better=True) for one in quantities]


def _caveat(first: Version, second: Version) -> str:
    for one in (first, second):
        if one.accuracy is None:
            return f"the evaluation of {one.name} is no longer in S3"
    if first.split != second.split:
        return f"evaluated on different splits ({first.split or 'not told'}, {second.split or 'not told'})"
    if first.dataset_sha256 != second.dataset_sha256:
        return "evaluated on different data"
    return ""


def _paired(s3: Any, first: Version, second: Version) -> Paired | None:
    from steps.common.paired import differences
    from steps.common.tally import Tally

    tables = [_predictions(s3, one) for one in (second, first)]
    if tables[0] is None or tables[1] is None:
        return None
    shared = tables[0].join(tables[1], ["image_id", "quantity"], join_type="inner", right_suffix="_other")
    if not shared.num_rows:
        return None
    pairs = Tally()
    pairs.add(*(shared[name].to_numpy() for name in ("quantity", "predicted", "predicted_other")))
    accuracy, rmse = (Interval(one.value, one.lower, one.upper) for one in differences(pairs))
    return Paired(shared.num_rows, accuracy, rmse)


def _predictions(s3: Any, version: Version) -> pa.Table | None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from botocore.exceptions import ClientError

    if not version.evaluation_uri:
        return None
    uri = f"{version.evaluation_uri.rpartition('/')[0]}/{PREDICTIONS}"
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    try:
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if says_missing(error):
            return None
        raise
    try:
        return pq.read_table(io.BytesIO(body), columns=["image_id", "quantity", "predicted"])
    except (pa.ArrowException, KeyError) as error:
        first = str(error).splitlines()[0]
        raise PipelineError(f"{uri}: not predictions ({first}); {version.name}'s evaluation is damaged") from error
