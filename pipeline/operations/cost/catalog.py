"""Prices of instances from AWS's Price List API, and from the file what the API does not say.

https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_pricing_GetProducts.html: `PriceList` is a list
of JSON texts whose form no service model describes. So nothing of it is taken for granted: an offer that is not
understood, or two that disagree, leave the file's price in force, and a note says so.
"""

from __future__ import annotations

import json
import re
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from pipeline.aws.responses import reason_unavailable
from pipeline.operations.cost.money import Price
from pipeline.operations.cost.prices import FilePrices, Prices, Service, Usage
from pipeline.settings import Settings

# The API answers in few regions, for all of them.
API_REGION = "us-east-1"
SOURCE = "AWS Price List API (GetProducts)"
SERVICE = "AmazonSageMaker"
# Values of the attribute `component`, letters only.
_COMPONENTS: dict[Usage, str] = {
    "processing": "processing",
    "training": "training",
    "hosting": "hosting",
    "transform": "batchtransform",
}
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def chosen(settings: Settings, path: Path, today: date, *, ask: bool) -> Prices:
    """The API's prices where `ask`, the settings live in AWS, and there are credentials; else those of the file.

    Raises PipelineError, a line, for a file that is not of its form.
    """
    region = settings.account.region
    if not ask or settings.account.target == "local":
        return FilePrices(path, region)
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    try:
        session = boto3.Session()
        if session.get_credentials() is None:
            return FilePrices(path, region, ("no AWS credentials: prices are the file's",))
        # An estimate is not worth a long wait.
        config = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 2})
        pricing = session.client("pricing", region_name=API_REGION, config=config)
    except BotoCoreError as error:
        reason = reason_unavailable(error)
        return FilePrices(path, region, (f"the Price List API could not be asked ({reason}): prices are the file's",))
    return CatalogPrices(pricing, region, FilePrices(path, region), today)


class CatalogPrices:
    """The API's prices of instances in a region, by a boto3 client of `pricing`; all others are `otherwise`."""

    def __init__(self, pricing: Any, region: str, otherwise: Prices, today: date) -> None:
        self._pricing, self._region, self._otherwise, self._today = pricing, region, otherwise, today
        self._offers: dict[str, list[Any]] = {}
        self._notes: dict[str, None] = {}
        self._silent = False

    @property
    def notes(self) -> tuple[str, ...]:
        """Where the API was of no help, and what there is to say of the file."""
        return (*self._notes, *self._otherwise.notes)

    def instance(self, instance_type: str, usage: Usage) -> Price | None:
        """What an instance costs an hour, by the API, else by the file."""
        found = self._read(instance_type, usage)
        if found is None:
            return self._otherwise.instance(instance_type, usage)
        usd, effective = found
        return Price(f"{instance_type} {usage}", usd, "hour", self._region, SOURCE, effective or self._today, True)

    def missing(self, instance_type: str, usage: Usage) -> str:
        """What to do where neither knows a price."""
        return self._otherwise.missing(instance_type, usage)

    def service(self, name: Service) -> Price:
        """What a unit of a service costs, by the file: the API's attributes differ from service to service."""
        return self._otherwise.service(name)

    def _read(self, instance_type: str, usage: Usage) -> tuple[Decimal, date | None] | None:
        offers = self._ask(instance_type)
        if self._silent:
            return None
        found = {price for offer in offers if (price := hourly(offer, usage)) is not None}
        if len({usd for usd, _ in found}) != 1:
            what = "has more than one price" if found else "has no price that can be read"
            self._notes[f"the Price List API {what} for {instance_type} ({usage}): the file's is taken"] = None
            return None
        return max(found, key=lambda one: one[1] or date.min)

    def _ask(self, instance_type: str) -> list[Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        if self._silent or instance_type in self._offers:
            return self._offers.get(instance_type, [])
        filters = {"instanceName": instance_type, "regionCode": self._region}
        try:
            pages = self._pricing.get_paginator("get_products").paginate(
                ServiceCode=SERVICE,
                Filters=[{"Type": "TERM_MATCH", "Field": key, "Value": value} for key, value in filters.items()],
            )
            self._offers[instance_type] = [_parsed(text) for page in pages for text in page.get("PriceList", [])]
        except (BotoCoreError, ClientError) as error:
            # Asked once: what refuses one price refuses all, and each refusal takes its time.
            self._silent = True
            reason = reason_unavailable(error)
            self._notes[f"the Price List API could not be asked ({reason}): prices are the file's"] = None
        return self._offers.get(instance_type, [])


def hourly(offer: Any, usage: Usage) -> tuple[Decimal, date | None] | None:
    """The price an hour of an offer of GetProducts, and since when; None where it is not for `usage` or not clear."""
    attributes = _inner(offer, "product", "attributes")
    component = re.sub(r"[^a-z]", "", str(attributes.get("component", "")).lower())
    if component != _COMPONENTS[usage]:
        return None
    found = set()
    for term in _inner(offer, "terms", "OnDemand").values():
        for dimension in _inner(term, "priceDimensions").values():
            usd = _positive(_inner(dimension, "pricePerUnit").get("USD"))
            if usd is not None and _inner(dimension).get("unit") == "Hrs":
                found.add((usd, _day(_inner(term).get("effectiveDate"))))
    return found.pop() if len(found) == 1 else None


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return None


def _inner(value: Any, *keys: str) -> dict[str, Any]:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _positive(value: Any) -> Decimal | None:
    try:
        usd = Decimal(str(value))
    except InvalidOperation:
        return None
    return usd if usd.is_finite() and usd > 0 else None


def _day(value: Any) -> date | None:
    match = _DATE.match(str(value))
    try:
        return date.fromisoformat(match[0]) if match else None
    except ValueError:
        return None
