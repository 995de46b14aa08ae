"""The arguments of the query step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field, FiniteFloat

from steps.contracts.package_properties import recordable
from steps.contracts.s3_uri import location

_Recordable = Annotated[str, AfterValidator(recordable)]
_Location = Annotated[str, AfterValidator(location), AfterValidator(recordable)]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Query the metadata below a location for the labels of its photos."""

    image_location: Annotated[
        _Location, Field(description="s3://BUCKET/PREFIX that contains metadata/ and bin-images/")
    ]
    maximum_quantity: Annotated[int, Field(ge=1, description="bins with more objects are left out")]
    data_version: Annotated[
        _Recordable, Field(description="recorded in the summary; another value makes a run query again")
    ]
    database: Annotated[str, Field(description="Glue database")]
    workgroup: Annotated[str, Field(description="Athena workgroup")]
    timeout_minutes: Annotated[FiniteFloat, Field(gt=0, description="a query that takes longer is stopped")]
    inventory: Annotated[
        _Location, Field(description="s3://BUCKET/PREFIX/SOURCE-BUCKET/CONFIG-ID: list the photos by S3 Inventory")
    ] = ""
