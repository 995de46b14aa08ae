"""A trial's checkpoints: saved by rank 0 with the best model beside them, and gone on from on all ranks."""

from __future__ import annotations

import logging
import time

from steps.contracts.errors import StepError
from steps.train import artifact, checkpoint
from steps.train.checkpoint import Progress, State
from steps.train.trial import Trial

log = logging.getLogger(__name__)

# Within the checkpoint folder: the best model so far, since a resumed job starts on a machine without one.
BEST = "best"


def save(trial: Trial, progress: Progress) -> None:
    """Write a checkpoint (rank 0), and start the clock for the next (all ranks)."""
    trial.training.checkpointed = time.monotonic()
    if not trial.group.world.leads:
        return
    if progress.history.epochs:
        artifact.keep_copy(trial.model_dir, trial.checkpoint_dir / BEST)
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
    """Where to begin: at the newest checkpoint that rank 0 finds, or at the beginning.

    Raises StepError, on all ranks, when the checkpoint is of another training or the best model beside it is not
    whole.
    """
    found = trial.group.on_rank_0(lambda: checkpoint.read_newest(trial.checkpoint_dir, trial.fingerprint))
    data = trial.group.broadcast(found)
    if not data:
        return Progress()
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
    if not artifact.is_whole(best):
        raise StepError(f"{best}: the best model before the interruption is not whole; empty {trial.checkpoint_dir}")
    artifact.keep_copy(best, trial.model_dir)
