"""The gate in words: what the run's thresholds say of this model."""

from __future__ import annotations

from dataclasses import dataclass

from steps.contracts.evaluation import Evaluation
from steps.evaluate.settings import Settings


@dataclass(frozen=True)
class Check:
    """One comparison of the gate."""

    passed: bool
    text: str


def checks(evaluation: Evaluation, settings: Settings) -> list[Check]:
    """The gate's comparisons, as far as the job was told of its thresholds; the pipeline's own are what counts."""
    accuracy = evaluation.multiclass_classification_metrics.accuracy.value
    rmse, loss = evaluation.regression_metrics.rmse.value, evaluation.gate.accuracy_loss
    found = []
    if (least := settings.minimum_accuracy) is not None:
        found.append(Check(accuracy >= least, f"accuracy {accuracy:.1%}, at least {least:.1%} wanted"))
    if (most := settings.maximum_rmse) is not None:
        found.append(Check(rmse <= most, f"RMSE {rmse:.3f}, at most {most:.3f} wanted"))
    if (most := settings.maximum_accuracy_loss) is not None:
        if evaluation.champion is None:
            text = f"champion: {evaluation.gate.champion}"
        elif evaluation.champion.this_model:
            text = f"champion: {evaluation.gate.champion}, so no loss is counted"
        else:
            change = f"{100 * loss:.1f} points of accuracy lost" if loss > 0 else f"{-100 * loss:.1f} points gained"
            text = f"{change} against {evaluation.gate.champion}, a loss of at most {100 * most:.1f} allowed"
        found.append(Check(loss <= most, text))
    return found
