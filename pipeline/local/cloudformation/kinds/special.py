"""Types of resources with parts that need operations of their own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pipeline.aws.errors import code_of
from pipeline.aws.responses import exists, ignore_missing
from pipeline.local.cloudformation.kinds.kind import Account, Kind, Properties


class Function(Kind):
    """A Lambda function whose code is a zip in S3."""

    def request(self, account: Account, name: str, properties: Properties) -> dict[str, Any]:
        """With the code's bytes: the Lambda server cannot read them from S3."""
        from botocore.exceptions import ClientError

        source = {"Bucket": properties["Code"]["S3Bucket"], "Key": properties["Code"]["S3Key"]}
        try:
            code = account.client("s3").get_object(**source)["Body"].read()
        except ClientError as error:
            message = f"S3 Error Code: {code_of(error)}. S3 Error Message: {error.response['Error']['Message']}"
            raise RuntimeError(f"Error occurred while GetObject. {message}") from None
        return {**super().request(account, name, properties), "Code": {"ZipFile": code}, "ZipFile": code}


class Permission(Kind):
    """A statement of a function's policy: a principal that may call it."""

    def exists(self, account: Account, name: str, properties: Properties) -> bool:
        """Whether the function's policy has the statement."""
        answer = exists(account.client("lambda").get_policy, FunctionName=properties["FunctionName"])
        statements = json.loads(answer["Policy"])["Statement"] if answer else []
        return any(statement["Sid"] == name for statement in statements)


class WorkGroup(Kind):
    """An Athena workgroup. An update names its configuration differently from a creation."""

    def request(self, account: Account, name: str, properties: Properties) -> dict[str, Any]:
        """With the updates that result in the configuration."""
        updates = dict(properties.get("WorkGroupConfiguration", {}))
        if result := updates.pop("ResultConfiguration", None):
            updates["ResultConfigurationUpdates"] = result
        return {**super().request(account, name, properties), "ConfigurationUpdates": updates}


class Database(Kind):
    """A Glue database, whose generated name is in lower case."""

    def name(self, stack: str, logical: str, properties: Properties) -> str:
        """The database's name."""
        container, member = self.nested_naming
        return str(properties[container].get(member) or super().name(stack, logical, properties).lower())


class Role(Kind):
    """An IAM role with its inline and managed policies."""

    def request(self, account: Account, name: str, properties: Properties) -> dict[str, Any]:
        """With the trust policy as UpdateAssumeRolePolicy names it."""
        request = super().request(account, name, properties)
        return {**request, "PolicyDocument": properties["AssumeRolePolicyDocument"]}

    def after_put(self, account: Account, name: str, properties: Properties) -> None:
        """Put and attach the template's policies, and delete and detach all others."""
        inline = {policy["PolicyName"]: policy["PolicyDocument"] for policy in properties.get("Policies", [])}
        self._set_policies(account, name, inline, set(properties.get("ManagedPolicyArns", [])))

    def before_delete(self, account: Account, name: str, properties: Properties) -> None:  # noqa: ARG002
        """Delete and detach its policies."""
        self._set_policies(account, name, {}, set())

    def _set_policies(self, account: Account, role: str, inline: Properties, managed: set[str]) -> None:
        iam = account.client("iam")
        for policy in set(iam.list_role_policies(RoleName=role)["PolicyNames"]) - set(inline):
            iam.delete_role_policy(RoleName=role, PolicyName=policy)
        for policy, document in inline.items():
            iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(document))
        policies = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        attached = {policy["PolicyArn"] for policy in policies}
        for arn in attached - managed:
            iam.detach_role_policy(RoleName=role, PolicyArn=arn)
        for arn in managed - attached:
            iam.attach_role_policy(RoleName=role, PolicyArn=arn)


class ManagedPolicy(Kind):
    """A managed policy of one version, attached to roles."""

    def after_put(self, account: Account, name: str, properties: Properties) -> None:
        """Delete older versions, attach the policy to the template's roles and detach it from all others."""
        self._release(account, name, properties, set(properties.get("Roles", [])))

    def before_delete(self, account: Account, name: str, properties: Properties) -> None:
        """Detach it from its roles, and delete all versions but the last."""
        self._release(account, name, properties, set())

    def _release(self, account: Account, name: str, properties: Properties, roles: set[str]) -> None:
        iam, arn = account.client("iam"), self.reference(account, name, properties)
        for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
            if not version["IsDefaultVersion"]:
                iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
        entities = iam.list_entities_for_policy(PolicyArn=arn, EntityFilter="Role")["PolicyRoles"]
        attached = {role["RoleName"] for role in entities}
        for role in attached - roles:
            iam.detach_role_policy(RoleName=role, PolicyArn=arn)
        for role in roles - attached:
            iam.attach_role_policy(RoleName=role, PolicyArn=arn)


class Queue(Kind):
    """An SQS queue, whose properties are attributes in requests."""

    def request(self, account: Account, name: str, properties: Properties) -> dict[str, Any]:  # noqa: ARG002
        """The attributes."""
        return {"Attributes": {key: value for key, value in properties.items() if key != self.naming}}

    def reference(self, account: Account, name: str, properties: Properties) -> str:  # noqa: ARG002
        """Its URL."""
        return str(account.client("sqs").get_queue_url(QueueName=name)["QueueUrl"])


