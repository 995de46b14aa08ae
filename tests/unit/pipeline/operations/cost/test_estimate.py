"""Estimates: the formula by hand, and what makes a run dearer or longer."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline import ROOT
from pipeline.operations.cost import estimate, facts, rates
from pipeline.operations.cost.estimate import Estimate
from pipeline.operations.cost.money import Bill, Range
from pipeline.operations.cost.monthly import month
from pipeline.operations.cost.prices import FILE, FilePrices
from pipeline.settings import Settings
from pipeline.settings.file import load_settings

OURS = FilePrices(FILE, "us-east-1")
PROD = load_settings(ROOT / "pipeline.yaml", "prod")
START, END = rates.STARTUP.value.low, rates.STARTUP.value.high


def changed(settings: Settings = PROD, **groups: dict[str, Any]) -> Settings:
    """The settings with other values in some groups, validated anew."""
    document = settings.model_dump()
    return Settings.model_validate({**document, **{name: {**document[name], **new} for name, new in groups.items()}})


def photos(number: int, settings: Settings = PROD) -> facts.Facts:
    return facts.assumed(settings, number, rates.PHOTO_KILOBYTES, "")


def run(settings: Settings = PROD, number: int = 100_000, rate: int | None = None) -> Estimate:
    return estimate.run(settings, photos(number, settings), OURS, None if rate is None else Range.of(rate))


def usd(found: Bill, part: str, what: str = "") -> Range:
    """What the lines of a part cost."""
    amounts = [one.usd for one in found.items if one.part == part and what in one.what]
    assert amounts
    assert None not in amounts
    return Bill(tuple(one for one in found.items if one.part == part and what in one.what)).total


def test_trials_cost_instances_times_the_time_for_all_photos_and_epochs() -> None:
    settings = changed(
        training={"spot": False, "patience": 0, "epochs": 10, "instance_count": 2},
        tuning={"trials": 4, "parallel": 2, "early_stopping": False},
    )
    counted = facts.Facts(120_000, 90_000, 30_000, 0, rates.PHOTO_KILOBYTES, Decimal(1), "")
    part = estimate.tune_model(settings, counted, OURS, Range.of(1000))
    # An epoch is 90,000 photos and a third of 30,000: 100 s at 1,000 photos/s; ten are 1,000 s.
    low, high = 1000 + START, 1000 + END
    [item] = part.items
    assert item.usd is not None
    assert float(item.usd.low) == pytest.approx(float(4 * 2 * low / 3600) * 1.515)
    assert float(item.usd.high) == pytest.approx(float(4 * 2 * high / 3600) * 1.515)
    # Two at a time: two rounds, and the wait for instances.
    assert part.seconds == Range(2 * low, 2 * high) + rates.WAIT.value


def test_more_trials_at_a_time_cost_the_same_and_end_earlier() -> None:
    one, three = (run(changed(tuning={"parallel": parallel})) for parallel in (1, 3))
    assert one.bill.total == three.bill.total
    assert one.seconds.low > three.seconds.low
    assert one.seconds.high > three.seconds.high


def test_spot_capacity_costs_the_share_that_is_billed() -> None:
    on_demand = usd(run(changed(training={"spot": False})).bill, "TuneModel")
    spot = usd(run().bill, "TuneModel")
    assert spot.low == pytest.approx(on_demand.low * rates.SPOT_BILLED.value.low)
    assert spot.high == pytest.approx(on_demand.high * rates.SPOT_BILLED.value.high)
    assert run().bill.items[-3].note == "spot"


def test_a_measured_rate_takes_the_place_of_the_assumed_one() -> None:
    measured, assumed = run(rate=900), run()
    names = {one.name for one in measured.assumptions}
    assert "a training step on A10G" not in names
    assert names < {one.name for one in assumed.assumptions}
    ratio = [usd(one.bill, "TuneModel").high / usd(one.bill, "TuneModel").low for one in (measured, assumed)]
    assert ratio[0] < ratio[1]


def test_patience_may_end_a_trial_early_and_without_it_all_epochs_are_paid() -> None:
    settings = changed(training={"patience": 0}, tuning={"early_stopping": False})
    assert estimate.epochs_run(settings) == Range.of(1)
    assert estimate.epochs_run(PROD) == rates.EPOCHS_RUN.value


def test_hyperband_lets_a_third_go_on_at_each_halt() -> None:
    # Of 27 epochs with halts at 3 and 9: all run 3, a third 6 more, a ninth 18 more: 3 + 2 + 2 of 27.
    assert estimate.halving_share(3, 27) == pytest.approx(Decimal(7) / 27)
    assert estimate.halving_share(27, 27) == 1
    found = estimate.epochs_run(changed(training={"epochs": 27}, tuning={"strategy": "Hyperband"}))
    assert (float(found.low), found.high) == (pytest.approx(7 / 27), 1)


def test_hyperband_with_a_maximum_of_its_own_runs_no_more_than_that() -> None:
    tuning = {"strategy": "Hyperband", "hyperband": {"minimum_epochs": 3, "maximum_epochs": 9}}
    found = estimate.epochs_run(changed(training={"epochs": 18}, tuning=tuning))
    # Of nine: all run 3, a third 6 more: 5 of 18.
    assert (float(found.low), float(found.high)) == (pytest.approx(5 / 18), 0.5)


def test_a_trial_is_paid_until_its_time_limit_and_a_note_says_that_it_may_not_suffice() -> None:
    found = run(changed(training={"run_time": "1h", "wait_time": "2h", "spot": False}), number=5_000_000)
    assert usd(found.bill, "TuneModel").high == pytest.approx(Decimal(12) * Decimal("1.515"))
    assert any("training.run_time stops it after 1h" in note for note in found.notes)


def test_sharding_takes_longer_for_larger_photos() -> None:
    small, large = (
        estimate.shard_images(PROD, facts.assumed(PROD, 10**6, Decimal(size), ""), OURS) for size in (57, 570)
    )
    assert large.seconds.low - small.seconds.low > 8 * (small.seconds.low - START - rates.WAIT.value.low)


def test_sharding_on_more_instances_is_quicker_and_costs_more_by_their_starts_only() -> None:
    one, ten = (run(changed(shard={"instance_count": count}), number=10**7) for count in (1, 10))
    assert ten.seconds.high < one.seconds.high
    more = usd(ten.bill, "ShardImages", "ml.c5").high - usd(one.bill, "ShardImages", "ml.c5").high
    assert more == pytest.approx(9 * END / 3600 * Decimal("0.816"))


def test_athena_is_billed_for_ten_megabytes_a_query_at_least() -> None:
    few = next(one for one in run(number=100).bill.items if one.what == "Athena")
    # Seven queries.
    assert few.quantity == Range.of(Decimal(70) / 10**6)
    many = next(one for one in run(number=10**6).bill.items if one.what == "Athena")
    # The JSON once, of 2.1 KB a photo, and what is consolidated of it six times.
    assert many.quantity.low == pytest.approx(Decimal("2.1") * 2**10 / 10**6 * Decimal("1.42"))


def test_a_type_without_a_price_leaves_the_total_incomplete() -> None:
    found = run(changed(shard={"instance_type": "ml.r5.4xlarge"}))
    [line] = found.bill.missing
    assert line.startswith("no price for ml.r5.4xlarge in us-east-1 (processing)")
    complete = run().bill
    assert found.bill.total.low < complete.total.low


def test_types_with_disks_of_their_own_have_no_volumes_to_pay() -> None:
    def volumes(instance_type: str) -> list[str]:
        training = {"instance_type": instance_type, "spot": False}
        items = run(changed(training=training, images={"training_base": "own.example/of-cuda-12:1"})).bill.items
        return [one.what for one in items if one.part == "TuneModel"]

    assert volumes("ml.g5.2xlarge") == ["12 x ml.g5.2xlarge"]
    assert volumes("ml.p3.2xlarge") == ["12 x ml.p3.2xlarge", "volumes"]


def test_a_gpu_is_never_assumed_quicker_than_the_loader_that_feeds_it() -> None:
    rate, _ = rates.training_rate("ml.g4dn.xlarge", ["shufflenet_v2_x0_5"], 224)
    assert rate.high <= rates.LOADED.value.high * 4


@pytest.mark.parametrize("instance_type", ["ml.g6e.2xlarge", "ml.p6-b200.48xlarge"])
def test_a_gpu_that_is_not_in_the_table_is_still_no_cpu(instance_type: str) -> None:
    rate, assumption = rates.training_rate(instance_type, ["resnet34"], 224)
    assert assumption.name == "a training step on a GPU that is not in the table"
    oldest, _ = rates.training_rate("ml.g4dn.xlarge", ["resnet34"], 224)
    assert rate.low == oldest.low


def test_a_type_whose_gpus_are_not_known_is_quicker_by_as_many_as_it_may_have() -> None:
    # Of a network so heavy that no loader is in its way.
    one, eight = (
        rates.training_rate(f"ml.{name}", ["vit_b_16"], 1024)[0] for name in ("g6e.xlarge", "p6-b200.48xlarge")
    )
    assert eight.low == one.low
    assert float(eight.high) == pytest.approx(float(one.high * 8))


def test_a_network_that_is_not_known_is_given_a_wide_range() -> None:
    unknown = rates.multiply_adds(["something_new"], 224)
    assert unknown.high / unknown.low > 10
    known = rates.multiply_adds(["resnet34"], 224)
    assert known == Range.of("3.66")
    assert rates.multiply_adds(["resnet34"], 112) == Range.of("0.915")


def test_networks_that_are_searched_span_from_the_lightest_to_the_heaviest() -> None:
    tuning = {"ranges": {"architecture": {"values": ["resnet18", "resnet50"]}}}
    assert estimate.architectures(changed(tuning=tuning)) == ["resnet18", "resnet50"]
    assert rates.multiply_adds(["resnet18", "resnet50"], 224) == Range.of("1.81", "4.09")


@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(trials=st.integers(1, 60), more=st.integers(0, 60), number=st.integers(100, 10**7), extra=st.integers(0, 10**6))
def test_more_trials_and_more_photos_never_cost_less(trials: int, more: int, number: int, extra: int) -> None:
    few = run(changed(tuning={"trials": trials, "parallel": 1}), number).bill.total
    many = run(changed(tuning={"trials": trials + more, "parallel": 1}), number + extra).bill.total
    assert few.low <= many.low
    assert few.high <= many.high


def test_an_endpoint_costs_its_instances_all_month() -> None:
    bill, _ = month(changed(endpoint={"instance_count": 2}), photos(1000), OURS, 0)
    # 2 * 730 h * 0.204
    assert usd(bill, "endpoint", "2 x ml.c5.xlarge") == Range.of("297.84")


def test_an_endpoint_that_scales_costs_between_its_least_and_its_most() -> None:
    bill, _ = month(changed(endpoint={"maximum_instance_count": 3}), photos(1000), OURS, 0)
    assert usd(bill, "endpoint", "1 to 3 x ml.c5.xlarge") == Range.of("148.92", "446.76")


def test_a_serverless_endpoint_costs_nothing_while_nobody_asks() -> None:
    settings = changed(endpoint={"mode": "serverless", "serverless_memory_megabytes": 2048})
    idle, _ = month(settings, photos(1000), OURS, 0)
    assert usd(idle, "endpoint") == Range.of(0)
    busy, _ = month(settings, photos(1000), OURS, 10**6)
    # A million requests of 0.05 to 0.3 s with 2 GB at 0.00002.
    assert usd(busy, "endpoint", "serverless") == Range.of(2, 12)


def test_the_models_of_each_run_of_the_month_are_kept() -> None:
    one, four = (usd(month(changed(), photos(1000), OURS, 0, runs)[0], "S3", "models") for runs in (1, 4))
    assert (four.low, four.high) == (4 * one.low, 4 * one.high)
    assert one.low > 0


def test_captures_are_kept_for_their_days() -> None:
    short, long = (
        usd(month(changed(retention={"capture_days": days}), photos(1000), OURS, 10**6)[0], "endpoint", "captures")
        for days in (30, 90)
    )
    assert long.high == pytest.approx(3 * short.high)
    assert not any(
        "captures" in one.what
        for one in month(changed(endpoint={"capture_percent": 0}), photos(1000), OURS, 10**6)[0].items
    )
