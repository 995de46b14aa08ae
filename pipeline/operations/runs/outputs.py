"""The places in S3 that a run's steps wrote to, as their jobs declare them."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.aws.arns import name_of
from pipeline.clients import client
from pipeline.operations.runs import progress
from pipeline.operations.runs.executions import Execution
from pipeline.operations.runs.progress import Progress
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError


@dataclass(frozen=True)
class StepOutputs:
    """Reads the outputs of a run's processing steps; a step from the cache has those of its earlier run."""

    settings: Settings
    run: Progress

    def places(self, name: str, consequence: str) -> dict[str, str]:
        """S3 URIs of a step's outputs by their names.

        Raises PipelineError with `consequence`, as in "the run X has created no data set", where the step has not
        succeeded.
        """
        step = next((step for step in self.run.steps if step.name == name), None)
        arn = step.arn("ProcessingJob") if step else None
        if step is None or arn is None or step.status != "Succeeded":
            state = step.status if step else "not part of it"
            raise PipelineError(
                f"the run {self.run.execution.id} has {consequence} ({name}: {state}); use another run: python -m"
                " pipeline runs"
            )
        job = client(self.settings, "sagemaker").describe_processing_job(ProcessingJobName=name_of(arn))
        declared = job["ProcessingOutputConfig"]["Outputs"]
        return {output["OutputName"]: output["S3Output"]["S3Uri"] for output in declared}


def of_run(settings: Settings, execution: Execution) -> StepOutputs:
    """The outputs of a run's steps."""
    return StepOutputs(settings, progress.read(settings, execution.arn))
