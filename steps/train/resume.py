"""Saving and resuming a trial: rank 0 saves checkpoints with the best model, and all ranks resume from them."""

from __future__ import annotations

import logging
import time

from steps.contracts.errors import StepError
from steps.train import artifact, checkpoint
from steps.train.checkpoint import Progress, State
from steps.train.history import History
from steps.train.trial import Trial

log = logging.getLogger(__name__)

# Folder of the best model so far in the checkpoint folder: a resumed job starts on a machine without it.
BEST = "best"


def save(trial: Trial, progress: Progress) -> None:
    """Write a checkpoint (rank 0), and restart the time to the next one (all ranks)."""
    trial.training.checkpointed = time.monotonic()
    if not trial.group.world.is_leader:
        return
    if progress.history.epochs:
        artifact.copy_artifact(trial.model_dir, trial.checkpoint_dir / BEST)
    training = trial.training
    state = State(
        network=trial.network.state_dict(),
        optimizer=training.optimizer.state_dict(),
        scaler=training.scaler.state_dict(),
        average=training.average.state_dict() if training.average else None,
    )
    data = checkpoint.encode(progress, trial.fingerprint, state)
    path = checkpoint.write(trial.checkpoint_dir, progress, data, trial.recipe.checkpoints_kept)
    log.info("checkpoint %s (%.1f MB)", path, len(data) / 1e6)


def resume(trial: Trial) -> Progress:
    """The progress to start from: that of rank 0's newest checkpoint, or the beginning.

    Raises StepError, on all ranks, if the checkpoint is of another training or its best model is incomplete.
    """
    newest = trial.group.on_rank_0(lambda: checkpoint.read_newest(trial.checkpoint_dir, trial.fingerprint))
    data = trial.group.broadcast(newest)
    if not data:
        return Progress(history=History(best_by=trial.recipe.best_epoch_by))
    progress, state = checkpoint.decode(data)
    trial.network.load_state_dict(state.network)
    trial.training.optimizer.load_state_dict(state.optimizer)
    trial.training.scaler.load_state_dict(state.scaler)
    if trial.training.average and state.average:
        trial.training.average.load_state_dict(state.average)
    if progress.history.epochs:
        trial.group.on_rank_0(lambda: _restore_best(trial))
    log.info("resumed at epoch %s, step %s", progress.epoch + 1, progress.step)
    return progress


def _restore_best(trial: Trial) -> None:
    best = trial.checkpoint_dir / BEST
    try:
        artifact.check_complete(best)
    except StepError as error:
        raise StepError(
            f"the best model before the interruption is incomplete: {error}; or empty {trial.checkpoint_dir}"
        ) from error
    artifact.copy_artifact(best, trial.model_dir)
