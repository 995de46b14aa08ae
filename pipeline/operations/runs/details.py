"""What a step's job was asked for and what became of it, as AWS describes it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.aws.arns import name_of
from pipeline.aws.responses import exists
from pipeline.clients import client
from pipeline.operations.runs.progress import StepRun
from pipeline.settings import Settings

# A part of the query of an address that itself is a permission:
# https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
_SIGNED = ("x-amz-signature=", "x-amz-credential=", "x-amz-security-token=")
NOT_SHOWN = "(a signed address, which is not shown)"


@dataclass(frozen=True)
class Section:
    """Names and values under a title."""

    title: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class JobDetails:
    """A job, function, version or condition of a step; `instances` is empty for what has none, as times are None.

    `hosts` is the number of instances that write a log each. `changes` are its states with their times and messages.
    """

    kind: str
    name: str
    status: str
    sections: tuple[Section, ...]
    instances: str = ""
    hosts: int = 1
    created: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    failure: str = ""
    changes: tuple[tuple[datetime, str, str], ...] = ()

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it will change any more."""
        return self.status in ("Completed", "Failed", "Stopped")


def of_step(settings: Settings, step: StepRun, trial: str = "") -> JobDetails | None:
    """The job of a step, or one trial of a tuning step, by the name of its training job.

    None for a step without a job, and where its job no longer exists.
    """
    sagemaker = client(settings, "sagemaker")
    if trial or (arn := step.arn("TrainingJob")):
        answer = exists(sagemaker.describe_training_job, TrainingJobName=trial or name_of(arn or ""))
        return None if answer is None else _training(answer)
    if arn := step.arn("ProcessingJob"):
        answer = exists(sagemaker.describe_processing_job, ProcessingJobName=name_of(arn))
        return None if answer is None else _processing(answer)
    if arn := step.arn("TuningJob"):
        name = name_of(arn)
        answer = exists(sagemaker.describe_hyper_parameter_tuning_job, HyperParameterTuningJobName=name)
        return None if answer is None else _tuning(answer)
    if arn := step.arn("Lambda"):
        outputs = step.metadata["Lambda"].get("OutputParameters", [])
        rows = _rows((output["Name"], output["Value"]) for output in outputs)
        return JobDetails(
            kind="function",
            name=arn.split(":function:")[-1],
            status=step.status,
            sections=_filled(Section("Outputs", rows)),
            hosts=0,
            started=step.started,
            ended=step.ended,
            failure=step.failure,
        )
    return None


def _processing(job: Mapping[str, Any]) -> JobDetails:
    specification, cluster = job["AppSpecification"], job["ProcessingResources"]["ClusterConfig"]
    inputs = (
        (each["InputName"], _place(each.get("S3Input", {}).get("S3Uri"), each.get("S3Input", {}).get("LocalPath")))
        for each in job.get("ProcessingInputs", [])
    )
    outputs = (
        (each["OutputName"], _place(each.get("S3Output", {}).get("S3Uri"), each.get("S3Output", {}).get("LocalPath")))
        for each in job.get("ProcessingOutputConfig", {}).get("Outputs", [])
    )
    return JobDetails(
        kind="processing job",
        name=job["ProcessingJobName"],
        status=job["ProcessingJobStatus"],
        sections=_filled(
            Section("Arguments", _arguments(specification.get("ContainerArguments", []))),
            Section("Inputs", _rows(inputs)),
            Section("Outputs", _rows(outputs)),
            Section("Environment", _rows(job.get("Environment", {}).items())),
            Section("Job", _job_rows(job, specification["ImageUri"], specification.get("ContainerEntrypoint", []))),
        ),
        instances=_instances(cluster),
        hosts=cluster["InstanceCount"],
        created=job.get("CreationTime"),
        started=job.get("ProcessingStartTime"),
        ended=job.get("ProcessingEndTime"),
        failure=job.get("FailureReason", "") or job.get("ExitMessage", ""),
    )


def _training(job: Mapping[str, Any]) -> JobDetails:
    specification, resources = job["AlgorithmSpecification"], job["ResourceConfig"]
    channels = (
        (each["ChannelName"], each.get("DataSource", {}).get("S3DataSource", {}).get("S3Uri", ""))
        for each in job.get("InputDataConfig", [])
    )
    outputs = (
        ("output", job.get("OutputDataConfig", {}).get("S3OutputPath", "")),
        ("model", job.get("ModelArtifacts", {}).get("S3ModelArtifacts", "")),
        ("checkpoints", job.get("CheckpointConfig", {}).get("S3Uri", "")),
    )
    metrics = ((each["MetricName"], f"{each['Value']:g}") for each in job.get("FinalMetricDataList", []))
    return JobDetails(
        kind="training job",
        name=job["TrainingJobName"],
        status=job["TrainingJobStatus"],
        sections=_filled(
            Section("Hyperparameters", _rows(job.get("HyperParameters", {}).items())),
            Section("Metrics at the end", _rows(metrics)),
            Section("Inputs", _rows(channels)),
            Section("Outputs", _rows(pair for pair in outputs if pair[1])),
            Section("Environment", _rows(job.get("Environment", {}).items())),
            Section("Job", (*_job_rows(job, specification.get("TrainingImage", ""), []), *_spot_rows(job))),
        ),
        instances=_instances(resources),
        hosts=resources.get("InstanceCount", 1),
        created=job.get("CreationTime"),
        started=job.get("TrainingStartTime"),
        ended=job.get("TrainingEndTime"),
        failure=job.get("FailureReason", ""),
        changes=tuple(
            (change["StartTime"], change["Status"], change.get("StatusMessage", ""))
            for change in job.get("SecondaryStatusTransitions", [])
        ),
    )


