"""Lambda functions, who may call them, and projects that build images."""

from __future__ import annotations

import json
from typing import Any

from pipeline.local.cloudformation.kinds.kind import Kind, Properties, found, picked, send, unless_missing


class Function(Kind):
    """A Lambda function whose code is a zip in S3, or text in the template."""

    naming = "FunctionName"
    known = frozenset(
        {
            "Code",
            "DeadLetterConfig",
            "Description",
            "Environment",
            "Handler",
            "KmsKeyArn",
            "LoggingConfig",
            "MemorySize",
            "Role",
            "Runtime",
            "Timeout",
            "TracingConfig",
            "VpcConfig",
        }
    )
    _CONFIGURATION = (
        "DeadLetterConfig",
        "Description",
        "Environment",
        "Handler",
        "LoggingConfig",
        "MemorySize",
        "Role",
        "Runtime",
        "Timeout",
        "TracingConfig",
        "VpcConfig",
    )

    def exists(self, name: str, properties: Properties) -> bool:  # noqa: ARG002
        """Whether there is a function of that name."""
        return found(lambda: self._lambda.get_function_configuration(FunctionName=name))

    def put(self, name: str, properties: Properties) -> None:
        """Make it, or bring its code and its configuration up to date."""
        code = self._code(properties["Code"])
        configuration = picked(properties, *self._CONFIGURATION)
        # An update leaves as it was what it does not name.
        configuration = {"DeadLetterConfig": {"TargetArn": ""}, "KMSKeyArn": "", **configuration}
        if "KmsKeyArn" in properties:
            configuration["KMSKeyArn"] = properties["KmsKeyArn"]
        if self.exists(name, properties):
            self._lambda.update_function_code(FunctionName=name, ZipFile=code)
            send(self._lambda, "UpdateFunctionConfiguration", FunctionName=name, **configuration)
        else:
            send(self._lambda, "CreateFunction", FunctionName=name, Code={"ZipFile": code}, **configuration)

    def delete(self, name: str, properties: Properties) -> None:  # noqa: ARG002
        """Delete it."""
        with unless_missing():
            self._lambda.delete_function(FunctionName=name)

    def attributes(self, name: str, properties: Properties) -> dict[str, str]:  # noqa: ARG002
        """Its ARN."""
        return {"Arn": self.account.arn("lambda", f"function:{name}")}

    def _code(self, code: Properties) -> bytes:
        from botocore.exceptions import ClientError

        try:
            answer = self.account.client("s3").get_object(Bucket=code["S3Bucket"], Key=code["S3Key"])
        except ClientError as error:
            reason = error.response["Error"]
            raise RuntimeError(
                f"Error occurred while GetObject. S3 Error Code: {reason['Code']}."
                f" S3 Error Message: {reason['Message']}"
            ) from None
        return bytes(answer["Body"].read())

    @property
    def _lambda(self) -> Any:
        return self.account.client("lambda")


class Permission(Kind):
    """Who may call a function: a statement of its policy."""

    known = frozenset({"Action", "FunctionName", "Principal", "SourceAccount", "SourceArn"})
    replacing = known

    def exists(self, name: str, properties: Properties) -> bool:
        """Whether the function's policy has that statement."""
        function = properties["FunctionName"]
        if not found(lambda: self._lambda.get_policy(FunctionName=function)):
            return False
        statements = json.loads(self._lambda.get_policy(FunctionName=function)["Policy"])["Statement"]
        return any(one["Sid"] == name for one in statements)

    def put(self, name: str, properties: Properties) -> None:
        """Put it."""
        if not self.exists(name, properties):
            self._lambda.add_permission(StatementId=name, **properties)

    def delete(self, name: str, properties: Properties) -> None:
        """Take it away."""
        if self.exists(name, properties):
            self._lambda.remove_permission(FunctionName=properties["FunctionName"], StatementId=name)

    @property
    def _lambda(self) -> Any:
        return self.account.client("lambda")


class BuildProject(Kind):
    """A CodeBuild project."""

    naming = "Name"
    known = frozenset(
        {
            "Artifacts",
            "Cache",
            "ConcurrentBuildLimit",
            "Description",
            "EncryptionKey",
            "Environment",
            "LogsConfig",
            "QueuedTimeoutInMinutes",
            "ServiceRole",
            "Source",
            "Tags",
            "TimeoutInMinutes",
        }
    )

    def exists(self, name: str, properties: Properties) -> bool:  # noqa: ARG002
        """Whether there is a project of that name."""
        return bool(self._codebuild.batch_get_projects(names=[name])["projects"])

    def put(self, name: str, properties: Properties) -> None:
        """Make it; a project that is there is made anew, as this server cannot change one."""
        self.delete(name, properties)
        request = {key: value for key, value in properties.items() if key != "Name"}
        send(self._codebuild, "CreateProject", name=name, **_camel(request))

    def delete(self, name: str, properties: Properties) -> None:
        """Delete it."""
        if self.exists(name, properties):
            self._codebuild.delete_project(name=name)

    def attributes(self, name: str, properties: Properties) -> dict[str, str]:  # noqa: ARG002
        """Its ARN."""
        return {"Arn": self.account.arn("codebuild", f"project/{name}")}

    @property
    def _codebuild(self) -> Any:
        return self.account.client("codebuild")


def _camel(value: Any) -> Any:
    """CodeBuild's API writes members with a small first letter."""
    if isinstance(value, list):
        return [_camel(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        {"BuildSpec": "buildspec"}.get(key, f"{key[0].lower()}{key[1:]}"): _camel(one) for key, one in value.items()
    }
