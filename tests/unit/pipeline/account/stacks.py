"""The account's template as CloudFormation would resolve it, for settings of several kinds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from pipeline import ROOT
from pipeline.account import stack
from pipeline.account.parameters import parameters
from pipeline.aws import cloudformation as template
from pipeline.settings import Settings
from pipeline.settings.file import load_settings
from steps.contracts import names
from tests.unit.pipeline.account.policies import Policies

TEXT = stack.TEMPLATE.read_text()
READ = template.read(TEXT)
CODE = "bin-counting-code/deploy-0123456789abcdef.zip"
KEY = "arn:aws:kms:us-east-1:111122223333:key/12345678-1234-1234-1234-123456789012"
SUBNETS = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
MLFLOW = "arn:aws:sagemaker:us-east-1:111122223333:mlflow-tracking-server/tracking"
PLAIN = load_settings(ROOT / "pipeline.yaml", "prod")

# Attributes and references that are not the resource's name.
_ATTRIBUTES = {
    "AWS::IAM::Role": ("RoleName", "arn:aws:iam::{account}:role/{name}"),
    "AWS::IAM::ManagedPolicy": ("ManagedPolicyName", "arn:aws:iam::{account}:policy/{name}"),
    "AWS::IAM::OIDCProvider": ("Url", "arn:aws:iam::{account}:oidc-provider/{host}"),
    "AWS::S3::Bucket": ("BucketName", "arn:aws:s3:::{name}"),
    "AWS::ECR::Repository": ("RepositoryName", "arn:aws:ecr:{region}:{account}:repository/{name}"),
    "AWS::Lambda::Function": ("FunctionName", "arn:aws:lambda:{region}:{account}:function:{name}"),
    "AWS::SQS::Queue": ("QueueName", "arn:aws:sqs:{region}:{account}:{name}"),
    "AWS::SNS::Topic": ("TopicName", "arn:aws:sns:{region}:{account}:{name}"),
    "AWS::Events::Rule": ("Name", "arn:aws:events:{region}:{account}:rule/{name}"),
    "AWS::Logs::LogGroup": ("LogGroupName", "arn:aws:logs:{region}:{account}:log-group:{name}:*"),
    "AWS::CodeBuild::Project": ("Name", "arn:aws:codebuild:{region}:{account}:project/{name}"),
}
_REFERENCED_BY_ARN = ("AWS::IAM::ManagedPolicy", "AWS::IAM::OIDCProvider", "AWS::SNS::Topic")


def settings(**groups: Mapping[str, Any]) -> Settings:
    """The settings of the repository's pipeline.yaml with other values in some groups."""
    base = PLAIN.model_dump()
    return Settings.model_validate({**base, **{name: {**base[name], **values} for name, values in groups.items()}})


FULL = settings(
    data={"inventory": "s3://inventories/lists/aft-vbi-pds/daily"},
    shard={"split": "file", "split_file": "s3://splits/published"},
    training={"weights": "s3://weights/resnet34.safetensors"},
    tracking={"kind": "wandb", "wandb_secret": "wandb/key"},
    network={"subnets": SUBNETS, "security_groups": ["sg-0123456789abcdef0"], "encrypt_traffic": True},
    encryption={"kms_key": KEY},
    alerts={"email": "bins@example.com", "monthly_budget": 250.5},
    ci={"github_repository": "example/bins", "branch": "main", "make_provider": True},
    monitoring={
        "truth": "s3://labels/bins/counts",
        "minimum_accuracy": 0.8,
        "minimum_set_coverage": 0.85,
        "minimum_sure_accuracy": 0.95,
    },
)
ISOLATED = settings(network={"isolation": True}, training={"input": "fastfile"})
TRACKED = settings(tracking={"kind": "mlflow", "mlflow_server": MLFLOW})
# The plan and the exploration as jobs of their own.
APART = settings(
    shard={"planner": "spark", "plan_instance_count": 2},
    explore={"enabled": True, "engine": "spark", "instance_count": 2},
    network={"encrypt_traffic": True},
)
VARIANTS = {"plain": PLAIN, "full": FULL, "isolated": ISOLATED, "tracked": TRACKED, "apart": APART}


