"""The arguments of the monitor."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field, FiniteFloat, PlainValidator

from steps.contracts.names import VARIANT


def _time(text: str) -> datetime:
    """Read ISO 8601; the times of EventBridge Scheduler are UTC."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("write a time like 2026-11-23T03:00:00Z") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Compare what an endpoint received with the baseline of the version that it serves."""

    captures: Annotated[str, Field(description="S3 URI that the endpoint's data capture writes to")]
    endpoint: Annotated[str, Field(description="name of the endpoint")]
    variant: Annotated[str, Field(description="production variant of the endpoint")] = VARIANT
    hours: Annotated[int, Field(ge=1, description="length of the window")]
    until: Annotated[
        datetime, PlainValidator(_time), Field(description="end of the window, ISO 8601; default: now")
    ] = field(default_factory=lambda: datetime.now(UTC))
    baseline: Annotated[
        str, Field(description="S3 URI of the baseline; default: the one that the version was registered with")
    ] = ""
    level: Annotated[
        FiniteFloat, Field(gt=0, lt=1, description="probability of a false alarm where nothing has changed")
    ]
    minimum_psi: Annotated[
        FiniteFloat,
        Field(ge=0, description="smallest population stability index that counts as drift; not for sure counts"),
    ]
    minimum_tail: Annotated[
        FiniteFloat, Field(ge=0, le=1, description="smallest share of photos in a tail that counts as drift")
    ]
    minimum_photos: Annotated[
        int, Field(ge=1, description="with fewer photos, in the window or the baseline, nothing is compared")
    ]
    maximum_photos: Annotated[int, Field(ge=1, description="with more photos, a random sample is compared")] = 5000
    namespace: Annotated[str, Field(description="namespace of the CloudWatch metrics")]
    retrain: Annotated[str, Field(description="pipeline that a drift starts; default: none")] = ""
    cooldown_days: Annotated[
        int, Field(ge=0, description="days after the start of a run in which a drift starts no other run")
    ]
    truth: Annotated[str, Field(description="S3 URI of tables with true counts; default: none")] = ""
    truth_delay_hours: Annotated[
        int, Field(ge=0, description="hours from the end of the window for true counts to the end of the window")
    ] = 0
    minimum_true_photos: Annotated[
        int, Field(ge=1, description="with fewer true counts, their figures are no metrics, and below no minimum")
    ] = 1
    minimum_accuracy: Annotated[
        FiniteFloat, Field(ge=0, le=1, description="accuracy by true counts below which a person has to look; 0: none")
    ] = 0.0
    minimum_set_coverage: Annotated[
        FiniteFloat,
        Field(ge=0, le=1, description="coverage of the prediction sets below which a person has to look; 0: none"),
    ] = 0.0
    minimum_sure_accuracy: Annotated[
        FiniteFloat,
        Field(ge=0, le=1, description="accuracy of the sure counts below which a person has to look; 0: none"),
    ] = 0.0
