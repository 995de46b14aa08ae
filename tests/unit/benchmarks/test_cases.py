import json

import pytest

from benchmarks.__main__ import BENCHMARKS, main, report
from benchmarks.cases import Bound, Case, take_turns
from benchmarks.child import ContenderError


def test_a_case_is_one_line_of_json_with_its_ratio_and_its_share_of_the_limit():
    line = Case("shard", "photos/s", ours=1123.456, baseline=400, limit=2000).line()
    assert json.loads(line) == {
        "name": "shard",
        "ours": 1123,
        "baseline": 400,
        "ratio": 2.809,
        "limit": 2000,
        "of_limit": 0.5617,
        "unit": "photos/s",
    }
    assert "\n" not in line


def test_a_case_without_baseline_or_limit_has_nulls():
    figures = json.loads(Case("memory", "MB", ours=300).line())
    assert [figures[name] for name in ("baseline", "ratio", "limit", "of_limit")] == [None] * 4


def test_each_promise_is_judged_by_the_figure_it_is_about():
    bounds = (Bound("ratio", "at least", 2.8), Bound("of_limit", "at least", 0.45), Bound("of_limit", "at most", 1))
    ratio, share, ceiling = Case("shard", "photos/s", 900, 300, 2250, bounds).verdicts()
    assert ratio.endswith(": holds")
    assert share.endswith(": DOES NOT HOLD")
    assert ceiling.endswith(": holds")


def test_contenders_take_turns_and_the_median_counts():
    order, figures = [], {"a": iter([1, 100, 2]), "b": iter([5, 7, 6])}

    def contender(name):
        order.append(name)
        return next(figures[name])

    medians = take_turns({name: lambda name=name: contender(name) for name in figures}, 3, "photos/s")
    assert medians == {"a": 2, "b": 6}
    assert order == ["a", "b", "b", "a", "a", "b"]


def test_stdout_has_the_cases_and_nothing_else(capsys):
    assert report(iter([Case("one", "s", 1), Case("two", "s", 2)])) == 0
    assert [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()] == ["one", "two"]


def test_a_contender_that_fails_ends_the_run_with_status_1(capsys):
    def cases():
        yield Case("one", "s", 1)
        raise ContenderError("the step ended with status 1")

    assert report(cases()) == 1
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 1
    assert "the step ended with status 1" in printed.err


def test_without_a_name_every_benchmark_is_listed(capsys):
    assert main([]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(BENCHMARKS)


@pytest.mark.parametrize("arguments", [["shards"], ["shard", "--rounds", "0"], ["shard", "--count", "many"]])
def test_a_wrong_argument_is_refused_before_anything_starts(arguments):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
