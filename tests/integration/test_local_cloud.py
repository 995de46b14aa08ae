"""The process itself: ports, credentials, what it answers and what it refuses."""

import http.client
import io
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import psutil
import pytest
from botocore.exceptions import ClientError

from pipeline import ROOT
from pipeline.account.stack import Stack
from pipeline.local import cloud
from pipeline.local.machine import own_folder, processes
from pipeline.settings import Account
from steps.contracts.errors import PipelineError
from tests.conftest import free_port, without
from tests.integration.conftest import ACCOUNT, CREDENTIAL_SECONDS, wait_until


def test_an_operation_that_it_does_not_know_is_an_error_and_not_pretended(sagemaker):
    with pytest.raises(ClientError, match="does not answer sagemaker:ListApps"):
        sagemaker.list_apps()


def test_other_services_are_answered_by_the_server_behind(local_cloud):
    identity = local_cloud.client("sts").get_caller_identity()
    assert identity["Account"] == ACCOUNT.id


def test_ecr_lists_what_is_published_here_and_its_other_operations_are_the_server_behinds(empty_cloud):
    tag = empty_cloud.image("print('hello')").rpartition(":")[2]
    ecr = empty_cloud.client("ecr")
    pages = ecr.get_paginator("describe_images").paginate(repositoryName="test", PaginationConfig={"PageSize": 1})
    images = {tag: image for page in pages for image in page["imageDetails"] for tag in image["imageTags"]}
    assert images[tag]["imageSizeInBytes"] > 0
    with pytest.raises(ecr.exceptions.RepositoryNotFoundException, match="'none-such' does not exist"):
        ecr.describe_images(repositoryName="none-such")
    assert ecr.describe_repositories()["repositories"] == []


def test_another_access_key_is_refused(local_cloud):
    client = boto3.client("sagemaker", aws_access_key_id="other", aws_secret_access_key="other")
    with pytest.raises(ClientError, match="not this local cloud's"):
        client.list_pipelines()


def test_another_access_key_is_refused_in_the_words_of_services_that_speak_xml(local_cloud):
    client = boto3.client("cloudformation", aws_access_key_id="other", aws_secret_access_key="other")
    with pytest.raises(ClientError, match=r"InvalidClientTokenId.*not this local cloud's"):
        client.describe_stacks()


def test_a_request_without_credentials_is_refused(local_cloud):
    connection = http.client.HTTPConnection("127.0.0.1", local_cloud.settings.api_port)
    connection.request("POST", "/", body="{}", headers={"X-Amz-Target": "SageMaker.ListPipelines"})
    assert connection.getresponse().status == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("POST", "/"), ("OPTIONS", "/"), ("POST", "/moto-api/reset"), ("GET", "/moto-api/data.json")],
)
def test_a_page_of_another_origin_gets_nothing_from_the_ports_of_aws(local_cloud, method, path):
    """The kind: a port of loopback that answers the pages in this machine's browsers."""
    headers = {"Origin": "https://page.example", "Access-Control-Request-Method": "DELETE"}
    for port in (local_cloud.settings.api_port, local_cloud.settings.s3_port):
        for host in (f"127.0.0.1:{port}", f"rebound.example:{port}"):
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request(method, path, headers={**headers, "Host": host})
            response = connection.getresponse()
            assert response.status == 403
            assert response.getheader("Access-Control-Allow-Origin") is None
            connection.close()


