"""Reading through the local cloud's S3 door, which decides each request by a role's policies, against its bare server.

Three ways to the same objects: through the door; straight to the server behind it, which verifies a session's token too
but decides nothing; and straight to a server without sessions, with its own key. The second one shows what the door
costs, the third what sessions cost the server besides.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import psutil

from benchmarks import server
from benchmarks.cases import Bound, Case, say, take_turns
from benchmarks.child import ROOT, ContenderError, measure
from benchmarks.contenders import fetching
from benchmarks.options import Options
from pipeline.account.parameters import parameters
from pipeline.account.stack import TEMPLATE
from pipeline.aws import cloudformation
from pipeline.local.identity import documents
from pipeline.local.identity.sessions import Credentials, Sessions
from pipeline.local.machine.objects import ObjectStore
from pipeline.local.machine.ports import free_port
from pipeline.local.s3.judge import Settings
from pipeline.local.s3.process import Door
from pipeline.settings import Settings as PipelineSettings
from pipeline.settings.file import load_settings
from steps.contracts.s3_uri import S3Uri

UNIT = "GET/s"
OBJECT_BYTES = 25_000
IN_FLIGHT = 32
# The template's role of jobs, which reads more than any other, and what it reads most.
ROLE = "RoleOfJobs"
FOLDER = "shards"


@dataclass(frozen=True)
class Place:
    """Where a contender reads, with which variables, and the processes that serve it."""

    folder: S3Uri
    environment: Mapping[str, str]
    processes: Mapping[str, psutil.Process]


def cases(options: Options) -> Iterator[Case]:
    """GETs per second of objects of 25 kB, 32 at a time, and the door's processor time per GET.

    The promise is about the door: the baseline sends the same requests, with the session's token, to the object server.
    The rate of the server without sessions stands next to it, without a promise.
    """
    with _running(options) as places:
        busy: dict[str, list[float]] = {}
        contenders = {name: _contender(name, place, options, busy) for name, place in places.items()}
        rates = take_turns(contenders, options.rounds, UNIT)
    bounds = (Bound("ratio", "at least", 0.75),)
    yield Case("s3-door", UNIT, rates["door"], rates["sessions"], bounds=bounds)
    yield Case("s3-door-and-sessions", UNIT, rates["door"], rates["bare"])
    yield Case("s3-door-processor", "us per GET", statistics.median(busy["door"]))


def _contender(name: str, place: Place, options: Options, busy: dict[str, list[float]]) -> Callable[[], float]:
    def read() -> float:
        before = {label: _processor_seconds(process) for label, process in place.processes.items()}
        arguments: dict[str, object] = {
            "bucket": place.folder.bucket,
            "prefix": place.folder.key,
            "count": options.count,
            "in_flight": IN_FLIGHT,
        }
        measured = measure(fetching.numbered, arguments, place.environment)
        spent = {label: _processor_seconds(process) - before[label] for label, process in place.processes.items()}
        per_get = {label: seconds / options.count * 1e6 for label, seconds in spent.items()}
        for label, microseconds in per_get.items():
            busy.setdefault(label, []).append(microseconds)
        per_get["client"] = measured.cpu_seconds / options.count * 1e6
        say(f"  {name}: us per GET: " + ", ".join(f"{label} {value:.0f}" for label, value in per_get.items()))
        return options.count / measured.seconds

    return read


@contextmanager
def _running(options: Options) -> Iterator[dict[str, Place]]:
    """Three ways to a folder of objects; both servers have the same objects."""
    directory = options.folder / "cloud"
    settings = load_settings(ROOT / "pipeline.yaml", "prod")
    account = settings.account.id
    folder = S3Uri(settings.data.bucket, f"{settings.data.prefix}/{FOLDER}")
    sessions = Sessions(directory)
    keys = (os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    store = ObjectStore(directory / "objects", free_port(), *keys, sessions=sessions, account_id=account)
    door = Door(Settings(directory, settings.account.region, account, *keys), free_port(), store.port)
    role, policies = _role(settings)
    documents.write(directory, {role: policies})
    credentials = sessions.issue(role, "SageMaker", 3600)
    with ExitStack() as started:
        for server_process in (store, door):
            started.callback(server_process.stop)
            server_process.start()
        for endpoint in (os.environ["AWS_ENDPOINT_URL_S3"], store.endpoint):
            client = boto3.client("s3", endpoint_url=endpoint)
            client.create_bucket(Bucket=folder.bucket)
            # These servers delete a bucket with its objects.
            started.callback(client.delete_bucket, Bucket=folder.bucket)
            _fill(client, folder, options.count)
        processes = {"server": _listening_on(store.port)}
        through = {**processes, "door": _listening_on(door.port)}
        yield {
            "bare": Place(folder, {}, {"server": _listening_on(server.port())}),
            "sessions": Place(folder, _environment(store.endpoint, credentials), processes),
            "door": Place(folder, _environment(door.endpoint, credentials), through),
        }


def _role(settings: PipelineSettings) -> tuple[str, documents.RolePolicies]:
    """ARN and policies of the role, as the account's template has them."""
    account, region = settings.account.id, settings.account.region
    pseudo = {"AWS::AccountId": account, "AWS::Region": region, "AWS::Partition": "aws"}
    template = cloudformation.ResolvedTemplate(
        cloudformation.read(TEMPLATE.read_text()), parameters(settings, "code.zip"), pseudo
    )
    properties = template.value(template.resources()[ROLE]["Properties"])
    identity = {policy["PolicyName"]: policy["PolicyDocument"] for policy in properties["Policies"]}
    return f"arn:aws:iam::{account}:role/{properties['RoleName']}", documents.RolePolicies(identity=identity)


def _fill(client: Any, folder: S3Uri, count: int) -> None:
    """Write numbered objects."""
    body = os.urandom(OBJECT_BYTES)
    with ThreadPoolExecutor(8) as threads:
        for _ in threads.map(
            lambda key: client.put_object(Bucket=folder.bucket, Key=key, Body=body), fetching.keys(folder.key, count)
        ):
            pass


def _environment(endpoint: str, credentials: Credentials) -> dict[str, str]:
    return {"AWS_ENDPOINT_URL_S3": endpoint, **credentials.environment()}


def _listening_on(port: int) -> psutil.Process:
    """The process of this user that listens on a port."""
    for process in psutil.Process().children(recursive=True):
        if any(connection.laddr.port == port for connection in process.net_connections("tcp")):
            return process
    raise ContenderError(f"no server listens on port {port}")


def _processor_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
