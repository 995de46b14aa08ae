"""What `check` says of settings that load and still make no definition that SageMaker takes."""

from __future__ import annotations

import re

import pytest

from pipeline.operations.check import checked_definition
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError


def test_a_definition_that_is_too_large_is_one_line_with_the_part_that_is(settings: Settings) -> None:
    location = f"s3://photos/{'x' * 1_048_576}"
    large = settings.model_copy(update={"data": settings.data.model_copy(update={"image_location": location})})
    with pytest.raises(PipelineError) as caught:
        checked_definition(large)
    assert re.fullmatch(
        r"definition: 10\d{5} characters, at most 1048576 allowed; 10\d{5} of them are parameter ImageLocation:"
        " shorten the settings in it",
        str(caught.value),
    )
