"""What a request says under the condition keys of its action.

Keys that the reference does not list for an action are left out, as AWS leaves them out of the request's context.
Service-specific keys are explained in the service's page of the Service Authorization Reference,
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsagemaker.html and the like.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipeline.local.identity.reference import Action
from pipeline.local.identity.resources import Account

Context = dict[str, Any]


def context(action: Action, prefix: str, operation: str, request: Mapping[str, Any], account: Account) -> Context:
    """Values by condition key, in the reference's spelling; texts and lists of texts."""
    values = {**_tags(request), **_READERS.get(prefix, _nothing)(operation, request, account)}
    pattern = re.compile("|".join(_key_expression(key) for key in action.keys), re.IGNORECASE)
    return {
        key: _texts(value) for key, value in values.items() if value not in (None, "", []) and pattern.fullmatch(key)
    }


def _key_expression(key: str) -> str:
    """A key of the reference, with its placeholder (${TagKey}, <key> or a slash at the end) as a wildcard."""
    return re.sub(r"\\\$\\\{\w+\\\}|<\w+>|/$", ".+", re.escape(key))


def _texts(value: Any) -> str | list[str]:
    if isinstance(value, list):
        return list(dict.fromkeys(str(_texts(item)) for item in value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _nothing(_operation: str, _request: Mapping[str, Any], _account: Account) -> Context:
    return {}


def tags_of(request: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a request, which services write in three ways."""
    given = request.get("Tags") or request.get("tags") or {}
    if isinstance(given, Mapping):
        return {str(key): str(value) for key, value in given.items()}
    return {str(tag.get("Key", tag.get("key"))): str(tag.get("Value", tag.get("value", ""))) for tag in given}


def _tags(request: Mapping[str, Any]) -> Context:
    tags = tags_of(request)
    keys = list(tags) or request.get("TagKeys") or request.get("tagKeys") or []
    return {**{f"aws:RequestTag/{key}": value for key, value in tags.items()}, "aws:TagKeys": list(keys)}


def within(value: Any, *names: str) -> Iterator[Any]:
    """Values of all members of these names, at any depth; the items of a list each."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key in names and not isinstance(item, Mapping):
                yield from item if isinstance(item, list) else [item]
            else:
                yield from within(item, *names)
    elif isinstance(value, list):
        for item in value:
            yield from within(item, *names)


def _first(values: Iterator[Any]) -> Any:
    return next(values, None)


# ------------------------------------------------------------------------------------------------------ SageMaker
def _key_arns(keys: Iterator[Any], account: Account) -> str | None:
    key = next((key for key in keys if key), None)
    if key is None or str(key).startswith("arn:"):
        return key
    # The condition compares ARNs; a request may have the key's id or alias.
    kind = key if str(key).startswith("alias/") else f"key/{key}"
    return f"arn:aws:kms:{account.region}:{account.id}:{kind}"


def _sagemaker(operation: str, request: Mapping[str, Any], account: Account) -> Context:
    # An endpoint configuration's key is the one of its volumes (API_CreateEndpointConfig).
    volumes = "KmsKeyId" if operation == "CreateEndpointConfig" else "VolumeKmsKeyId"
    top = {key: value for key, value in request.items() if key != volumes}
    volume_keys = iter([request["KmsKeyId"]]) if volumes in request else within(request, "VolumeKmsKeyId")
    output_keys = iter(()) if operation == "CreateEndpointConfig" else within(top, "KmsKeyId")
    lifecycle = request.get("ModelLifeCycle", {})
    metadata = request.get("CustomerMetadataProperties", {})
    return {
        "sagemaker:AcceleratorTypes": list(within(request, "AcceleratorType")),
        "sagemaker:CustomerMetadataPropertiesToRemove": request.get("CustomerMetadataPropertiesToRemove"),
        **{f"sagemaker:CustomerMetadataProperties/{key}": value for key, value in metadata.items()},
        "sagemaker:DirectGatedModelAccess": _first(within(request, "AcceptEula")),
        "sagemaker:EnableRemoteDebug": _first(within(request, "EnableRemoteDebug")),
        "sagemaker:FileSystemAccessMode": _first(within(request, "FileSystemAccessMode")),
        "sagemaker:FileSystemDirectoryPath": _first(within(request, "DirectoryPath")),
        "sagemaker:FileSystemId": _first(within(request, "FileSystemId")),
        "sagemaker:FileSystemType": _first(within(request, "FileSystemType")),
        "sagemaker:InstanceTypes": list(within(request, "InstanceType")),
        "sagemaker:InterContainerTrafficEncryption": _first(within(request, "EnableInterContainerTrafficEncryption")),
        "sagemaker:KeepAlivePeriod": _first(within(request, "KeepAlivePeriodInSeconds")),
        "sagemaker:MaxRuntimeInSeconds": _first(within(request, "MaxRuntimeInSeconds")),
        "sagemaker:ModelApprovalStatus": request.get("ModelApprovalStatus"),
        "sagemaker:ModelArn": _model_arn(request, account),
        "sagemaker:ModelLifeCycle:Stage": lifecycle.get("Stage"),
        "sagemaker:ModelLifeCycle:StageStatus": lifecycle.get("StageStatus"),
        "sagemaker:NetworkIsolation": _first(within(request, "EnableNetworkIsolation")),
        "sagemaker:OutputKmsKeyArn": _key_arns(output_keys, account),
        "sagemaker:PipelineVersionId": request.get("PipelineVersionId"),
        "sagemaker:ServerlessMaxConcurrency": _first(within(request, "MaxConcurrency")),
        "sagemaker:ServerlessMemorySize": _first(within(request, "MemorySizeInMB")),
        "sagemaker:TargetModel": request.get("TargetModel"),
        "sagemaker:VolumeKmsKeyArn": _key_arns(volume_keys, account),
        "sagemaker:VpcSecurityGroupIds": list(within(request, "SecurityGroupIds")),
        "sagemaker:VpcSubnets": list(within(request, "Subnets")),
    }


def _model_arn(request: Mapping[str, Any], account: Account) -> str | None:
    """The model of a transform job, or of an endpoint configuration's first variant."""
    name = request.get("ModelName") or _first(within(request.get("ProductionVariants", []), "ModelName"))
    return f"arn:aws:sagemaker:{account.region}:{account.id}:model/{name}" if name else None


# -------------------------------------------------------------------------------------------------- other services
def _autoscaling(_operation: str, request: Mapping[str, Any], _account: Account) -> Context:
    return {
        "application-autoscaling:service-namespace": request.get("ServiceNamespace"),
        "application-autoscaling:scalable-dimension": request.get("ScalableDimension"),
    }


def _cloudformation(_operation: str, request: Mapping[str, Any], _account: Account) -> Context:
    imports = [item.get("ResourceType") for item in request.get("ResourcesToImport", [])]
    return {
        "cloudformation:ChangeSetName": request.get("ChangeSetName"),
        "cloudformation:ImportResourceTypes": imports,
        "cloudformation:ResourceTypes": request.get("ResourceTypes"),
        "cloudformation:RoleArn": request.get("RoleARN"),
        "cloudformation:StackPolicyUrl": request.get("StackPolicyURL"),
        "cloudformation:TemplateUrl": request.get("TemplateURL"),
    }


def _cloudwatch(_operation: str, request: Mapping[str, Any], _account: Account) -> Context:
    return {
        "cloudwatch:namespace": request.get("Namespace"),
        "cloudwatch:AlarmActions": request.get("AlarmActions"),
    }


# Members of StartBuild by the part of the project that they take the place of; a key is the part's path.
# https://docs.aws.amazon.com/codebuild/latest/userguide/action-context-keys.html
_OVERRIDES = {
    "artifactsOverride": "artifacts",
    "autoRetryLimitOverride": "autoRetryLimit",
    "buildStatusConfigOverride": "source.buildStatusConfig",
    "buildspecOverride": "source.buildspec",
    "cacheOverride": "cache",
    "certificateOverride": "environment.certificate",
    "computeTypeOverride": "environment.computeType",
    "encryptionKeyOverride": "encryptionKey",
    "environmentTypeOverride": "environment.type",
    "environmentVariablesOverride": "environment.environmentVariables",
    "fleetOverride": "environment.fleet",
    "imageOverride": "environment.image",
    "imagePullCredentialsTypeOverride": "environment.imagePullCredentialsType",
    "insecureSslOverride": "source.insecureSsl",
    "logsConfigOverride": "logsConfig",
    "privilegedModeOverride": "environment.privilegedMode",
    "registryCredentialOverride": "environment.registryCredential",
    "secondaryArtifactsOverride": "secondaryArtifacts",
    "secondarySourcesOverride": "secondarySources",
    "serviceRoleOverride": "serviceRole",
    "sourceAuthOverride": "source.auth",
    "sourceLocationOverride": "source.location",
}


def _codebuild(_operation: str, request: Mapping[str, Any], _account: Account) -> Context:
    values: Context = {}
    for member, value in request.items():
        _add_parts(values, f"codebuild:{_OVERRIDES.get(member, member)}", value)
    return values


def _add_parts(values: Context, key: str, value: Any) -> None:
    """A value by its path; a structure is true where it exists, and its members follow; a list has those of all."""
    if isinstance(value, Mapping):
        values[key] = True
        for name, part in value.items():
            _add_parts(values, f"{key}.{name}", part)
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        values[key] = True
        for name in dict.fromkeys(name for item in value for name in item):
            values[f"{key}.{name}"] = [item[name] for item in value if name in item]
        for item in value:
            if "name" in item and "value" in item:
                values[f"{key}/{item['name']}.value"] = item["value"]
    else:
        values[key] = value


def _events(_operation: str, request: Mapping[str, Any], _account: Account) -> Context:
    return {
        "events:TargetArn": [target.get("Arn") for target in request.get("Targets", [])],
        "events:source": list(within(request.get("Entries", []), "Source")),
        "events:detail-type": list(within(request.get("Entries", []), "DetailType")),
    }


def _iam(_operation: str, request: Mapping[str, Any], _account: Account) -> Context:
    return {
        "iam:AWSServiceName": request.get("AWSServiceName"),
        "iam:PermissionsBoundary": request.get("PermissionsBoundary"),
        "iam:PolicyARN": request.get("PolicyArn"),
    }


def _lambda(_operation: str, request: Mapping[str, Any], _account: Account) -> Context:
    network = request.get("VpcConfig", {})
    return {
        "lambda:CodeSigningConfigArn": request.get("CodeSigningConfigArn"),
        "lambda:FunctionUrlAuthType": request.get("FunctionUrlAuthType"),
        "lambda:Layer": request.get("Layers"),
        "lambda:Principal": request.get("Principal"),
        "lambda:SecurityGroupIds": network.get("SecurityGroupIds"),
        "lambda:SubnetIds": network.get("SubnetIds"),
    }


def _secretsmanager(_operation: str, request: Mapping[str, Any], _account: Account) -> Context:
    return {
        "secretsmanager:SecretId": request.get("SecretId"),
        "secretsmanager:VersionId": request.get("VersionId"),
        "secretsmanager:VersionStage": request.get("VersionStage"),
        "secretsmanager:Name": request.get("Name"),
    }


def _servicequotas(_operation: str, request: Mapping[str, Any], _account: Account) -> Context:
    return {"servicequotas:service": request.get("ServiceCode")}


def _sns(_operation: str, request: Mapping[str, Any], _account: Account) -> Context:
    return {"sns:Endpoint": request.get("Endpoint"), "sns:Protocol": request.get("Protocol")}


def _sts(_operation: str, request: Mapping[str, Any], _account: Account) -> Context:
    return {
        "sts:ExternalId": request.get("ExternalId"),
        "sts:RoleSessionName": request.get("RoleSessionName"),
        "sts:SourceIdentity": request.get("SourceIdentity"),
        "sts:TransitiveTagKeys": request.get("TransitiveTagKeys"),
    }


_READERS: dict[str, Callable[[str, Mapping[str, Any], Account], Context]] = {
    "application-autoscaling": _autoscaling,
    "cloudformation": _cloudformation,
    "cloudwatch": _cloudwatch,
    "codebuild": _codebuild,
    "events": _events,
    "iam": _iam,
    "lambda": _lambda,
    "sagemaker": _sagemaker,
    "secretsmanager": _secretsmanager,
    "servicequotas": _servicequotas,
    "sns": _sns,
    "sts": _sts,
}
