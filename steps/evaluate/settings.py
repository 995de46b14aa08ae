"""The arguments of the evaluate step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from steps.contracts.artifact import Decision


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Evaluate the model in the input `model` on the test split of the input `index`."""

    decision: Annotated[Decision, Field(description="a count is the likeliest class, or the rounded expectation")]
    batch_size: Annotated[int, Field(ge=1, description="photos per forward pass")] = 64
    group: Annotated[
        str, Field(description="model package group, whose latest approved version is the champion; empty: no champion")
    ]
    tuning_job: Annotated[str, Field(description="tuning job whose best trial is the model; empty: unknown")]
    run: Annotated[str, Field(description="ARN of the pipeline's run; empty: unknown")]
    minimum_accuracy: Annotated[FiniteFloat, Field(description="threshold of the gate, for the report")]
    maximum_rmse: Annotated[FiniteFloat, Field(description="threshold of the gate, for the report")]
    maximum_accuracy_loss: Annotated[FiniteFloat, Field(description="threshold of the gate, for the report")]
    sure_coverage: Annotated[
        FiniteFloat, Field(gt=0, le=1, description="share of the photos, those with the highest confidence")
    ]
    minimum_sure_accuracy: Annotated[
        FiniteFloat, Field(description="threshold of the gate for the accuracy of these, for the report; 0: none")
    ]
    evaluation_image: Annotated[str, Field(description="URI of the image that this step runs in")]
    serving_image: Annotated[str, Field(description="URI of the image that serves the model")]
    register_again: Annotated[
        Literal["no", "yes"], Field(description="yes: register although a version has the same model, data and images")
    ]
    approval: Annotated[str, Field(description="approval status of a version that is registered")]
