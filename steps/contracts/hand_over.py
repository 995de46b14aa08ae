"""The hand-over contract: `hand_over.json` contains the location of the next step's input.

The location has the content's hash in its name (`labels/KEY/`, `indexes/KEY/`), so that an input from this file is the
same for the same content, whichever run wrote it, and the next step comes from the step cache.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from steps.contracts.parsing import Contract

NAME = "hand_over.json"


class HandOver(Contract):
    """A property file: a pipeline reads `uri` out of it, and with `training.input: file` the manifest of the shards."""

    version: Literal[1] = 1
    uri: str = Field(pattern=r"^s3://")
    manifest: str = Field(default="", pattern=r"^(s3://.*)?$")
