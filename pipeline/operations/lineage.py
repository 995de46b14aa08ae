"""From a version of the model back to where it comes from: run, trial, index, query, raw prefix."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import PipelineError
from pipeline.operations import dataset, executions, registry
from pipeline.operations.registry import Version
from pipeline.operations.responses import says_missing
from pipeline.session import client
from pipeline.settings import Settings

GONE = "no longer there"
_PARAMETER = "parameter_"
_IMAGE = "_image"


@dataclass(frozen=True)
class Link:
    """One thing that the version comes from. `facts` are empty and `note` says so where it is gone."""

    kind: str
    name: str
    facts: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Lineage:
    """The version, and its links from the nearest to the raw data."""

    version: Version
    links: tuple[Link, ...]


def read(settings: Settings, reference: str) -> Lineage:
    """The lineage of the version that `reference` means (a number, an ARN or `latest`).

    Raises PipelineError where there is no such version, or this pipeline did not register it.
    """
    version = registry.resolve(settings, reference)
    package = registry.describe(settings, version.arn)
    origin = package.get("CustomerMetadataProperties", {})
    if "pipeline_execution_arn" not in origin:
        raise PipelineError(
            f"{version.name} does not say where it comes from: it was not registered by this pipeline; "
            f"its registry entry: aws sagemaker describe-model-package --model-package-name {version.arn}"
        )
    return Lineage(version, tuple(_Walk(settings, package, origin).links()))


@dataclass(frozen=True)
class _Walk:
    settings: Settings
    package: Mapping[str, Any]
    origin: Mapping[str, str]

    def links(self) -> Iterator[Link]:
        origin = self.origin
        yield self._source()
        yield self._link("run", origin["pipeline_execution_arn"], self._run)
        for kind, key, facts in (
            ("tuning job", "tuning_job", self._tuning_job),
            ("training job", "training_job", self._training_job),
            ("dataset index", "index", self._index),
            ("query", "query_execution_id", self._query),
        ):
            # A version of an earlier release does not tell all of them.
            if key in origin:
                yield self._link(kind, origin[key], facts)
        yield Link("raw data", origin.get(f"{_PARAMETER}ImageLocation", origin.get("image_location", "")), self._data())
        images = {key.removesuffix(_IMAGE): value for key, value in origin.items() if key.endswith(_IMAGE)}
        yield Link("images", f"{len(images)} of them", {name: uri.rsplit("/", 1)[-1] for name, uri in images.items()})

    def _link(self, kind: str, name: str, facts: Callable[[str], Mapping[str, str]]) -> Link:
        from botocore.exceptions import ClientError

        try:
            return Link(kind, name, facts(name))
        except ClientError as error:
            # Athena and CloudFormation-like services answer with a request that is not valid.
            if says_missing(error) or error.response["Error"]["Code"] == "InvalidRequestException":
                return Link(kind, name, note=GONE)
            raise
        except PipelineError as error:
            return Link(kind, name, note=str(error))

    def _source(self) -> Link:
        source = self.package.get("MetadataProperties", {})
        if "CommitId" not in source:
            return Link("commit", "not told", note="upsert was run outside a git repository")
        facts = {"repository": source["Repository"]} if "Repository" in source else {}
        return Link("commit", source["CommitId"], facts)

    def _run(self, arn: str) -> Mapping[str, str]:
        run = executions.describe(client(self.settings, "sagemaker"), arn)
        parameters = {
            key.removeprefix(_PARAMETER): value
            for key, value in sorted(self.origin.items())
            if key.startswith(_PARAMETER)
        }
        return {"status": run.status, "started": f"{run.started:%Y-%m-%d %H:%M %Z}", **parameters}

    def _tuning_job(self, name: str) -> Mapping[str, str]:
        job = client(self.settings, "sagemaker").describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        config, counters = job["HyperParameterTuningJobConfig"], job["TrainingJobStatusCounters"]
        return {
            "status": job["HyperParameterTuningJobStatus"],
            "strategy": config["Strategy"],
            "trials": f"{counters.get('Completed', 0)} completed, {counters.get('Stopped', 0)} stopped",
        }

    def _training_job(self, name: str) -> Mapping[str, str]:
        job = client(self.settings, "sagemaker").describe_training_job(TrainingJobName=name)
        metrics = {one["MetricName"]: f"{one['Value']:.4f}" for one in job.get("FinalMetricDataList", [])}
        resources = job["ResourceConfig"]
        shown = ("architecture", "epochs", "batch-size", "learning-rate", "weight-decay")
        values = {key: str(job["HyperParameters"][key]).strip('"') for key in shown if key in job["HyperParameters"]}
        instances = f"{resources.get('InstanceCount', 1)} x {resources.get('InstanceType', '')}"
        return {"status": job["TrainingJobStatus"], "instances": instances, **values, **metrics}

    def _index(self, uri: str) -> Mapping[str, str]:
        index = dataset.read(self.settings, uri)
        photos = ", ".join(f"{name} {split.samples:,}" for name, split in index.splits.items())
        changed = (
            "" if index.sha256 == self.origin.get("dataset_sha256", index.sha256) else " (not what was evaluated on)"
        )
        return {
            "sha256": index.sha256 + changed,
            "photos": photos,
            "split": f"{index.sharding.split}, seed {index.sharding.seed}",
        }

    def _query(self, name: str) -> Mapping[str, str]:
        query = client(self.settings, "athena").get_query_execution(QueryExecutionId=name)["QueryExecution"]
        scanned = query.get("Statistics", {}).get("DataScannedInBytes", 0)
        return {
            "state": query["Status"]["State"],
            "workgroup": query.get("WorkGroup", ""),
            "scanned": f"{scanned / 1e6:,.1f} MB",
            "statement": " ".join(query["Query"].split())[:200],
        }

    def _data(self) -> Mapping[str, str]:
        version = self.origin.get(f"{_PARAMETER}DataVersion", self.origin.get("data_version", ""))
        return {"data version": version}
