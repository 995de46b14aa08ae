"""How much there is to do: the photos of a data set, from the last run, or as somebody says."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from pipeline.aws.responses import reason_unavailable
from pipeline.operations.cost import rates
from pipeline.operations.cost.money import GIGABYTE, KILOBYTE
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.operations.dataset.description import DataSet


@dataclass(frozen=True)
class Facts:
    """Photos of the splits, and their size. `photos` are those that are looked at, also where they are left out.

    `kilobytes` is a raw photo's size, `shard_gigabytes` all shards'. `origin` says where the numbers come from.
    """

    photos: int
    train: int
    validation: int
    test: int
    kilobytes: Decimal
    shard_gigabytes: Decimal
    origin: str


def assumed(settings: Settings, photos: int, kilobytes: Decimal, origin: str) -> Facts:
    """So many photos of such a size, all of them of use, split by the settings' fractions."""
    shard = settings.shard
    validation, test = (round(photos * fraction) for fraction in (shard.validation_fraction, shard.test_fraction))
    scale = Decimal(shard.image_size) / rates.RESIZED_SIDE
    stored = min(kilobytes, rates.RESIZED_KILOBYTES * scale * scale) if shard.image_size else kilobytes
    return Facts(
        photos=photos,
        train=photos - validation - test,
        validation=validation,
        test=test,
        kilobytes=kilobytes,
        shard_gigabytes=photos * stored * KILOBYTE / GIGABYTE,
        origin=origin,
    )


def of_data_set(data: DataSet, kilobytes: Decimal, origin: str) -> Facts:
    """What a data set's index says, and how many photos it leaves out."""
    splits = data.index.splits
    samples = {name: split.samples for name, split in splits.items()}
    return Facts(
        photos=sum(samples.values()) + (data.summary.rejected if data.summary else 0),
        train=samples["train"],
        validation=samples["validation"],
        test=samples["test"],
        kilobytes=kilobytes,
        shard_gigabytes=Decimal(sum(split.bytes for split in splits.values())) / GIGABYTE,
        origin=origin,
    )


def find(settings: Settings, photos: int | None, kilobytes: Decimal | None, unasked: str = "") -> Facts:
    """`photos` where somebody says how many, else the latest run's data set where there is one.

    Else the public data set's size; `origin` says why. `unasked` is why the account is not to be asked.
    """
    size = rates.PHOTO_KILOBYTES if kilobytes is None else kilobytes
    if photos is not None:
        return assumed(settings, photos, size, "as given by --photos")
    reason = unasked
    if not unasked:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        from pipeline.operations.dataset import description as dataset

        try:
            data = dataset.find(settings, "latest")
            return of_data_set(data, size, f"the latest run's data set, {data.uri}")
        except PipelineError as error:
            reason = str(error).split(";")[0]
        except (BotoCoreError, ClientError, ResponseParserError) as error:
            reason = reason_unavailable(error)
    return assumed(
        settings, rates.PUBLIC_PHOTOS, size, f"as many as the public data set has ({reason}); say how many: --photos N"
    )