def test_it_listens_on_loopback_only(local_cloud):
    process = psutil.Process(cloud.find(local_cloud.settings.directory).pid)
    family = [process, *process.children(recursive=True)]
    addresses = {c.laddr.ip for p in family for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    assert addresses == {"127.0.0.1"}


def test_its_secrets_are_for_its_owner_only(local_cloud):
    mode = (local_cloud.settings.directory / "cloud.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert local_cloud.settings.secret_key not in repr(local_cloud.settings)


def test_a_second_up_finds_the_running_one(local_cloud):
    assert (
        cloud.up(local_cloud.settings.directory, ACCOUNT.id, ACCOUNT.region).pid
        == cloud.find(local_cloud.settings.directory).pid
    )


def test_a_port_in_use_is_named_with_the_option_that_changes_it(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PipelineError, match=rf"port {port} for the APIs is in use.*--port"):
            cloud.up(tmp_path / "cloud", ACCOUNT.id, ACCOUNT.region, api_port=port)


def test_a_running_cloud_does_not_change_the_life_of_its_credentials_unseen(local_cloud):
    running, now = local_cloud.settings, CREDENTIAL_SECONDS
    assert running.credential_seconds == now
    with pytest.raises(PipelineError, match=rf"credentials of {now} seconds, but local.credential_seconds is 30; stop"):
        cloud.up(running.directory, ACCOUNT.id, ACCOUNT.region, credential_seconds=30)
    cloud.down(running.directory)
    try:
        assert cloud.up(running.directory, ACCOUNT.id, ACCOUNT.region, credential_seconds=30).credential_seconds == 30
    finally:
        cloud.down(running.directory)
        cloud.up(running.directory, ACCOUNT.id, ACCOUNT.region, credential_seconds=now)


def test_a_folder_of_another_account_is_not_mixed_up(local_cloud):
    cloud.down(local_cloud.settings.directory)
    other = Account(target="local", id="999999999999", region="us-east-1")
    try:
        with pytest.raises(PipelineError, match="belongs to account 123456789012"):
            cloud.up(local_cloud.settings.directory, other.id, other.region)
    finally:
        cloud.up(local_cloud.settings.directory, ACCOUNT.id, ACCOUNT.region)


def test_reset_removes_a_cloud_and_nothing_else(tmp_path):
    (tmp_path / "thesis.txt").write_text("three years")
    with pytest.raises(PipelineError, match="is not the folder of a local cloud"):
        cloud.reset(tmp_path)
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_everything_that_it_writes_is_its_own_to_remove(local_cloud):
    names = {path.name for path in local_cloud.settings.directory.iterdir()}
    assert names >= {"cloud.json", "objects", "s3-door"}
    assert not [name for name in names if not any(Path(name).match(pattern) for pattern in own_folder.OWN)]


LEAKS = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "AWS_PROFILE": "none-such",
    "AWS_SESSION_TOKEN": "another-account's",
    "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9",
    "AWS_USE_FIPS_ENDPOINT": "true",
}


@pytest.fixture
def foreign_shell(tmp_path, monkeypatch):
    """A shell with a proxy, another account's variables, a broken file of profiles and a Python path of its own."""
    without(monkeypatch, *cloud.environment(cloud.Cloud(tmp_path, 1, 2, "", "", "", "")))
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "moto.py").write_text("raise SystemExit('not the moto that is meant')")
    (tmp_path / "home" / ".aws").mkdir(parents=True)
    (tmp_path / "home" / ".aws" / "config").write_text("[default\nregion")
    home = {"HOME": str(tmp_path / "home"), "PYTHONPATH": str(tmp_path / "modules")}
    for name, value in {**LEAKS, **home}.items():
        monkeypatch.setenv(name, value)


def test_a_persons_shell_does_not_reach_the_server_and_two_starts_at_once_are_one(tmp_path, foreign_shell):
    """The kinds: an environment that leaks in, two starts at once, and a dead part that nobody notices."""
    directory, ports = tmp_path / "cloud", {"api_port": free_port(), "s3_port": free_port()}
    try:
        with ThreadPoolExecutor(3) as pool:
            starts = [pool.submit(cloud.up, directory, ACCOUNT.id, ACCOUNT.region, **ports) for _ in range(3)]
            assert len({start.result().pid for start in starts}) == 1
        assert cloud.state(directory).answers
        server = psutil.Process(cloud.find(directory).pid)
        for process in (server, *server.children(recursive=True)):
            assert not {*LEAKS, "PYTHONPATH"} & {*process.environ()}, process.cmdline()

        (objects,) = [p for p in server.children(recursive=True) if "mini" in p.cmdline()]
        objects.kill()
        wait_until(lambda: cloud.state(directory).health.restarts)
        assert cloud.state(directory).answers
        assert "has ended by SIGKILL" in (directory / "cloud.log").read_text()
    finally:
        cloud.down(directory)
    assert not processes_below(directory)


def test_a_start_that_was_interrupted_leaves_the_next_one_a_free_folder(tmp_path):
    """The kind: two starts at once, of which the first was given up by Ctrl-C."""
    directory = tmp_path / "cloud"
    # A shell without job control lets what it starts in the background ignore SIGINT.
    start = f"""
import signal
from pathlib import Path
from pipeline.local import cloud
signal.signal(signal.SIGINT, signal.default_int_handler)
cloud.up(Path({str(directory)!r}), "{ACCOUNT.id}", "{ACCOUNT.region}", api_port={free_port()}, s3_port={free_port()})
"""
    try:
        first = subprocess.Popen([sys.executable, "-c", start], cwd=ROOT, stderr=subprocess.DEVNULL)
        wait_until((directory / "objects" / "server.pid").exists)
        first.send_signal(signal.SIGINT)
        second = cloud.up(directory, ACCOUNT.id, ACCOUNT.region)
        assert first.wait(60) != 0
        assert cloud.state(directory).answers
        assert cloud.find(directory) == second
        assert len([p for p in processes_below(directory) if "mini" in p.cmdline()]) == 1
    finally:
        cloud.down(directory)
    assert not processes_below(directory)


