"""Estimates: the formula by hand, and what makes a run dearer or longer."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline import ROOT
from pipeline.operations.cost import estimate, measured, rates
from pipeline.operations.cost.estimate import Estimate
from pipeline.operations.cost.measured import Photos
from pipeline.operations.cost.money import Bill, Range
from pipeline.operations.cost.prices import FILE, Prices
from pipeline.settings import Settings
from pipeline.settings.file import load_settings

OURS = Prices(FILE, "us-east-1")
PROD = load_settings(ROOT / "pipeline.yaml", "prod")
START, END = rates.STARTUP.value.low, rates.STARTUP.value.high


def changed(settings: Settings = PROD, **groups: dict[str, Any]) -> Settings:
    """The settings with other values in some groups, validated again."""
    document = settings.model_dump()
    return Settings.model_validate({**document, **{name: {**document[name], **new} for name, new in groups.items()}})


def photos(number: int, settings: Settings = PROD, kilobytes: int = 57) -> Photos:
    return measured.split(settings, number, Decimal(kilobytes), "")


def run(settings: Settings = PROD, number: int = 100_000, rate: int | None = None) -> Estimate:
    return estimate.estimate(settings, photos(number, settings), OURS, None if rate is None else Range.of(rate))


def usd(bill: Bill, part: str, what: str = "") -> Range:
    """The sum of a part's lines."""
    items = tuple(item for item in bill.items if item.part == part and what in item.what)
    assert items
    assert all(item.usd is not None for item in items)
    return Bill(items).total


def test_trials_cost_instances_times_the_time_for_all_photos_and_epochs() -> None:
    settings = changed(
        training={"spot": False, "patience": 0, "epochs": 10, "instance_count": 2},
        tuning={"trials": 4, "parallel": 2, "early_stopping": False},
    )
    data = Photos(120_000, 90_000, 30_000, 0, rates.PHOTO_KILOBYTES, "")
    result = estimate.estimate(settings, data, OURS, Range.of(1000))
    # An epoch is 90,000 photos and a third of 30,000: 100 s at 1,000 photos/s; ten are 1,000 s.
    low, high = 1000 + START, 1000 + END
    amount = usd(result.run, "TuneModel")
    assert float(amount.low) == pytest.approx(float(4 * 2 * low / 3600) * 1.515)
    assert float(amount.high) == pytest.approx(float(4 * 2 * high / 3600) * 1.515)
    # Two in parallel: two rounds.
    twice = estimate.estimate(changed(settings, tuning={"parallel": 1}), data, OURS, Range.of(1000))
    assert twice.seconds == result.seconds + Range(2 * low, 2 * high)


def test_more_trials_at_a_time_cost_the_same_and_end_earlier() -> None:
    single, three = (run(changed(tuning={"parallel": parallel})) for parallel in (1, 3))
    assert single.bill.total == three.bill.total
    assert single.seconds.low > three.seconds.low
    assert single.seconds.high > three.seconds.high


def test_spot_capacity_costs_the_share_that_is_billed() -> None:
    on_demand = usd(run(changed(training={"spot": False})).bill, "TuneModel")
    spot = usd(run().bill, "TuneModel")
    assert spot.low == pytest.approx(on_demand.low * rates.SPOT_BILLED.value.low)
    assert spot.high == pytest.approx(on_demand.high * rates.SPOT_BILLED.value.high)
    assert "12 trials, spot" in [item.note for item in run().bill.items]


def test_a_measured_rate_takes_the_place_of_the_assumed_one() -> None:
    by_rate, assumed = run(rate=900), run()
    names = [{assumption.name for assumption in result.assumptions} for result in (by_rate, assumed)]
    assert not any("A10G" in name for name in names[0])
    assert names[0] < names[1]
    narrow, wide = (usd(result.bill, "TuneModel") for result in (by_rate, assumed))
    assert narrow.high / narrow.low < wide.high / wide.low


def epochs(settings: Settings) -> Range | None:
    """The epochs that an estimate assumes, if it does."""
    values = [each.value for each in run(settings).assumptions if each.name == "epochs of a trial, on average"]
    return values[0] if values else None


def test_patience_may_end_a_trial_early_and_without_it_all_epochs_are_paid() -> None:
    assert epochs(changed(training={"epochs": 20})) == rates.EARLY_STOPPING * 20
    assert epochs(changed(training={"patience": 0}, tuning={"early_stopping": False})) is None


def test_hyperband_trains_between_its_minimum_and_its_maximum() -> None:
    assert epochs(changed(training={"epochs": 27}, tuning={"strategy": "Hyperband"})) == Range.of(3, 27)
    own = {"strategy": "Hyperband", "hyperband": {"minimum_epochs": 4, "maximum_epochs": 9}}
    assert epochs(changed(training={"epochs": 18}, tuning=own)) == Range.of(4, 9)


