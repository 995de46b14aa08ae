"""The lineage of a model version: from its package back to the raw photos, link by link.

The package's own metadata (`pipeline.definition`) exists as long as the version. The things that it names may be
deleted earlier: old runs, or queries, which Athena keeps for 45 days. So each link has its own state.
https://docs.aws.amazon.com/athena/latest/ug/querying.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.aws.arns import name_of
from pipeline.aws.responses import refusal, says_missing
from pipeline.clients import client
from pipeline.operations.dataset import description as dataset
from pipeline.operations.models import registry
from pipeline.operations.models.registry import Version
from pipeline.operations.runs.progress import steps_of
from pipeline.parallel import parallel_map
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError, StepError
from steps.contracts.s3_uri import S3Uri

GONE = "no longer exists"
NOT_RECORDED = "not recorded"
_PARAMETER = "parameter_"
_IMAGE = "_image"
# The metadata's value for a run without such a link.
_NONE = "none"


@dataclass(frozen=True)
class Link:
    """One link: its kind, its name or URI, and its facts.

    `exists` is None where that was not or could not be looked up; `note` is why a link has no facts.
    """

    kind: str
    id: str
    exists: bool | None = None
    note: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Lineage:
    """A version and its links, from the newest to the oldest."""

    version: Version
    links: tuple[Link, ...]

    def flat(self) -> dict[str, Any]:
        """The lineage as JSON values, with the links by kind."""
        links = {
            link.kind: {"id": link.id, "exists": link.exists, "note": link.note, **link.facts} for link in self.links
        }
        return {"version": self.version.flat(), "links": links}


def read(settings: Settings, reference: str) -> Lineage:
    """The lineage of the version that `reference` refers to (`latest`, a number, an ARN).

    Raises PipelineError where there is no such version, or no run of this pipeline registered it.
    """
    version = registry.resolve(settings, reference)
    package = client(settings, "sagemaker").describe_model_package(ModelPackageName=version.arn)
    if "pipeline_execution_arn" not in package.get("CustomerMetadataProperties", {}):
        raise PipelineError(
            f"{version.name} was not registered by a run of this pipeline: its CustomerMetadataProperties name no run;"
            " see other versions: python -m pipeline models"
        )
    return Lineage(version, _Walk(settings, version, package).links())


class _Walk:
    def __init__(self, settings: Settings, version: Version, package: Mapping[str, Any]) -> None:
        self._settings, self._version, self._package = settings, version, package
        self._metadata: Mapping[str, str] = package["CustomerMetadataProperties"]
        self._sagemaker, self._s3 = client(settings, "sagemaker"), client(settings, "s3")

    def links(self) -> tuple[Link, ...]:
        metadata = self._metadata
        containers = self._package.get("InferenceSpecification", {}).get("Containers", [{}])
        given = sorted(name for name in metadata if name.startswith(_PARAMETER))
        parameters = {name.removeprefix(_PARAMETER): metadata[name] for name in given}
        images = {name.removesuffix(_IMAGE): value for name, value in metadata.items() if name.endswith(_IMAGE)}
        raw = parameters.get("ImageLocation", "")
        # Several are asked for at a time: a page that waits for all of them is shown in a few round trips.
        looks: tuple[Callable[[], Link], ...] = (
            lambda: self._link("artifact", containers[0].get("ModelDataUrl", ""), self._object),
            lambda: self._link(
                "evaluation", self._version.evaluation_uri, self._object, left_out=self._version.evaluation.left_out
            ),
            lambda: self._link("run", metadata["pipeline_execution_arn"], self._run, parameters=parameters),
            self._source,
            lambda: self._link("tuning_job", metadata.get("tuning_job", ""), self._tuning_job),
            lambda: self._link("training_job", metadata.get("training_job", ""), self._training_job),
            lambda: self._link(
                "index", metadata.get("index", ""), self._index, sha256=metadata.get("dataset_sha256", "")
            ),
            lambda: self._link("query", metadata.get("query_execution_id", ""), self._query),
            lambda: self._link("raw_photos", raw, self._prefix, data_version=parameters.get("DataVersion", "")),
            lambda: Link("images", "", note="" if images else NOT_RECORDED, facts=images),
        )
        return tuple(parallel_map(lambda look: look(), looks))

    def _link(self, kind: str, name: str, look: Callable[[str], Mapping[str, Any] | None], **recorded: object) -> Link:
        """The link `name` with the facts `recorded` in the package and those of `look`, None where it is missing."""
        from botocore.exceptions import ClientError

        if name in ("", _NONE):
            return Link(kind, "", note="none in this run" if name else NOT_RECORDED, facts=recorded)
        exists: bool | None = True
        note, facts = "", None
        try:
            facts = look(name)
            if facts is None:
                exists, note = False, GONE
        except (PipelineError, StepError) as error:
            note = str(error)
        except ClientError as error:
            # An approver may lack permissions; the other links are still shown.
            if not says_missing(error) and not refusal(error):
                raise
            exists, note = (False, GONE) if says_missing(error) else (None, refusal(error))
        return Link(kind, name, exists, note, {**(facts or {}), **recorded})

    def _source(self) -> Link:
        recorded = self._package.get("MetadataProperties", {})
        commit = recorded.get("CommitId", "")
        facts = {"repository": recorded["Repository"]} if recorded.get("Repository") else {}
        return Link("commit", commit, note="" if commit else NOT_RECORDED, facts=facts)

    def _object(self, uri: str) -> Mapping[str, Any]:
        location = S3Uri.parse(uri)
        head = self._s3.head_object(Bucket=location.bucket, Key=location.key)
        return {"bytes": head["ContentLength"], "written": head["LastModified"]}

    def _run(self, arn: str) -> Mapping[str, Any]:
        run = self._sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        by = run.get("CreatedBy", {})
        steps = {
            step.name: f"{step.status}, cached from run {name_of(step.cached_from)}" if step.cached else step.status
            for step in steps_of(self._sagemaker, arn)
        }
        return {
            "status": run["PipelineExecutionStatus"],
            "name": run.get("PipelineExecutionDisplayName", ""),
            "started": run["CreationTime"],
            "by": by.get("UserProfileName") or by.get("IamIdentity", {}).get("Arn", ""),
            "steps": steps,
        }

    def _tuning_job(self, name: str) -> Mapping[str, Any]:
        job = self._sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        config = job["HyperParameterTuningJobConfig"]
        objective = config.get("HyperParameterTuningJobObjective", {})
        best = job.get("BestTrainingJob", {})
        return {
            "status": job["HyperParameterTuningJobStatus"],
            "strategy": config["Strategy"],
            "objective": f"{objective['Type']} {objective['MetricName']}" if objective else "",
            "trials": job.get("TrainingJobStatusCounters", {}),
            "best": best.get("TrainingJobName", ""),
            "best_objective": best.get("FinalHyperParameterTuningJobObjectiveMetric", {}).get("Value"),
            "searched": best.get("TunedHyperParameters", {}),
            "started": job["CreationTime"],
        }

    def _training_job(self, name: str) -> Mapping[str, Any]:
        job = self._sagemaker.describe_training_job(TrainingJobName=name)
        resources = job.get("ResourceConfig", {})
        return {
            "status": job["TrainingJobStatus"],
            "metrics": {metric["MetricName"]: float(metric["Value"]) for metric in job.get("FinalMetricDataList", [])},
            "hyperparameters": job.get("HyperParameters", {}),
            "instances": f"{resources.get('InstanceCount', 1)} x {resources.get('InstanceType', 'unknown')}",
            "started": job.get("TrainingStartTime"),
            "ended": job.get("TrainingEndTime"),
            "image": job.get("AlgorithmSpecification", {}).get("TrainingImage", ""),
        }

    def _index(self, uri: str) -> Mapping[str, Any] | None:
        if self._prefix(uri) is None:
            return None
        index = dataset.read(self._settings, uri)
        recorded = self._metadata.get("dataset_sha256", "")
        if index.sha256 != recorded:
            raise PipelineError(f"written again after the run: its hash is {index.sha256[:12]}, not {recorded[:12]}")
        return {
            "split": index.sharding.split,
            "photos": {name: split.samples for name, split in index.splits.items()},
            "shards": sum(len(split.shards) for split in index.splits.values()),
        }

    def _query(self, query_id: str) -> Mapping[str, Any]:
        query = client(self._settings, "athena").get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
        lines = [line.strip() for line in query["Query"].splitlines() if line.strip()]
        return {
            "state": query["Status"]["State"],
            "statement": lines[0] if lines else "",
            "scanned_bytes": query.get("Statistics", {}).get("DataScannedInBytes", 0),
            "submitted": query["Status"].get("SubmissionDateTime"),
            "workgroup": query.get("WorkGroup", ""),
        }

    def _prefix(self, uri: str) -> Mapping[str, Any] | None:
        location = S3Uri.parse(uri)
        prefix = f"{location.key.rstrip('/')}/" if location.key else ""
        return {} if self._s3.list_objects_v2(Bucket=location.bucket, Prefix=prefix, MaxKeys=1)["KeyCount"] else None
