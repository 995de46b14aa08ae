"""Prices of the Price List API: read where they are clear, left to the file where not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from pipeline.operations.cost.catalog import SOURCE, CatalogPrices, chosen, hourly
from pipeline.operations.cost.prices import FilePrices
from pipeline.settings import Settings
from tests.unit.pipeline.operations.cost.conftest import stubbed

pytestmark = pytest.mark.usefixtures("no_account")
TODAY = date(2026, 11, 27)


def offer(component: str, usd: str, **dimension: Any) -> dict[str, Any]:
    """An offer in the form in which the list has them."""
    return {
        "product": {
            "productFamily": "ML Instance",
            "attributes": {
                "instanceName": "ml.m5.xlarge",
                "regionCode": "eu-central-1",
                "component": component,
                "usagetype": f"EUC1-{component}:ml.m5.xlarge",
            },
            "sku": "SKU",
        },
        "serviceCode": "AmazonSageMaker",
        "terms": {
            "OnDemand": {
                "SKU.TERM": {
                    "effectiveDate": "2026-11-01T00:00:00Z",
                    "priceDimensions": {
                        "SKU.TERM.RATE": {"unit": "Hrs", "pricePerUnit": {"USD": usd}, **dimension},
                    },
                }
            }
        },
    }


class Catalog:
    """The API, and what it is to answer."""

    def __init__(self, price_file: Path) -> None:
        client = stubbed("pricing")
        self.stubber = Stubber(client)
        self.prices = CatalogPrices(client, "eu-central-1", FilePrices(price_file, "eu-central-1"), TODAY)

    def answer(self, *offers: Any) -> None:
        """One page of offers to one question about a type."""
        texts = [one if isinstance(one, str) else json.dumps(one) for one in offers]
        self.stubber.add_response(
            "get_products",
            {"FormatVersion": "aws_v1", "PriceList": texts},
            {
                "ServiceCode": "AmazonSageMaker",
                "Filters": [
                    {"Type": "TERM_MATCH", "Field": "instanceName", "Value": "ml.m5.xlarge"},
                    {"Type": "TERM_MATCH", "Field": "regionCode", "Value": "eu-central-1"},
                ],
            },
        )


@pytest.fixture
def catalog(no_account: None, price_file: Path) -> Iterator[Catalog]:
    catalog = Catalog(price_file)
    with catalog.stubber:
        yield catalog
        catalog.stubber.assert_no_pending_responses()


def test_the_price_of_a_usage_is_read_and_dated(catalog: Catalog) -> None:
    catalog.answer(offer("Studio-JupyterLab", "0.9"), offer("Training", "0.276"), offer("Hosting", "0.277"))
    price = catalog.prices.instance("ml.m5.xlarge", "training")
    assert price is not None
    assert (price.usd, price.unit, price.region) == (Decimal("0.276"), "hour", "eu-central-1")
    assert (price.source, price.date, price.confirmed) == (SOURCE, date(2026, 11, 1), True)


def test_a_type_is_asked_for_once(catalog: Catalog) -> None:
    catalog.answer(offer("Training", "0.276"), offer("Batch Transform", "0.278"))
    found = [catalog.prices.instance("ml.m5.xlarge", usage) for usage in ("training", "transform", "training")]
    assert [one and one.usd for one in found] == [Decimal("0.276"), Decimal("0.278"), Decimal("0.276")]


@pytest.mark.parametrize(
    ("offers", "says"),
    [
        ([], "no price that can be read"),
        ([offer("Notebook", "0.3")], "no price that can be read"),
        ([offer("Training", "0.276", unit="Quantity")], "no price that can be read"),
        ([offer("Training", "0.0000000000")], "no price that can be read"),
        ([offer("Training", "NaN")], "no price that can be read"),
        (["not json", "[]", '{"product": 1, "terms": []}'], "no price that can be read"),
        ([offer("Training", "0.276"), offer("Training", "0.3")], "more than one price"),
    ],
)
def test_what_is_not_clear_leaves_the_files_price_in_force(catalog: Catalog, offers: list[Any], says: str) -> None:
    catalog.answer(*offers)
    price = catalog.prices.instance("ml.m5.xlarge", "training")
    assert price is not None
    assert (price.usd, price.region) == (Decimal("0.23"), "us-east-1")
    assert f"the Price List API has {says} for ml.m5.xlarge (training): the file's is taken" in catalog.prices.notes
    assert any("no prices of eu-central-1" in note for note in catalog.prices.notes)


def test_an_account_that_may_not_ask_is_asked_once_and_gets_the_files_prices(catalog: Catalog) -> None:
    catalog.stubber.add_client_error("get_products", "AccessDeniedException", "User is not\nauthorized")
    for usage in ("training", "hosting"):
        price = catalog.prices.instance("ml.m5.xlarge", usage)
        assert price is not None
        assert price.usd == Decimal("0.23")
    [note, _] = catalog.prices.notes
    assert note == (
        "the Price List API could not be asked (access denied: these credentials may not GetProducts):"
        " prices are the file's"
    )


def test_credentials_that_have_expired_end_the_estimate(catalog: Catalog) -> None:
    catalog.stubber.add_client_error("get_products", "ExpiredTokenException", "The security token is expired")
    with pytest.raises(ClientError, match="ExpiredTokenException"):
        catalog.prices.instance("ml.m5.xlarge", "training")


def test_services_have_the_files_prices(catalog: Catalog) -> None:
    assert catalog.prices.service("athena_scan").usd == 5


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["product", "attributes", "component", "terms", "OnDemand", "priceDimensions", "USD"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_no_answer_of_another_form_breaks_anything(answer: Any) -> None:
    assert hourly(answer, "training") is None


def test_without_credentials_the_file_is_read_and_says_so(
    settings: Settings, price_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    found = chosen(settings, price_file, TODAY, ask=True)
    assert isinstance(found, FilePrices)
    assert found.notes == ("no AWS credentials: prices are the file's",)


def test_with_credentials_the_api_is_asked(settings: Settings, price_file: Path) -> None:
    assert isinstance(chosen(settings, price_file, TODAY, ask=True), CatalogPrices)


def test_nobody_is_asked_offline_nor_for_the_local_cloud(settings: Settings, price_file: Path) -> None:
    assert isinstance(chosen(settings, price_file, TODAY, ask=False), FilePrices)
    local = settings.model_copy(update={"account": settings.account.model_copy(update={"target": "local"})})
    assert isinstance(chosen(local, price_file, TODAY, ask=True), FilePrices)