def test_a_trial_is_paid_until_its_time_limit_and_a_note_says_that_it_may_not_suffice() -> None:
    result = run(changed(training={"run_time": "1h", "wait_time": "2h", "spot": False}), number=5_000_000)
    assert usd(result.bill, "TuneModel").high == pytest.approx(Decimal(12) * Decimal("1.515"))
    assert any("training.run_time stops it after 1h" in note for note in result.notes)


STARTUP = rates.STARTUP.value


def test_a_plan_in_the_job_of_the_shards_and_an_exploration_that_is_off_have_no_line() -> None:
    assert not {"PlanShards", "ExploreData"} & {item.part for item in run().run.items}


def test_a_plan_by_duckdb_costs_one_instance_for_all_photos_and_its_volume() -> None:
    settings = changed(shard={"planner": "local", "plan_instance_type": "ml.m5.4xlarge", "plan_volume_gigabytes": 500})
    result = run(settings, 60_000_000)
    # 60 million photos at 20,000 to 300,000 per second.
    hours = (Range.of(200, 3000) + STARTUP) / 3600
    price = OURS.instance("ml.m5.4xlarge")
    assert price is not None
    assert usd(result.run, "PlanShards", "ml.m5.4xlarge") == hours * price.usd
    small = run(changed(settings, shard={"plan_volume_gigabytes": 50}), 60_000_000)
    volumes = [usd(each.run, "PlanShards").high - (hours * price.usd).high for each in (result, small)]
    assert float(volumes[0]) == pytest.approx(10 * float(volumes[1]))
    assert result.seconds.low > run(number=60_000_000).seconds.low


def test_a_plan_by_spark_takes_less_time_on_more_instances() -> None:
    several = {"planner": "spark", "plan_instance_type": "ml.m5.4xlarge"}
    few, many = (run(changed(shard={**several, "plan_instance_count": count}), 10**9) for count in (2, 8))
    work = [result.step_seconds["PlanShards"].low - STARTUP.low - rates.WAIT.value.low for result in (few, many)]
    assert float(work[0]) == pytest.approx(4 * float(work[1]))


def test_where_the_photos_choose_the_planner_the_estimate_covers_both() -> None:
    shard = {"plan_instance_type": "ml.m5.4xlarge", "plan_instance_count": 2}
    either, local, spark = (
        run(changed(shard={**shard, **more}), 10**9).step_seconds["PlanShards"]
        for more in ({}, {"planner": "local", "plan_instance_count": 1}, {"planner": "spark"})
    )
    assert either == Range(min(local.low, spark.low), max(local.high, spark.high))


def test_an_exploration_costs_its_instances_and_makes_a_run_longer_only_where_it_outlasts_the_rest() -> None:
    explored, plain = run(changed(explore={"enabled": True})), run()
    assert usd(explored.run, "ExploreData").low > 0
    assert explored.seconds == plain.seconds
    steps = {"QueryMetadata": Range.of(10), "ExploreData": Range.of(5, 500), "TuneModel": Range.of(100)}
    assert replace(explored, step_seconds=steps).seconds == Range.of(110, 510)
    assert replace(explored, step_seconds={"TuneModel": Range.of(100)}).seconds == Range.of(100)


def test_several_instances_share_an_exploration_with_spark_and_pay_for_each() -> None:
    one, four = (
        run(changed(explore={"enabled": True, "engine": "spark", "instance_count": count}), 10**9) for count in (1, 4)
    )
    work = [each.step_seconds["ExploreData"].low - STARTUP.low - rates.WAIT.value.low for each in (one, four)]
    assert float(work[0]) == pytest.approx(4 * float(work[1]))


def test_sharding_takes_longer_for_larger_photos() -> None:
    small, large = (
        usd(estimate.estimate(PROD, photos(10**6, kilobytes=size), OURS).run, "ShardImages", "ml.c5")
        for size in (57, 570)
    )
    planned = 10**6 / rates.PLANNED.value.high
    startup = (START + planned) / 3600 * Decimal("0.816")
    assert large.low - startup == pytest.approx(10 * (small.low - startup))


def test_sharding_on_more_instances_is_quicker_and_costs_more_by_their_starts_and_their_wait_for_the_plan() -> None:
    single, ten = (run(changed(shard={"instance_count": count}), number=10**7) for count in (1, 10))
    assert ten.seconds.high < single.seconds.high
    more = usd(ten.bill, "ShardImages", "ml.c5").high - usd(single.bill, "ShardImages", "ml.c5").high
    planned = 10**7 / rates.PLANNED.value.low
    assert more == pytest.approx(9 * (END + planned) / 3600 * Decimal("0.816"))


