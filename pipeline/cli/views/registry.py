"""How versions of the model look in a terminal, one below the other or two side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.cli.views.runs import SPACE, moment, simple_table, status_text
from pipeline.operations.models.comparison import Comparison, class_accuracy
from pipeline.operations.models.evaluations import Difference
from pipeline.operations.models.registry import Version

# Metrics by their field: what people call them, and which value is the best.
METRICS = {"accuracy": ("accuracy", max), "rmse": ("RMSE", min), "mae": ("MAE", min), "within_one": ("off by 1", max)}
HASH_SHOWN = 8
# What a comment may add to a table's width before it is broken into lines.
COMMENT_SHOWN = 30


@dataclass(frozen=True)
class Column:
    """A column of the list, the text of a version in it, and the width that it asks for at most."""

    heading: str
    cell: Callable[[Version], Text]
    widest: int = 80


def tables(found: Sequence[Version], console: Console) -> Iterator[Table]:
    """The versions as one table; as several below each other where the terminal is too narrow for one."""
    name, *rest = _columns(found)
    chosen = [name]
    for column in rest:
        if len(chosen) > 1 and _width([*chosen, column], found) > console.width:
            yield _table(chosen, found)
            chosen = [name]
        chosen.append(column)
    yield _table(chosen, found)


def notes(found: Sequence[Version]) -> list[str]:
    """What a reader of the list has to know."""
    lines = []
    if len(found) > 1:
        lines.append("* the best of its column; off by 1: share of photos off by one at most")
    if any(one.evaluation.champion for one in found):
        lines.append("champion: accuracy less that of the version then approved, on the same photos")
    if len({_data(one) for one in found if one.evaluation.dataset_sha256}) > 1:
        lines.append("not all were judged on the same data: compare figures where split and data set agree")
    return lines


def _columns(found: Sequence[Version]) -> list[Column]:
    def version(one: Version) -> Text:
        return Text(str(one.version), style="bold")

    def approval(one: Version) -> Text:
        # Short enough that a terminal of 80 columns breaks no name.
        return status_text(one.status.replace("PendingManualApproval", "Pending"))

    return [
        Column("version", version),
        Column("status", approval),
        *(_metric(field, found) for field in METRICS),
        Column("champion", _champion),
        Column("judged on", lambda one: Text(_data(one))),
        Column("registered", lambda one: Text(moment(one.created)[:-3])),
        Column("run", lambda one: Text(one.run)),
        Column("comment", lambda one: Text(one.comment), widest=COMMENT_SHOWN),
    ]


def _metric(field: str, found: Sequence[Version]) -> Column:
    heading, better = METRICS[field]
    values = [value for one in found if (value := getattr(one.evaluation, field)) is not None]
    # The best of one is no news.
    best = better(values) if len(values) > 1 else None

    def cell(one: Version) -> Text:
        value = getattr(one.evaluation, field)
        return Text(f"{number(value)}*", style="bold green") if value is not None and value == best else number(value)

    return Column(heading, cell)


def _champion(one: Version) -> Text:
    champion = one.evaluation.champion
    if champion is None:
        return Text("none" if one.evaluation.accuracy is not None else "-", style="dim")
    difference = champion.accuracy
    return Text(f"{difference.value:+.3f} to {champion.version}", style=_colour(difference.value, difference.certain))


def _data(one: Version) -> str:
    return f"{one.evaluation.split} {one.evaluation.dataset_sha256[:HASH_SHOWN]}".strip() or "-"


def _table(columns: Sequence[Column], found: Sequence[Version]) -> Table:
    table = simple_table(*(column.heading for column in columns))
    for one in found:
        table.add_row(*(column.cell(one) for column in columns))
    return table


def _width(columns: Sequence[Column], found: Sequence[Version]) -> int:
    """Of the table of `columns`, in characters: the widest cell of each, and the space between them."""
    cells = (
        min(column.widest, max(len(column.heading), *(column.cell(one).cell_len for one in found)))
        for column in columns
    )
    return sum(cells) + SPACE * (len(columns) - 1)


def comparison(found: Comparison) -> RenderableType:
    """Two versions: the metrics, the classes, and what the photos that both counted say."""
    parts: list[RenderableType] = [_metrics_table(found), "", _classes_table(found), ""]
    if found.other_data:
        parts.append(Text(f"Judged on different data ({found.other_data}): these figures do not compare.", "yellow"))
    parts.append(_shared(found))
    return Group(*parts)


def _metrics_table(found: Comparison) -> Table:
    table = simple_table("", found.first.name, found.second.name, "difference")
    table.add_row("status", status_text(found.first.status), status_text(found.second.status))
    table.add_row("judged on", _data(found.first), _data(found.second))
    table.add_row("photos", *(str(one.evaluation.photos or "-") for one in (found.first, found.second)))
    for field, (heading, better) in METRICS.items():
        values = (number(getattr(one.evaluation, field)) for one in (found.first, found.second))
        table.add_row(heading, *values, _difference(found, found.differences[field], better is max))
    return table


def _classes_table(found: Comparison) -> Table:
    table = simple_table("holds", "photos", found.first.name, found.second.name, "difference in accuracy")
    for quantity, difference in found.per_class.items():
        classes = [one.evaluation.per_class.get(quantity) for one in (found.first, found.second)]
        # Once where both saw as many.
        photos = " / ".join(dict.fromkeys("-" if one is None else f"{one.photos:,}" for one in classes))
        accuracies = (number(class_accuracy(one, quantity)) for one in (found.first, found.second))
        table.add_row(quantity, photos, *accuracies, _difference(found, difference, True))
    return table


def _difference(found: Comparison, value: float | None, more_is_better: bool) -> Text:
    if value is None:
        return Text("-", style="dim")
    # A colour is a judgement, which figures that do not compare do not allow.
    style = "dim" if found.other_data else _colour(value if more_is_better else -value, True)
    return Text(f"{value:+.4f}", style=style)


def _shared(found: Comparison) -> RenderableType:
    if found.shared is None:
        return Text(f"No interval of the difference: {found.not_shared}.", style="yellow")
    shared = found.shared
    parts: list[RenderableType] = [
        Text(f"{shared.photos:,} photo{'' if shared.photos == 1 else 's'} that both counted:")
    ]
    table = simple_table("", "difference", "95% interval", "")
    for heading, difference, sign in (("accuracy", shared.accuracy, 1), ("RMSE", shared.rmse, -1)):
        verdict = _verdict(found.second.name, difference, sign)
        table.add_row(
            heading,
            f"{difference.value:+.4f}",
            f"{difference.lower:+.4f} to {difference.upper:+.4f}",
            Text(verdict, style=_colour(difference.value * sign, difference.certain)),
        )
    parts.append(table)
    if shared.relabelled:
        parts.append(Text(f"{shared.relabelled:,} more had another truth each time.", style="dim"))
    return Group(*parts)


def _verdict(name: str, difference: Difference, sign: int) -> str:
    if difference.lower == difference.upper == 0:
        return "no difference"
    if not difference.certain:
        return "may be luck"
    return f"{name} is {'better' if difference.value * sign > 0 else 'worse'}"


def number(value: float | None) -> Text:
    """A metric with the digits that tell versions apart."""
    return Text("-", style="dim") if value is None else Text(f"{value:.4f}")


def _colour(gain: float, certain: bool) -> str:
    if not certain or gain == 0:
        return ""
    return "green" if gain > 0 else "red"
