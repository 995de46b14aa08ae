"""Times, reasons and values in words, the same in a terminal and on a page."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

_REASON_SHOWN = 400


def duration(started: datetime | None, ended: datetime | None) -> str:
    """`1 h 02 min`, `3 min 05 s` or `4.2 s` between two times; until now where `ended` is None."""
    if started is None:
        return ""
    return time_text(max(((ended or datetime.now(UTC)) - started).total_seconds(), 0.0))


def time_text(seconds: float) -> str:
    """`1 h 02 min`, `3 min 05 s` or `4.2 s`."""
    # By what is shown: 59.6 seconds are a minute.
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def moment(time: datetime) -> str:
    """A time in the time zone of this machine, to the second."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def minute(time: datetime) -> str:
    """A time in the time zone of this machine, to the minute."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M")


def printable(text: str) -> str:
    """Text with a space for each character that steers a terminal: jobs and other programs write what is shown."""
    return "".join(character if character.isprintable() else " " for character in text)


def shortened(text: str) -> str:
    """A reason as one line of at most 400 characters, all of them printable."""
    line = " ".join(printable(text).split())
    return line if len(line) <= _REASON_SHOWN else f"{line[: _REASON_SHOWN - 3]}..."


def shown_value(text: str) -> str:
    """A hyperparameter: numbers with four digits, words without the quotes that SageMaker adds."""
    try:
        return f"{float(text):.4g}"
    except ValueError:
        return text.strip('"')


def share_text(share: float) -> str:
    """A probability as a percentage: `97.3%`, and never 0% or 100%, which a network's probabilities are not."""
    if share < 0.0005:
        return "<0.1%"
    return ">99.9%" if share >= 0.9995 else f"{share:.1%}"


def ranges(numbers: Iterable[int]) -> str:
    """Whole numbers in ascending order, those that follow each other as a range: `0, 2-4`."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)
