"""Versions of pipelines and their aliases: each change of a definition creates a version.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ListPipelineVersions.html; the rules of aliases are those
of botocore's model, in the documentation of CreatePipeline, UpdatePipeline and UpdatePipelineVersion. Where it does not
name the error for a broken rule, the code here is assumed.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.local.context import Context, Request, ServiceError, now
from pipeline.local.sagemaker.resources import chosen, invalid, name_of, not_found

PIPELINE = "pipeline"
_VERSION = "pipeline-version"
_MAX_ALIASES = 10
_MEMBERS = ("PipelineVersionDisplayName", "PipelineVersionDescription", "PipelineVersionAliases")


class Versions:
    """Pipelines by name or ARN, and their versions. Changes of one pipeline must not overlap: callers hold a lock."""

    def __init__(self, context: Context) -> None:
        self._context = context
        # A pipeline of an earlier release of the local cloud has no version yet.
        for pipeline in context.store.list(PIPELINE):
            if not self.of(pipeline):
                self.add(pipeline, [])

    def pipeline(self, name: str) -> Request:
        """The pipeline's document. Raises ServiceError if there is none."""
        if name.startswith("arn:"):
            # The whole ARN counts: the caller's policies were asked about it. Its own has the name in lower case.
            pipelines = self._context.store.list(PIPELINE)
            document = next((pipeline for pipeline in pipelines if name in self._arns(pipeline)), None)
        else:
            document = self._context.store.get(PIPELINE, name)
        if document is None:
            raise not_found(f"Pipeline '{self._context.arn('sagemaker', f'pipeline/{name_of(name)}')}' does not exist.")
        return document

    def _arns(self, pipeline: Request) -> tuple[str, str]:
        return pipeline["PipelineArn"], self._context.arn("sagemaker", f"pipeline/{pipeline['PipelineName']}")

    def of(self, pipeline: Request) -> list[Request]:
        """A pipeline's versions, oldest first."""
        versions = self._context.store.list(_VERSION)
        return [version for version in versions if version["PipelineName"] == pipeline["PipelineName"]]

    def add(self, pipeline: Request, aliases: list[str]) -> int:
        """Create a version of the pipeline's definition. Returns its id. Raises ServiceError for its aliases."""
        earlier = self.of(pipeline)
        number = 1 + max((version["PipelineVersionId"] for version in earlier), default=0)
        self.check_aliases(aliases, earlier)
        document = {
            **chosen(pipeline, ("PipelineArn", "PipelineName", "PipelineDefinition")),
            "PipelineVersionId": number,
            "PipelineVersionAliases": aliases,
            "CreationTime": now(),
        }
        self._context.store.create(_VERSION, _key(pipeline, number), document)
        return number

    def requested(self, pipeline: Request, request: Request) -> Request:
        """The version that a request names by its id or an alias; the latest where it names none."""
        number, alias = request.get("PipelineVersionId"), request.get("PipelineVersionAlias")
        if number is not None and alias is not None:
            raise invalid("Specify either PipelineVersionId or PipelineVersionAlias, not both.")
        versions = self.of(pipeline)
        if number is None and alias is None:
            return versions[-1]
        for version in versions:
            if version["PipelineVersionId"] == number or alias in version["PipelineVersionAliases"]:
                return version
        what = f"version {number}" if alias is None else f"version with the alias {alias!r}"
        raise not_found(f"Pipeline '{pipeline['PipelineArn']}' has no {what}.")

    def aliases(self, pipeline: Request, number: int | None) -> list[str]:
        """The aliases that a version has at present."""
        version = self._context.store.get(_VERSION, _key(pipeline, number)) if number else None
        return [] if version is None else list(version["PipelineVersionAliases"])

    def members(self, version: Request) -> Request:
        """The members of a version that descriptions have; none of them is empty."""
        return {key: value for key, value in chosen(version, _MEMBERS).items() if value != []}

    def change(self, request: Request) -> Request:
        """Answer UpdatePipelineVersion."""
        pipeline = self.pipeline(request["PipelineArn"])
        version = self.requested(pipeline, {"PipelineVersionId": request["PipelineVersionId"]})
        operations = request.get("PipelineVersionAliasOperations", {})
        removed, added = operations.get("Remove", []), operations.get("Add", [])
        aliases = version["PipelineVersionAliases"]
        if missing := [alias for alias in removed if alias not in aliases]:
            raise not_found(f"Version {version['PipelineVersionId']} has no alias {', '.join(missing)}.")
        aliases = [alias for alias in aliases if alias not in removed]
        others = [other for other in self.of(pipeline) if other["PipelineVersionId"] != version["PipelineVersionId"]]
        aliases += [alias for alias in added if alias not in aliases]
        self.check_aliases(aliases, others)
        changes = chosen(request, ("PipelineVersionDisplayName", "PipelineVersionDescription"))
        changes["PipelineVersionAliases"] = aliases
        key = _key(pipeline, version["PipelineVersionId"])
        self._context.store.update(_VERSION, key, lambda stored: stored.update(changes))
        return {"PipelineArn": pipeline["PipelineArn"], "PipelineVersionId": version["PipelineVersionId"]}

    def delete(self, pipeline: Request) -> None:
        """Delete all versions of a pipeline."""
        for version in self.of(pipeline):
            self._context.store.delete(_VERSION, _key(pipeline, version["PipelineVersionId"]))

    def check_aliases(self, aliases: list[str], others: Iterable[Request]) -> None:
        """Raise ServiceError for aliases that a version cannot have next to the `others` of its pipeline."""
        if len(aliases) > _MAX_ALIASES:
            raise invalid(f"A pipeline version can have {_MAX_ALIASES} aliases, not {len(aliases)}.")
        if len(set(aliases)) < len(aliases):
            raise invalid("An alias is named twice.")
        if numbers := [alias for alias in aliases if alias.isdecimal()]:
            raise invalid(f"An alias can't consist of numbers only: {', '.join(numbers)}")
        for other in others:
            if taken := [alias for alias in aliases if alias in other["PipelineVersionAliases"]]:
                number = other["PipelineVersionId"]
                message = f"Version {number} has the alias {', '.join(taken)}; remove it there first."
                raise ServiceError("ConflictException", message)


def _key(pipeline: Request, number: int) -> str:
    return f"{pipeline['PipelineName']}/{number}"
