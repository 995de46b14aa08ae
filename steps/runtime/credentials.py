"""Credentials of obstore's requests, from boto3's chain: renewed before they end, and when S3 refuses them.

obstore's own Boto3CredentialProvider calls credentials good for 30 minutes, whatever is left of them, while boto3
renews those of a role only in their last 15 minutes.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from steps.contracts.errors import StepError

if TYPE_CHECKING:
    from boto3 import Session
    from obstore.store import S3Config, S3Credential

Answer = TypeVar("Answer")

# boto3 never returns credentials of a longer life with less than 10 minutes left (botocore.credentials,
# _DEFAULT_MANDATORY_REFRESH_TIMEOUT).
LONGEST_HOLD = timedelta(minutes=5)
# A store asks again after this time, so that renewed credentials reach all stores that are open.
ASK_AGAIN = timedelta(seconds=1)
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html; InvalidAccessKeyId is that of keys which exist no
# more, and the local cloud's S3 server answers it for a token that has ended.
_REFUSED = re.compile(r"<Code>(ExpiredToken|TokenRefreshRequired|InvalidAccessKeyId)</Code>")


class RenewedCredentials:
    """The credentials of a boto3 session, as obstore's stores ask for them.

    One object serves all stores of a process. `create_session` is called for the first credentials, and again when
    credentials are refused.
    """

    # Stores ask at `expires_at`, not obstore's default of 5 minutes before it.
    refresh_threshold = timedelta(0)

    def __init__(self, create_session: Callable[[], Session]) -> None:
        self.config: S3Config = {}
        self._create_session = create_session
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._held: tuple[str, str, str | None] | None = None
        self._until = datetime.min.replace(tzinfo=UTC)
        self._renewed: datetime | None = None

    @property
    def session(self) -> Session:
        """The session for boto3's own clients, which renew their credentials themselves."""
        with self._lock:
            return self._current_session()

    def require(self) -> None:
        """Raise StepError when boto3 finds no credentials."""
        if self.session.get_credentials() is None:
            raise StepError("no AWS credentials were found in the environment, in a profile or as a role")

    def __call__(self) -> S3Credential:
        """Credentials, and the time at which to ask again, which is before they end."""
        with self._lock:
            now = datetime.now(UTC)
            if self._held is None or now >= self._until:
                self._held, self._until = self._fetch()
            key, secret, token = self._held
            return {
                "access_key_id": key,
                "secret_access_key": secret,
                "token": token,
                "expires_at": min(self._until, now + ASK_AGAIN),
            }

    def renew(self) -> None:
        """Take credentials from a new session; at most once in ASK_AGAIN, since many requests fail together."""
        with self._lock:
            now = datetime.now(UTC)
            if self._renewed is None or now - self._renewed >= ASK_AGAIN:
                self._session, self._held, self._renewed = None, None, now

    def _current_session(self) -> Session:
        if self._session is None:
            self._session = self._create_session()
        return self._session

    def _fetch(self) -> tuple[tuple[str, str, str | None], datetime]:
        """The session's credentials, and the time until which they are used: at most half of what is left of them."""
        credentials = self._current_session().get_credentials()
        if credentials is None:
            raise StepError("AWS credentials are no longer found")
        # Credentials that end have this attribute. Another thread may renew them between these lines: the earlier of
        # two expiries is never later than that of the credentials.
        before = getattr(credentials, "_expiry_time", None)
        frozen = credentials.get_frozen_credentials()
        after = getattr(credentials, "_expiry_time", None)
        now = datetime.now(UTC)
        expiries = [expiry for expiry in (before, after) if expiry is not None]
        hold = min([LONGEST_HOLD, *((expiry - now) / 2 for expiry in expiries)])
        return (frozen.access_key, frozen.secret_key, frozen.token), now + hold


def send(provider: RenewedCredentials, request: Callable[[], Answer]) -> Answer:
    """What `request` returns; it is repeated once, with renewed credentials, when S3 refuses the present ones.

    Raises StepError when S3 refuses the renewed ones too, and all other errors of `request`.
    """
    from obstore.exceptions import BaseError

    try:
        return request()
    except (BaseError, OSError) as error:
        if not _refusal(error):
            raise
    provider.renew()
    time.sleep(_pause())
    try:
        return request()
    except (BaseError, OSError) as error:
        _raise_refused(error)
        raise


async def send_async(provider: RenewedCredentials, request: Callable[[], Awaitable[Answer]]) -> Answer:
    """As `send`, for a request that is awaited."""
    from obstore.exceptions import BaseError

    try:
        return await request()
    except (BaseError, OSError) as error:
        if not _refusal(error):
            raise
    provider.renew()
    await asyncio.sleep(_pause())
    try:
        return await request()
    except (BaseError, OSError) as error:
        _raise_refused(error)
        raise


def _pause() -> float:
    """Seconds after which every store has asked for credentials again."""
    return 1.2 * ASK_AGAIN.total_seconds()


def _refusal(error: Exception) -> str:
    """S3's code when it refuses credentials as ended; otherwise empty. obstore's error contains S3's answer."""
    refused = _REFUSED.search(str(error))
    return refused[1] if refused else ""


def _raise_refused(error: Exception) -> None:
    if code := _refusal(error):
        raise StepError(
            f"S3 refuses these credentials ({code}), and refused them again after they were renewed; sign in again, or,"
            " for a job, look at its role's sessions and start the run again"
        ) from error
