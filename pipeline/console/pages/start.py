"""Starting a run: a form of the pipeline's parameters, a page with the forecast and the cost, and the start.

Both pages have their values in the address, so going back keeps what was typed; only the last form starts something.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from pipeline.clients import client
from pipeline.console.console import Console, View
from pipeline.console.pages import reads
from pipeline.console.routes import Routes, Values
from pipeline.operations.caching import freshness, savings, starting
from pipeline.operations.caching.freshness import Fresh
from pipeline.operations.caching.reuse import Expectation, Outcome, Planned
from pipeline.operations.caching.savings import Total
from pipeline.operations.runs import executions, parameters
from pipeline.operations.runs.parameters import Field
from steps.contracts.errors import PipelineError

# What a field of the form has before a parameter's name, so that no parameter can have the name of another field.
PREFIX = "p."


@dataclass(frozen=True)
class Wanted:
    """A run that was asked for: values that differ from the pipeline's defaults, its name, and the step to begin with.

    `typed` is what each field has, and `problems` are those of each field by its name; `name` and `fresh` have theirs.
    """

    values: Mapping[str, str]
    typed: Mapping[str, str]
    name: str = ""
    fresh: str = ""
    problems: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def query(self) -> str:
        """The query of an address that leads back to the form as it was typed."""
        typed = {f"{PREFIX}{name}": value for name, value in self.values.items()}
        return urlencode({**typed, **{key: value for key, value in self._others().items() if value}})

    def _others(self) -> dict[str, str]:
        return {"name": self.name, "fresh": self.fresh}


def form(console: Console, values: Values) -> View:
    """The form, filled with the defaults, with what was typed before, or with the values of the run `again`."""
    definition = _definition(console)
    fields = parameters.fields(console.settings, definition)
    again, typed, gone = values.get("again", ""), _typed(values), list[str]()
    if again:
        earlier = _values_of(console, again)
        # A fresh start has versions of its own, not those of the earlier run.
        replaced = _fresh_names(values.get("fresh", ""))
        typed = {name: value for name, value in earlier.items() if name not in replaced} | typed
        gone = sorted(set(earlier) - {each.name for each in fields})
    return _form_view(fields, _wanted(fields, typed, values), again, gone)


def check(console: Console, values: Values) -> View:
    """The form again with its problems, or the forecast and the cost of the run, with the form that starts it."""
    definition = _definition(console)
    fields = parameters.fields(console.settings, definition)
    wanted = _checked(console, definition, _wanted(fields, _typed(values), values))
    if wanted.problems:
        return _form_view(fields, wanted)
    fresh = freshness.of(_steps(wanted.fresh), wanted.values, datetime.now(UTC))
    planned = Planned(definition, {**wanted.values, **fresh.values}, fresh.steps)
    settings, explain = console.settings, console.explain
    expected, forecast_problem = starting.forecast(settings, planned, datetime.now(UTC), explain)
    cost, cost_problem = starting.cost(settings, planned, expected, explain)
    shown = {
        "wanted": wanted,
        "fresh": fresh,
        "expected": expected,
        "saves": _saves(expected),
        "forecast_problem": console.pasted(forecast_problem),
        "cost": cost,
        "cost_problem": console.pasted(cost_problem),
        "prefix": PREFIX,
        "explanation": freshness.explanation(fresh, console.command),
        # The form of this page starts one run, however often it is sent.
        "request": secrets.token_hex(32),
    }
    return View("confirm.html", shown)


def start(console: Console, values: Values) -> str:
    """Start the run that was confirmed."""
    definition = _definition(console)
    wanted = _wanted(parameters.fields(console.settings, definition), _typed(values), values)
    fresh = freshness.of(_steps(wanted.fresh), wanted.values, datetime.now(UTC))
    freshness.check(fresh, definition.get("Parameters", []), console.settings.name)
    execution = executions.start(
        console.settings,
        {**wanted.values, **fresh.values},
        name=wanted.name or None,
        request_id=values.get("request") or None,
    )
    return f"/runs/{execution.id}"


def _definition(console: Console) -> dict[str, Any]:
    settings = console.settings
    return console.readings.get(
        ("definition",), lambda: executions.definition(client(settings, "sagemaker"), settings), reads.BUSY
    )


def _values_of(console: Console, run: str) -> dict[str, str]:
    return executions.values_of(console.settings, reads.reader_of(console, run).arn)


def _typed(values: Values) -> dict[str, str]:
    return {name.removeprefix(PREFIX): value.strip() for name, value in values.items() if name.startswith(PREFIX)}


def _wanted(fields: tuple[Field, ...], typed: Mapping[str, str], values: Values) -> Wanted:
    """What was typed, without values that are the defaults: the run has these anyway, and shows what was chosen."""
    shown = {each.name: typed.get(each.name, each.default) for each in fields}
    chosen = {each.name: shown[each.name] for each in fields if shown[each.name] != each.default}
    return Wanted(chosen, shown, values.get("name", "").strip(), values.get("fresh", "").strip())


def _checked(console: Console, definition: dict[str, Any], wanted: Wanted) -> Wanted:
    """The same with its problems: those of `parameters.checked`, and of the other two fields."""
    problems = parameters.problems_by_name(console.settings, definition, wanted.values)
    for name in sorted(_fresh_names(wanted.fresh) & set(wanted.values)):
        text = f"a run that begins with {wanted.fresh} has a {name} of its own; leave {name} as it is by default"
        problems.setdefault(name, []).append(text)
    try:
        fresh = freshness.of(_steps(wanted.fresh), {}, datetime.now(UTC))
        freshness.check(fresh, definition.get("Parameters", []), console.settings.name)
    except PipelineError as error:
        problems["fresh"] = console.pasted(str(error)).splitlines()
    try:
        if wanted.name:
            executions.check_name(wanted.name)
    except PipelineError as error:
        problems["name"] = str(error).splitlines()
    return Wanted(wanted.values, wanted.typed, wanted.name, wanted.fresh, problems)


def _steps(fresh: str) -> tuple[str, ...]:
    return (fresh,) if fresh else ()


def _fresh_names(fresh: str) -> frozenset[str]:
    """The parameters that a fresh start from this step sets; none for an unknown step, which `check` refuses."""
    try:
        again: Fresh = freshness.of(_steps(fresh), {}, datetime.now(UTC))
    except PipelineError:
        return frozenset()
    return frozenset(again.values)


def _form_view(fields: tuple[Field, ...], wanted: Wanted, again: str = "", gone: Sequence[str] = ()) -> View:
    """The form; `gone` are the parameters of the run `again` that the pipeline no longer has."""
    shown = {
        "gone": gone,
        "fields": fields,
        "wanted": wanted,
        "again": again,
        "prefix": PREFIX,
        "fresh_steps": list(freshness.VERSIONS),
        "versions": list(freshness.VERSIONS.values()),
    }
    return View("start.html", shown)


def _saves(expected: tuple[Expectation, ...]) -> Total | None:
    cached = [expectation.saving for expectation in expected if expectation.outcome == Outcome.CACHED]
    return savings.total(cached) if any(cached) else None


ROUTES = Routes({"/start": form, "/start/check": check}, actions={"/start": start})