LASTING = "arn:aws:iam::123456789012:role/lasting"
SLEEP = """
    import subprocess, sys, time
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    rank = subprocess.Popen(sleep, start_new_session=True)
    print("rank", rank.pid, flush=True)
    time.sleep(600)
"""
SERVE = """
    import http.server, os, pathlib, time
    model = (pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "model/name").read_text()
    while model == "never ready":
        time.sleep(1)
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
        def do_POST(self):
            if model == "ends with each request":
                os._exit(7)
            self.do_GET()
        def log_message(self, *_):
            pass
    address = (os.environ["SAGEMAKER_BIND_TO_HOST"], int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
    http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""
# A first call does not end; a later one writes what it was called with.
FUNCTION = """
import os, pathlib, time
def handle(event, context):
    folder = pathlib.Path(os.environ["FOLDER"])
    try:
        (folder / "called").touch(exist_ok=False)
    except FileExistsError:
        (folder / "again").write_text(context.aws_request_id + event["word"])
        return
    time.sleep(60)
"""


class Busy:
    """A cloud with a run, an endpoint in service, one that is being created, an update and a function's call."""

    def __init__(self, running, folder):
        self.running, self.folder = running, folder
        self.sagemaker = running.client("sagemaker")
        self.bucket = running.bucket()
        self.image = running.image(SERVE, "serve.py")
        self.create_stack()

    def config(self, model):
        name = model.replace(" ", "-")
        body = io.BytesIO()
        with tarfile.open(fileobj=body, mode="w:gz") as archive:
            entry = tarfile.TarInfo("name")
            entry.size = len(model)
            archive.addfile(entry, io.BytesIO(model.encode()))
        self.running.client("s3").put_object(Bucket=self.bucket, Key=name, Body=body.getvalue())
        container = {"Image": self.image, "ModelDataUrl": f"s3://{self.bucket}/{name}"}
        self.sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=LASTING)
        variant = {"VariantName": "v", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.c5.large"}
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        return name

    def endpoint(self, name):
        return self.sagemaker.describe_endpoint(EndpointName=name)

    def in_service(self, name):
        wait_until(lambda: self.endpoint(name)["EndpointStatus"] == "InService")

    def start_run(self):
        step = {
            "Name": "Query",
            "Type": "Processing",
            "Arguments": {
                "RoleArn": LASTING,
                "AppSpecification": {"ImageUri": self.running.image(SLEEP)},
                "ProcessingResources": {
                    "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30}
                },
            },
        }
        definition = json.dumps({"Version": "2020-12-01", "Steps": [step]})
        self.sagemaker.create_pipeline(
            PipelineName="bins", PipelineDefinition=definition, RoleArn=LASTING, ClientRequestToken="t" * 32
        )
        return self.sagemaker.start_pipeline_execution(PipelineName="bins")["PipelineExecutionArn"]

    def run(self, arn):
        return self.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)

    def rank(self):
        """Pid of the process that the job started in a session of its own."""
        for log in self.running.settings.directory.glob("logs/*ProcessingJobs/*.log"):
            if match := re.search(r"rank (\d+)", log.read_text()):
                return int(match[1])
        return None

    def create_stack(self):
        """The role and the function: moto loses them with its process, and a start creates a stack's again."""
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("index.py", FUNCTION)
        self.running.client("s3").put_object(Bucket=self.bucket, Key="code.zip", Body=code.getvalue())
        services = ["lambda.amazonaws.com", "sagemaker.amazonaws.com"]
        trust = {"Effect": "Allow", "Principal": {"Service": services}, "Action": "sts:AssumeRole"}
        everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        role = {
            "RoleName": LASTING.rsplit("/", 1)[-1],
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
            "Policies": [{"PolicyName": "all", "PolicyDocument": everything}],
        }
        function = {
            "FunctionName": "f",
            "Runtime": "python3.11",
            "Role": LASTING,
            "Handler": "index.handle",
            "Timeout": 60,
            "Code": {"S3Bucket": self.bucket, "S3Key": "code.zip"},
            "Environment": {"Variables": {"FOLDER": str(self.folder)}},
        }
        resources = {
            "Role": {"Type": "AWS::IAM::Role", "Properties": role},
            "Function": {"Type": "AWS::Lambda::Function", "Properties": function, "DependsOn": "Role"},
        }
        stack = Stack(self.running.client("cloudformation"), "s", poll=0)
        list(stack.execute(stack.change_set(json.dumps({"Resources": resources}), {}, "CREATE")))

    def invoke(self):
        payload = json.dumps({"word": " hello"})
        self.running.client("lambda").invoke(FunctionName="f", InvocationType="Event", Payload=payload)
        wait_until((self.folder / "called").exists)