def test_athena_is_billed_for_ten_megabytes_a_query_at_least() -> None:
    few = next(item for item in run(number=100).bill.items if item.what == "Athena")
    # Eight queries.
    assert few.quantity == Range.of(Decimal(80) / 10**6)
    many = next(item for item in run(number=10**6).bill.items if item.what == "Athena")
    # The JSON once, 2.1 KB per photo, and its consolidated form seven times.
    assert many.quantity.low == pytest.approx(Decimal("2.1") * 2**10 / 10**6 * Decimal("1.63"))


def test_a_type_without_a_price_leaves_the_total_incomplete() -> None:
    incomplete = run(changed(shard={"instance_type": "ml.r5.4xlarge"})).bill
    [line] = incomplete.missing
    assert line.startswith("no price for ml.r5.4xlarge in us-east-1")
    assert incomplete.total.low < run().bill.total.low


def test_types_with_disks_of_their_own_have_no_volumes_to_pay() -> None:
    def volumes(instance_type: str) -> list[str]:
        training = {"instance_type": instance_type, "spot": False}
        items = run(changed(training=training, images={"training_base": "own.example/of-cuda-12:1"})).bill.items
        return [item.what for item in items if item.part == "TuneModel"]

    assert volumes("ml.g5.2xlarge") == ["12 x ml.g5.2xlarge"]
    assert volumes("ml.p3.2xlarge") == ["12 x ml.p3.2xlarge", "volumes"]


def test_a_gpu_is_never_assumed_quicker_than_the_loader_that_feeds_it() -> None:
    rate, _ = rates.training_rate("ml.g4dn.xlarge", ["shufflenet_v2_x0_5"], 224)
    assert rate.high <= rates.LOADED.value.high * 4


@pytest.mark.parametrize("instance_type", ["ml.g6e.2xlarge", "ml.p6-b200.48xlarge"])
def test_a_gpu_that_is_not_in_the_table_is_still_no_cpu(instance_type: str) -> None:
    rate, assumptions = rates.training_rate(instance_type, ["resnet34"], 224)
    assert "a GPU that is not in the table" in assumptions[0].name
    oldest, _ = rates.training_rate("ml.g4dn.xlarge", ["resnet34"], 224)
    assert rate.low == oldest.low


def test_a_type_whose_gpus_are_not_known_is_quicker_by_as_many_as_it_may_have() -> None:
    # The network is heavy enough that no loader limits it.
    single, eight = (
        rates.training_rate(f"ml.{name}", ["vit_b_16"], 1024)[0] for name in ("g6e.xlarge", "p6-b200.48xlarge")
    )
    assert eight.low == single.low
    assert float(eight.high) == pytest.approx(float(single.high * 8))


def test_a_network_that_is_not_known_is_given_a_wide_range() -> None:
    unknown = rates.multiply_adds(["something_new"], 224)
    assert unknown.high / unknown.low > 10
    assert rates.multiply_adds(["resnet34"], 224) == Range.of("3.66")
    assert rates.multiply_adds(["resnet34"], 112) == Range.of("0.915")


def test_networks_that_are_searched_span_from_the_lightest_to_the_heaviest() -> None:
    tuning = {"ranges": {"architecture": {"values": ["resnet18", "resnet50"]}}}
    assert measured.architectures(changed(tuning=tuning)) == ["resnet18", "resnet50"]
    assert rates.multiply_adds(["resnet18", "resnet50"], 224) == Range.of("1.81", "4.09")


@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(trials=st.integers(1, 60), more=st.integers(0, 60), number=st.integers(1, 10**5), extra=st.integers(0, 10**4))
def test_more_trials_and_more_photos_never_cost_less(trials: int, more: int, number: int, extra: int) -> None:
    # In hundreds, so that no split is rounded.
    few = run(changed(tuning={"trials": trials, "parallel": 1}), 100 * number).bill.total
    many = run(changed(tuning={"trials": trials + more, "parallel": 1}), 100 * (number + extra)).bill.total
    assert few.low <= many.low
    assert few.high <= many.high


def test_an_endpoint_costs_its_instances_all_month() -> None:
    # 2 * 730 h * 0.204
    assert run(changed(endpoint={"instance_count": 2})).endpoint.total == Range.of("297.84")


def test_an_endpoint_that_scales_costs_between_its_least_and_its_most() -> None:
    endpoint = run(changed(endpoint={"maximum_instance_count": 3})).endpoint
    assert endpoint.total == Range.of("148.92", "446.76")
    assert endpoint.items[0].note == "scales to 3 instances"


def test_a_serverless_endpoint_is_not_included_and_noted() -> None:
    result = run(changed(endpoint={"mode": "serverless", "serverless_memory_megabytes": 2048}))
    assert result.endpoint.items == ()
    assert any("serverless" in note for note in result.notes)
