"""What a request says under the condition keys of its action.

Keys that the reference does not list for an action are left out, as AWS leaves them out of the request's context.
Service-specific keys are explained in the service's page of the Service Authorization Reference,
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsagemaker.html and the like.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipeline.local.identity.modelled import Entries
from pipeline.local.identity.reference import Action
from pipeline.local.identity.resources import Account

Context = dict[str, Any]


class _Each(list[Any]):
    """The values that a request has of a key with one value in a context: of several channels, or variants."""


def contexts(
    action: Action, prefix: str, operation: str, request: Mapping[str, Any], account: Account
) -> list[Context]:
    """Values by condition key, in the reference's spelling; texts and lists of texts.

    `request` has the members of the operation's model alone (modelled.py). A request with several values of a key that
    has one in a context has a context for each, and all have to be allowed: AWS's pages do not say which value counts.
    """
    pattern = re.compile("|".join(_key_expression(key) for key in action.keys), re.IGNORECASE)
    result: list[Context] = []
    for part in _parts(request):
        values = {**_tags(request), **_READERS.get(prefix, _nothing)(operation, part, account)}
        values = {key: value for key, value in values.items() if value not in (None, "", []) and pattern.fullmatch(key)}
        several = max((len(value) for value in values.values() if isinstance(value, _Each)), default=1)
        result += [{key: _texts(_at(value, place)) for key, value in values.items()} for place in range(several)]
    return [context for place, context in enumerate(result) if context not in result[:place]]


def _parts(request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A tuning job's request with each of its training jobs alone: what one leaves out, another does not say for it."""
    definitions = request.get("TrainingJobDefinitions")
    if not definitions:
        return [request]
    rest = {key: value for key, value in request.items() if not key.startswith("TrainingJobDefinition")}
    jobs = [request["TrainingJobDefinition"]] if "TrainingJobDefinition" in request else []
    return [{**rest, "TrainingJobDefinition": job} for job in (*jobs, *definitions)]


def _at(value: Any, place: int) -> Any:
    return value[min(place, len(value) - 1)] if isinstance(value, _Each) else value


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
    """Values of all members of these names, at any depth; the items of a list each.

    A map's keys are the caller's words and no members: an environment variable InstanceType is no instance type.
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key in names and not isinstance(item, Mapping) and not isinstance(value, Entries):
                yield from item if isinstance(item, list) else [item]
            else:
                yield from within(item, *names)
    elif isinstance(value, list):
        for item in value:
            yield from within(item, *names)


def _each(values: Iterator[Any]) -> _Each:
    """The different values, without empty ones."""
    return _Each(dict.fromkeys(value for value in values if value not in (None, "")))


# ------------------------------------------------------------------------------------------------------ SageMaker
def _key_arns(keys: Iterator[Any], account: Account) -> _Each:
    """The condition compares ARNs; a request may have the key's id or alias."""
    place = f"arn:aws:kms:{account.region}:{account.id}"
    return _each(
        key if key.startswith("arn:") else f"{place}:{key if key.startswith('alias/') else f'key/{key}'}"
        for key in map(str, filter(None, keys))
    )


# Where the key of a job's output is: a job has other members KmsKeyId too, such as those of a query for its input.
_OUTPUTS = ("OutputDataConfig", "ProcessingOutputConfig", "TransformOutput")


def _sagemaker(operation: str, request: Mapping[str, Any], account: Account) -> Context:
    # An endpoint configuration's key is the one of its volumes (API_CreateEndpointConfig).
    if operation == "CreateEndpointConfig":
        volume_keys, output_keys = iter([request.get("KmsKeyId")]), iter(())
    else:
        volume_keys = within(request, "VolumeKmsKeyId")
        output_keys = (key for output in _structures(request, *_OUTPUTS) for key in within(output, "KmsKeyId"))
    conditions = _structures(request, "StoppingCondition")
    runtimes = (seconds for condition in conditions for seconds in within(condition, "MaxRuntimeInSeconds"))
    lifecycle = request.get("ModelLifeCycle", {})
    metadata = request.get("CustomerMetadataProperties", {})
    return {
        "sagemaker:AcceleratorTypes": list(within(request, "AcceleratorType")),
        "sagemaker:CustomerMetadataPropertiesToRemove": request.get("CustomerMetadataPropertiesToRemove"),
        **{f"sagemaker:CustomerMetadataProperties/{key}": value for key, value in metadata.items()},
        "sagemaker:DirectGatedModelAccess": _each(within(request, "AcceptEula")),
        "sagemaker:EnableRemoteDebug": _each(within(request, "EnableRemoteDebug")),
        "sagemaker:FileSystemAccessMode": _each(within(request, "FileSystemAccessMode")),
        "sagemaker:FileSystemDirectoryPath": _each(within(request, "DirectoryPath")),
        "sagemaker:FileSystemId": _each(within(request, "FileSystemId")),
        "sagemaker:FileSystemType": _each(within(request, "FileSystemType")),
        "sagemaker:InstanceTypes": list(within(request, "InstanceType")),
        "sagemaker:InterContainerTrafficEncryption": _each(within(request, "EnableInterContainerTrafficEncryption")),
        "sagemaker:KeepAlivePeriod": _each(within(request, "KeepAlivePeriodInSeconds")),
        "sagemaker:MaxRuntimeInSeconds": _each(runtimes),
        "sagemaker:ModelApprovalStatus": request.get("ModelApprovalStatus"),
        "sagemaker:ModelArn": _model_arns(request, account),
        "sagemaker:ModelLifeCycle:Stage": lifecycle.get("Stage"),
        "sagemaker:ModelLifeCycle:StageStatus": lifecycle.get("StageStatus"),
        "sagemaker:NetworkIsolation": _each(within(request, "EnableNetworkIsolation")),
        "sagemaker:OutputKmsKeyArn": _key_arns(output_keys, account),
        "sagemaker:PipelineVersionId": request.get("PipelineVersionId"),
        "sagemaker:ServerlessMaxConcurrency": _each(within(request, "MaxConcurrency")),
        "sagemaker:ServerlessMemorySize": _each(within(request, "MemorySizeInMB")),
        "sagemaker:TargetModel": request.get("TargetModel"),
        "sagemaker:VolumeKmsKeyArn": _key_arns(volume_keys, account),
        "sagemaker:VpcSecurityGroupIds": list(within(request, "SecurityGroupIds")),
        "sagemaker:VpcSubnets": list(within(request, "Subnets")),
    }


def _structures(value: Any, *names: str) -> Iterator[Mapping[str, Any]]:
    """The structures that are members of these names, at any depth."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key in names and isinstance(item, Mapping) and not isinstance(value, Entries):
                yield item
            else:
                yield from _structures(item, *names)
    elif isinstance(value, list):
        for item in value:
            yield from _structures(item, *names)


def _model_arns(request: Mapping[str, Any], account: Account) -> _Each:
    """The model of a transform job, or those of an endpoint configuration's variants."""
    variants = [*request.get("ProductionVariants", []), *request.get("ShadowProductionVariants", [])]
    names = [request.get("ModelName"), *within(variants, "ModelName")]
    return _each(f"arn:aws:sagemaker:{account.region}:{account.id}:model/{name}" for name in names if name)


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
