"""How a preflight looks in a terminal: a line a check where all is well, a line each where something is not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.text import Text

from pipeline.operations.preflight import Result

_STYLES = {"ok": "green", "warning": "yellow", "not checked": "dim"}
_WIDTH = max(map(len, _STYLES))


def lines(results: Iterable[Result]) -> Iterator[Text]:
    """All but the failures, which are errors and go where errors go; what is not checked for one reason in one line."""
    found = list(results)
    checks = list(dict.fromkeys(one.check for one in found))
    for check in checks:
        fine = [one.detail for one in found if one.check == check and one.status == "ok"]
        if fine:
            yield _line("ok", f"{check}: {', '.join(fine)}")
        for one in found:
            if one.check == check and one.status == "warning":
                yield _line("warning", f"{check}: {one.detail}")
    reasons: dict[str, list[str]] = {}
    for one in found:
        if one.status == "not checked":
            reasons.setdefault(one.detail, []).append(one.check)
    for reason, unchecked in reasons.items():
        yield _line("not checked", f"{', '.join(dict.fromkeys(unchecked))} ({reason})")


def _line(status: str, said: str) -> Text:
    return Text.assemble((f"{status:<{_WIDTH}}  ", _STYLES[status]), said)
