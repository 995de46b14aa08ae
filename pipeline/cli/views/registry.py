"""Views of the versions of the model: a list, and two of them side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from pipeline.cli.tables import Cell, Column, Table
from pipeline.cli.views.cells import status_text
from pipeline.operations.models.comparison import METRICS, Comparison, class_accuracy, evaluated_on, verdict
from pipeline.operations.models.registry import Version
from pipeline.texts import minute
from steps.contracts.wording import count_of


def versions_table(versions: Sequence[Version]) -> Table:
    """One row per version."""
    table = Table(
        Column("version", "number"),
        Column("status", priority=3),
        *(Column(heading, "number", 3) for heading, _ in METRICS.values()),
        Column("champion", priority=2),
        Column("evaluated on", priority=1),
        Column("registered", "time"),
        Column("run", priority=1),
        Column("comment", priority=0),
    )
    metrics = [_metric_cells(field, versions) for field in METRICS]
    for version in versions:
        table.add_row(
            Text(str(version.version), style="bold"),
            # The short word keeps a terminal of 80 columns to one line per version.
            status_text(version.status.replace("PendingManualApproval", "Pending")),
            *(cell(version) for cell in metrics),
            _champion(version),
            evaluated_on(version),
            minute(version.created),
            version.run,
            version.comment,
        )
    return table


def notes(versions: Sequence[Version]) -> list[str]:
    """Explanations below the list."""
    lines = []
    if len(versions) > 1:
        lines.append("*: the best value of its column; off by 1: share of photos whose count is off by at most one")
    if any(version.evaluation.champion for version in versions):
        lines.append("champion: accuracy minus that of the version approved at that time, on the same photos")
    if len({evaluated_on(version) for version in versions if version.evaluation.dataset_sha256}) > 1:
        lines.append("not all were evaluated on the same data: compare versions with the same split and data set only")
    return lines


def _metric_cells(field: str, versions: Sequence[Version]) -> Callable[[Version], Text]:
    """The cell of a metric for each version; the best of several is marked."""
    _, better = METRICS[field]
    values = [value for version in versions if (value := getattr(version.evaluation, field)) is not None]
    # Where all are equal none is better than another.
    best = better(values) if len(set(values)) > 1 else None

    def cell(version: Version) -> Text:
        value = getattr(version.evaluation, field)
        return Text(f"{number(value)}*", style="bold green") if value is not None and value == best else number(value)

    return cell


def _champion(version: Version) -> Text:
    champion = version.evaluation.champion
    if champion is None:
        return Text("none" if version.evaluation.accuracy is not None else "-", style="dim")
    difference = champion.accuracy
    return Text(f"{difference.value:+z.3f} to {champion.version}", style=_colour(difference.value, difference.certain))


def comparison_page(comparison: Comparison) -> Iterator[RenderableType]:
    """Two versions: metrics, accuracy by class, and the differences on the photos that both counted."""
    yield _metrics_table(comparison)
    yield ""
    yield _classes_table(comparison)
    yield ""
    if comparison.other_data:
        text = f"Evaluated on different data ({comparison.other_data}): these figures do not compare."
        yield Text(text, style="yellow")
    yield from _shared(comparison)


def _metrics_table(comparison: Comparison) -> Table:
    first, second = comparison.first, comparison.second
    table = Table("", first.name, second.name, Column("difference", "number"))
    table.add_row("status", status_text(first.status), status_text(second.status))
    table.add_row("evaluated on", evaluated_on(first), evaluated_on(second))
    table.add_row("photos", *(str(version.evaluation.photos or "-") for version in (first, second)))
    for field, (heading, better) in METRICS.items():
        values = (number(getattr(version.evaluation, field)) for version in (first, second))
        table.add_row(heading, *values, _difference(comparison, comparison.differences[field], better is max))
    return table


def _classes_table(comparison: Comparison) -> Table:
    first, second = comparison.first, comparison.second
    headings = ("photos", first.name, second.name, "difference in accuracy")
    table = Table("count", *(Column(heading, "number") for heading in headings))
    for quantity, difference in comparison.per_class.items():
        classes = [version.evaluation.per_class.get(quantity) for version in (first, second)]
        # One number where both have the same.
        photos = " / ".join(dict.fromkeys("-" if scores is None else f"{scores.photos:,}" for scores in classes))
        accuracies = (number(class_accuracy(version, quantity)) for version in (first, second))
        table.add_row(quantity, photos, *accuracies, _difference(comparison, difference, True))
    return table


def _difference(comparison: Comparison, value: float | None, more_is_better: bool) -> Text:
    if value is None:
        return Text("-", style="dim")
    # Figures on different data do not compare, so they get no colour.
    style = "dim" if comparison.other_data else _colour(value if more_is_better else -value, True)
    return Text(f"{value:+z.4f}", style=style)


def _shared(comparison: Comparison) -> Iterator[RenderableType]:
    shared = comparison.shared
    if shared is None:
        yield Text(f"No interval of the difference: {comparison.not_shared}.", style="yellow")
        return
    yield f"{count_of(shared.photos, 'photo')} that both counted:"
    table = Table("", Column("difference", "number"), Column("95% interval", "number"), "")
    for field, difference, sign in (("accuracy", shared.accuracy, 1), ("rmse", shared.rmse, -1)):
        heading, better = METRICS[field]
        cells: list[Cell] = [
            heading,
            f"{difference.value:+z.4f}",
            f"{difference.lower:+z.4f} to {difference.upper:+z.4f}",
            Text(
                verdict(comparison.second.name, difference, better),
                style=_colour(difference.value * sign, difference.certain),
            ),
        ]
        table.add_row(*cells)
    yield table
    if shared.relabelled:
        yield Text(f"{shared.relabelled:,} more had different labels in the two evaluations.", style="dim")


def number(value: float | None) -> Text:
    """A metric with four digits."""
    return Text("-", style="dim") if value is None else Text(f"{value:.4f}")


def _colour(gain: float, certain: bool) -> str:
    if not certain or gain == 0:
        return ""
    return "green" if gain > 0 else "red"
