"""Prices of a file: read, refused, doubted; and lines at these prices."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline import ROOT
from pipeline.aws import instances
from pipeline.operations.cost.money import Price, Range
from pipeline.operations.cost.prices import FILE, Machines, Prices, warnings
from pipeline.settings.file import load_settings
from steps.contracts.errors import PipelineError
from tests.unit.pipeline.operations.cost.conftest import PRICES

OURS = Prices(FILE, "us-east-1")
# Families that a definition may take and that our file has no prices of yet: `cost` names them, and how to add them.
UNPRICED = ("g6e", "p5e", "p5en")
TRAINED_ON = (*instances.GPUS, *instances.CPU)


def test_a_price_comes_with_its_source_and_date(prices: Prices) -> None:
    price = prices.instance("ml.m5.xlarge")
    assert price == Price(
        "ml.m5.xlarge", Decimal("0.23"), "hour", "us-east-1", "https://aws.example/sagemaker", date(2026, 9, 25)
    )


def test_a_missing_price_is_named_with_the_remedy(prices: Prices) -> None:
    assert prices.instance("ml.r5.large") is None
    item = prices.instance_item("ShardImages", Machines("ml.r5.large", 2), Range.of(1))
    assert (item.what, item.usd) == ("2 x ml.r5.large", None)
    assert item.missing == (
        "no price for ml.r5.large in us-east-1: add it to prices.yaml, or pass a file that has it: --prices FILE"
    )


def test_a_job_costs_the_hours_and_the_volumes_of_all_its_machines(prices: Prices) -> None:
    hour = Range.of(3600)
    machines, volumes = prices.job_items("part", Machines("ml.m5.xlarge", 2, 73), "training_volume", hour)
    # 2 * 0.23; 2 * 73 GB for 1 of 730 h are 0.2 GB-months at 0.14
    assert (machines.quantity, machines.usd) == (Range.of(2), Range.of("0.46"))
    assert (volumes.quantity, volumes.usd) == (Range.of("0.2"), Range.of("0.028"))
    # Types with disks of their own have no volume to pay.
    assert len(prices.job_items("part", Machines("ml.g5.2xlarge", 2, 73), "training_volume", hour)) == 1


def test_a_second_is_billed_as_a_second(prices: Prices) -> None:
    [item] = prices.job_items("part", Machines("ml.g5.2xlarge", 1), "training_volume", Range.of(600))
    assert item.usd is not None
    assert round(item.usd.low, 9) == Decimal("0.2525")


@pytest.mark.parametrize("instance_type", TRAINED_ON)
def test_our_file_prices_training_on_every_type_that_a_definition_may_take(instance_type: str) -> None:
    priced = OURS.instance(instance_type) is not None
    assert priced == (instance_type.split(".")[1] not in UNPRICED)


@pytest.mark.parametrize("profile", ["local", "demo", "dev", "prod"])
def test_our_file_prices_what_our_profiles_use(profile: str) -> None:
    settings = load_settings(ROOT / "pipeline.yaml", profile)
    for group in (settings.data, settings.shard, settings.training, settings.evaluation, settings.endpoint):
        assert OURS.instance(group.instance_type)


def test_in_our_file_a_larger_machine_of_a_family_never_costs_less() -> None:
    for family in ("m5", "c5", "g5", "g6", "p3"):
        types = [instance_type for instance_type in TRAINED_ON if instance_type.split(".")[1] == family]
        types.sort(key=lambda instance_type: (instances.gpus(instance_type), instances.vcpus(instance_type)))
        prices = [price.usd for instance_type in types if (price := OURS.instance(instance_type))]
        assert prices == sorted(prices), family


def test_another_region_gets_the_files_own_prices_with_a_note(price_file: Path) -> None:
    prices = Prices(price_file, "eu-central-1")
    price = prices.instance("ml.m5.xlarge")
    assert price is not None
    assert price.region == "us-east-1"
    assert prices.notes == ["prices.yaml has no prices of eu-central-1: amounts are at those of us-east-1"]
    item = prices.instance_item("part", Machines("ml.none.large", 1), Range.of(1))
    assert "in eu-central-1" in item.missing


def test_a_file_of_another_region_is_read_for_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(PRICES.replace("us-east-1", "eu-central-1"))
    assert Prices(path, "eu-central-1").notes == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("usd: {ml.m5.large: 0.115}", "usd: {ml.m5.large: -1}", "usd.ml.m5.large: input should be greater"),
        ("usd: {ml.m5.large: 0.115}", "usd: {ml.m5.large: .nan}", "usd.ml.m5.large: input should be a finite"),
        ("usd: {ml.m5.large: 0.115}", "usd: {m5.large: 0.115}", "string should match"),
        ("usd: {ml.m5.large: 0.115}", "usd: {ml.m5.xlarge: 0.115}", "ml.m5.xlarge has two prices"),
        ("        date: 2026-09-25\n", "        date: 2026-13-01\n", "month must be in 1..12"),
        ("basis: the price of another region", "why: EC2", "why: extra inputs are not permitted"),
        ("        date: 2026-09-25\n", "", "instances.0: value error, must have source and date, or basis"),
        ("basis: the price of another region", "{}", "the prices cannot be read"),
        ("      s3_get: {<<: *read, usd: 0.0004}\n", "", "us-east-1.services: add s3_get"),
        ("version: 1", "version: 2", "version: input should be 1"),
        ("version: 1", "version: [", "the prices cannot be read"),
    ],
)
def test_a_file_that_is_not_of_its_form_is_refused_in_a_line(
    price_file: Path, old: str, new: str, problem: str
) -> None:
    assert old in PRICES
    price_file.write_text(PRICES.replace(old, new))
    with pytest.raises(PipelineError) as refused:
        Prices(price_file, "us-east-1")
    assert problem in str(refused.value).replace("Input", "input")
    assert "\n" not in str(refused.value)
    assert str(price_file) in str(refused.value)


def test_a_file_that_does_not_exist_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"none\.yaml: the prices cannot be read: .*No such file"):
        Prices(tmp_path / "none.yaml", "us-east-1")


def test_prices_older_than_a_year_are_named(prices: Prices) -> None:
    used = [prices.service("athena_scan"), prices.service("s3_get")]
    assert warnings(used, date(2027, 9, 25)) == []
    [warning] = warnings(used, date(2027, 9, 26))
    assert warning == "2 of 2 prices are more than a year old (oldest: 2026-09-25): check them"


def test_a_price_without_a_dated_source_is_named_with_its_basis(prices: Prices) -> None:
    price = prices.instance("ml.m5.large")
    assert price is not None
    assert (price.source, price.date, price.origin) == ("", None, "the price of another region")
    # A price without a date does not get old.
    [warning] = warnings([price, prices.service("s3_get")], date(2026, 11, 27))
    assert warning == "prices without a dated source, check before you rely on them: ml.m5.large"
    assert warnings([price], date(2036, 1, 1)) == [warning]


@pytest.mark.parametrize(("size", "parts"), [("xlarge", 4), ("2xlarge", 2)])
def test_in_our_file_a_price_by_size_is_in_proportion_to_it(size: str, parts: int) -> None:
    whole, part = OURS.instance("ml.c5.4xlarge"), OURS.instance(f"ml.c5.{size}")
    assert whole is not None
    assert part is not None
    assert (part.usd * parts, part.basis) == (whole.usd, "ml.c5.4xlarge's price, in proportion to the size")
    assert whole.date is not None
