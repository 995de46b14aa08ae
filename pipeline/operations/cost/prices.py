"""Prices from a file with a date: `pipeline/operations/cost/prices.yaml`, or another of its form."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from pipeline.operations.cost.money import Price
from steps.contracts.errors import PipelineError

FILE = Path(__file__).with_name("prices.yaml")
# Prices older than this are shown with a warning.
GOOD_FOR = timedelta(days=365)
Usage = Literal["processing", "training", "hosting", "transform"]
USAGES: tuple[Usage, ...] = get_args(Usage)
Service = Literal[
    "training_volume",
    "processing_volume",
    "hosting_data",
    "serverless_inference",
    "athena_scan",
    "s3_storage",
    "s3_put",
    "s3_get",
]
# What a service's price is for, and its unit.
_SERVICES: dict[Service, tuple[str, str]] = {
    "training_volume": ("volume of training", "GB-month"),
    "processing_volume": ("volume of processing", "GB-month"),
    "hosting_data": ("data to and from an endpoint", "GB"),
    "serverless_inference": ("serverless inference", "GB-second"),
    "athena_scan": ("data that Athena scans", "TB"),
    "s3_storage": ("S3 storage", "GB-month"),
    "s3_put": ("S3 writes and lists", "thousand"),
    "s3_get": ("S3 reads", "thousand"),
}


class Prices(Protocol):
    """Who knows prices. `notes` is what a reader has to know of those that were asked for."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to know of them."""

    def instance(self, instance_type: str, usage: Usage) -> Price | None:
        """What an instance costs an hour; None where that is not known."""

    def missing(self, instance_type: str, usage: Usage) -> str:
        """What to do where it is not, in one line."""

    def service(self, name: Service) -> Price:
        """What a unit of a service costs."""


def _no_truth(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("want a number")
    return value


_Usd = Annotated[Decimal, BeforeValidator(_no_truth), Field(ge=0, le=100_000, allow_inf_nan=False)]
_Url = Annotated[str, Field(pattern=r"^https://[A-Za-z0-9.-]+(/\S*)?$")]
# In a class with a field `date` the name means that field.
_Date = date
_InstanceType = Annotated[str, Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9-]+$")]


class _Origin(BaseModel):
    """Where a figure comes from: read in a source on a date, or not read, and resting on something else."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: _Url | None = None
    date: _Date | None = None
    confirmed: bool | None = None
    basis: Annotated[str, Field(pattern=r"^\S[^\n]{0,199}$")] | None = None

    @model_validator(mode="after")
    def _read_or_not(self) -> Self:
        read = (self.source, self.date, self.confirmed)
        if self.basis is None and None in read:
            raise ValueError("want source, date and confirmed; or a basis, for what was not read")
        if self.basis is not None and read != (None, None, None):
            raise ValueError("what has a basis was not read: leave out source, date and confirmed")
        return self


class _Instances(_Origin):
    usages: list[Usage] = Field(min_length=1)
    usd: dict[_InstanceType, _Usd] = Field(min_length=1)


class _Service(_Origin):
    usd: _Usd


class _Region(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    instances: list[_Instances]
    services: dict[Service, _Service]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1]
    regions: dict[Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")], _Region] = Field(min_length=1)


class FilePrices:
    """The file's prices of a region; where the file does not have that region, those of its first one."""

    def __init__(self, path: Path, region: str, remarks: tuple[str, ...] = ()) -> None:
        """`remarks` are notes of whoever chose the file. Raises PipelineError, a line, where it is not of its form."""
        content = _load(path)
        self.region = region if region in content.regions else next(iter(content.regions))
        self._path, self._wanted, self._remarks = path, region, remarks
        found = content.regions[self.region]
        lacking = [name for name in _SERVICES if name not in found.services]
        if lacking:
            raise PipelineError(f"{path}: regions.{self.region}.services: wants {', '.join(lacking)} too")
        self._instances = _by_type_and_usage(path, self.region, found.instances)
        self._services = {
            name: _price(*_SERVICES[name], self.region, one, one.usd) for name, one in found.services.items()
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """That the prices are another region's, where they are."""
        if self.region == self._wanted:
            return self._remarks
        return (
            *self._remarks,
            f"{self._path.name} has no prices of {self._wanted}: these are of {self.region}, and yours differ",
        )

    def instance(self, instance_type: str, usage: Usage) -> Price | None:
        """What an instance costs an hour; None where the file does not say."""
        return self._instances.get((instance_type, usage))

    def missing(self, instance_type: str, usage: Usage) -> str:
        """What to do where it does not."""
        return (
            f"no price for {instance_type} in {self._wanted} ({usage}): add it to {self._path.name},"
            " or pass a file that has it: --prices FILE"
        )

    def service(self, name: Service) -> Price:
        """What a unit of a service costs."""
        return self._services[name]


def warnings(prices: Iterable[Price], today: date) -> list[str]:
    """What is doubtful about prices: age, that nobody has confirmed them, that they were not read; a line each."""
    counted = list(prices)
    lines = []
    old = [one.date for one in counted if one.date and today - one.date > GOOD_FOR]
    if old:
        oldest = min(old)
        lines.append(f"{len(old)} of {len(counted)} prices are more than a year old (from {oldest} on): check them")
    doubtful = {
        "not confirmed": [one.what for one in counted if one.date and not one.confirmed],
        "not read": [one.what for one in counted if not one.date],
    }
    lines += [f"{doubt}, check before you rely on it: {', '.join(names)}" for doubt, names in doubtful.items() if names]
    return lines


def _load(path: Path) -> _File:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PipelineError(f"{path}: the prices cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise PipelineError(f"{path}: not a text file in UTF-8") from None
    try:
        document: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        line = (
            f":{error.problem_mark.line + 1}" if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark else ""
        )
        raise PipelineError(f"{path}{line}: the prices are not valid YAML") from None
    except ValueError as error:  # a date that is none
        raise PipelineError(f"{path}: {error}") from None
    try:
        return _File.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise PipelineError(f"{path}: {where}: {first['msg'][0].lower()}{first['msg'][1:]}") from None


def _by_type_and_usage(path: Path, region: str, blocks: list[_Instances]) -> dict[tuple[str, Usage], Price]:
    found: dict[tuple[str, Usage], Price] = {}
    for block in blocks:
        for usage in block.usages:
            for instance_type, usd in block.usd.items():
                key = (instance_type, usage)
                if key in found:
                    raise PipelineError(f"{path}: regions.{region}: {instance_type} ({usage}) has two prices")
                found[key] = _price(f"{instance_type} {usage}", "hour", region, block, usd)
    return found


def _price(what: str, unit: str, region: str, origin: _Origin, usd: Decimal) -> Price:
    confirmed = bool(origin.confirmed)
    return Price(what, usd, unit, region, origin.source or "", origin.date, confirmed, origin.basis or "")
