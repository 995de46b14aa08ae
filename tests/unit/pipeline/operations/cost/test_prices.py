"""Prices of a file: read, refused, doubted."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline import ROOT
from pipeline.aws import instances
from pipeline.operations.cost.prices import FILE, USAGES, FilePrices, warnings
from pipeline.settings.file import load_settings
from steps.contracts.errors import PipelineError
from tests.unit.pipeline.operations.cost.conftest import PRICES

OURS = FilePrices(FILE, "us-east-1")
# Families that a definition may take and that our file has no prices of yet: `cost` says so, and how to add them.
UNPRICED = ("g6e", "p5e", "p5en")
TRAINED_ON = (*instances.GPUS, *instances.CPU)


def test_a_price_comes_with_its_source_and_date(prices: FilePrices) -> None:
    price = prices.instance("ml.m5.large", "training")
    assert price is not None
    assert (price.usd, price.unit, price.region) == (Decimal("0.115"), "hour", "us-east-1")
    assert (price.source, price.date, price.confirmed) == ("https://aws.example/other", date(2026, 10, 1), False)


def test_a_type_may_be_priced_for_some_usages_only(prices: FilePrices) -> None:
    assert prices.instance("ml.m5.large", "hosting") is None
    assert prices.missing("ml.m5.large", "hosting") == (
        "no price for ml.m5.large in us-east-1 (hosting): add it to prices.yaml,"
        " or pass a file that has it: --prices FILE"
    )


@pytest.mark.parametrize("instance_type", TRAINED_ON)
def test_our_file_prices_training_on_every_type_that_a_definition_may_take(instance_type: str) -> None:
    priced = OURS.instance(instance_type, "training") is not None
    assert priced == (instance_type.split(".")[1] not in UNPRICED)


@pytest.mark.parametrize("profile", ["local", "demo", "dev", "prod"])
def test_our_file_prices_what_our_profiles_use(profile: str) -> None:
    settings = load_settings(ROOT / "pipeline.yaml", profile)
    endpoint = settings.endpoint
    assert OURS.instance(settings.data.instance_type, "processing")
    assert OURS.instance(settings.shard.instance_type, "processing")
    assert OURS.instance(settings.evaluation.instance_type, "processing")
    assert OURS.instance(settings.monitoring.instance_type, "processing")
    assert OURS.instance(endpoint.instance_type, "hosting")
    assert OURS.instance(endpoint.batch_instance_type, "transform")


def test_in_our_file_a_larger_machine_of_a_family_never_costs_less() -> None:
    for usage in USAGES:
        for family in ("m5", "c5", "p3"):
            sizes = sorted(
                (one for one in TRAINED_ON if one.split(".")[1] == family),
                key=lambda one: (instances.vcpus(one), instances.gpus(one)),
            )
            found = [price.usd for one in sizes if (price := OURS.instance(one, usage))]
            assert found == sorted(found), (usage, family)


def test_another_region_gets_the_files_own_and_is_told(price_file: Path) -> None:
    prices = FilePrices(price_file, "eu-central-1")
    price = prices.instance("ml.m5.xlarge", "training")
    assert price is not None
    assert price.region == "us-east-1"
    [note] = prices.notes
    assert "no prices of eu-central-1: these are of us-east-1" in note
    assert "in eu-central-1" in prices.missing("ml.none.large", "training")


def test_a_file_of_another_region_is_read_for_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(PRICES.replace("us-east-1", "eu-central-1"))
    assert FilePrices(path, "eu-central-1").notes == ()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("usd: {ml.m5.large: 0.115}", "usd: {ml.m5.large: -1}", "usd.ml.m5.large: input should be greater"),
        ("usd: {ml.m5.large: 0.115}", "usd: {ml.m5.large: yes}", "usd.ml.m5.large: value error, want a number"),
        ("usd: {ml.m5.large: 0.115}", "usd: {ml.m5.large: .nan}", "usd.ml.m5.large: input should be a finite"),
        ("usd: {ml.m5.large: 0.115}", "usd: {m5.large: 0.115}", "string should match"),
        ("usd: {ml.m5.large: 0.115}", "usd: {ml.m5.xlarge: 0.115}", "ml.m5.xlarge (processing) has two prices"),
        ("date: 2026-10-01", "date: 2026-13-01", "month must be in 1..12"),
        ("https://aws.example/other", "file:///etc/passwd", "source: string should match"),
        ("confirmed: false", "sure: false", "sure: extra inputs are not permitted"),
        ("        date: 2026-10-01\n", "", "instances.1: value error, want source, date and confirmed; or a basis"),
        ("date: 2026-10-01", "basis: EC2", "instances.1: value error, what has a basis was not read"),
        ("usages: [processing, training]\n", "usages: [labelling]\n", "usages.0: input should be"),
        ("      s3_get: {<<: *read, usd: 0.0004}\n", "", "us-east-1.services: wants s3_get too"),
        ("version: 1", "version: 2", "version: input should be 1"),
        ("version: 1", "version: [", "not valid YAML"),
    ],
)
def test_a_file_that_is_not_of_its_form_is_refused_in_a_line(
    price_file: Path, old: str, new: str, problem: str
) -> None:
    assert old in PRICES
    price_file.write_text(PRICES.replace(old, new))
    with pytest.raises(PipelineError) as refused:
        FilePrices(price_file, "us-east-1")
    assert problem in str(refused.value).replace("Input", "input")
    assert "\n" not in str(refused.value)
    assert str(price_file) in str(refused.value)


def test_a_file_that_is_not_there_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"none\.yaml: the prices cannot be read \(No such file"):
        FilePrices(tmp_path / "none.yaml", "us-east-1")


def test_prices_of_more_than_a_year_ago_are_doubted(prices: FilePrices) -> None:
    found = [prices.service("athena_scan"), prices.service("s3_get")]
    assert warnings(found, date(2027, 9, 25)) == []
    [warning] = warnings(found, date(2027, 9, 26))
    assert warning == "2 of 2 prices are more than a year old (from 2026-09-25 on): check them"


def test_prices_that_nobody_confirmed_are_named(prices: FilePrices) -> None:
    price = prices.instance("ml.m5.large", "training")
    assert price is not None
    [warning] = warnings([price, prices.service("s3_get")], date(2026, 11, 27))
    assert warning == "not confirmed, check before you rely on it: ml.m5.large training"


def test_what_was_not_read_has_no_date_and_says_what_it_rests_on(price_file: Path) -> None:
    read = "source: https://aws.example/other\n        date: 2026-10-01\n        confirmed: false\n"
    assert read in PRICES
    price_file.write_text(PRICES.replace(read, "basis: by its size\n"))
    price = FilePrices(price_file, "us-east-1").instance("ml.m5.large", "training")
    assert price is not None
    assert (price.source, price.date, price.confirmed, price.origin) == ("", None, False, "by its size")
    # However late: what has no date does not get old.
    assert warnings([price], date(2036, 1, 1)) == ["not read, check before you rely on it: ml.m5.large training"]


@pytest.mark.parametrize("instance_type", [*instances.GPUS, *instances.CPU])
def test_in_our_file_what_rests_on_another_usage_is_a_price_of_that_type_that_was_read(instance_type: str) -> None:
    prices = [price for usage in USAGES if (price := OURS.instance(instance_type, usage))]
    read = {price.usd for price in prices if price.date}
    assert {price.usd for price in prices if price.basis == "the type's price for another usage"} <= read


@pytest.mark.parametrize(("size", "parts"), [("xlarge", 4), ("2xlarge", 2)])
def test_in_our_file_what_rests_on_another_size_is_in_proportion_to_it(size: str, parts: int) -> None:
    whole, part = OURS.instance("ml.c5.4xlarge", "processing"), OURS.instance(f"ml.c5.{size}", "hosting")
    assert whole is not None
    assert part is not None
    assert (part.usd * parts, part.basis) == (whole.usd, "by its size, from ml.c5.4xlarge's price")
    assert whole.date is not None
