"""A trial: read the index, join the other ranks, train and validate epoch by epoch, write the best model."""

from __future__ import annotations

import dataclasses
import functools
import gc
import logging
import os
import sys

import torch

from steps.contracts.artifact import Calibration, ModelDescription
from steps.contracts.dataset import DatasetIndex, read_index
from steps.contracts.imagenet_weights import file_for
from steps.contracts.names import INDEX_CHANNEL
from steps.model.calibration import calibrate
from steps.model.network import build_network, check_half_size
from steps.runtime import container
from steps.train import artifact
from steps.train.checkpoint import Progress
from steps.train.collectives import process_group
from steps.train.device import choose_device
from steps.train.diagnostics import gradient_warning, guessing_loss, loss_warning
from steps.train.history import EpochRecord, out_of_patience
from steps.train.initial_weights import load_initial_weights
from steps.train.interruption import EXIT_STATUS, InterruptedTrainingError, Interruption
from steps.train.log_lines import epoch_line, resource_line
from steps.train.loop import Training, rehearse, train_epoch
from steps.train.objective import class_weights
from steps.train.optimizer import learning_rate
from steps.train.precision import Precision
from steps.train.recipe import Recipe
from steps.train.resume import resume, save
from steps.train.tracking import Tracker, open_tracker
from steps.train.trial import Readings, Trial, build_trial
from steps.train.validate import Validation, validate
from steps.train.world import BackendChoice, World, choose_backend, instance_type, launched_by_mpi, smddp_installed

log = logging.getLogger(__name__)

# Libraries that log details at the level of this step's own messages.
_CHATTY = ("botocore", "onnx_ir", "onnxscript")


def run(recipe: Recipe) -> None:
    """Train one trial. Raises StepError on bad input, damaged data, and a loss that is not finite.

    Writes the model of the best epoch to the container's model folder. After SIGTERM it saves a checkpoint and exits
    with status 143; the same job, started again, resumes from it.
    """
    # Checkpoints and the model record the file.
    recipe = dataclasses.replace(recipe, weights=file_for(recipe.weights, recipe.architecture))
    world = World.detect()
    device = _prepare_process(world)
    # Refuse wrong input before the ranks wait for each other.
    index = read_index(container.training_channel(INDEX_CHANNEL))
    readings = Readings.of(recipe, index, world)
    # Before any threads start: see Loader.
    with readings.loaders(recipe.workers, pin_memory=device.type == "cuda") as loaders:
        shape = (recipe.architecture, len(index.classes), recipe.image_size)
        network = build_network(*shape, recipe.seed, mirrored=recipe.mirrored_answers)
        if recipe.half_size_epochs:
            check_half_size(network, recipe.architecture, recipe.image_size)
        if recipe.weights:
            load_initial_weights(network, recipe.weights, recipe.image_size)
        precision = Precision.choose(recipe.precision, device)
        choice = choose_backend(
            recipe.backend,
            cuda=device.type == "cuda",
            instance_type=instance_type(),
            smddp_installed=smddp_installed(),
            mpi=launched_by_mpi(),
        )
        _log_setup(index, readings, world, precision, choice)
        tracker = open_tracker(recipe, is_leader=world.is_leader, dataset_sha256=index.sha256, processes=world.size)
        with tracker, Interruption() as interruption, process_group(world, choice, device) as group:
            trial = build_trial(
                recipe,
                index,
                readings.steps,
                network,
                loaders,
                precision=precision,
                group=group,
                interruption=interruption,
            )
            _run(trial, tracker)
    # Otherwise the interpreter's last garbage collection takes two seconds with PyTorch's objects.
    gc.freeze()


def _run(trial: Trial, tracker: Tracker) -> None:
    # A network that cannot be exported fails here, not after its first epoch.
    trial.group.on_rank_0(lambda: trial.graph)
    progress = resume(trial)
    rehearse(trial.training, trial.loaders.train.largest_batch)
    try:
        with trial.training.profiler:
            _train(trial, progress, tracker)
    except InterruptedTrainingError:
        save(trial, progress)
        log.warning("SIGTERM: saved epoch %s, step %s; this job can resume there", progress.epoch + 1, progress.step)
        sys.exit(EXIT_STATUS)


def _train(trial: Trial, progress: Progress, tracker: Tracker) -> None:
    recipe, training, history = trial.recipe, trial.training, progress.history
    while progress.epoch < recipe.epochs:
        batches = trial.loaders.train.batches(progress.epoch, progress.step)
        train_epoch(training, batches, progress, functools.partial(save, trial))
        # Each rank has its own running statistics of batch normalisation; the model has those of rank 0.
        trial.group.broadcast_tensors([*trial.network.buffers(), *trial.evaluated.buffers()])
        result = validate(
            trial.evaluated,
            trial.loaders.validation.batches(),
            calibrating=len(trial.index.calibration),
            classes=trial.index.classes,
            decision=recipe.decision,
            precision=training.precision,
            group=trial.group,
            interruption=training.interruption,
        )
        history.epochs.append(_record(training, progress, result))
        trial.group.on_rank_0(functools.partial(_keep_best, trial, progress, result))
        log.info(epoch_line(history))
        _diagnose(trial, progress)
        tracker.epoch(history)
        # Validation is on photos of the whole side, for which a network of half-size epochs is not yet trained.
        scores = [history.score(record) for record in history.epochs[recipe.half_size_epochs :]]
        # All ranks together: one that stopped alone would leave the others waiting for its gradients.
        if trial.group.any(out_of_patience(scores, recipe.patience)):
            log.info("stopped: no better %s in %s epochs", recipe.best_epoch_by, recipe.patience)
            break
        progress.next_epoch()
    best = history.best
    log.info(
        "best %s in epoch %s: loss %.4f, accuracy %.4f; model in %s",
        *(recipe.best_epoch_by, best.epoch, best.validation_loss, best.validation_accuracy, trial.model_dir),
    )


