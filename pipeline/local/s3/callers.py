"""Who sends a request: the account's root user, or a session of a role."""

from __future__ import annotations

import hmac
import json
import time
from dataclasses import dataclass
from math import inf

from pipeline.local.identity.policies import PolicyError, Principal, Statement, statements
from pipeline.local.identity.sessions import ExpiredTokenError, InvalidTokenError, Sessions
from pipeline.local.s3.signatures import Signature, SignatureError

# Sessions are few; a client that asks for one per request must not fill the memory.
_MAX_CALLERS = 1024


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller whose token is genuine; only the secret key shows that the request is the caller's."""

    principal: Principal
    secret: str
    expires: float
    session: list[Statement] | None
    """The statements of the session policy; None without one."""
    called_via: tuple[str, ...] = ()
    """The services, such as athena.amazonaws.com, that forward the caller's request (aws:CalledVia)."""


class Callers:
    """Finds callers by access key and token, and remembers those of sessions until their end."""

    def __init__(self, sessions: Sessions, account_id: str, access_key: str, secret_key: str) -> None:
        self._sessions = sessions
        self._access_key = access_key
        self._root = Caller(Principal(f"arn:aws:iam::{account_id}:root"), secret_key, inf, None)
        self._callers: dict[tuple[str, str], Caller] = {}

    @property
    def root(self) -> Caller:
        """The account's root user, who has the cloud's own key."""
        return self._root

    def of(self, signature: Signature) -> Caller:
        """The caller who has signed a request.

        Raises SignatureError with the codes of https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.
        """
        caller = self._callers.get((signature.access_key, signature.token))
        if caller is not None and caller.expires > time.time():
            return caller
        if not signature.token:
            if hmac.compare_digest(signature.access_key.encode(), self._access_key.encode()):
                return self._root
            raise SignatureError(
                "InvalidAccessKeyId", 403, "The AWS Access Key Id you provided does not exist in our records."
            )
        return self._verified(signature)

    def _verified(self, signature: Signature) -> Caller:
        key = (signature.access_key, signature.token)
        self._callers.pop(key, None)
        try:
            session = self._sessions.verify(*key)
        except ExpiredTokenError:
            raise SignatureError("ExpiredToken", 400, "The provided token has expired.") from None
        except InvalidTokenError:
            message = "The provided token is malformed or otherwise not valid."
            raise SignatureError("InvalidToken", 400, message) from None
        limits = None
        if session.policy:
            try:
                limits = statements({session.name: json.loads(session.policy)})
            except (PolicyError, ValueError, KeyError) as error:
                raise SignatureError("InvalidToken", 400, f"The session policy cannot be evaluated: {error}") from None
        principal = Principal(session.arn, session.role_arn)
        caller = Caller(principal, self._sessions.secret_key(session), session.expires, limits, session.called_via)
        if len(self._callers) >= _MAX_CALLERS:
            self._callers.clear()
        self._callers[key] = caller
        return caller
