"""Charts of a search: hyperparameters against the objective, a chart per range, and all of them side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.operations.models.trials import SearchRange, Trial, TuningJob
from pipeline.texts import shown_value
from steps.reports.charts import LEFT, PLOT_WIDTH, Circle, Curve, Drawing, Key, Line, Polygon, Text, height_of
from steps.reports.scales import axis, nice_step

# SageMaker chooses the scale of an Auto range; one over this many times its minimum is easier to read by powers.
_LOGARITHMIC_FROM = 100.0
_MOST_TICKS = 6
_RADIUS = 5.0
# Space between two upright axes, and left of the first and right of the last one, where the labels are.
_PITCH, _BEFORE, _AFTER = 150.0, 20.0, 110.0
# The order in which marks are drawn, the most important one last; the same words are in legends and tooltips.
WORDS = {
    "busy": "under way",
    "early": "stopped early",
    "stopped": "stopped",
    "failed": "failed",
    "done": "completed",
    "top": "the best",
}


@dataclass(frozen=True)
class Axis:
    """A range as an axis: its label, and where its ticks are, as shares from 0 to 1."""

    label: str
    ticks: tuple[tuple[float, str], ...]
    range: SearchRange

    def share(self, trial: Trial) -> float | None:
        """Where a trial's value is; None without a value of this range."""
        return share_of(self.range, trial.values.get(self.range.name, ""))


def kind_of(trial: Trial) -> str:
    """The kind of a trial, by which it is marked: a key of WORDS."""
    if trial.best:
        return "top"
    if not trial.is_final:
        return "busy"
    if trial.status == "Stopped":
        return "early" if trial.note == "early" else "stopped"
    return "failed" if trial.status == "Failed" else "done"


def axis_of(searched: SearchRange) -> Axis:
    """The axis of a range."""
    if searched.values:
        ticks = [((place + 0.5) / len(searched.values), value) for place, value in enumerate(searched.values)]
        return Axis(searched.name, tuple(ticks), searched)
    scale = _scale(searched)
    words = {"log": ", logarithmic", "reverse": ", reverse logarithmic", "linear": ""}[scale]
    ticks = [(_position(searched, value), f"{value:g}") for value in _ticks(searched, scale)]
    return Axis(f"{searched.name}{words}", tuple(ticks), searched)


def share_of(searched: SearchRange, text: str) -> float | None:
    """Where a value of a range is on its axis, from 0 to 1; None for what is no value of it."""
    text = text.strip('"')
    if searched.values:
        return (searched.values.index(text) + 0.5) / len(searched.values) if text in searched.values else None
    try:
        value = float(text)
    except ValueError:
        return None
    return _position(searched, value) if math.isfinite(value) else None


def _scale(searched: SearchRange) -> str:
    low, high = searched.minimum, searched.maximum
    if searched.scale == "ReverseLogarithmic" and 0 <= low < high < 1:
        return "reverse"
    is_wide = low > 0 and high >= _LOGARITHMIC_FROM * low
    if (searched.scale == "Logarithmic" and low > 0) or (searched.scale == "Auto" and is_wide):
        return "log"
    return "linear"


def _position(searched: SearchRange, value: float) -> float:
    """The value's share of its range, between 0 and 1 also for a value outside of it."""

    def at(number: float) -> float:
        if scale == "log":
            return math.log(max(number, searched.minimum))
        return -math.log1p(-min(number, searched.maximum)) if scale == "reverse" else number

    scale = _scale(searched)
    low, high = at(searched.minimum), at(searched.maximum)
    return min(max((at(value) - low) / (high - low), 0.0), 1.0) if high > low else 0.5


