"""What `start --fresh` sets, refuses, and explains."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from pipeline.operations.caching import freshness
from pipeline.operations.caching.freshness import SETTINGS, VERSIONS
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

NOW = datetime(2026, 11, 28, 9, 0, 7, tzinfo=UTC)
VERSION = "fresh-20261128T090007Z"


@pytest.mark.parametrize(
    ("names", "steps"),
    [
        (["QueryMetadata"], ["QueryMetadata", "ShardImages", "TuneModel"]),
        (["all"], ["QueryMetadata", "ShardImages", "TuneModel"]),
        (["ShardImages"], ["ShardImages", "TuneModel"]),
        (["TuneModel"], ["TuneModel"]),
        (["TuneModel", "ShardImages", "TuneModel"], ["ShardImages", "TuneModel"]),
    ],
)
def test_a_step_and_the_cached_steps_after_it_get_a_new_version(names: list[str], steps: list[str]) -> None:
    fresh = freshness.of(names, {"Epochs": "3"}, NOW)
    assert list(fresh.steps) == steps
    assert fresh.values == {VERSIONS[step]: VERSION for step in steps}


def test_without_a_step_nothing_is_set_and_nothing_explained() -> None:
    fresh = freshness.of([], {"ShardVersion": "2"}, NOW)
    assert (fresh.steps, fresh.values) == ((), {})
    assert freshness.explanation(fresh, "python -m pipeline") == []


def test_the_version_is_the_time_in_utc() -> None:
    tokyo = NOW.astimezone(timezone(timedelta(hours=9)))
    assert freshness.of(["TuneModel"], {}, tokyo).values == {"TrainingVersion": VERSION}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("TuneModell", "--fresh: there is no cached step TuneModell; did you mean TuneModel?"),
        ("shardimages", "--fresh: there is no cached step shardimages; did you mean ShardImages?"),
        ("evaluatemodel", "--fresh: there is no cached step evaluatemodel; did you mean EvaluateModel?"),
        ("xyz", "--fresh: there is no cached step xyz; it takes QueryMetadata, ShardImages, TuneModel or all"),
        (
            "PlanShards",
            "PlanShards runs again with ShardImages; --fresh takes QueryMetadata, ShardImages, TuneModel or all",
        ),
        (
            "ExploreData",
            "ExploreData runs again with QueryMetadata; --fresh takes QueryMetadata, ShardImages, TuneModel or all",
        ),
        ("planshards", "--fresh: there is no cached step planshards; did you mean PlanShards?"),
        ("EvaluateModel", "EvaluateModel runs every time; --fresh takes QueryMetadata, ShardImages, TuneModel or all"),
        ("DeployModel", "DeployModel runs every time; --fresh takes QueryMetadata, ShardImages, TuneModel or all"),
    ],
)
def test_what_is_no_cached_step_is_refused_with_what_there_is(name: str, line: str) -> None:
    with pytest.raises(PipelineError) as caught:
        freshness.of([name], {}, NOW)
    assert str(caught.value) == line


def test_each_wrong_name_has_a_line() -> None:
    with pytest.raises(PipelineError) as caught:
        freshness.of(["QualityGate", "TuneModel", "Tune", "Tune"], {}, NOW)
    assert len(str(caught.value).splitlines()) == 2


def test_a_version_that_is_given_by_hand_too_is_refused() -> None:
    with pytest.raises(PipelineError) as caught:
        freshness.of(["ShardImages"], {"TrainingVersion": "2", "DataVersion": "3"}, NOW)
    assert str(caught.value) == (
        "--fresh ShardImages and -p TrainingVersion=2 both set TrainingVersion; leave one of them out"
    )


def test_a_pipeline_from_before_the_versions_is_to_be_brought_up_to_date() -> None:
    fresh = freshness.of(["ShardImages"], {}, NOW)
    with pytest.raises(PipelineError, match=r"bins has no parameter ShardVersion, TrainingVersion yet.* upsert$"):
        freshness.check(fresh, [{"Name": "DataVersion"}], "bins")
    freshness.check(fresh, [{"Name": name} for name in VERSIONS.values()], "bins")


def test_the_explanation_names_the_run_and_how_to_keep_the_version() -> None:
    assert freshness.explanation(freshness.of(["ShardImages"], {}, NOW), "python -m pipeline --profile prod") == [
        f"set for this run only: ShardVersion, TrainingVersion = {VERSION}",
        "the next run has the versions of pipeline.yaml again, and their cached results",
        f'to keep this one: write "{VERSION}" for shard.version and training.version there, then:'
        " python -m pipeline --profile prod upsert",
    ]


def test_the_settings_of_the_explanation_take_the_version(settings: Settings) -> None:
    values = settings.model_dump()
    for place in SETTINGS.values():
        group, name = place.split(".")
        values[group][name] = VERSION
    assert Settings.model_validate(values).shard.version == VERSION
