"""The lines of `check`."""

from __future__ import annotations

from pipeline.cli.views.check import check_lines
from pipeline.operations.preflight import Result


def shown(*results: tuple[str, str, str]) -> list[tuple[str, str]]:
    return list(check_lines(Result(check, status, detail) for check, status, detail in results))  # type: ignore[arg-type]


def test_a_check_that_is_fine_is_one_line_however_much_it_looked_at() -> None:
    assert shown(("roles", "ok", "a"), ("roles", "ok", "b"), ("key", "ok", "c")) == [
        ("ok", "roles: a, b"),
        ("ok", "key: c"),
    ]


def test_a_failure_is_not_among_them_but_the_rest_of_its_check_is() -> None:
    assert shown(("roles", "failed", "a"), ("roles", "ok", "b"), ("roles", "warning", "c")) == [
        ("ok", "roles: b"),
        ("warning", "roles: c"),
    ]


def test_what_could_not_be_looked_at_for_one_reason_is_one_line() -> None:
    reason = "no AWS credentials"
    lines = shown(("roles", "not checked", reason), ("quotas", "not checked", reason), ("key", "not checked", "other"))
    assert lines == [("not checked", "roles, quotas (no AWS credentials)"), ("not checked", "key (other)")]
