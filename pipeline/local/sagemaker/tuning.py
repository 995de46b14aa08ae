"""Hyperparameter tuning jobs: a search proposes the values, each trial is a training job.

https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-how-it-works.html
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from pipeline.local.context import now, random_id
from pipeline.local.errors import ServiceError
from pipeline.local.sagemaker import jobs
from pipeline.local.sagemaker.resources import Request, chosen, in_use, not_found, ordered, page, selected
from pipeline.local.sagemaker.search import Search, check
from pipeline.local.sagemaker.training import SUMMARY, TrainingJobs

log = logging.getLogger(__name__)

KIND = "tuning-job"


class TuningJobs:
    """CreateHyperParameterTuningJob and what belongs to it."""

    def __init__(self, services: jobs.JobServices, training: TrainingJobs) -> None:
        self._context = services.context
        self._training = training
        self._stops: dict[str, threading.Event] = {}
        self._threads: dict[str, threading.Thread] = {}
        for document in self._context.store.list(KIND):
            if document["HyperParameterTuningJobStatus"] not in jobs.TERMINAL:
                self._finish(document["HyperParameterTuningJobName"], "Failed", "The local cloud was stopped.")

    def operations(self) -> dict[str, Callable[[Request], Request]]:
        """Operation names and their handlers."""
        return {
            "CreateHyperParameterTuningJob": self.create,
            "DescribeHyperParameterTuningJob": self.describe,
            "ListHyperParameterTuningJobs": self.list_jobs,
            "ListTrainingJobsForHyperParameterTuningJob": self.list_training_jobs,
            "StopHyperParameterTuningJob": self.stop,
        }

    def create(self, request: Request) -> Request:
        """Start the job in the background. Strategies that the local cloud does not know are refused."""
        if "TrainingJobDefinition" not in request:
            raise ServiceError("ValidationException", "The local cloud tunes one TrainingJobDefinition.")
        for name in ("WarmStartConfig", "Autotune"):
            if name in request:
                raise ServiceError("ValidationException", f"The local cloud's tuning jobs have no {name}.")
        static = request["TrainingJobDefinition"].get("StaticHyperParameters", {})
        check(request["HyperParameterTuningJobConfig"], static)
        name = request["HyperParameterTuningJobName"]
        arn = self._context.arn("sagemaker", f"hyper-parameter-tuning-job/{name}")
        created = now()
        document = {
            **request,
            "HyperParameterTuningJobArn": arn,
            "HyperParameterTuningJobStatus": "InProgress",
            "CreationTime": created,
            "LastModifiedTime": created,
            "Trials": [],
        }
        document.pop("Tags", None)
        if not self._context.store.create(KIND, name, document):
            raise in_use("Hyperparameter tuning job", arn)
        self._stops[name] = threading.Event()
        self._threads[name] = threading.Thread(target=self._run, args=(name, document), name=name, daemon=True)
        self._threads[name].start()
        return {"HyperParameterTuningJobArn": arn}

    def _get(self, name: str) -> Request:
        document = self._context.store.get(KIND, name)
        if document is None:
            raise not_found(f"Amazon SageMaker can't find a tuning job with the name {name!r}.")
        return document

    def describe(self, request: Request) -> Request:
        """The job as it stands, with counters and the best trial."""
        document = self._get(request["HyperParameterTuningJobName"])
        trials = self._trials(document)
        del document["Trials"]
        counts = dict.fromkeys(("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped"), 0)
        for trial in trials:
            counts[_counter(trial["TrainingJobStatus"])] += 1
        judged = [trial for trial in trials if "FinalHyperParameterTuningJobObjectiveMetric" in trial]
        document["TrainingJobStatusCounters"] = counts
        document["ObjectiveStatusCounters"] = {
            "Succeeded": len(judged),
            "Pending": counts["InProgress"],
            "Failed": len(trials) - len(judged) - counts["InProgress"],
        }
        if best := _ranked(document, judged):
            document["BestTrainingJob"] = best[0]
        return document

    def list_jobs(self, request: Request) -> Request:
        """Summaries."""
        name, status = "HyperParameterTuningJobName", "HyperParameterTuningJobStatus"
        documents = selected(request, self._context.store.list(KIND), name, status)
        fields = {"Name": name, "Status": status, "CreationTime": "CreationTime"}
        summaries = []
        for document in ordered(request, documents, fields, "Name"):
            whole = self.describe({name: document[name]})
            summary = chosen(
                whole,
                (
                    name,
                    "HyperParameterTuningJobArn",
                    status,
                    "CreationTime",
                    "HyperParameterTuningEndTime",
                    "LastModifiedTime",
                    "TrainingJobStatusCounters",
                    "ObjectiveStatusCounters",
                ),
            )
            config = whole["HyperParameterTuningJobConfig"]
            summaries.append({**summary, "Strategy": config["Strategy"], "ResourceLimits": config["ResourceLimits"]})
        return page(request, summaries, "HyperParameterTuningJobSummaries")

    def list_training_jobs(self, request: Request) -> Request:
        """The trials; by FinalObjectiveMetricValue the best comes first in descending order of a maximum."""
        document = self._get(request["HyperParameterTuningJobName"])
        trials = self._trials(document)
        if request.get("StatusEquals"):
            trials = [trial for trial in trials if trial["TrainingJobStatus"] == request["StatusEquals"]]
        if request.get("SortBy") == "FinalObjectiveMetricValue":
            judged = [trial for trial in trials if "FinalHyperParameterTuningJobObjectiveMetric" in trial]
            judged.sort(key=_value, reverse=request.get("SortOrder", "Ascending") == "Descending")
            trials = judged
        else:
            fields = {"Name": "TrainingJobName", "CreationTime": "CreationTime", "Status": "TrainingJobStatus"}
            trials = ordered({"SortOrder": "Ascending", **request}, trials, fields, "Name")
        return page(request, trials, "TrainingJobSummaries")

    def stop(self, request: Request) -> Request:
        """Ask the job and its trials to end."""
        name = request["HyperParameterTuningJobName"]
        if self._get(name)["HyperParameterTuningJobStatus"] == "InProgress":
            self._update(name, HyperParameterTuningJobStatus="Stopping")
            self._stops[name].set()
            for trial in self._get(name)["Trials"]:
                self._training.stop({"TrainingJobName": trial["name"]})
        return {}

    def wait(self, name: str) -> Request:
        """Block until the job has ended; gives its description."""
        self._threads[name].join()
        return self.describe({"HyperParameterTuningJobName": name})

    def ranked(self, name: str) -> list[Request]:
        """The trials that have an objective value, best first."""
        document = self._get(name)
        trials = self._trials(document)
        return _ranked(document, [trial for trial in trials if "FinalHyperParameterTuningJobObjectiveMetric" in trial])

    def close(self) -> None:
        """End every job."""
        for name, stop in self._stops.items():
            if not stop.is_set():
                self.stop({"HyperParameterTuningJobName": name})
        for thread in list(self._threads.values()):
            thread.join(130)

    def _update(self, name: str, **changes: object) -> Request:
        changes["LastModifiedTime"] = now()
        return self._context.store.update(KIND, name, lambda document: document.update(changes))

    def _finish(self, name: str, status: str, reason: str = "") -> None:
        more = {"FailureReason": reason[: jobs.REASON_LIMIT]} if reason else {}
        self._update(name, HyperParameterTuningJobStatus=status, HyperParameterTuningEndTime=now(), **more)

    def _trials(self, document: Request) -> list[Request]:
        """Summaries of the trials' training jobs, in the order in which they started."""
        objective = document["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
        summaries = []
        for trial in document["Trials"]:
            job = self._training.describe({"TrainingJobName": trial["name"]})
            summary = chosen(job, (*SUMMARY[:4], "TrainingStartTime", "TrainingJobStatus", "FailureReason"))
            summary["TunedHyperParameters"] = trial["values"]
            if (value := _objective(job, objective["MetricName"])) is not None:
                summary["FinalHyperParameterTuningJobObjectiveMetric"] = {**objective, "Value": value}
                summary["ObjectiveStatus"] = "Succeeded"
            else:
                running = job["TrainingJobStatus"] not in jobs.TERMINAL
                summary["ObjectiveStatus"] = "Pending" if running else "Failed"
            summaries.append(summary)
        return summaries

    def _run(self, name: str, request: Request) -> None:
        try:
            self._search(name, request)
            document = self.describe({"HyperParameterTuningJobName": name})
            if self._stops[name].is_set():
                self._finish(name, "Stopped")
            elif "BestTrainingJob" in document:
                self._finish(name, "Completed")
            else:
                reasons = {
                    trial.get("FailureReason", "no objective value in its log")
                    for trial in self._trials(self._get(name))
                }
                self._finish(name, "Failed", f"All training jobs failed: {'; '.join(sorted(reasons))}")
        except Exception as error:
            log.exception("tuning job %s", name)
            self._finish(name, "Failed", f"InternalServerError: {type(error).__name__}: {error}")
        finally:
            self._stops[name].set()

    def _search(self, name: str, request: Request) -> None:
        config = request["HyperParameterTuningJobConfig"]
        search = Search(config, request["TrainingJobDefinition"].get("StaticHyperParameters", {}))
        limits = config["ResourceLimits"]
        waiting: dict[Future[float | None], int] = {}
        started = 0
        with ThreadPoolExecutor(limits["MaxParallelTrainingJobs"]) as pool:
            while waiting or started < limits["MaxNumberOfTrainingJobs"]:
                free = limits["MaxParallelTrainingJobs"] - len(waiting)
                while free and started < limits["MaxNumberOfTrainingJobs"] and not self._stops[name].is_set():
                    started += 1
                    free -= 1
                    values = search.propose(started)
                    waiting[pool.submit(self._trial, name, request, search, started, values)] = started
                if not waiting:
                    break
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in sorted(done, key=waiting.__getitem__):
                    search.conclude(waiting.pop(future), future.result())

    def _trial(self, name: str, request: Request, search: Search, number: int, values: dict[str, str]) -> float | None:
        """Run one training job; gives its objective value, None where it has none."""
        definition = dict(request["TrainingJobDefinition"])
        objective = request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"]
        job = f"{name}-{number:03d}-{random_id(8)}"
        hyperparameters = {
            **definition.pop("StaticHyperParameters", {}),
            **values,
            "_tuning_objective_metric": objective,
        }
        definition.pop("HyperParameterRanges", None)
        definition.pop("DefinitionName", None)
        definition["TrainingJobName"] = job
        definition["HyperParameters"] = hyperparameters
        arn = self._context.arn("sagemaker", f"hyper-parameter-tuning-job/{name}")

        def observe(found: dict[str, list[float]]) -> None:
            for value in found.get(objective, []):
                if search.observe(number, value):
                    log.info("tuning job %s stops %s early at %s=%s", name, job, objective, value)
                    self._training.stop({"TrainingJobName": job})

        self._training.create(definition, observe, TuningJobArn=arn)
        self._context.store.update(
            KIND, name, lambda document: document["Trials"].append({"name": job, "values": values})
        )
        if self._stops[name].is_set():
            self._training.stop({"TrainingJobName": job})
        return _objective(self._training.wait(job), objective)


def _objective(job: Request, metric: str) -> float | None:
    """The latest value of the objective: what SageMaker ranks by."""
    for entry in job.get("FinalMetricDataList", []):
        if entry["MetricName"] == metric and job["TrainingJobStatus"] != "Failed":
            return float(entry["Value"])
    return None


def _value(trial: Request) -> float:
    return float(trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])


def _ranked(document: Request, judged: list[Request]) -> list[Request]:
    objective = document["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    finished = [trial for trial in judged if trial["TrainingJobStatus"] in ("Completed", "Stopped")]
    return sorted(finished, key=_value, reverse=objective["Type"] == "Maximize")


def _counter(status: str) -> str:
    return {"Completed": "Completed", "Failed": "NonRetryableError", "Stopped": "Stopped"}.get(status, "InProgress")
