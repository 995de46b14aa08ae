"""Pipelines and their versions."""

from __future__ import annotations

import json
from collections.abc import Callable

from botocore.exceptions import ClientError

from pipeline.aws.validation.definition import all_steps, validate_definition
from pipeline.aws.validation.steps import REQUESTS
from pipeline.local import members
from pipeline.local.context import Context, Request, now
from pipeline.local.events import Events
from pipeline.local.identity.caller import current
from pipeline.local.identity.identity import Identity
from pipeline.local.sagemaker.executions import Executions
from pipeline.local.sagemaker.parameters import refuse_constant
from pipeline.local.sagemaker.resources import chosen, described, invalid, listing, selected
from pipeline.local.sagemaker.steps import StepRunners
from pipeline.local.sagemaker.tags import delete_tagged
from pipeline.local.sagemaker.versions import PIPELINE, Versions


class Pipelines:
    """CreatePipeline, StartPipelineExecution, and the other operations of these resources."""

    def __init__(self, context: Context, runners: StepRunners, events: Events, identity: Identity) -> None:
        self._context = context
        self._identity = identity
        self._runners = runners
        self._versions = Versions(context)
        self._executions = Executions(context, runners, events, identity, self._versions)

    def operations(self) -> dict[str, Callable[[Request], Request]]:
        """Handlers by operation."""
        return {
            "CreatePipeline": self._create,
            "UpdatePipeline": self._update,
            "DescribePipeline": self._describe,
            "ListPipelines": self._list_pipelines,
            "DeletePipeline": self._delete,
            "ListPipelineVersions": self._list_versions,
            "UpdatePipelineVersion": self._update_version,
            **self._executions.operations(),
        }

    def _create(self, request: Request) -> Request:
        name = request["PipelineName"]
        definition = self._definition(request)
        if definition is None:
            raise invalid("A pipeline needs a PipelineDefinition or a PipelineDefinitionS3Location.")
        aliases = request.get("PipelineVersionAliases", [])
        self._versions.check_aliases(aliases, [])
        arn = self._context.arn("sagemaker", f"pipeline/{name.lower()}")
        created = now()
        document = {
            "PipelineArn": arn,
            "PipelineName": name,
            "PipelineDisplayName": request.get("PipelineDisplayName", name),
            "PipelineDefinition": definition,
            "RoleArn": request["RoleArn"],
            "PipelineStatus": "Active",
            "CreationTime": created,
            "LastModifiedTime": created,
            **chosen(request, ("PipelineDescription", "ParallelismConfiguration", "ClientRequestToken")),
        }
        with self._executions.lock:
            if self._context.store.create(PIPELINE, name, document):
                self._versions.add(document, aliases)
            elif self._versions.pipeline(name).get("ClientRequestToken") != request["ClientRequestToken"]:
                raise invalid(f"Pipeline names must be unique within an account and region; ({name}) already exists.")
        return {"PipelineArn": arn}

    def _update(self, request: Request) -> Request:
        """Replace the members that the request names. Executions that run keep their definition."""
        changes = chosen(request, ("PipelineDisplayName", "PipelineDescription", "RoleArn", "ParallelismConfiguration"))
        definition = self._definition(request)
        with self._executions.lock:
            document = self._versions.pipeline(request["PipelineName"])
            number = self._versions.of(document)[-1]["PipelineVersionId"]
            aliases = request.get("PipelineVersionAliases", [])
            # Assumed: the same text changes nothing, and another text of the same content does.
            if definition is not None and definition != document["PipelineDefinition"]:
                changes["PipelineDefinition"] = definition
                number = self._versions.add({**document, **changes}, aliases)
            elif aliases:
                raise invalid(
                    "PipelineVersionAliases can be specified only when the update changes the pipeline definition."
                )
            changes["LastModifiedTime"] = now()
            self._context.store.update(PIPELINE, document["PipelineName"], lambda stored: stored.update(changes))
        return {"PipelineArn": document["PipelineArn"], "PipelineVersionId": number}

    def _definition(self, request: Request) -> str | None:
        """The text of a request's definition, checked; None without one."""
        text, location = request.get("PipelineDefinition"), request.get("PipelineDefinitionS3Location")
        if location is not None:
            if text is not None:
                raise invalid("Specify either PipelineDefinition or PipelineDefinitionS3Location, not both.")
            text = self._read(location)
        if text is not None:
            self._check(text)
        return text

    def _read(self, location: Request) -> str:
        """A definition in S3, read with the caller's permissions (assumed: the reference names no role)."""
        s3 = self._identity.client(current(self._identity.root), "s3")
        version = chosen(location, ("VersionId",))
        try:
            body = s3.get_object(Bucket=location["Bucket"], Key=location["ObjectKey"], **version)["Body"].read()
            return str(body.decode())
        except (ClientError, UnicodeDecodeError) as error:
            place = f"s3://{location['Bucket']}/{location['ObjectKey']}"
            raise invalid(f"Unable to read the pipeline definition {place}: {error}") from None

    def _check(self, text: str) -> None:
        """Raise ServiceError for a definition that SageMaker would refuse, and for one that cannot run here."""
        try:
            definition = json.loads(text, parse_constant=refuse_constant)
        except ValueError as error:
            raise invalid(f"Unable to parse pipeline definition: {error}") from None
        if not isinstance(definition, dict):
            raise invalid("Unable to parse pipeline definition: not a JSON object")
        if problems := validate_definition(definition):
            raise invalid("; ".join(map(str, problems)))
        if definition.get("MlflowConfig") is not None:
            raise invalid("The local cloud has no MLflow: MlflowConfig must be null or left out.")
        unknown = sorted({step["Type"] for step in all_steps(definition["Steps"])} - set(self._runners.types))
        if unknown:
            raise invalid(
                f"The local cloud runs steps of type {', '.join(self._runners.types)}; not {', '.join(unknown)}."
            )
        missing = [
            f"step {step['Name']}: {problem}"
            for step in all_steps(definition["Steps"])
            if step["Type"] in REQUESTS
            for problem in members.problems("sagemaker", REQUESTS[step["Type"]][0], step["Arguments"])
        ]
        if missing:
            raise invalid(" ".join(missing))

    def _describe(self, request: Request) -> Request:
        document = self._versions.pipeline(request["PipelineName"])
        version = self._versions.requested(document, request)
        document["PipelineDefinition"] = version["PipelineDefinition"]
        if runs := self._executions.of(document["PipelineName"]):
            document["LastRunTime"] = runs[-1]["CreationTime"]
        return described("DescribePipeline", {**document, **self._versions.members(version)})

    def _list_pipelines(self, request: Request) -> Request:
        # None of the pipelines here is one that AWS manages.
        stored = [] if request.get("ManagedBy") == "AWS" else self._context.store.list(PIPELINE)
        last = {run["PipelineName"]: run["CreationTime"] for run in self._executions.all()}
        pipelines = [
            {**document, "LastExecutionTime": last.get(document["PipelineName"])}
            for document in selected(request, stored, "PipelineName")
        ]
        return listing("ListPipelines", request, pipelines, {"Name": "PipelineName", "CreationTime": "CreationTime"})

    def _delete(self, request: Request) -> Request:
        """Delete the pipeline and its executions; the results of their jobs remain.

        https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DeletePipeline.html
        """
        with self._executions.lock:
            document = self._versions.pipeline(request["PipelineName"])
            self._executions.delete(document["PipelineName"])
            self._versions.delete(document)
            delete_tagged(self._context.store, PIPELINE, document["PipelineName"], document["PipelineArn"])
        return {"PipelineArn": document["PipelineArn"]}

    def _list_versions(self, request: Request) -> Request:
        pipeline = self._versions.pipeline(request["PipelineName"])
        last = {
            run.get("PipelineVersionId"): run["PipelineExecutionArn"]
            for run in self._executions.of(pipeline["PipelineName"])
        }
        versions = [
            {
                **chosen(version, ("PipelineArn", "PipelineVersionId", "CreationTime")),
                **self._versions.members(version),
                "LastExecutionPipelineExecutionArn": last.get(version["PipelineVersionId"]),
            }
            for version in selected(request, self._versions.of(pipeline), "PipelineName")
        ]
        return listing("ListPipelineVersions", request, versions, {"Id": "PipelineVersionId"}, default="Id")

    def _update_version(self, request: Request) -> Request:
        with self._executions.lock:
            return self._versions.change(request)

    def restore(self) -> None:
        """After a restart: send the events of executions that the end of the cloud before has failed."""
        self._executions.restore()

    def close(self) -> None:
        """Stop every execution that runs."""
        self._executions.close()
