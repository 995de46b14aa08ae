"""The account's identities: credentials, roles that services assume, and clients that act as a role.

https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html
"""

from __future__ import annotations

import functools
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from pipeline.local.context import Context, ServiceError
from pipeline.local.identity.authorizer import Authorizer, service_principal
from pipeline.local.identity.caller import Caller, of_session, root
from pipeline.local.identity.requirements import Account, Check
from pipeline.local.identity.sessions import Credentials, Sessions

# The name of a session in which a service acts for a job.
SESSION_NAME = "SageMaker"
CREDENTIALS_PATH = "/v2/credentials/"
# Life of the credentials with which a service itself acts; they are renewed. AWS's own are not visible to anybody.
SERVICE_SECONDS = 3600
# Clients that are kept: a client costs more than a call.
CLIENTS = 256


class Identity:
    """Everybody who acts in one local cloud."""

    def __init__(self, context: Context, *, audit: bool = False) -> None:
        self._context = context
        self.sessions = Sessions(context.directory)
        self.authorizer = Authorizer(context.directory, Account(context.account_id, context.region), audit=audit)
        self.root = root(context.account_id)
        self._lock = threading.Lock()
        self._clients: OrderedDict[tuple[str, str, tuple[str, ...], str], Any] = OrderedDict()
        self._handles: dict[str, tuple[str, str]] = {}

    def secret_of(self, access_key: str, token: str) -> tuple[Caller, str]:
        """The caller with an access key, and the secret key. Raises InvalidTokenError or ExpiredTokenError."""
        environment = self._context.environment
        if not token and hmac.compare_digest(access_key.encode(), environment["AWS_ACCESS_KEY_ID"].encode()):
            return self.root, environment["AWS_SECRET_ACCESS_KEY"]
        session = self.sessions.verify(access_key, token)
        return of_session(session), self.sessions.secret_key(session)

    # ------------------------------------------------------------------------------------------ services as roles

    def assume(self, role_arn: str, service: str, source_arn: str = "") -> Caller:
        """The caller that a service becomes by assuming a role. Raises ServiceError unless the role trusts it."""
        source = {
            "aws:SourceAccount": self._context.account_id,
            **({"aws:SourceArn": source_arn} if source_arn else {}),
        }
        principal = service_principal(service)
        if not self.authorizer.trusts(role_arn, principal, source):
            message = (
                f"Could not assume role {role_arn}. Please ensure that the role exists and allows principal"
                f" '{principal.service}' to assume the role."
            )
            raise ServiceError("ValidationException", message)
        return self.as_role(role_arn)

    def as_role(self, role_arn: str, name: str = SESSION_NAME) -> Caller:
        """The caller of a role that the service has assumed before."""
        return of_session(self.sessions.issue(role_arn, name, SERVICE_SECONDS).session)

    def allows_by_resource(self, service: str, action: str, resource: str, source_arn: str) -> bool:
        """Whether the policy of a resource lets a service use it for one of the account's resources."""
        caller = Caller(service_principal(service))
        account = self._context.account_id
        # A new topic's policy names the owner of the source so:
        # https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-language-api-permissions-reference.html
        context = {"aws:SourceArn": source_arn, "aws:SourceAccount": account, "aws:SourceOwner": account}
        prefix, _, operation = action.partition(":")
        return self.authorizer.allows(caller, Check(action, resource, context), prefix, operation)

    def client(self, caller: Caller, service: str) -> Any:
        """A boto3 client that acts as the caller; its credentials are renewed."""
        if caller.principal.service:
            raise ValueError(f"{caller.principal.service} has no credentials of its own")
        key = (caller.principal.arn, service, caller.called_via, caller.session_policy)
        with self._lock:
            if key not in self._clients:
                session = self._context.session() if caller.is_root else self._session(caller)
                self._clients[key] = self._context.client_of(session, service)
            self._clients.move_to_end(key)
            while len(self._clients) > CLIENTS:
                self._clients.popitem(last=False)
            return self._clients[key]

    def _session(self, caller: Caller) -> Any:
        import boto3
        import botocore.session
        from botocore.credentials import RefreshableCredentials

        renew = functools.partial(self._metadata, caller)
        session = botocore.session.get_session()
        session._credentials = RefreshableCredentials.create_from_metadata(renew(), renew, "local-sts")
        return boto3.Session(botocore_session=session, region_name=self._context.region)

    def _metadata(self, caller: Caller) -> dict[str, str]:
        issued = self.credentials(caller)
        return {
            "access_key": issued.access_key,
            "secret_key": issued.secret_key,
            "token": issued.token,
            "expiry_time": issued.expiration,
        }

    def credentials(self, caller: Caller) -> Credentials:
        """Credentials of a role for a service that forwards the caller's requests or acts for a job."""
        name = caller.principal.arn.rsplit("/", 1)[-1]
        return self.sessions.issue(caller.role, name, SERVICE_SECONDS, caller.session_policy, caller.called_via)

    # ------------------------------------------------------------------------------------------- children's keys

    def container_environment(self, role_arn: str) -> dict[str, str]:
        """The variables by which a container asks for its role's credentials, again before they end.

        On an instance AWS sets AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, whose host is 169.254.170.2; the SDKs read a
        full URI on loopback in the same way:
        https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
        """
        handle, secret = secrets.token_hex(12), secrets.token_urlsafe(24)
        with self._lock:
            self._handles[handle] = (role_arn, secret)
        endpoint = self._context.environment["AWS_ENDPOINT_URL"]
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{endpoint}{CREDENTIALS_PATH}{handle}",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": secret,
        }

    def end_credentials(self, environment: Mapping[str, str]) -> None:
        """Issue no more credentials to a container that has ended."""
        uri = environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
        with self._lock:
            self._handles.pop(uri.rsplit("/", 1)[-1], None)

    def function_environment(self, role_arn: str, seconds: float) -> dict[str, str]:
        """The keys of a function for one call, as Lambda sets them."""
        return self.sessions.issue(role_arn, "local", seconds).environment()

    def container_credentials(self, handle: str, secret: str) -> Mapping[str, str] | None:
        """The answer to a container's request; None for another's."""
        with self._lock:
            role_arn, expected = self._handles.get(handle, ("", ""))
        if not role_arn or not hmac.compare_digest(expected.encode(), secret.encode()):
            return None
        issued = self.sessions.issue(role_arn, SESSION_NAME, self._context.credential_seconds)
        return {
            "AccessKeyId": issued.access_key,
            "SecretAccessKey": issued.secret_key,
            "Token": issued.token,
            "Expiration": issued.expiration,
            "RoleArn": role_arn,
        }
