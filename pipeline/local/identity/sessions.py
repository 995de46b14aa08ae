"""Sessions of roles: temporary credentials that the APIs and the S3 server both accept, without a table of sessions.

A session's token carries its claims, signed with the cloud's key. The S3 server (SeaweedFS 4.48, `-s3.iam.config`)
accepts tokens of this form as its own, derives both keys from the session's id in the same way, and refuses a token
after its end.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import json
import os
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ISSUER = "local-cloud"
KEY_FILE = "sts.key"
# Tokens are accepted from a little before their issue: clocks of one machine agree to the second.
_EARLY_SECONDS = 5


class InvalidTokenError(Exception):
    """The token is not one of this cloud, or does not belong to the access key."""


class ExpiredTokenError(Exception):
    """The session has ended."""


@dataclass(frozen=True)
class Session:
    """A role's session. `arn` is the principal's: arn:aws:sts::ACCOUNT:assumed-role/ROLE/NAME."""

    id: str
    role_arn: str
    name: str
    expires: float
    """The end of the session, seconds since the epoch."""
    policy: str = ""
    """The session policy as JSON; empty without one."""
    called_via: tuple[str, ...] = ()
    """The services that forward a caller's requests with this session, such as athena.amazonaws.com."""

    @property
    def arn(self) -> str:
        """The ARN that AWS's messages name."""
        account, role = self.role_arn.split(":")[4], self.role_arn.rsplit("/", 1)[-1]
        return f"arn:aws:sts::{account}:assumed-role/{role}/{self.name}"


@dataclass(frozen=True)
class Credentials:
    """Keys and token of a session."""

    session: Session
    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(repr=False)

    @property
    def expiration(self) -> str:
        """The end of the session in the form of AWS's answers."""
        return datetime.fromtimestamp(self.session.expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def environment(self) -> dict[str, str]:
        """The variables of a client that has these credentials; they are not refreshed."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_SESSION_TOKEN": self.token,
        }


class Sessions:
    """Issues and verifies sessions with the key in the cloud's folder, which is created on the first use."""

    def __init__(self, directory: Path) -> None:
        self._key = _signing_key(directory / KEY_FILE)

    @property
    def signing_key(self) -> bytes:
        """The key that signs tokens; the S3 server needs the same one."""
        return self._key

    def issue(
        self, role_arn: str, name: str, seconds: float, policy: str = "", called_via: tuple[str, ...] = ()
    ) -> Credentials:
        """New credentials of a role. The trust policy and the caller's permission are not looked at here."""
        at = time.time()
        # Whole seconds, as in the token.
        session = Session(secrets.token_hex(16), role_arn, name, float(int(at + seconds)), policy, called_via)
        claims = {
            "iss": ISSUER,
            **dict.fromkeys(("sub", "jti", "sid"), session.id),
            "iat": int(at),
            "nbf": int(at) - _EARLY_SECONDS,
            "exp": int(session.expires),
            "snam": name,
            "typ": "session",
            "role": role_arn,
            **dict.fromkeys(("assumed", "principal"), session.arn),
            # The S3 server's one policy allows everything: requests are decided before they reach it.
            "pol": ["everything"],
            **dict.fromkeys(("idp", "ext_uid", "prov_iss"), ""),
            "assumed_at": datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z"),
            "max_dur": max(1, int(seconds)),
        }
        if policy:
            claims["local_policy"] = policy
        if called_via:
            claims["local_via"] = called_via
        head = _encode(json.dumps({"alg": "HS256", "typ": "JWT"}, separators=(",", ":")).encode())
        body = _encode(json.dumps(claims, separators=(",", ":")).encode())
        token = f"{head}.{body}.{_encode(self._sign(f'{head}.{body}'))}"
        return Credentials(session, _access_key(session.id), self.secret_key(session), token)

    def verify(self, access_key: str, token: str) -> Session:
        """The session of a request. Raises InvalidTokenError or ExpiredTokenError."""
        try:
            head, body, signature = token.split(".")
            genuine = hmac.compare_digest(self._sign(f"{head}.{body}"), _decode(signature))
            claims: dict[str, Any] = json.loads(_decode(body)) if genuine else {}
        except (ValueError, binascii.Error):
            raise InvalidTokenError from None
        if not genuine or not hmac.compare_digest(_access_key(claims["sid"]).encode(), access_key.encode()):
            raise InvalidTokenError
        if claims["exp"] <= time.time():
            raise ExpiredTokenError
        policy, via = claims.get("local_policy", ""), tuple(claims.get("local_via", ()))
        return Session(claims["sid"], claims["role"], claims["snam"], float(claims["exp"]), policy, via)

    def secret_key(self, session: Session) -> str:
        """The secret key of a session, derived as the S3 server derives it."""
        return base64.b64encode(self._sign(f"secret-key:{session.id}")).decode()

    def _sign(self, text: str) -> bytes:
        return hmac.new(self._key, text.encode(), hashlib.sha256).digest()


def is_local(token: str) -> bool:
    """Whether a token was issued by a local cloud, this one or another, as far as it says."""
    try:
        claims = json.loads(_decode(token.split(".")[1]))
    except (ValueError, IndexError):
        return False
    return isinstance(claims, dict) and claims.get("iss") == ISSUER


def _signing_key(path: Path) -> bytes:
    """The key in the file; a new one if there is none. Processes that start at once agree on one."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
        # Another process may have been first: its key is read then.
        with contextlib.suppress(FileExistsError):
            os.link(partial, path)
        partial.unlink()
    return path.read_bytes()


def _access_key(session_id: str) -> str:
    return "ASIA" + hashlib.sha256(f"access-key:{session_id}".encode()).hexdigest()[:16]


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
