"""Credentials of requests to S3 that end while a step runs."""

import asyncio
import hashlib
import itertools
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import botocore.credentials
import obstore
import pytest

from pipeline.samples.layout import Bin
from pipeline.samples.sources import Source
from pipeline.samples.upload import upload
from steps.contracts.dataset import Shard
from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.runtime import credentials
from steps.runtime.credentials import RenewedCredentials
from steps.runtime.s3 import open_store, read_object, send, send_async, write_object
from steps.shards import reading
from steps.shards.reading import iterate
from tests.unit.steps.ending_credentials import serve
from tests.unit.steps.shards.test_reading import SAMPLES, members_of, tar_of

HOUR = timedelta(hours=1)
RENEWALS = 3
# Reads of a shard: many more than there are until the third renewal.
BOUND = 100_000
TAR = tar_of(members_of(SAMPLES))


@pytest.fixture(autouse=True)
def fresh_stores():
    """No store of another test: a process has one per bucket."""
    reading._store.cache_clear()
    yield
    reading._store.cache_clear()


def shard(key: str) -> Shard:
    uri = f"s3://bins/{key}"
    return Shard(uri=uri, samples=len(SAMPLES), bytes=len(TAR), sha256=hashlib.sha256(TAR).hexdigest())


def test_shards_are_streamed_over_several_renewals(monkeypatch):
    monkeypatch.setattr(reading, "FIRST_CHUNK_BYTES", 4_096)
    monkeypatch.setattr(reading, "CHUNK_BYTES", 8_192)
    with serve(monkeypatch, life=timedelta(seconds=4), objects={"/bins/a.tar": TAR}) as account:
        for _ in range(BOUND):
            assert list(iterate([shard("a.tar")])) == SAMPLES
            if len(account.accepted) > RENEWALS and datetime.now(UTC) > account.ends["ASIA0000"]:
                break
        assert len(account.accepted) > RENEWALS
        assert datetime.now(UTC) > account.ends["ASIA0000"]


@pytest.mark.parametrize("refusal", [(400, "ExpiredToken"), (403, "InvalidAccessKeyId"), (400, "TokenRefreshRequired")])
def test_refused_keys_are_renewed_and_the_request_is_repeated(monkeypatch, refusal):
    monkeypatch.setattr(reading, "FIRST_CHUNK_BYTES", 4_096)
    monkeypatch.setattr(reading, "CHUNK_BYTES", 8_192)
    with serve(monkeypatch, life=12 * HOUR, objects={"/bins/a.tar": TAR}) as account:
        account.refusal = refusal
        samples = iterate([shard("a.tar")])
        head = list(itertools.islice(samples, 2))
        account.revoke()
        assert [*head, *samples] == SAMPLES
        assert len(account.accepted) == 2
        account.revoke()
        assert write_object(S3Uri("bins", "index.json"), b"{}")
        account.revoke()
        assert read_object(S3Uri("bins", "index.json")) == b"{}"
        assert len(account.accepted) == 4


def test_an_open_store_gets_the_renewed_keys(monkeypatch):
    with serve(monkeypatch, life=12 * HOUR, objects={"/bins/1": b"one"}) as account:
        store = open_store("bins")

        async def fetch() -> bytes:
            return bytes(await (await send_async(lambda: obstore.get_async(store, "1"))).bytes_async())

        async def fetch_many() -> list[bytes]:
            return await asyncio.gather(*(fetch() for _ in range(20)))

        assert asyncio.run(fetch_many()) == [b"one"] * 20
        account.revoke()
        assert asyncio.run(fetch_many()) == [b"one"] * 20
        assert len(account.ends) == 2


def test_keys_that_are_refused_again_end_the_step_with_the_reason(monkeypatch):
    with serve(monkeypatch, life=HOUR, objects={"/bins/a.tar": TAR}) as account:
        account.accepts_none = True
        with pytest.raises(StepError, match=r"^S3 refuses these credentials \(ExpiredToken\), and refused them again"):
            list(iterate([shard("a.tar")]))


def test_another_refusal_is_not_repeated(monkeypatch):
    with serve(monkeypatch, life=HOUR, objects={}) as account:
        account.refusal, account.accepts_none = (403, "AccessDenied"), True
        with pytest.raises(StepError, match=r"s3:GetObject"):
            list(iterate([shard("a.tar")]))
        assert account.refused.total() == 1


def test_the_upload_of_bins_survives_refused_keys(monkeypatch):
    with serve(monkeypatch, life=HOUR, objects={}) as account:

        def read(_):
            for number in range(40):
                if number == 20:
                    account.revoke()
                yield Bin(f"{number:05d}", b"\xff\xd8\xff", b"{}")

        assert upload(Source(read), "s3://bins/raw", lambda _: None).count == 40
        assert len(account.objects) == 80


class Clock:
    """A time that the test sets, for boto3 and for the module."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 28, tzinfo=UTC)

    def now(self, _=None) -> datetime:
        return self.time


@pytest.mark.parametrize("life", [20, 90, 600, 900, 1_200, 3_600, 43_200])
@pytest.mark.parametrize("step", [1, 7, 61])
def test_keys_are_returned_only_while_they_last(monkeypatch, life, step):
    clock, ends = Clock(), {}

    def issue() -> dict[str, str]:
        key = f"key-{len(ends)}"
        ends[key] = clock.time + timedelta(seconds=life)
        return {"access_key": key, "secret_key": "s", "token": "t", "expiry_time": ends[key].isoformat()}

    held = botocore.credentials.DeferredRefreshableCredentials(issue, "test", time_fetcher=clock.now)
    provider = RenewedCredentials(lambda: SimpleNamespace(get_credentials=lambda: held))
    monkeypatch.setattr(credentials, "datetime", clock)
    asked = clock.time
    for _ in range(3 * life // step):
        clock.time += timedelta(seconds=step)
        if clock.time >= asked:
            answer = provider()
            asked = answer["expires_at"]
            assert min(asked, clock.time + timedelta(seconds=1)) < ends[answer["access_key_id"]]
    # boto3 renews keys in their last 15 minutes: an hour's keys three or four times in three hours.
    assert life < 3_600 or len(ends) <= 8


def test_keys_that_another_thread_replaces_meanwhile_end_when_they_end(monkeypatch):
    clock = Clock()

    class Replaced:
        """Credentials whose renewal ends between the old keys and the look at the expiry."""

        _expiry_time = clock.time + timedelta(minutes=4)

        def get_frozen_credentials(self):
            self._expiry_time = clock.time + HOUR
            return SimpleNamespace(access_key="old", secret_key="s", token="t")

    provider = RenewedCredentials(lambda: SimpleNamespace(get_credentials=Replaced))
    monkeypatch.setattr(credentials, "datetime", clock)
    provider()
    assert provider._until <= clock.time + timedelta(minutes=2)


def test_a_store_without_credentials_is_an_error(monkeypatch):
    with serve(monkeypatch, life=HOUR, objects={}):
        for name in ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        with pytest.raises(StepError, match="no AWS credentials were found"):
            open_store("bins")


def test_an_error_of_the_request_itself_is_raised_as_it_is():
    with pytest.raises(ZeroDivisionError):
        send(lambda: 1 // 0)