def test_after_a_kill_everything_ends_or_goes_on_and_nothing_is_left_running(empty_cloud, tmp_path):
    """Kind: the cloud is killed while it runs a job, creates or updates an endpoint, or calls a function."""
    busy, directory = Busy(empty_cloud, tmp_path), empty_cloud.settings.directory
    good, stuck = busy.config("good"), busy.config("never ready")
    for name in ("serving", "updated"):
        busy.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=good)
    for name in ("serving", "updated"):
        busy.in_service(name)
    busy.sagemaker.create_endpoint(EndpointName="new", EndpointConfigName=stuck)
    busy.sagemaker.update_endpoint(EndpointName="updated", EndpointConfigName=stuck)
    busy.invoke()
    run = busy.start_run()
    rank = wait_until(busy.rank)

    os.kill(cloud.find(directory).pid, signal.SIGKILL)
    wait_until(lambda: cloud.find(directory) is None)
    assert psutil.pid_exists(rank)
    left = {process.pid for process in processes.below(directory)}
    cloud.up(directory, ACCOUNT.id, ACCOUNT.region)

    assert not left & {process.pid for process in psutil.process_iter() if process.status() != psutil.STATUS_ZOMBIE}
    assert busy.run(run)["PipelineExecutionStatus"] == "Failed"
    assert "The local cloud was stopped" in busy.run(run)["FailureReason"]
    [job] = busy.sagemaker.list_processing_jobs()["ProcessingJobSummaries"]
    assert (job["ProcessingJobStatus"], job["FailureReason"]) == ("Failed", "The local cloud was stopped.")
    for name in ("serving", "updated"):
        assert (busy.endpoint(name)["EndpointStatus"], busy.endpoint(name)["EndpointConfigName"]) == ("InService", good)
    assert "FailureReason" not in busy.endpoint("serving")
    assert busy.endpoint("updated")["FailureReason"].endswith("The update to never-ready was rolled back.")
    assert busy.endpoint("new")["EndpointStatus"] == "Failed"
    wait_until((tmp_path / "again").exists)
    assert (tmp_path / "again").read_text().endswith(" hello")
    serving = processes.below(directory / "endpoints")
    served = {Path(process.environ()["SAGEMAKER_BASE_DIR"]).parent.name for process in serving}
    assert served == {"serving", "updated"}
    assert {path.name for path in (directory / "endpoints").iterdir()} == served


def test_a_container_that_has_ended_is_replaced_unless_that_happens_again_and_again(empty_cloud, tmp_path):
    """Kind: an endpoint is InService without a process that serves."""
    busy, directory = Busy(empty_cloud, tmp_path), empty_cloud.settings.directory
    for name in ("good", "ends with each request"):
        busy.sagemaker.create_endpoint(EndpointName=busy.config(name), EndpointConfigName=name.replace(" ", "-"))
    runtime = empty_cloud.client("sagemaker-runtime")

    def container(name):
        return {process.pid for process in processes.below(directory / "endpoints" / name)}

    def answers(name):
        try:
            return runtime.invoke_endpoint(EndpointName=name, Body=b"x", ContentType="image/jpeg")
        except ClientError:
            return None

    busy.in_service("good")
    before = container("good")
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: answers("good"))
    assert not container("good") & before
    assert busy.endpoint("good")["EndpointStatus"] == "InService"

    busy.in_service("ends-with-each-request")
    wait_until(lambda: answers("ends-with-each-request") or container_failed(busy))
    reason = busy.endpoint("ends-with-each-request")["FailureReason"]
    assert reason == "The container of variant v ended with exit code 7."
    assert busy.endpoint("good")["EndpointStatus"] == "InService"


def container_failed(busy):
    return busy.endpoint("ends-with-each-request")["EndpointStatus"] == "Failed"


def processes_below(directory):
    """Every process that was started for this folder."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(directory) in a for a in process.info["cmdline"] or [])
    ]


def test_after_a_kill_the_cloud_starts_on_its_ports_and_down_leaves_no_process(tmp_path):
    directory = tmp_path / "cloud"
    try:
        first = cloud.up(directory, ACCOUNT.id, ACCOUNT.region, api_port=free_port(), s3_port=free_port())
        os.kill(first.pid, signal.SIGKILL)
        wait_until(lambda: cloud.find(directory) is None)
        assert processes_below(directory)  # the S3 server outlives it

        second = cloud.up(directory, ACCOUNT.id, ACCOUNT.region)
        assert (second.api_port, second.s3_port) == (first.api_port, first.s3_port)
        os.kill(second.pid, signal.SIGKILL)
        wait_until(lambda: cloud.find(directory) is None)

        assert cloud.down(directory)
        assert not processes_below(directory)
        assert not cloud.down(directory)
    finally:
        cloud.down(directory)