class QueuePolicy(Kind):
    """The policy of queues. It has no name."""

    def exists(self, account: Account, name: str, properties: Properties) -> bool:  # noqa: ARG002
        """False."""
        return False

    def put(self, account: Account, name: str, properties: Properties, tags: Sequence[Properties] = ()) -> None:  # noqa: ARG002
        """Set the policy."""
        self._set(account, properties, json.dumps(properties["PolicyDocument"]))

    def delete(self, account: Account, name: str, properties: Properties) -> None:  # noqa: ARG002
        """Remove the policy."""
        with ignore_missing():
            self._set(account, properties, "")

    def _set(self, account: Account, properties: Properties, policy: str) -> None:
        sqs = account.client("sqs")
        for url in properties["Queues"]:
            # The URL may have the port of an earlier start of the local cloud.
            current = sqs.get_queue_url(QueueName=url.rsplit("/", 1)[-1])["QueueUrl"]
            sqs.set_queue_attributes(QueueUrl=current, Attributes={"Policy": policy})


class Topic(Kind):
    """An SNS topic with its subscriptions."""

    def after_put(self, account: Account, name: str, properties: Properties) -> None:
        """Set the attributes, subscribe the template's endpoints and unsubscribe all others."""
        sns, arn = account.client("sns"), self.reference(account, name, properties)
        for attribute in ("DisplayName", "KmsMasterKeyId"):
            if attribute in properties:
                value = properties[attribute]
                sns.set_topic_attributes(TopicArn=arn, AttributeName=attribute, AttributeValue=value)
        endpoints = {(item["Protocol"], item["Endpoint"]) for item in properties.get("Subscription", [])}
        for subscription in sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]:
            if (subscription["Protocol"], subscription["Endpoint"]) not in endpoints:
                sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
        # An endpoint that is subscribed already keeps its subscription.
        for protocol, endpoint in sorted(endpoints):
            sns.subscribe(TopicArn=arn, Protocol=protocol, Endpoint=endpoint)


class Rule(Kind):
    """An EventBridge rule of the default bus, with its targets."""

    def after_put(self, account: Account, name: str, properties: Properties) -> None:
        """Put the template's targets and remove all others."""
        targets = properties.get("Targets", [])
        self._remove_targets(account, name, {target["Id"] for target in targets})
        if targets:
            account.send(self.service, "PutTargets", {"Rule": name, "Targets": targets})

    def before_delete(self, account: Account, name: str, properties: Properties) -> None:  # noqa: ARG002
        """Remove the targets."""
        self._remove_targets(account, name, set())

    def _remove_targets(self, account: Account, name: str, retained: set[str]) -> None:
        events = account.client("events")
        targets = {target["Id"] for target in events.list_targets_by_rule(Rule=name)["Targets"]}
        if surplus := sorted(targets - retained):
            events.remove_targets(Rule=name, Ids=surplus)


class Bucket(Kind):
    """A bucket of the object server, with its versioning and lifecycle.

    Encryption at rest, ownership and the block of public access are accepted and not applied: the object server answers
    only requests signed with the cloud's own key.
    """

    def request(self, account: Account, name: str, properties: Properties) -> dict[str, Any]:
        """With the stack's region, which S3 wants to be named everywhere but in us-east-1."""
        region = account.context.region
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        return {**super().request(account, name, properties), **place}

    def after_put(self, account: Account, name: str, properties: Properties) -> None:
        """Put or delete the lifecycle."""
        if rules := properties.get("LifecycleConfiguration", {}).get("Rules"):
            request = {"Bucket": name, "LifecycleConfiguration": {"Rules": list(map(lifecycle_rule, rules))}}
            account.send(self.service, "PutBucketLifecycleConfiguration", request)
        else:
            account.client("s3").delete_bucket_lifecycle(Bucket=name)

    def before_delete(self, account: Account, name: str, properties: Properties) -> None:  # noqa: ARG002
        """Refuse a bucket with objects, as S3 does; the object server would delete the objects too."""
        if account.client("s3").list_object_versions(Bucket=name, MaxKeys=1).get("Versions"):
            raise RuntimeError(f"The bucket you tried to delete is not empty: {name}")


def lifecycle_rule(rule: Properties) -> dict[str, Any]:
    """A lifecycle rule in the form of S3's API, from one in CloudFormation's form. Raises ValueError.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-s3-bucket-rule.html
    """
    result: dict[str, Any] = {"Filter": {"Prefix": rule.get("Prefix", "")}}
    for name, value in rule.items():
        match name:
            case "Prefix":
                pass
            case "NoncurrentVersionExpirationInDays":
                result["NoncurrentVersionExpiration"] = {"NoncurrentDays": value}
            case "ExpirationInDays":
                result.setdefault("Expiration", {})["Days"] = value
            case "ExpiredObjectDeleteMarker":
                result.setdefault("Expiration", {})[name] = value
            case "Id" | "Status" | "NoncurrentVersionExpiration" | "AbortIncompleteMultipartUpload":
                result[name] = value
            case _:
                raise ValueError(f"the local cloud's buckets have no {name} in a lifecycle")
    return result