def _record(training: Training, progress: Progress, result: Validation) -> EpochRecord:
    gpu = training.gpu.epoch()
    last_step = progress.epoch * training.steps + training.steps - 1
    return EpochRecord(
        epoch=progress.epoch + 1,
        train_loss=progress.loss_sum / progress.photos,
        validation_loss=result.loss,
        validation_accuracy=result.accuracy,
        validation_rmse=result.rmse,
        per_class=result.per_class,
        learning_rate=learning_rate(training.recipe, last_step, training.steps),
        seconds=progress.seconds,
        images_per_second=progress.photos / progress.seconds,
        data_wait_share=progress.waited / progress.seconds,
        gradient_norm=progress.gradient_norms.mean,
        gradient_norm_max=progress.gradient_norms.largest,
        gpu_utilisation=gpu.utilisation,
        gpu_memory_bytes=gpu.memory_bytes,
    )


def _diagnose(trial: Trial, progress: Progress) -> None:
    """Log the use of time, and warnings about the loss and the gradients."""
    epochs, recipe = progress.history.epochs, trial.recipe
    log.info(resource_line(epochs[-1], trial.training.steps))
    counts = trial.index.splits["train"].class_counts
    weights = class_weights(counts, trial.index.classes, recipe.class_weighting)
    photos = [counts[quantity] for quantity in trial.index.classes]
    # With the distance of counts in the loss, guessing has no closed form.
    guessing = None if recipe.ordinal_weight else guessing_loss(photos, weights, recipe.label_smoothing)
    earlier_norms = [record.gradient_norm for record in epochs[:-1]]
    warnings = (
        loss_warning([record.train_loss for record in epochs], guessing),
        gradient_warning(progress.gradient_norms, epochs[-1].train_loss, earlier_norms),
    )
    if trial.group.world.is_leader:
        for warning in filter(None, warnings):
            log.warning("%s", warning)


def _keep_best(trial: Trial, progress: Progress, result: Validation) -> None:
    """Write the artifact if the last epoch is the best, and the history in any case."""
    history = progress.history
    if not history.improved:
        artifact.write_history(trial.model_dir, history)
        return
    description = ModelDescription(
        architecture=trial.recipe.architecture,
        classes=trial.index.classes,
        image_size=trial.recipe.image_size,
        decision=trial.recipe.decision,
        mirrored=trial.recipe.mirrored_answers,
        calibration=_calibration(trial, result),
        dataset_sha256=trial.index.sha256,
        metrics=dict(artifact.metrics_of(history)),
        hyperparameters=trial.recipe.as_text(),
        image_uri=os.environ.get("IMAGE_URI", ""),
    )
    artifact.write_artifact(trial.model_dir, trial.exportable(), trial.graph, description, history)


def _calibration(trial: Trial, result: Validation) -> Calibration | None:
    """What the validation split's bins say of the network; none where the index names none."""
    if not len(result.truths):
        log.warning("the index names no photos by which to calibrate: no prediction sets; shard the photos again")
        return None
    recipe = trial.recipe
    calibration = calibrate(
        result.logits,
        result.truths,
        classes=trial.index.classes,
        decision=recipe.decision,
        level=recipe.set_level,
        sure_accuracy=recipe.sure_accuracy,
    )
    sure = (
        "no count is sure" if calibration.sure_confidence is None else f"sure from {calibration.sure_confidence:.2f} on"
    )
    log.info("temperature %.3f by %s bins; %s", calibration.temperature, calibration.bins, sure)
    return calibration


def _prepare_process(world: World) -> torch.device:
    """Set threads, kernels and log levels (rank 0 logs for all). Returns this process's device."""
    if not world.is_leader:
        logging.getLogger().setLevel(logging.WARNING)
    for library in _CHATTY:
        logging.getLogger(library).setLevel(logging.WARNING)
    torch.set_num_threads(world.threads())
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    return choose_device(world.local_rank, instance_type())


def _log_setup(
    index: DatasetIndex, readings: Readings, world: World, precision: Precision, choice: BackendChoice
) -> None:
    """Log the backend, the processes and the data of this trial."""
    train, validation = index.splits["train"], index.splits["validation"]
    log.info("backend %s: %s", choice.backend, choice.reason)
    log.info("%s processes on %s, %s", world.size, precision.device.type, precision.name)
    log.info(
        "%s training photos in %s shards, %s steps per epoch; %s validation photos; quantities %s",
        train.samples,
        len(train.shards),
        readings.steps,
        validation.samples,
        ", ".join(map(str, index.classes)),
    )
