"""What eleven commands print, as text files: `python -m tests.unit.pipeline.cli.pages` rewrites them.

Each file in `tables` is a command at a width of a terminal, or in a pipe.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console, RenderableType
from rich.text import Text

from pipeline.cli.output import print_parts
from pipeline.cli.views.check import check_page
from pipeline.cli.views.dataset import dataset_page
from pipeline.cli.views.endpoint import endpoint_page, predictions_table
from pipeline.cli.views.lineage import lineage_page
from pipeline.cli.views.permissions import permissions_page
from pipeline.cli.views.recount import recount_page
from pipeline.cli.views.registry import notes, versions_table
from pipeline.cli.views.runs import runs_table
from pipeline.cli.views.tree import RunTree
from pipeline.cli.views.trials import trials_page
from pipeline.operations.account.permissions import Refusal, RoleUse, StatementUse
from pipeline.operations.check import StepSummary, Summary
from pipeline.operations.cost.before import HourlyCost
from pipeline.operations.cost.money import Range
from pipeline.operations.cost.standing import Standing
from pipeline.operations.cost.words import standing_lines
from pipeline.operations.dataset.description import DataSet
from pipeline.operations.models.curves import Epoch
from pipeline.operations.models.evaluations import Champion, Difference, Evaluation
from pipeline.operations.models.lineage import Lineage, Link
from pipeline.operations.models.registrations import Registration
from pipeline.operations.models.registry import Version
from pipeline.operations.models.trials import TuningJob
from pipeline.operations.preflight import Result
from pipeline.operations.runs.executions import Execution
from pipeline.operations.serving.endpoint import Alarm, Attempt, DeployDecision, Endpoint, Health, Traffic
from pipeline.operations.serving.predictions import Prediction
from pipeline.operations.serving.recount import disagreement
from pipeline.operations.serving.rollout import Pending
from pipeline.settings import Settings
from tests.unit.pipeline.cli import watched
from tests.unit.pipeline.operations.dataset.test_description import INDEX, summary
from tests.unit.pipeline.operations.models.test_curves import TRIAL

FOLDER = Path(__file__).parent / "tables"
WIDTHS = (60, 80, 120)
PIPE = 0

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BUCKET = "s3://bins-123456789012/bin-counting"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/bins/training:train-0123456789abcdef"
PAGE = "https://docs.aws.amazon.com/sagemaker/latest/dg/model-registry.html"


def trials() -> Iterator[RenderableType]:
    searched = {
        "learning-rate": "0.0029312345",
        "weight-decay": "0.0001",
        "optimizer": '"sgd"',
        "label-smoothing": "0.1",
    }
    times = (NOW, NOW + timedelta(seconds=754))
    best = replace(TRIAL, number=2, name="trial-2", values=searched, started=times[0], ended=times[1], saved=0.68)
    early = replace(best, number=1, status="Stopped", note="early", best=False, objective=0.125, saved=None)
    failure = "AlgorithmError: the shard train-000-000000.parquet is damaged; write it again with start --fresh"
    failed = replace(best, number=3, status="Failed", best=False, objective=None, accuracy=None, failure=failure)
    job = TuningJob("ab12cd34ef56", "bins-tune-ab12cd34ef56", "Completed", "Bayesian", True, "validation:best_accuracy",
                    True, "", "", (early, best, failed))  # fmt: skip
    epochs = [
        Epoch(
            epoch=epoch,
            train_loss=2 / epoch,
            validation_loss=3 / epoch,
            validation_accuracy=0.5 + epoch / 100,
            validation_rmse=1 / epoch,
        )
        for epoch in range(1, 31)
    ]
    yield from trials_page(job, best, epochs)


def models() -> Iterator[RenderableType]:
    figures = Evaluation(0.5512, 0.8712, 0.5213, 0.9134, 8000, "ab" * 32, "grouped")
    better = replace(
        figures, accuracy=0.5634, champion=Champion(1, Difference(0.012, 0.004, 0.02), Difference(0, 0, 0))
    )
    comment = "counts four objects as two, which is what the bins at the far end hold most often"
    uri = f"{BUCKET}/runs/run1/evaluate/evaluation/evaluation.json"
    versions = [
        Version("arn", 2, "PendingManualApproval", "Completed", NOW, "", uri, "ab12cd34ef56", better),
        Version("arn", 1, "Rejected", "Completed", NOW, comment, uri, "gh78ij90kl12", figures),
    ]
    yield versions_table(versions)
    yield from notes(versions)


def lineage() -> Iterator[RenderableType]:
    uri = f"{BUCKET}/runs/ab12cd34ef56/evaluate/evaluation/evaluation.json"
    version = Version("arn", 3, "Approved", "Completed", NOW, "counts well", uri, "ab12cd34ef56", Evaluation())
    run = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/bins/execution/ab12cd34ef56"
    artifact = f"{BUCKET}/runs/ab12cd34ef56/train/bins-tune-ab12cd34ef56-002-0123abcd/output/model.tar.gz"
    rates = {"learning-rate": '"0.0029312345"', "optimizer": '"sgd"', "epochs": '"30"', "sagemaker_region": "x"}
    yield from lineage_page(
        Lineage(
            version,
            (
                Link("run", run, True, "", {"status": "Succeeded", "started": NOW, "parameters": {"Epochs": "30"}}),
                Link("training_job", "trial-2", True, "", {"hyperparameters": rates, "artifact": artifact}),
                Link("images", "", True, "", {"train": IMAGE}),
                Link("index", f"{BUCKET}/indexes/{'0123abcd' * 8}", True, "", {"photos": {"train": 8000}}),
                Link("query", "0123-4567", False, "Athena keeps a query for 45 days"),
            ),
        )
    )


def endpoint() -> Iterator[RenderableType]:
    package = "arn:aws:sagemaker:us-east-1:123456789012:model-package/bins/7"
    attempt = Attempt(6, "rolled-back", "photo 00001 has another count")
    captured = {"captured_percent": 10, "captures": f"{BUCKET}/captures"}
    described = Endpoint("bins", "Updating", "bins-v7-0123abcd", package, NOW, "", 2, "ml.c5.xlarge",
                         **captured, pending=Pending(8, 0.1), tried=attempt)  # fmt: skip
    health = Health(
        Traffic(1234, 5, 6, 30.4, 99.6),
        (Alarm("bins-5xx", "ALARM", "Threshold Crossed: 1 datapoint [5.0] was greater than the threshold (0.0)."),),
        (),
        (DeployDecision(NOW, "accepted", "7", "version 7 counts 6 of 6 golden photos as its evaluation did"),),
    )
    yield from endpoint_page(described, health, HourlyCost("2 x ml.c5.xlarge", Range.of("0.408")))


def runs() -> Iterator[RenderableType]:
    arn = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/bins/execution/"
    failure = "ShardImages: s3://bins-123456789012/raw/bin-images/00001.jpg: AccessDenied; allow s3:GetObject"
    each = [
        Execution(f"{arn}ab12cd34ef56", "Executing", NOW, NOW, "with-more-photos"),
        Execution(f"{arn}gh78ij90kl12", "Failed", NOW, NOW, "first-try", failure),
        Execution(f"{arn}mn34op56qr78", "Succeeded", NOW, NOW),
    ]
    yield runs_table(each, {"mn34op56qr78": Registration(wanted=False, version=3, reason="is this model already")})
    package = "arn:aws:sagemaker:us-east-1:123456789012:model-package/bins/7"
    serving = Endpoint("bins", "InService", "bins-v7-0123abcd", package, NOW, "", 2, "ml.c5.xlarge")
    hourly = HourlyCost("2 x ml.c5.xlarge", Range.of("0.408"))
    costs = Standing(serving, hourly, ("ab12cd34ef56",), ("bins-runs", "bins-monitor"), ())
    yield from map(Text, standing_lines(costs, "python -m pipeline", local=False))


def dataset() -> Iterator[RenderableType]:
    uri = f"{BUCKET}/indexes/{'0123abcd' * 8}"
    yield from dataset_page(DataSet(uri, INDEX, summary(uri)))


def check() -> Iterator[RenderableType]:
    account = {"id": "123456789012", "region": "us-east-1"}
    data = {"bucket": "bins-123456789012", "image_location": "s3://photos"}
    settings = Settings.model_validate({"name": "bins", "account": account, "data": data})
    parameters = ("ImageLocation", "DataVersion", "ShardVersion", "TrainingVersion", "Epochs", "MinimumAccuracy")
    steps = (StepSummary("TuneModel", "Tuning", IMAGE), StepSummary("QualityGate", "Condition", ""))
    results = [
        Result("roles", "ok", "bins-pipeline, bins-job and bins-deploy exist and may be assumed"),
        Result("quotas", "warning", f"ml.g5.xlarge for spot training job usage is 0; see {PAGE}"),
        Result("images", "not checked", "no AWS credentials"),
        Result("bucket", "not checked", "no AWS credentials"),
    ]
    yield from check_page(
        settings, Summary("bins", "123456789012", "us-east-1", "aws", steps, parameters, 40123, "ab" * 32), results
    )


def permissions() -> Iterator[RenderableType]:
    job = RoleUse(
        "bins-job",
        (
            StatementUse("steps/Read", ("s3:GetObject",), ()),
            StatementUse("steps/Query", ("athena:GetQueryExecution", "athena:StartQueryExecution"), ("athena:Stop*",)),
        ),
        (
            Refusal(
                "s3:DeleteObject",
                "s3:DeleteObject",
                "arn:aws:s3:::bins-123456789012/bin-counting/checkpoints/trial/epoch-001.pt",
                "because no identity-based policy allows the s3:DeleteObject action",
                (),
            ),
        ),
    )
    unused = StatementUse("Guards/Pass", (), ("iam:PassRole",))
    yield from permissions_page([job, RoleUse("bins-scheduler", (unused,), ()), RoleUse("bins-admin", (), ())])


def watch() -> Iterator[RenderableType]:
    yield RunTree(watched.SNAPSHOT, now=watched.NOW)


def answer(photo: str, shares: Sequence[float], *, sure: bool, members: tuple[int, ...]) -> Prediction:
    """An answer that counts the likeliest quantity."""
    probabilities = dict(enumerate(shares))
    expected = sum(quantity * share for quantity, share in probabilities.items())
    return Prediction(photo, shares.index(max(shares)), expected, probabilities, "7", 41.6, sure, members)


FOLDER_OF_PHOTOS = "s3://bins-123456789012/raw/bin-images"
ANSWERS = (
    answer("s3://bins-123456789012/raw/bin-images/00048.jpg", (0, 0, 0.9996, 0.0004, 0, 0), sure=True, members=(2,)),
    answer("photos/00102.jpg", (0.05, 0.12, 0.3, 0.33, 0.15, 0.05), sure=False, members=(1, 2, 3, 4)),
    answer("photos/00105.jpg", (0.2, 0, 0, 0.5, 0.01, 0.29), sure=False, members=(0, 3, 5)),
)


def predict() -> Iterator[RenderableType]:
    yield predictions_table(ANSWERS)


def recount() -> Iterator[RenderableType]:
    rows = [disagreement(counted, recorded) for counted, recorded in zip(ANSWERS, (5, 2, 4), strict=True)]
    yield from recount_page([replace(row, photo=f"{FOLDER_OF_PHOTOS}/{row.photo.rpartition('/')[2]}") for row in rows])


PAGES: Mapping[str, Callable[[], Iterator[RenderableType]]] = {
    page.__name__: page
    for page in (trials, models, lineage, endpoint, predict, recount, runs, dataset, check, permissions, watch)
}
CASES = [(name, width) for name in PAGES for width in (*WIDTHS, PIPE)]


def text(name: str, width: int) -> str:
    """What a command prints in a terminal of `width` columns, or in a pipe."""
    out = io.StringIO()
    terminal = width != PIPE
    console = Console(file=out, width=width or 80, force_terminal=terminal, color_system=None, legacy_windows=False)
    print_parts(console, *PAGES[name]())
    return out.getvalue()


def path(name: str, width: int) -> Path:
    return FOLDER / f"{name}-{width or 'pipe'}.txt"


def main() -> None:
    os.environ["TZ"] = "UTC"
    time.tzset()
    for name, width in CASES:
        path(name, width).write_text(text(name, width))


if __name__ == "__main__":
    main()
