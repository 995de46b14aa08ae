"""An account whose runs have a data set and a tuning job: SageMaker on the wire, S3 by moto."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse
from pydantic import BaseModel

from pipeline.settings import Settings
from steps.contracts.dataset import DatasetIndex, Shard, Sharding, Split
from steps.contracts.exploration import Distribution, Exploration, Frequencies
from steps.contracts.query_summary import Refusal, Summary
from steps.contracts.s3_inventory import ListedBy
from steps.contracts.shard_plan import Bucket, ShardPlan, Uneven
from steps.contracts.shard_summary import Leakage, Overlap, Photos, ShardSummary
from tests.answers import NOBODY
from tests.unit.pipeline.console.pages.account_of_runs import PREFIX, STARTED, AccountOfRuns, RefusedError, step

TUNING = f"{PREFIX}:hyper-parameter-tuning-job/tune-1"
RAW = "photos-of-a-test"
JPEG = b"\xff\xd8\xff\xe0 a photo"
EPOCH = (
    "epoch={epoch} train:loss={loss} validation:loss=1.5 validation:accuracy=0.{epoch} validation:rmse=1.25"
    " validation:best_accuracy=0.{epoch}"
)
CONTINUOUS = [
    {"Name": "learning-rate", "MinValue": "0.0001", "MaxValue": "0.01", "ScalingType": "Logarithmic"},
    {"Name": "momentum", "MinValue": "0.8", "MaxValue": "0.999", "ScalingType": "ReverseLogarithmic"},
]
CHOICES = [{"Name": "optimizer", "Values": ["adamw", "sgd"]}]


def job(name: str) -> dict[str, Any]:
    return {"ProcessingJob": {"Arn": f"{PREFIX}:processing-job/{name}"}}


QUERIED = step("QueryMetadata", Metadata=job("query-1"))
EXPLORED_ALL = step("ExploreData", Metadata=job("explore-1"))
PLANNED = step("PlanShards", Metadata=job("plan-1"))
SHARDED = step("ShardImages", Metadata=job("shard-1"))
TUNED = step("TuneModel", Metadata={"TuningJob": {"Arn": TUNING}})


class AccountOfData(AccountOfRuns):
    """The jobs of steps have outputs, and training jobs have results."""

    def __init__(self, bucket: str) -> None:
        super().__init__()
        self.bucket = bucket
        self.status = "Completed"
        self.details: dict[str, dict[str, Any]] = {}

    def answer(self, request: Any, event_name: str, **_: Any) -> AWSResponse:
        answer = super().answer(request, event_name)
        # moto, which has S3, is asked too, whatever is answered here.
        request.url = NOBODY
        return answer

    def tune(self, objective: float | None, status: str = "Completed", **values: str) -> None:
        """Another trial."""
        number = len(self.trials) + 1
        name, moment = f"trial-{number}", (STARTED + timedelta(minutes=number)).timestamp()
        final = {"FinalHyperParameterTuningJobObjectiveMetric": {"MetricName": "best", "Value": objective}}
        ended = {} if status == "InProgress" else {"TrainingEndTime": moment + 60}
        self.trials.append(
            {
                "TrainingJobName": name,
                "TrainingJobArn": f"{PREFIX}:training-job/{name}",
                "CreationTime": moment,
                "TrainingJobStatus": status,
                "TrainingStartTime": moment,
                "TunedHyperParameters": {"learning-rate": "0.001", "momentum": "0.9", "optimizer": '"sgd"', **values},
                **({} if objective is None else final),
                **ended,
            }
        )
        figures = {"validation:accuracy": 0.25, "validation:rmse": 1.5, "validation:loss": 1.25, "epoch": 3.0}
        self.details[name] = {
            "TrainingJobName": name,
            "TrainingJobStatus": status,
            "SecondaryStatus": status if ended else "Training",
            "FinalMetricDataList": [{"MetricName": key, "Value": value} for key, value in figures.items()],
            "TrainingTimeInSeconds": 60,
            "BillableTimeInSeconds": 50,
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 30},
        }

    def DescribeHyperParameterTuningJob(self, values: dict[str, Any]) -> dict[str, Any]:  # AWS's name
        metric = "FinalHyperParameterTuningJobObjectiveMetric"
        reported = [trial for trial in self.trials if metric in trial]
        best = max(reported, key=lambda trial: trial[metric]["Value"], default=None)
        return {
            "HyperParameterTuningJobName": values["HyperParameterTuningJobName"],
            "HyperParameterTuningJobStatus": self.status,
            "HyperParameterTuningJobConfig": {
                "Strategy": "Bayesian",
                "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "validation:best_accuracy"},
                "ParameterRanges": {"ContinuousParameterRanges": CONTINUOUS, "CategoricalParameterRanges": CHOICES},
                "TrainingJobEarlyStoppingType": "Auto",
            },
            **({"BestTrainingJob": {"TrainingJobName": best["TrainingJobName"]}} if best else {}),
        }

    def DescribeTrainingJob(self, values: dict[str, Any]) -> dict[str, Any]:
        return self.details[values["TrainingJobName"]]

    def DescribeProcessingJob(self, values: dict[str, Any]) -> dict[str, Any]:
        name = values["ProcessingJobName"]
        if name not in ("query-1", "shard-1", "plan-1", "explore-1"):
            raise RefusedError("ResourceNotFound", "Could not find requested job")
        output = "exploration" if name == "explore-1" else "summary"
        uri = {"S3Uri": f"s3://{self.bucket}/runs/{name}/{output}"}
        return {"ProcessingOutputConfig": {"Outputs": [{"OutputName": output, "S3Output": uri}]}}


class Written:
    """The files that the steps of a run leave in S3, and raw photos."""

    def __init__(self, settings: Settings) -> None:
        self.s3 = boto3.client("s3", region_name="us-east-1")
        self.bucket = settings.data.bucket
        for bucket in (self.bucket, RAW):
            self.s3.create_bucket(Bucket=bucket)

    def put(self, key: str, content: BaseModel | bytes) -> None:
        body = content if isinstance(content, bytes) else content.model_dump_json().encode()
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def photo(self, name: str, content: bytes = JPEG) -> None:
        self.s3.put_object(Bucket=RAW, Key=f"raw/bin-images/{name}", Body=content)

    def query(self, listed_by: ListedBy | None = None, **refused: tuple[int, list[str]]) -> None:
        """The query's summary, with numbers and ids by reason, and its exploration."""
        summary = queried(**refused).model_copy(update={"listed_by": listed_by})
        self.put("runs/query-1/summary/query.json", summary)
        self.put("runs/query-1/summary/eda.json", EXPLORED)
        self.put("runs/query-1/summary/eda.html", b"<!doctype html><h1>Exploratory</h1>")

    def shards(self, leakage: Leakage | None = None, **rejects: list[str]) -> None:
        """The shard step's summary, and the index."""
        place = f"indexes/{INDEX.key}"
        self.put(f"{place}/index.json", INDEX)
        summary = ShardSummary(
            index=f"s3://{self.bucket}/{place}",
            dataset_sha256=INDEX.sha256,
            photos=Photos(reused=30, written=6, excluded=0),
            rejects={reason.replace("_", "-"): ids for reason, ids in rejects.items()},
            leakage=leakage or LEAKAGE,
            kept=30,
            assignments=f"s3://{self.bucket}/assignments",
        )
        self.put("runs/shard-1/summary/shard.json", summary)

    def plan(self, step: str, *uneven: Uneven) -> None:
        """The plan in the summary of a step's job."""
        self.put(f"runs/{step}-1/summary/plan.json", planned(*uneven))


