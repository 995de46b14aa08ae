"""Hyperparameter tuning jobs: a search proposes the values, each trial is a training job.

https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-how-it-works.html
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from pipeline.local.context import Request, now, random_id
from pipeline.local.sagemaker.completion import Completion, not_improving
from pipeline.local.sagemaker.jobs import TERMINAL, JobFailedError, Jobs, JobServices
from pipeline.local.sagemaker.resources import check_volume, chosen, invalid, listing, not_found, selected, stored
from pipeline.local.sagemaker.search import Search, check
from pipeline.local.sagemaker.training import TrainingJobs, check_channels, complete

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5  # between two looks at the time of a job that has a limit of it
_VALUE = "FinalHyperParameterTuningJobObjectiveMetric"
_COUNTERS = ("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped")
# The counters of the statuses of trials that have ended; all others are in progress.
_COUNTER_OF_STATUS = {"Completed": "Completed", "Failed": "NonRetryableError", "Stopped": "Stopped"}
# Members that the summary of a trial has as its training job has them.
_TRIAL = (
    *("TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingStartTime", "TrainingEndTime"),
    *("TrainingJobStatus", "FailureReason"),
)


class TuningJobs(Jobs):
    """CreateHyperParameterTuningJob and the other operations of its resource."""

    kind = "tuning-job"
    prefix = "HyperParameterTuning"
    sort_default = "Name"

    def __init__(self, services: JobServices, training: TrainingJobs) -> None:
        self._training = training
        super().__init__(services)

    def operations(self) -> dict[str, Callable[[Request], Request]]:
        """Handlers by operation."""
        return {**super().operations(), "ListTrainingJobsForHyperParameterTuningJob": self.list_training_jobs}

    def create(self, request: Request, **more: object) -> Request:
        """Start the job. Raises ServiceError without a definition of its trials."""
        if "TrainingJobDefinition" not in request:
            raise invalid("The local cloud tunes one TrainingJobDefinition.")
        return super().create(request, **more)

    def prepare(self, document: Request) -> None:
        """Refuse strategies and settings that the local cloud does not have."""
        definition, config = document["TrainingJobDefinition"], document["HyperParameterTuningJobConfig"]
        check_channels(definition)
        check_volume(_resources(definition))
        self._services.quotas.check_tuning({**document, "TrainingJobDefinition": _of_trial(definition)})
        static = definition.get("StaticHyperParameters", {})
        check(config, static)
        complete(definition)
        # As every recorded description has it; the SDKs' attach reads the objective there.
        objective = config["HyperParameterTuningJobObjective"]["MetricName"]
        definition["StaticHyperParameters"] = {**static, "_tuning_objective_metric": objective}
        document["Trials"] = []

    def role_of(self, document: Request) -> str:
        """The trials' role."""
        return str(document["TrainingJobDefinition"]["RoleArn"])

    def document(self, name: str) -> Request:
        """The job in the store. Raises ServiceError if there is none."""
        missing = not_found(f"Amazon SageMaker can't find a tuning job with the name {name!r}.")
        return stored(self._context.store, self.kind, name, missing)

    def describe(self, request: Request) -> Request:
        """The job's description, with counters and the best trial."""
        document = self.document(request[self.name_member])
        description = super().describe(request) | self._counters(document)
        values = [_value(trial) for trial in self._trials(document) if trial["ObjectiveStatus"] == "Succeeded"]
        config = document["HyperParameterTuningJobConfig"]
        maximize = config["HyperParameterTuningJobObjective"]["Type"] == "Maximize"
        details = {"NumberOfTrainingJobsObjectiveNotImproving": not_improving(values, maximize=maximize)}
        ended = document.get("HyperParameterTuningEndTime", now())
        consumed = {"RuntimeInSeconds": round(ended - document["CreationTime"])}
        description |= {"TuningJobCompletionDetails": details, "ConsumedResources": consumed}
        if ranked := _ranked(document, self._trials(document)):
            description["BestTrainingJob"] = ranked[0]
        return description

    def summarized(self, document: Request) -> Request:
        """The document with the counters and members of its configuration."""
        return {**document, **self._counters(document), **document["HyperParameterTuningJobConfig"]}

    def _counters(self, document: Request) -> Request:
        trials = self._trials(document)
        counts = dict.fromkeys(_COUNTERS, 0)
        for trial in trials:
            counts[_COUNTER_OF_STATUS.get(trial["TrainingJobStatus"], "InProgress")] += 1
        objectives = Counter(trial["ObjectiveStatus"] for trial in trials)
        return {
            "TrainingJobStatusCounters": counts,
            "ObjectiveStatusCounters": {status: objectives[status] for status in ("Succeeded", "Pending", "Failed")},
        }

    def list_training_jobs(self, request: Request) -> Request:
        """Summaries of the trials. By FinalObjectiveMetricValue only trials with a value are listed."""
        trials = self._trials(self.document(request[self.name_member]))
        trials = selected(request, trials, "TrainingJobName", "TrainingJobStatus")
        keys = {"Name": "TrainingJobName", "CreationTime": "CreationTime", "Status": "TrainingJobStatus"}
        if request.get("SortBy") == "FinalObjectiveMetricValue":
            trials = [{**trial, "Value": _value(trial)} for trial in trials if _VALUE in trial]
            keys["FinalObjectiveMetricValue"] = "Value"
        operation = "ListTrainingJobsForHyperParameterTuningJob"
        return listing(operation, request, trials, keys, default="Name", order="Ascending")

    def stop(self, request: Request) -> Request:
        """Stop the job and its trials."""
        super().stop(request)
        self._stop_trials(request[self.name_member])
        return {}

    def _stop_trials(self, name: str) -> None:
        for trial in self.document(name)["Trials"]:
            self._training.stop({"TrainingJobName": trial["name"]})

    def ranked(self, name: str) -> list[Request]:
        """Summaries of the trials that have an objective value, best first."""
        document = self.document(name)
        return _ranked(document, self._trials(document))

    def _trials(self, document: Request) -> list[Request]:
        """Summaries of the trials' training jobs, in the order in which they started."""
        objective = document["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
        summaries = []
        for trial in document["Trials"]:
            job = self._training.describe({"TrainingJobName": trial["name"]})
            summary = {**chosen(job, _TRIAL), "TunedHyperParameters": trial["values"]}
            value = _objective(job, objective["MetricName"])
            if value is not None:
                summary[_VALUE] = {**objective, "Value": value}
            # "The training job is in progress and evaluation of its final objective metric is pending" (Pending, on
            # https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_HyperParameterTrainingJobSummary.html).
            running = job["TrainingJobStatus"] not in TERMINAL
            summary["ObjectiveStatus"] = "Pending" if running else "Failed" if value is None else "Succeeded"
            summaries.append(summary)
        return summaries

    def execute(self, name: str, request: Request, stop: threading.Event) -> Request:
        """Run the trials. Raises JobFailedError if none has an objective value."""
        self._search(name, request, stop)
        trials = self._trials(self.document(name))
        if not stop.is_set() and not _ranked(request, trials):
            reasons = {trial.get("FailureReason", "no objective value in its log") for trial in trials}
            raise JobFailedError(f"All training jobs failed: {'; '.join(sorted(reasons))}")
        return {}

    def _search(self, name: str, request: Request, stop: threading.Event) -> None:
        config = request["HyperParameterTuningJobConfig"]
        search = Search(config, request["TrainingJobDefinition"].get("StaticHyperParameters", {}))
        limits, completion = config["ResourceLimits"], Completion(config)
        waiting: dict[Future[float | None], int] = {}
        started, over, values_of = 0, threading.Event(), list[float]()
        with ThreadPoolExecutor(limits["MaxParallelTrainingJobs"]) as pool:
            while waiting or started < limits["MaxNumberOfTrainingJobs"]:
                free = limits["MaxParallelTrainingJobs"] - len(waiting)
                while free and started < limits["MaxNumberOfTrainingJobs"] and not (stop.is_set() or over.is_set()):
                    started += 1
                    free -= 1
                    values = search.propose(started)
                    trial = pool.submit(self._trial, name, request, search, started, values, ends=(stop, over))
                    waiting[trial] = started
                if not waiting:
                    break
                seconds = POLL_SECONDS if completion.is_limited and not over.is_set() else None
                done, _ = wait(waiting, seconds, return_when=FIRST_COMPLETED)
                for future in sorted(done, key=waiting.__getitem__):
                    search.conclude(waiting.pop(future), value := future.result())
                    values_of += [] if value is None else [value]
                if not over.is_set() and (reason := completion.reason(values_of)):
                    log.info("tuning job %s ends: %s", name, reason)
                    over.set()
                    self._stop_trials(name)

    def _trial(
        self,
        name: str,
        request: Request,
        search: Search,
        number: int,
        values: dict[str, str],
        *,
        ends: tuple[threading.Event, ...],
    ) -> float | None:
        """Run one training job. Returns its objective value, None if it has none.

        After one of `ends` it is stopped at once: the stop of all trials does not see one that is being created.
        """
        definition = _of_trial(request["TrainingJobDefinition"])
        objective = request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"]
        job = f"{name}-{number:03d}-{random_id(8)}"
        static = definition.pop("StaticHyperParameters", {})
        definition.pop("DefinitionName", None)
        hyperparameters = {**static, **values}
        definition |= {"TrainingJobName": job, "HyperParameters": hyperparameters}

        def observe(metrics: dict[str, list[float]]) -> None:
            for value in metrics.get(objective, []):
                if search.observe(number, value):
                    log.info("tuning job %s stops %s early at %s=%s", name, job, objective, value)
                    self._training.stop({"TrainingJobName": job})

        self._training.create_trial(definition, observe, self.arn(name))
        trial = {"name": job, "values": values}
        self._context.store.update(self.kind, name, lambda document: document["Trials"].append(trial))
        if any(end.is_set() for end in ends):
            self._training.stop({"TrainingJobName": job})
        return _objective(self._training.wait(job), objective)


def _resources(definition: Request) -> Request:
    """The ResourceConfig of the trials. Raises ServiceError for a definition with two or none.

    Of HyperParameterTuningResourceConfig's InstanceConfigs the first is used, which has the highest priority; capacity
    never lacks for it alone here. That both or neither are refused is assumed; the rules of InstanceConfigs are in
    botocore's model.
    """
    flexible = definition.get("HyperParameterTuningResourceConfig")
    if (flexible is None) == ("ResourceConfig" not in definition):
        raise invalid("A training job definition has either a ResourceConfig or a HyperParameterTuningResourceConfig.")
    if flexible is None:
        return dict(definition["ResourceConfig"])
    single = ("InstanceType", "InstanceCount", "VolumeSizeInGB")
    configs = flexible.get("InstanceConfigs")
    if configs and any(member in flexible for member in single):
        raise invalid(f"If you use InstanceConfigs, do not provide values for {', '.join(single)}.")
    resources = chosen(configs[0] if configs else flexible, single)
    if missing := [member for member in single[:2] if member not in resources]:
        raise invalid(f"HyperParameterTuningResourceConfig has no {' and no '.join(missing)}.")
    return {**resources, **chosen(flexible, ("VolumeKmsKeyId",))}


def _of_trial(definition: Request) -> Request:
    """The definition with the resources of its trials as their ResourceConfig."""
    own = {name: value for name, value in definition.items() if name != "HyperParameterTuningResourceConfig"}
    return {**own, "ResourceConfig": _resources(definition)}


def _objective(job: Request, metric: str) -> float | None:
    """The latest value of the objective, by which SageMaker ranks."""
    for entry in job.get("FinalMetricDataList", []):
        if entry["MetricName"] == metric and job["TrainingJobStatus"] != "Failed":
            return float(entry["Value"])
    return None


def _value(trial: Request) -> float:
    return float(trial[_VALUE]["Value"])


def _ranked(document: Request, trials: list[Request]) -> list[Request]:
    """The trials that have ended with an objective value, best first."""
    objective = document["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    finished = [trial for trial in trials if _VALUE in trial and trial["TrainingJobStatus"] in ("Completed", "Stopped")]
    return sorted(finished, key=_value, reverse=objective["Type"] == "Maximize")
