"""The evaluation of the best model on the test split: predictions, metrics, champion, report and model card."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from steps.contracts import query_summary
from steps.contracts.artifact import Decision, ModelDescription
from steps.contracts.dataset import DatasetIndex, read_index
from steps.contracts.errors import StepError
from steps.contracts.evaluation import (
    CARD,
    DIGESTS,
    FILE,
    GOLDEN,
    PREDICTIONS,
    REPORT,
    Agreement,
    Champion,
    Covered,
    Dataset,
    Digests,
    Evaluation,
    Gate,
    Provenance,
    Refused,
    Registration,
    Shown,
)
from steps.contracts.left_out import LeftOut, left_out
from steps.contracts.parsing import parse, read
from steps.contracts.query_summary import Summary
from steps.contracts.shard_summary import ShardSummary, read_summary
from steps.contracts.statistics.tally import Confusion
from steps.evaluate import metrics, trials, versions
from steps.evaluate.artifact import AgreementCheck, find_archive, unpack
from steps.evaluate.card import write_card
from steps.evaluate.champion import ChampionModel, compare, load_champion
from steps.evaluate.predictions import PredictionResults, predict
from steps.evaluate.report import EvaluationOutputs, write_report
from steps.evaluate.settings import Settings
from steps.evaluate.trials import Trials
from steps.evaluate.versions import Identity
from steps.model.predictor import Predictor
from steps.photos.statistics import BASELINE
from steps.runtime import container
from steps.shards.reading import Sample, iterate

log = logging.getLogger(__name__)

NO_CHAMPION = "none (no version is approved yet)"
NOT_COMPARED = "none (not asked for)"


def run(settings: Settings) -> None:
    """Evaluate the input `model` on the test split of the input `index`, into the output `evaluation`.

    Raises StepError when an input is not usable, a shard is damaged, the registry cannot be read, the champion cannot
    be evaluated, or a metric is not finite.
    """
    folder = unpack(container.processing_input("model"))
    predictor = Predictor.load(folder)
    index = read_index(container.processing_input("index"))
    model_uri = container.processing_input_uri("model")
    _check_trained_on(index, predictor.description, model_uri)
    summary = _read_summary(container.processing_input("summary"))
    sharding = _read_sharding(container.processing_input("sharding"), index)
    tuning = trials.read(settings.tuning_job, model_uri) if settings.tuning_job else None
    registration = _registration(settings, index, tuning)
    champion = load_champion(settings.group, container.base() / "champion") if settings.group else None
    test = index.splits["test"]
    output = container.processing_output("evaluation")
    log.info("evaluating %s on %s photos", predictor.description.architecture, test.samples)
    agreement = AgreementCheck(folder, predictor.description)
    results = predict(
        _not_calibrated_on(iterate(test.shards), index),
        predictor,
        settings.decision,
        batch_size=settings.batch_size,
        path=output / PREDICTIONS,
        agreement=agreement,
        champion=champion.predictor if champion else None,
    )
    evaluation = evaluate(
        results,
        settings,
        index=index,
        sharding=sharding,
        model=predictor.description,
        agreement=agreement.result(),
        champion=champion,
        registration=registration,
        provenance=_provenance(settings, predictor.description, summary, tuning),
        refused=left_out(summary, sharding),
    )
    outputs = EvaluationOutputs(
        settings, evaluation, results.miscounts, index, sharding, summary, tuning, predictor.description, folder
    )
    write_report(output / REPORT, outputs)
    results.golden.write(output / GOLDEN)
    if summary is not None:
        results.baseline.write(output / BASELINE, summary.image_location)
    (output / CARD).write_text(write_card(evaluation, predictor.description, index))
    (output / FILE).write_text(evaluation.model_dump_json(indent=1))
    # Last: the registration reads it, so it exists only with all other outputs.
    (output / DIGESTS).write_text(_digests(output).model_dump_json(indent=1))
    log.info(
        "accuracy %.4f, RMSE %.4f (largest class %.4f, %.4f); champion: %s",
        evaluation.multiclass_classification_metrics.accuracy.value,
        evaluation.regression_metrics.rmse.value,
        evaluation.baselines["largest_class"].accuracy,
        evaluation.baselines["largest_class"].rmse,
        evaluation.gate.champion,
    )
    log.info("registry: %s", registration.reason)


def _check_trained_on(index: DatasetIndex, model: ModelDescription, uri: str) -> None:
    """Raise StepError for a model of another data set, whose training photos may be among these test photos."""
    if model.dataset_sha256 != index.sha256:
        raise StepError(
            f"{uri}: the model was trained on the data set {model.dataset_sha256[:12]}, not on {index.sha256[:12]} of"
            " the input `index`, whose test photos it may know; train on this data set"
        )


def _not_calibrated_on(samples: Iterable[Sample], index: DatasetIndex) -> Iterator[Sample]:
    """The samples of the test split. Raises StepError for a photo by which models are calibrated."""
    calibration = frozenset(index.calibration)
    for sample in samples:
        if sample.image_id in calibration:
            raise StepError(
                f"photo {sample.image_id} of the test split is among those by which models are calibrated, and"
                " so no test; shard the photos again"
            )
        yield sample


def evaluate(
    results: PredictionResults,
    settings: Settings,
    *,
    index: DatasetIndex,
    sharding: ShardSummary | None,
    model: ModelDescription,
    agreement: Agreement,
    champion: ChampionModel | None,
    registration: Registration,
    provenance: Provenance,
    refused: Sequence[LeftOut] = (),
) -> Evaluation:
    """The evaluation of the predictions. Raises StepError for a metric that is not finite.

    A quantity that is not a class of the model can never be predicted; its photos are errors in every metric.
    """
    by_decision: dict[Decision, Confusion] = {
        "argmax": results.decisions.confusion(0, model.classes),
        "expected": results.decisions.confusion(1, model.classes),
    }
    in_force = by_decision[settings.decision]
    try:
        comparison = compare(champion, results.pairs, provenance.model) if champion else None
        return Evaluation(
            dataset=Dataset(
                item_count=results.photos,
                sha256=index.sha256,
                split=index.sharding.split,
                same_bin=sharding.leakage.same_bin if sharding else None,
                rejected=sum(each.photos for each in refused),
                left_out=[Refused(step=each.step, reason=each.reason, photos=each.photos) for each in refused],
            ),
            multiclass_classification_metrics=metrics.classification(in_force),
            regression_metrics=metrics.regression(in_force),
            within_one=metrics.spread(metrics.accuracy_within_one, in_force),
            per_class=metrics.per_class(in_force),
            calibration=results.reliability.result(),
            selective=results.selection.result(),
            baselines={
                "largest_class": metrics.score(in_force.always(metrics.largest_class(in_force))),
                "random": metrics.random_guess(in_force),
                "median": metrics.score(in_force.always(metrics.median(in_force))),
            },
            decisions={decision: metrics.score(confusion) for decision, confusion in by_decision.items()},
            decision=settings.decision,
            champion=comparison,
            gate=_gate(in_force, comparison, settings, results.selection.at(settings.sure_coverage)),
            registration=registration,
            agreement=agreement,
            model={
                "architecture": model.architecture,
                "image_size": model.image_size,
                "trained_on": model.dataset_sha256,
            },
            provenance=provenance,
        )
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise StepError(f"the evaluation is not usable: {place}: {first['msg']}") from error


def _gate(in_force: Confusion, comparison: Champion | None, settings: Settings, surest: Covered) -> Gate:
    lost = 0.0 - comparison.accuracy.value if comparison else 0.0
    counted, name = lost, NO_CHAMPION if settings.group else NOT_COMPARED
    if comparison is not None:
        name = f"version {comparison.version}"
        if comparison.this_model:
            # A model cannot gain accuracy against itself, so a gate that requires a gain must not fail it.
            counted, name = min(0.0, settings.maximum_accuracy_loss or 0.0), f"{name}, which is this model"
    least = settings.minimum_sure_accuracy
    wanted = f"at least {least:g} wanted" if least else "no threshold"
    return Gate(
        accuracy_loss=counted,
        champion=name,
        sure_coverage=surest.coverage,
        sure_accuracy=surest.accuracy,
        shown=Shown(
            accuracy=f"{metrics.accuracy(in_force):.4f}",
            rmse=f"{metrics.rmse(in_force):.4f}",
            accuracy_loss=f"{lost:z.4f}",
            sure_accuracy=f"{surest.coverage:.0%} of the photos {surest.accuracy:.4f} ({wanted})",
        ),
    )


def _digests(output: Path) -> Digests:
    """Digests of the evaluated model and of the outputs that an approval relies on."""

    def sha256(path: Path) -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    archive = find_archive(container.processing_input("model"))
    return Digests(model=sha256(archive), golden=sha256(output / GOLDEN), evaluation=sha256(output / FILE))


def _registration(settings: Settings, index: DatasetIndex, tuning: Trials | None) -> Registration:
    identity = Identity(
        artifact=container.processing_input_uri("model"),
        dataset_sha256=index.sha256,
        decision=settings.decision,
        evaluation_image=settings.evaluation_image,
        serving_image=settings.serving_image,
    )
    return versions.registration(settings, identity, tuning.best_ended if tuning else None)


def _provenance(
    settings: Settings, model: ModelDescription, summary: Summary | None, tuning: Trials | None
) -> Provenance:
    return Provenance(
        run=settings.run,
        tuning_job=settings.tuning_job,
        training_job=tuning.best if tuning else "",
        query_execution=(summary.labels_execution if summary else "") or "none",
        image_location=summary.image_location if summary else "",
        data_version=summary.data_version if summary else "",
        model=container.processing_input_uri("model"),
        index=container.processing_input_uri("index"),
        training_image=model.image_uri,
    )


def _read_sharding(folder: Path, index: DatasetIndex) -> ShardSummary | None:
    """The shard step's summary; None where the job has no such input. Raises StepError for a summary of other data."""
    if not folder.exists():
        return None
    sharding = read_summary(folder)
    if sharding.dataset_sha256 != index.sha256:
        raise StepError(f"{folder}: the summary belongs to {sharding.index}, not to the data set of the input `index`")
    return sharding


def _read_summary(folder: Path) -> Summary | None:
    """The query step's summary; None where the job has no such input."""
    if not folder.exists():
        return None
    path, kind = folder / query_summary.NAME, "query summary"
    return parse(Summary, read(path, kind), str(path), f"{kind} of version {query_summary.VERSION}")