def planned(*uneven: Uneven) -> ShardPlan:
    """A plan of two buckets."""
    buckets = [Bucket(name=f"000001-0000{number}", photos=17 + number, sha256="0" * 64) for number in (0, 2)]
    return ShardPlan(
        dataset="0123456789abcdef",
        sharding=INDEX.sharding,
        labelled=36,
        left_out={},
        left_out_sha256="0" * 64,
        later=0,
        class_counts={name: split.class_counts for name, split in INDEX.splits.items()},
        leakage=LEAKAGE,
        largest_group=9,
        uneven=list(uneven),
        assignments="s3://b/assignments",
        buckets=buckets,
    )


def queried(**refused: tuple[int, list[str]]) -> Summary:
    return Summary(
        image_location=f"s3://{RAW}/raw",
        data_version="7",
        maximum_quantity=5,
        reader="athena",
        metadata_files=40,
        images=41,
        labels={1: 13, 2: 23},
        refused={
            reason.replace("_", "-"): Refusal(photos=photos, examples=ids) for reason, (photos, ids) in refused.items()
        },
        executions=[],
    )


def _split(name: str, counts: dict[int, int]) -> Split:
    digest = hashlib.sha256(name.encode()).hexdigest()
    shard = Shard(uri=f"s3://b/{name}.tar", samples=sum(counts.values()), bytes=1_500_000, sha256=digest)
    return Split(shards=[shard], class_counts=counts)


INDEX = DatasetIndex(
    sharding=Sharding(
        split="grouped",
        seed=3,
        fractions={"train": 0.8, "validation": 0.1, "test": 0.1},
        image_size=256,
        quality=90,
    ),
    splits={
        "train": _split("train", {1: 10, 2: 20}),
        "validation": _split("validation", {1: 3}),
        "test": _split("test", {2: 3}),
    },
)
LEAKAGE = Leakage(
    split=Overlap(photos=6, same_bin=0, same_item=3), random=Overlap(photos=6, same_bin=4, same_item=5), photos=36
)
EXPLORED = Exploration(
    quantities={1: 13, 2: 23, 9: 4},
    items_per_bin=Frequencies(numbers={1: 30, 2: 6}),
    units_per_item=Frequencies(numbers={1: 30, 3: 6}, unknown=2),
    photos_per_item=Frequencies(numbers={1: 6, 2: 3}),
    sample_files=40,
    measures=[
        Distribution(
            measure="length",
            unit="in",
            items=3,
            units=5,
            missing=1,
            median=2.0,
            percentile_95=4.0,
            largest=4.0,
            step=2.0,
            counts=[0, 3, 2],
        )
    ],
)


def epoch_lines(*epochs: int) -> list[str]:
    """Log lines of a trial's epochs."""
    return [EPOCH.format(epoch=epoch, loss=2 / epoch) for epoch in epochs]


def as_text(page: str) -> str:
    """The words of a page, without its tags."""
    import re

    return " ".join(re.sub(r"<[^>]+>", " ", page).split())