class Stack:
    """What the template comes to for some settings."""

    def __init__(self, chosen: Settings, code: str = CODE, declared: Mapping[str, Any] = READ) -> None:
        self.settings = chosen
        self._declared = declared
        self._names = {"account": chosen.account.id, "region": chosen.account.region}
        pseudo = {"AWS::AccountId": chosen.account.id, "AWS::Region": chosen.account.region, "AWS::Partition": "aws"}
        self._evaluation = template.ResolvedTemplate(
            declared,
            {name: value for name, value in parameters(chosen, code).items() if name in declared["Parameters"]},
            pseudo,
            reference=self._reference,
            attribute=self._attribute,
        )

    @cached_property
    def resources(self) -> dict[str, dict[str, Any]]:
        """Each resource's properties by its name in the template."""
        return {
            name: self._evaluation.value(one.get("Properties", {}))
            for name, one in self._evaluation.resources().items()
        }

    @cached_property
    def outputs(self) -> dict[str, Any]:
        """Values of the outputs whose condition holds."""
        return {
            name: self._evaluation.value(one["Value"])
            for name, one in READ["Outputs"].items()
            if "Condition" not in one or self._evaluation.condition(one["Condition"])
        }

    def documents(self) -> dict[str, dict[str, Any]]:
        """Every policy document but trust policies, by resource (and policy)."""
        found = {}
        for name, properties in self.resources.items():
            if "PolicyDocument" in properties:
                found[name] = properties["PolicyDocument"]
            for inline in properties.get("Policies", []):
                found[f"{name}/{inline['PolicyName']}"] = inline["PolicyDocument"]
        return found

    def policies(self, name: str) -> Policies:
        """What a role, with the policies attached to it, or a managed policy comes to."""
        properties = self.resources[name]
        documents = [inline["PolicyDocument"] for inline in properties.get("Policies", [])]
        attached = properties.get("ManagedPolicyArns", [])
        for other in [name] if "PolicyDocument" in properties else self.resources:
            if "PolicyDocument" in properties or self._reference(other) in attached:
                documents.append(self.resources[other]["PolicyDocument"])
        return Policies.of(*documents)

    def _reference(self, name: str) -> str:
        kind = READ["Resources"][name]["Type"]
        return self._arn(name) if kind in _REFERENCED_BY_ARN else self._name(name)

    def _attribute(self, name: str, attribute: str) -> str:
        return self._arn(name) if attribute == "Arn" else self._name(name)

    def _name(self, name: str) -> str:
        resource = READ["Resources"][name]
        if resource["Type"] not in _ATTRIBUTES:
            return name
        return str(self._evaluation.value(resource["Properties"][_ATTRIBUTES[resource["Type"]][0]]))

    def _arn(self, name: str) -> str:
        pattern = _ATTRIBUTES[READ["Resources"][name]["Type"]][1]
        own = self._name(name)
        return pattern.format(**self._names, name=own, host=own.removeprefix("https://"))


def alarms(settings: Settings) -> list[dict[str, Any]]:
    """PutMetricAlarm's requests for the endpoint's alarms. An endpoint without requests is not in alarm."""
    errors, latency = settings.alarms
    dimensions = [
        {"Name": "EndpointName", "Value": settings.endpoint.name},
        {"Name": "VariantName", "Value": names.VARIANT},
    ]
    common = {
        "Namespace": "AWS/SageMaker",
        "Dimensions": dimensions,
        "Period": 60,
        "EvaluationPeriods": 1,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    }
    return [
        {
            **common,
            "AlarmName": errors,
            "AlarmDescription": f"The endpoint answers with errors of its own. Look: {settings.command} endpoint",
            "MetricName": "Invocation5XXErrors",
            "Statistic": "Sum",
            "Threshold": float(settings.endpoint.maximum_errors),
        },
        {
            **common,
            "AlarmName": latency,
            "AlarmDescription": f"The endpoint's slowest answers take too long. Look: {settings.command} endpoint",
            "MetricName": "ModelLatency",
            "ExtendedStatistic": "p99",
            "Threshold": settings.endpoint.maximum_latency_milliseconds * 1000.0,  # the metric is in microseconds
        },
    ]