def _ticks(searched: SearchRange, scale: str) -> list[float]:
    low, high = searched.minimum, searched.maximum
    if high <= low:
        return [low]
    if scale == "log":
        return _within(low, high, lambda power, digit: digit * 10.0**power, range(_power(low), _power(high) + 1))
    if scale == "reverse":
        powers = range(_power(1 - high), _power(1 - low) + 1)
        return sorted(_within(low, high, lambda power, digit: 1 - digit * 10.0**power, powers))
    step = nice_step(high - low, _MOST_TICKS - 2)
    return [round(number * step, 12) for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _power(value: float) -> int:
    return math.floor(math.log10(value))


def _within(low: float, high: float, number: Callable[[int, int], float], powers: range) -> list[float]:
    """Numbers with the digits 1, 2 and 5, or fewer of them where there would be too many ticks."""
    ticks: list[float] = []
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [value for power in powers for digit in digits if low <= (value := number(power, digit)) <= high]
        if len(ticks) <= _MOST_TICKS:
            break
    return [float(f"{tick:.12g}") for tick in ticks]


def scatter(job: TuningJob, searched: SearchRange) -> Drawing:
    """The objective of each trial by its value of a range."""
    across = axis_of(searched)
    evaluated = [trial for trial in job.trials if trial.objective is not None and across.share(trial) is not None]
    if not evaluated:
        return Drawing(searched.name)
    levels = _levels(evaluated)
    drawing = Drawing(searched.name, _objective(job), list(_keys(evaluated)))
    drawing.add_axes(across.label, [(_share(levels, level), f"{level:g}") for level in levels])
    for share, label in across.ticks:
        drawing.add_tick(LEFT + PLOT_WIDTH * share, label)
    for trial in _in_order(evaluated):
        x = LEFT + PLOT_WIDTH * (across.share(trial) or 0.0)
        _mark(drawing, trial, x, height_of(_share(levels, trial.objective or 0.0)), _hint(job, trial))
    return drawing


def parallel(job: TuningJob) -> Drawing:
    """A line per trial over upright axes: one for each range, and the objective's."""
    title = "All hyperparameters and the objective"
    axes = [axis_of(searched) for searched in job.ranges]
    evaluated = [trial for trial in job.trials if trial.objective is not None]
    if not evaluated or not axes:
        return Drawing(title)
    levels = _levels(evaluated)
    drawing = Drawing(title, keys=list(_keys(evaluated)), width=round(_BEFORE + _PITCH * len(axes) + _AFTER))
    columns = [(each.label.partition(",")[0], each.ticks) for each in axes]
    columns.append((_objective(job), tuple((_share(levels, level), f"{level:g}") for level in levels)))
    for place, (label, ticks) in enumerate(columns):
        x = _BEFORE + _PITCH * place
        drawing.lines.append(Line("grid", x, height_of(0), x, height_of(1)))
        drawing.texts.append(Text("start", x - _BEFORE / 2, drawing.height - 12, label))
        drawing.texts += [Text("start value", x + 5, height_of(share) + 4, text) for share, text in ticks]
    for trial in _in_order(evaluated):
        shares = [each.share(trial) for each in axes]
        places = [
            (_BEFORE + _PITCH * place, height_of(share)) for place, share in enumerate(shares) if share is not None
        ]
        end = (_BEFORE + _PITCH * len(axes), height_of(_share(levels, trial.objective or 0.0)))
        hint = _hint(job, trial)
        drawing.curves.append(Curve(f"t{trial.number} {kind_of(trial)}", [*places, end], hint))
        _mark(drawing, trial, *end, hint)
    return drawing


def _mark(drawing: Drawing, trial: Trial, x: float, y: float, hint: str) -> None:
    """A shape per kind, so that colour is not the only sign."""
    kind = kind_of(trial)
    style = f"t{trial.number} {kind}"
    if kind == "top":
        drawing.polygons.append(Polygon(style, list(_star(x, y)), hint))
    elif kind in ("early", "stopped", "failed"):
        size = _RADIUS * 1.2
        drawing.polygons.append(Polygon(style, [(x, y - size), (x + size, y), (x, y + size), (x - size, y)], hint))
    elif kind == "busy":
        size = _RADIUS
        drawing.polygons.append(Polygon(style, [(x, y - size), (x + size, y + size), (x - size, y + size)], hint))
    else:
        drawing.circles.append(Circle(style, x, y, _RADIUS - 0.5, hint))


def _star(x: float, y: float) -> Iterator[tuple[float, float]]:
    for corner in range(10):
        radius = 2 * _RADIUS if corner % 2 == 0 else 0.8 * _RADIUS
        angle = math.pi * corner / 5
        yield x + radius * math.sin(angle), y - radius * math.cos(angle)


def _keys(trials: Iterable[Trial]) -> Iterator[Key]:
    kinds = {kind_of(trial) for trial in trials}
    yield from (Key(kind, words) for kind, words in reversed(WORDS.items()) if kind in kinds)


def _in_order(trials: Sequence[Trial]) -> list[Trial]:
    return sorted(trials, key=lambda trial: list(WORDS).index(kind_of(trial)))


def _levels(trials: Iterable[Trial]) -> list[float]:
    return axis([trial.objective for trial in trials if trial.objective is not None])


def _share(levels: Sequence[float], value: float) -> float:
    return (value - levels[0]) / (levels[-1] - levels[0])


def _objective(job: TuningJob) -> str:
    return job.objective.rsplit(":", 1)[-1].replace("_", " ")


def _hint(job: TuningJob, trial: Trial) -> str:
    values = ", ".join(f"{name} {shown_value(value)}" for name, value in sorted(trial.values.items()))
    return f"trial {trial.number}, {WORDS[kind_of(trial)]}: {_objective(job)} {trial.objective:.4f} ({values})"