def _tuning(job: Mapping[str, Any]) -> JobDetails:
    config, trained = job["HyperParameterTuningJobConfig"], job.get("TrainingJobDefinition", {})
    objective, limits = config.get("HyperParameterTuningJobObjective", {}), config.get("ResourceLimits", {})
    search = (
        ("strategy", config["Strategy"]),
        ("objective", f"{objective.get('Type', '')} {objective.get('MetricName', '')}".strip()),
        ("trials", f"{limits.get('MaxNumberOfTrainingJobs', '')}"),
        ("at a time", f"{limits.get('MaxParallelTrainingJobs', '')}"),
        ("early stopping", config.get("TrainingJobEarlyStoppingType", "")),
        ("best trial", job.get("BestTrainingJob", {}).get("TrainingJobName", "")),
    )
    channels = (
        (each["ChannelName"], each.get("DataSource", {}).get("S3DataSource", {}).get("S3Uri", ""))
        for each in trained.get("InputDataConfig", [])
    )
    outputs = (("output", trained.get("OutputDataConfig", {}).get("S3OutputPath", "")),)
    image = trained.get("AlgorithmSpecification", {}).get("TrainingImage", "")
    resources = trained.get("ResourceConfig") or trained.get("HyperParameterTuningResourceConfig", {})
    return JobDetails(
        kind="tuning job",
        name=job["HyperParameterTuningJobName"],
        status=job["HyperParameterTuningJobStatus"],
        sections=_filled(
            Section("Search", _rows(pair for pair in search if pair[1])),
            Section("Ranges", _rows(_ranges(config.get("ParameterRanges", {})))),
            Section("Hyperparameters of all trials", _rows(trained.get("StaticHyperParameters", {}).items())),
            Section("Inputs", _rows(channels)),
            Section("Outputs", _rows(pair for pair in outputs if pair[1])),
            Section("Environment", _rows(trained.get("Environment", {}).items())),
            Section("Job", _job_rows({"RoleArn": trained.get("RoleArn", ""), **trained}, image, [])),
        ),
        instances=f"{_instances(resources)} per trial" if resources.get("InstanceType") else "",
        hosts=resources.get("InstanceCount", 1),
        created=job.get("CreationTime"),
        started=job.get("CreationTime"),
        ended=job.get("HyperParameterTuningEndTime"),
        failure=job.get("FailureReason", ""),
    )


def _ranges(ranges: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for each in (*ranges.get("ContinuousParameterRanges", []), *ranges.get("IntegerParameterRanges", [])):
        scale = each.get("ScalingType", "Auto")
        yield each["Name"], f"{each['MinValue']} to {each['MaxValue']}" + (f", {scale}" if scale != "Auto" else "")
    for each in ranges.get("CategoricalParameterRanges", []):
        yield each["Name"], ", ".join(each["Values"])


def _job_rows(job: Mapping[str, Any], image: str, entrypoint: Iterable[str]) -> tuple[tuple[str, str], ...]:
    stopping, network = job.get("StoppingCondition", {}), job.get("NetworkConfig", {})
    vpc = job.get("VpcConfig") or network.get("VpcConfig") or {}
    rows = (
        ("image", image),
        ("entry point", " ".join(entrypoint)),
        ("role", job.get("RoleArn", "")),
        ("longest run time", f"{stopping['MaxRuntimeInSeconds']} s" if "MaxRuntimeInSeconds" in stopping else ""),
        ("subnets", ", ".join(vpc.get("Subnets", []))),
        ("security groups", ", ".join(vpc.get("SecurityGroupIds", []))),
    )
    return _rows(pair for pair in rows if pair[1])


def _spot_rows(job: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    rows = (
        ("spot capacity", "yes" if job.get("EnableManagedSpotTraining") else ""),
        ("training time", f"{job['TrainingTimeInSeconds']} s" if "TrainingTimeInSeconds" in job else ""),
        ("billed per instance", f"{job['BillableTimeInSeconds']} s" if "BillableTimeInSeconds" in job else ""),
    )
    return tuple(pair for pair in rows if pair[1])


def _instances(resources: Mapping[str, Any]) -> str:
    """`2 x ml.m5.large`; empty where the resources name no type."""
    kind = resources.get("InstanceType", "")
    return f"{resources.get('InstanceCount', 1)} x {kind}" if kind else ""


def _place(uri: str | None, path: str | None) -> str:
    """A place in S3 and where it is in the container."""
    return " at ".join(filter(None, (uri, path)))


def _arguments(arguments: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """`--name value` as pairs; other arguments have no name."""
    rows: list[tuple[str, str]] = []
    for argument in arguments:
        if argument.startswith("--"):
            name, equals, value = argument.partition("=")
            rows.append((name, value if equals else ""))
        elif rows and not rows[-1][1]:
            rows[-1] = (rows[-1][0], argument)
        else:
            rows.append(("", argument))
    return _rows(rows)


def _rows(pairs: Iterable[tuple[str, Any]]) -> tuple[tuple[str, str], ...]:
    return tuple((str(name), shown(value)) for name, value in pairs)


def shown(value: Any) -> str:
    """A value as text, without what would give its reader a permission."""
    text = value if isinstance(value, str) else json.dumps(value)
    return NOT_SHOWN if any(part in text.lower() for part in _SIGNED) else text


def _filled(*sections: Section) -> tuple[Section, ...]:
    return tuple(section for section in sections if section.rows)
