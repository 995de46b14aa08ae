"""Roles, policies and identity providers. They are kept and described; no policy is enforced."""

from __future__ import annotations

import json
from typing import Any

from pipeline.local.cloudformation.kinds.kind import Kind, Properties, found, picked, send, unless_missing


class Role(Kind):
    """An IAM role with its policies."""

    naming = "RoleName"
    known = frozenset(
        {
            "AssumeRolePolicyDocument",
            "Description",
            "ManagedPolicyArns",
            "MaxSessionDuration",
            "Path",
            "Policies",
        }
    )
    replacing = frozenset({"Path"})

    def exists(self, name: str, properties: Properties) -> bool:  # noqa: ARG002
        """Whether there is a role of that name."""
        return found(lambda: self._iam.get_role(RoleName=name))

    def put(self, name: str, properties: Properties) -> None:
        """Make it, or bring it up to date, with the policies it has and no others."""
        trust = json.dumps(properties["AssumeRolePolicyDocument"])
        described = picked(properties, "Description", "MaxSessionDuration")
        if self.exists(name, properties):
            self._iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust)
            send(self._iam, "UpdateRole", RoleName=name, **described)
        else:
            request = {**described, **picked(properties, "Path")}
            send(self._iam, "CreateRole", RoleName=name, AssumeRolePolicyDocument=trust, **request)
        wanted = {policy["PolicyName"]: policy["PolicyDocument"] for policy in properties.get("Policies", [])}
        for policy in set(self._inline(name)) - set(wanted):
            self._iam.delete_role_policy(RoleName=name, PolicyName=policy)
        for policy, document in wanted.items():
            self._iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document))
        managed = set(properties.get("ManagedPolicyArns", []))
        attached = set(self._attached(name))
        for arn in attached - managed:
            self._iam.detach_role_policy(RoleName=name, PolicyArn=arn)
        for arn in managed - attached:
            self._iam.attach_role_policy(RoleName=name, PolicyArn=arn)

    def delete(self, name: str, properties: Properties) -> None:  # noqa: ARG002
        """Delete it with its policies."""
        with unless_missing():
            for policy in self._inline(name):
                self._iam.delete_role_policy(RoleName=name, PolicyName=policy)
            for arn in self._attached(name):
                self._iam.detach_role_policy(RoleName=name, PolicyArn=arn)
            self._iam.delete_role(RoleName=name)

    def attributes(self, name: str, properties: Properties) -> dict[str, str]:
        """Its ARN."""
        path = properties.get("Path", "/")
        return {"Arn": self.account.arn("iam", f"role{path}{name}", regional=False)}

    def _inline(self, name: str) -> list[str]:
        names: list[str] = self._iam.list_role_policies(RoleName=name)["PolicyNames"]
        return names

    def _attached(self, name: str) -> list[str]:
        attached = self._iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        return [one["PolicyArn"] for one in attached]

    @property
    def _iam(self) -> Any:
        return self.account.client("iam")


class ManagedPolicy(Kind):
    """A managed policy, attached to roles."""

    naming = "ManagedPolicyName"
    known = frozenset({"Description", "Path", "PolicyDocument", "Roles"})
    replacing = frozenset({"Description", "Path"})

    def exists(self, name: str, properties: Properties) -> bool:
        """Whether there is a policy of that name."""
        return found(lambda: self._iam.get_policy(PolicyArn=self.reference(name, properties)))

    def put(self, name: str, properties: Properties) -> None:
        """Make it, or give it a new default version; attach it where it is wanted and nowhere else."""
        arn, document = self.reference(name, properties), json.dumps(properties["PolicyDocument"])
        if self.exists(name, properties):
            for version in self._iam.list_policy_versions(PolicyArn=arn)["Versions"]:
                if not version["IsDefaultVersion"]:
                    self._iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
            self._iam.create_policy_version(PolicyArn=arn, PolicyDocument=document, SetAsDefault=True)
        else:
            optional = picked(properties, "Description", "Path")
            self._iam.create_policy(PolicyName=name, PolicyDocument=document, **optional)
        wanted, attached = set(properties.get("Roles", [])), set(self._roles(arn))
        for role in attached - wanted:
            self._iam.detach_role_policy(RoleName=role, PolicyArn=arn)
        for role in wanted - attached:
            self._iam.attach_role_policy(RoleName=role, PolicyArn=arn)

    def delete(self, name: str, properties: Properties) -> None:
        """Delete it, from its roles too."""
        arn = self.reference(name, properties)
        with unless_missing():
            for role in self._roles(arn):
                self._iam.detach_role_policy(RoleName=role, PolicyArn=arn)
            for version in self._iam.list_policy_versions(PolicyArn=arn)["Versions"]:
                if not version["IsDefaultVersion"]:
                    self._iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
            self._iam.delete_policy(PolicyArn=arn)

    def reference(self, name: str, properties: Properties) -> str:
        """Its ARN."""
        return self.account.arn("iam", f"policy{properties.get('Path', '/')}{name}", regional=False)

    def attributes(self, name: str, properties: Properties) -> dict[str, str]:
        """Its ARN."""
        return {"PolicyArn": self.reference(name, properties)}

    def _roles(self, arn: str) -> list[str]:
        attached = self._iam.list_entities_for_policy(PolicyArn=arn, EntityFilter="Role")["PolicyRoles"]
        return [one["RoleName"] for one in attached]

    @property
    def _iam(self) -> Any:
        return self.account.client("iam")


class IdentityProvider(Kind):
    """An OpenID Connect provider."""

    naming = "Url"
    known = frozenset({"ClientIdList", "ThumbprintList"})

    def exists(self, name: str, properties: Properties) -> bool:
        """Whether there is a provider for that address."""
        arn = self.reference(name, properties)
        return found(lambda: self._iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn))

    def put(self, name: str, properties: Properties) -> None:
        """Make it, or make it anew with other clients."""
        self.delete(name, properties)
        self._iam.create_open_id_connect_provider(
            Url=name,
            ClientIDList=properties.get("ClientIdList", []),
            # IAM finds a thumbprint by itself; this server wants one.
            ThumbprintList=properties.get("ThumbprintList", ["0" * 40]),
        )

    def delete(self, name: str, properties: Properties) -> None:
        """Delete it."""
        with unless_missing():
            self._iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=self.reference(name, properties))

    def reference(self, name: str, properties: Properties) -> str:  # noqa: ARG002
        """Its ARN."""
        return self.account.arn("iam", f"oidc-provider/{name.removeprefix('https://')}", regional=False)

    def attributes(self, name: str, properties: Properties) -> dict[str, str]:
        """Its ARN."""
        return {"Arn": self.reference(name, properties)}

    @property
    def _iam(self) -> Any:
        return self.account.client("iam")
