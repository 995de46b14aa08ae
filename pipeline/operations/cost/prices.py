"""Prices from a dated file, `prices.yaml` or another of its form, and bill lines at those prices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.aws import instances
from pipeline.operations.cost.money import HOURS_PER_MONTH, INSTANCE_HOURS, SECONDS_PER_HOUR, Item, Price, Range
from steps.contracts.errors import PipelineError

FILE = Path(__file__).with_name("prices.yaml")
# Older prices are named in a warning.
MAXIMUM_AGE = timedelta(days=365)
Service = Literal["training_volume", "processing_volume", "athena_scan", "s3_storage", "s3_get"]
# Name and unit of each service's price.
_SERVICES: dict[Service, tuple[str, str]] = {
    "training_volume": ("volume of training", "GB-month"),
    "processing_volume": ("volume of processing", "GB-month"),
    "athena_scan": ("Athena, data scanned", "TB"),
    "s3_storage": ("S3 storage", "GB-month"),
    "s3_get": ("S3 reads", "thousand"),
}
# In a class with a field `date` the name means that field.
_Date = date
_Usd = Annotated[Decimal, Field(ge=0, le=100_000, allow_inf_nan=False)]
_InstanceType = Annotated[str, Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9-]+$")]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Origin(_Form):
    """Where a figure comes from: a source with a date, or a basis."""

    source: str = ""
    date: _Date | None = None
    basis: str = ""

    @model_validator(mode="after")
    def _has_source_or_basis(self) -> Self:
        given = (bool(self.source), self.date is not None, bool(self.basis))
        if given not in ((True, True, False), (False, False, True)):
            raise ValueError("must have source and date, or basis")
        return self

    def price(self, what: str, unit: str, region: str, usd: Decimal) -> Price:
        return Price(what, usd, unit, region, self.source, self.date, self.basis)


class _Instances(_Origin):
    usd: dict[_InstanceType, _Usd] = Field(min_length=1)


class _Service(_Origin):
    usd: _Usd


class _Region(_Form):
    instances: list[_Instances]
    services: dict[Service, _Service]


class _File(_Form):
    version: Literal[1]
    regions: dict[str, _Region] = Field(min_length=1)


@dataclass(frozen=True)
class Machines:
    """Instances of one type, each with a volume of `gigabytes`."""

    instance_type: str
    count: int
    gigabytes: int = 0

    def __str__(self) -> str:
        return f"{self.count} x {self.instance_type}" if self.count > 1 else self.instance_type


class Prices:
    """A file's prices of a region; for a region that the file lacks, those of its first region, which a note states."""

    def __init__(self, path: Path, region: str) -> None:
        """Raises PipelineError, one line, for a file of another form."""
        content = _load(path)
        self._path, self._wanted = path, region
        self.region = region if region in content.regions else next(iter(content.regions))
        prices = content.regions[self.region]
        if missing := [name for name in _SERVICES if name not in prices.services]:
            raise PipelineError(f"{path}: regions.{self.region}.services: add {', '.join(missing)}")
        self._services = {
            name: origin.price(*_SERVICES[name], self.region, origin.usd) for name, origin in prices.services.items()
        }
        self._instances: dict[str, Price] = {}
        for origin in prices.instances:
            for instance_type, usd in origin.usd.items():
                if instance_type in self._instances:
                    raise PipelineError(f"{path}: regions.{self.region}: {instance_type} has two prices")
                self._instances[instance_type] = origin.price(instance_type, "hour", self.region, usd)

    @property
    def notes(self) -> list[str]:
        """A line where the prices are those of another region."""
        if self.region == self._wanted:
            return []
        return [f"{self._path.name} has no prices of {self._wanted}: amounts are at those of {self.region}"]

    def instance(self, instance_type: str) -> Price | None:
        """The price of an instance per hour; None where it is missing."""
        return self._instances.get(instance_type)

    def service(self, name: Service) -> Price:
        """The price of a unit of a service."""
        return self._services[name]

    def instance_item(self, part: str, machines: Machines, hours: Range, note: str = "") -> Item:
        """The line of `hours` of instance time, those of all instances added up."""
        price = self.instance(machines.instance_type)
        missing = (
            f"no price for {machines.instance_type} in {self._wanted}: add it to {self._path.name},"
            " or pass a file that has it: --prices FILE"
        )
        return Item(part, str(machines), hours, INSTANCE_HOURS, price, note, "" if price else missing)

    def service_item(self, part: str, what: str, name: Service, quantity: Range) -> Item:
        """The line of `quantity` units of a service."""
        price = self.service(name)
        return Item(part, what, quantity, price.unit, price)

    def job_items(self, part: str, machines: Machines, volume: Service, seconds: Range, note: str = "") -> list[Item]:
        """The lines of a job that has each of its machines for `seconds`: instances, and their volumes.

        SageMaker bills by the second. Types with disks of their own have no volume to pay.
        """
        hours = seconds * machines.count / SECONDS_PER_HOUR
        items = [self.instance_item(part, machines, hours, note)]
        if machines.gigabytes and not instances.has_own_disks(machines.instance_type):
            items.append(self.service_item(part, "volumes", volume, hours * machines.gigabytes / HOURS_PER_MONTH))
        return items


def warnings(prices: Iterable[Price], today: date) -> list[str]:
    """A line for prices that are older than a year, and one for those without a dated source."""
    prices = list(prices)
    lines = []
    if old := [price.date for price in prices if price.date and today - price.date > MAXIMUM_AGE]:
        lines.append(f"{len(old)} of {len(prices)} prices are more than a year old (oldest: {min(old)}): check them")
    if undated := [price.what for price in prices if not price.date]:
        lines.append(f"prices without a dated source, check before you rely on them: {', '.join(undated)}")
    return lines


def _load(path: Path) -> _File:
    try:
        return _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise PipelineError(f"{path}: {place}: {first['msg'][0].lower()}{first['msg'][1:]}") from None
    except (OSError, yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a date such as 2026-13-01
        raise PipelineError(f"{path}: the prices cannot be read: {' '.join(str(error).split())}") from None
