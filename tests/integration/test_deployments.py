"""From approval to an endpoint through the rule: canary, alarms, smoke test, going back. A client asks all the time."""

import dataclasses
import hashlib
import io
import json
import tarfile
import threading
import uuid

import boto3
import pytest
import yaml
from typer.testing import CliRunner

from pipeline import ROOT
from pipeline.account import deploy_function as serving
from pipeline.cli import app
from pipeline.connection import SESSION_KEYS
from pipeline.operations.account import inbox, people
from pipeline.operations.account import local as account
from pipeline.operations.models import registry as versions
from pipeline.operations.serving import deployment
from pipeline.operations.serving import endpoint as operation
from pipeline.settings.file import load_settings
from tests.integration.conftest import keys, read, wait_until

# Answers as model.json says: with `probabilities`, or with a 500 where `status` is one.
SERVE = """
    import http.server, json, os, pathlib, time
    model = json.loads((pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "model/model.json").read_text())
    if model.get("crash"):
        raise SystemExit(3)
    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, status, body):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def do_GET(self):
            self.answer(200, b"")
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(0.01)
            if model.get("status"):
                return self.answer(model["status"], b"broken")
            answer = {"count": 1, "probabilities": model["probabilities"], "expected": 1.0,
                      "model_version": os.environ["MODEL_VERSION"]}
            self.answer(200, json.dumps(answer).encode())
        def log_message(self, *_):
            pass
    address = (os.environ["SAGEMAKER_BIND_TO_HOST"], int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
    http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""
GOOD = {"probabilities": {"0": 0.2, "1": 0.8}}


@dataclasses.dataclass
class Registry:
    """A group with its endpoint, deploy function, rules and alarms."""

    cloud: object
    settings: object
    image: str

    @property
    def endpoint(self):
        return self.settings.endpoint.name

    def client(self, service):
        return self.cloud.client(service)

    def approve(self, model, golden=None):
        """Register a model and approve it. Returns the version's number."""
        arn = self.register(model, golden)
        self.client("sagemaker").update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
        return arn.rsplit("/", 1)[1]

    def register(self, model, golden=None):
        """Register a model that waits for approval. Returns the version's ARN."""
        s3, sagemaker, bucket = self.client("s3"), self.client("sagemaker"), self.settings.data.bucket
        key = uuid.uuid4().hex
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            content = json.dumps(model).encode()
            entry = tarfile.TarInfo("model.json")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        # Where a run writes them.
        archive = f"{self.settings.data.prefix}/models/{key}/output/model.tar.gz"
        s3.put_object(Bucket=bucket, Key=archive, Body=buffer.getvalue())
        properties = {"model_sha256": hashlib.sha256(buffer.getvalue()).hexdigest()}
        if golden:
            photo = {"image_id": "00001", "jpeg": "AAAA", "count": 1, **golden}
            body = json.dumps({"version": 1, "photos": [photo]})
            photos = f"{self.settings.data.prefix}/runs/{key}/evaluate/evaluation/golden.json"
            s3.put_object(Bucket=bucket, Key=photos, Body=body)
            properties |= {
                "golden_photos": f"s3://{bucket}/{photos}",
                "golden_sha256": hashlib.sha256(body.encode()).hexdigest(),
            }
        container = {"Image": self.image, "ModelDataUrl": f"s3://{bucket}/{archive}"}
        return sagemaker.create_model_package(
            ModelPackageGroupName=self.settings.registry.group,
            InferenceSpecification={
                "Containers": [container],
                "SupportedContentTypes": ["image/jpeg"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
            ModelApprovalStatus="PendingManualApproval",
            CustomerMetadataProperties=properties,
        )["ModelPackageArn"]

    def describe(self):
        sagemaker = self.client("sagemaker")
        endpoints = sagemaker.list_endpoints(NameContains=self.endpoint)["Endpoints"]
        names = [endpoint["EndpointName"] for endpoint in endpoints]
        return sagemaker.describe_endpoint(EndpointName=self.endpoint) if self.endpoint in names else None

    def tags(self):
        description = self.describe()
        pairs = (
            self.client("sagemaker").list_tags(ResourceArn=description["EndpointArn"])["Tags"] if description else []
        )
        return {tag["Key"]: tag["Value"] for tag in pairs}

    def evaluated(self, version, verdict):
        """Wait for the verdict on a version, and for the endpoint to be in service."""

        def done():
            tags = self.tags()
            if (tags.get("model-package-version"), tags.get("verdict")) != (version, verdict):
                return None
            description = self.describe()
            return description if description["EndpointStatus"] == "InService" else None

        return wait_until(done)

    def alerts(self):
        """The messages of the topic but for alarms', which the endpoint's own alarm sends too."""
        topic = self.settings.alerts_topic_arn
        messages = [item for item in inbox.messages(self.cloud.settings.directory) if item.topic == topic]
        return [item for item in messages if item.publisher != "cloudwatch.amazonaws.com"]

    def decisions(self):
        logs = self.client("logs")
        try:
            events = logs.filter_log_events(logGroupName=f"/aws/lambda/{self.settings.deploy_function}")
        except logs.exceptions.ResourceNotFoundException:
            return []  # the function has not run yet
        lines = [event["message"] for event in events["events"] if event["message"].startswith("{")]
        return [json.loads(line) for line in lines]


@pytest.fixture
def registry(local_cloud):
    name = f"d{uuid.uuid4().hex[:8]}"
    base = load_settings(ROOT / "pipeline.yaml", "local")
    settings = base.model_copy(
        update={
            "name": name,
            "data": base.data.model_copy(update={"bucket": f"{name}-bucket", "database": name, "workgroup": name}),
            "registry": base.registry.model_copy(update={"group": name}),
            "endpoint": base.endpoint.model_copy(
                update={
                    "name": name,
                    # A busy machine answers few requests; enough of them are the canary's.
                    "canary_percent": 30,
                    "canary_seconds": 4,
                    "baking_seconds": 1,
                    "maximum_errors": 2,
                }
            ),
        }
    )
    account.prepare(settings)
    sagemaker = local_cloud.client("sagemaker")
    sagemaker.create_model_package_group(ModelPackageGroupName=name)
    made = Registry(local_cloud, settings, local_cloud.image(SERVE, "serve.py", f"{name}-inference"))
    yield made
    if description := made.describe():
        wait_until(lambda: made.describe()["EndpointStatus"] in ("InService", "Failed"))
        for rule in serving.deployment_rules(settings):
            local_cloud.client("events").disable_rule(Name=rule)
        sagemaker.delete_endpoint(EndpointName=description["EndpointName"])


class Asking:
    """A client in a loop; `answers` are (version or error) in their order."""

    def __init__(self, registry):
        self._runtime = registry.client("sagemaker-runtime")
        self._endpoint = registry.endpoint
        self._end = threading.Event()
        self.answers = []
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()

    def _ask(self):
        while not self._end.wait(0.02):
            try:
                answer = self._runtime.invoke_endpoint(
                    EndpointName=self._endpoint, Body=b"photo", ContentType="image/jpeg"
                )
                self.answers.append(json.load(answer["Body"])["model_version"])
            except self._runtime.exceptions.ClientError as error:
                self.answers.append(error)

    def again(self, count=5):
        """Wait for this many more answers."""
        wanted = len(self.answers) + count
        wait_until(lambda: len(self.answers) >= wanted)

    def errors(self):
        return [answer for answer in self.answers if not isinstance(answer, str)]


def test_an_approval_whose_event_comes_twice_at_once_and_again_later_is_one_deployment(registry):
    approvals, _ = serving.deployment_rules(registry.settings)
    events = registry.client("events")
    [target] = events.list_targets_by_rule(Rule=approvals)["Targets"]
    events.put_targets(Rule=approvals, Targets=[{**target, "Id": "again"}])

    def deployed(version, change):
        """Both events were decided on: one made the change, the other found it made."""

        def decided():
            decisions = [item for item in registry.decisions() if item["model_package_version"] == version]
            made = [item["decision"] for item in decisions if item["decision"] in ("creating", "updating")]
            reasons = ("on its way to this version", "serves already")
            kept = [item for item in decisions if item["reason"].endswith(reasons)]
            return made if made and kept else None

        assert wait_until(decided) == [change]

    first = registry.approve(GOOD, golden=GOOD)
    registry.evaluated(first, "accepted")
    deployed(first, "creating")
    packages = registry.client("sagemaker").list_model_packages(
        ModelPackageGroupName=registry.settings.registry.group, SortOrder="Descending"
    )
    detail = {"ModelPackageArn": packages["ModelPackageSummaryList"][0]["ModelPackageArn"]}
    again = {"detail-type": "SageMaker Model Package State Change", "detail": detail, "time": "2026-01-01T00:00:00Z"}
    answer = registry.client("lambda").invoke(
        FunctionName=registry.settings.deploy_function, Payload=json.dumps(again).encode()
    )
    assert json.load(answer["Payload"])["reason"] == f"version {first} serves already"
    second = registry.approve(GOOD, golden=GOOD)
    description = registry.evaluated(second, "accepted")
    deployed(second, "updating")
    configs = registry.client("sagemaker").list_endpoint_configs(NameContains=registry.settings.name)["EndpointConfigs"]
    assert len(configs) == 2
    assert description["EndpointConfigName"] == configs[0]["EndpointConfigName"]


def test_a_model_that_is_changed_before_its_approval_is_rejected_and_a_later_change_does_not_serve(registry):
    sagemaker, s3 = registry.client("sagemaker"), registry.client("s3")
    first = registry.approve(GOOD, golden=GOOD)
    registry.evaluated(first, "accepted")
    arn = registry.register(GOOD, golden=GOOD)
    containers = sagemaker.describe_model_package(ModelPackageName=arn)["InferenceSpecification"]["Containers"]
    bucket, key = containers[0]["ModelDataUrl"].removeprefix("s3://").split("/", 1)
    s3.put_object(Bucket=bucket, Key=key, Body=b"another model")
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")

    def rejected():
        described = sagemaker.describe_model_package(ModelPackageName=arn)
        return described if described["ModelApprovalStatus"] == "Rejected" else None

    reason = wait_until(rejected)["ApprovalDescription"]
    assert reason.startswith(f"s3://{bucket}/{key} was changed after the registration of version 2")
    assert registry.tags()["model-package-version"] == first

    config = sagemaker.describe_endpoint_config(EndpointConfigName=registry.describe()["EndpointConfigName"])
    model = sagemaker.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
    assert model["Containers"][0]["ModelDataUrl"].startswith(f"{registry.settings.released_uri}/{first}-")


def test_a_rollback_rejects_the_later_version_and_returns_at_once(registry):
    first = registry.approve(GOOD, golden=GOOD)
    registry.evaluated(first, "accepted")
    second = registry.approve(GOOD, golden=GOOD)
    registry.evaluated(second, "accepted")
    settings = registry.settings
    done = deployment.roll_back(settings, deployment.rollback_target(settings), "dark photos")
    assert (done.decision, done.version, done.rejected) == ("updating", int(first), (int(second),))
    registry.evaluated(first, "accepted")
    assert versions.resolve(settings, second).status == "Rejected"
    decided = [(item.decision, item.version) for item in operation.decisions(settings)]
    assert decided[-2:] == [("rejected", second), ("updating", first)]


class Person:
    """A kind of person with boto3 and a session of the role that has the stack's policies."""

    def __init__(self, registry, kind):
        variables = people.sign_in(registry.settings, kind)
        self._session = boto3.Session(*(variables[name] for name in SESSION_KEYS), region_name="us-east-1")

    def may(self, service, operation, **request):
        """Whether a call is allowed; another error comes after the decision."""
        client = self._session.client(service)
        try:
            getattr(client, operation)(**request)
        except client.exceptions.ClientError as error:
            return error.response["Error"]["Code"] not in ("AccessDenied", "AccessDeniedException")
        return True


def test_only_an_approver_approves_and_nobody_else_changes_what_serves(registry):
    first = registry.approve(GOOD, golden=GOOD)
    registry.evaluated(first, "accepted")
    arn = registry.register(GOOD, golden=GOOD)
    settings, sagemaker = registry.settings, registry.client("sagemaker")
    endpoint, bucket = registry.describe(), settings.data.bucket
    config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    model = sagemaker.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
    container = model["Containers"][0]
    served = container["ModelDataUrl"].removeprefix(f"s3://{bucket}/")
    variant = {"VariantName": "AllTraffic", "InstanceType": "ml.c5.xlarge", "InitialInstanceCount": 1}
    approval = {"ModelPackageArn": arn, "ModelApprovalStatus": "Approved"}
    changes = {
        "rewrite": ("sagemaker", "update_model_package", {"ModelPackageArn": arn, "ApprovalDescription": "x"}),
        "reject": ("sagemaker", "update_model_package", {**approval, "ModelApprovalStatus": "Rejected"}),
        "model": (
            *("sagemaker", "create_model"),
            {"ModelName": f"{settings.endpoint.name}-v9-0-model", "ExecutionRoleArn": model["ExecutionRoleArn"]}
            | {"PrimaryContainer": {key: container[key] for key in ("Image", "ModelDataUrl")}},
        ),
        "configuration": (
            *("sagemaker", "create_endpoint_config"),
            {"EndpointConfigName": f"{settings.endpoint.name}-v9-01234567"}
            | {"ProductionVariants": [{**variant, "ModelName": model["ModelName"]}]},
        ),
        "endpoint": (
            *("sagemaker", "update_endpoint"),
            {"EndpointName": settings.endpoint.name, "EndpointConfigName": config["EndpointConfigName"]},
        ),
        "tags": (
            *("sagemaker", "add_tags"),
            {"ResourceArn": endpoint["EndpointArn"], "Tags": [{"Key": "verdict", "Value": "accepted"}]},
        ),
        "deletion": ("sagemaker", "delete_endpoint", {"EndpointName": settings.endpoint.name}),
        "released": ("s3", "put_object", {"Bucket": bucket, "Key": served, "Body": b"another model"}),
        "registered": (
            *("s3", "put_object"),
            {"Bucket": bucket, "Key": f"{settings.data.prefix}/models/1/output/model.tar.gz", "Body": b"x"},
        ),
        "code": ("s3", "put_object", {"Bucket": bucket, "Key": f"{settings.code_prefix}/deploy-0.zip", "Body": b"x"}),
        "function": (
            *("lambda", "update_function_configuration"),
            {"FunctionName": settings.deploy_function, "Timeout": 1},
        ),
    }
    for kind in ("ci", "operator", "approver"):
        person = Person(registry, kind)
        allowed = {name for name, (service, call, request) in changes.items() if person.may(service, call, **request)}
        assert allowed == ({"reject"} if kind == "approver" else set()), kind
        assert person.may("sagemaker", "update_model_package", **approval) is (kind == "approver"), kind
    registry.evaluated(arn.rsplit("/", 1)[1], "accepted")


def test_what_the_endpoint_is_asked_and_answers_is_captured_and_counted(registry):
    first = registry.approve(GOOD, golden=GOOD)
    registry.evaluated(first, "accepted")
    runtime, s3 = registry.client("sagemaker-runtime"), registry.client("s3")
    runtime.invoke_endpoint(EndpointName=registry.endpoint, Body=b"a photo", ContentType="image/jpeg")
    bucket, prefix = registry.settings.captures_uri.removeprefix("s3://").split("/", 1)

    def captured():
        bodies = [read(s3, f"s3://{bucket}/{key}") for key in keys(s3, bucket, f"{prefix}/{registry.endpoint}/")]
        return [line for body in bodies for line in body.splitlines() if b"YSBwaG90bw==" in line]

    (line,) = wait_until(captured)
    assert json.loads(json.loads(line)["captureData"]["endpointOutput"]["data"])["model_version"] == first

    def counted():
        traffic = operation.health(registry.settings).traffic
        return traffic if traffic.requests >= 2 else None

    traffic = wait_until(counted)
    assert (traffic.failed, traffic.refused) == (0, 0)
    assert traffic.slowest_milliseconds > 5


def test_a_person_approves_and_goes_back_by_a_command_and_what_came_after_is_rejected(registry, tmp_path):
    file = tmp_path / "pipeline.yaml"
    file.write_text(yaml.safe_dump({**registry.settings.model_dump(mode="json"), "profiles": {"local": {}}}))

    def call(*arguments, answer=None):
        done = CliRunner().invoke(app, ["--settings", str(file), *arguments], input=answer)
        return done.exit_code, done.stdout, done.stderr

    first = registry.approve(GOOD, golden=GOOD)
    registry.evaluated(first, "accepted")
    second = registry.register(GOOD, golden=GOOD)
    status, out, error = call("approve", "latest", "--wait")
    cost, *rest = out.splitlines()
    assert (status, rest) == (0, [f"approved: {second}", f"{registry.endpoint} is InService with version 2"]), error
    assert cost.startswith(f"the endpoint {registry.endpoint} costs nothing here; on AWS $")
    before = registry.describe()
    assert registry.tags()["verdict"] == "accepted"
    status, out, _ = call("rollback", answer="n\n")
    assert (status, "Deploy version 1 again, and reject every approved version after it?" in out) == (1, True)
    assert registry.describe()["EndpointConfigName"] == before["EndpointConfigName"]
    with Asking(registry) as client:
        status, out, error = call("rollback", "--yes", "-m", "it counts boxes")
        client.again()
    assert status == 0, error
    assert out.splitlines() == [
        "rejected: version 2",
        "updating: the endpoint moves to version 1",
        f"{registry.endpoint} is InService with version 1",
    ]
    assert client.errors() == []
    assert set(client.answers[-5:]) == {first}
    rejected = versions.resolve(registry.settings, second)
    assert (rejected.status, rejected.comment) == ("Rejected", "it counts boxes")
    status, _, error = call("rollback", "--yes")
    assert (status, error) == (1, "no version before 1 is approved; there is none to roll back to\n")


def test_a_good_version_takes_over_behind_its_canary_without_a_failed_request(registry):
    first = registry.approve(GOOD, golden=GOOD)
    registry.evaluated(first, "accepted")
    with Asking(registry) as client:
        second = registry.approve(GOOD, golden=GOOD)
        registry.evaluated(second, "accepted")
        client.again()
    assert client.errors() == []
    assert client.answers[0] == first
    assert set(client.answers[-5:]) == {second}
    # Under the canary both answered.
    begun, moved = client.answers.index(second), len(client.answers) - client.answers[::-1].index(first)
    assert begun < moved


@pytest.mark.parametrize(
    ("model", "golden", "message", "failures"),
    [
        ({"crash": True}, None, "did not pass the ping health check", "none"),
        ({"probabilities": {"0": 0.9, "1": 0.1}}, GOOD, "smoke test: photo 00001", "none"),
        ({"status": 500}, None, "are in ALARM state", "the canary's"),
    ],
    ids=["the container fails its ping", "the smoke test is wrong", "5xx under the canary"],
)
def test_a_bad_version_goes_back_and_the_old_one_never_stopped_answering(registry, model, golden, message, failures):
    first = registry.approve(GOOD, golden=GOOD)
    before = registry.evaluated(first, "accepted")
    with Asking(registry) as client:
        second = registry.approve(model, golden=golden)
        after = registry.evaluated(second, "rolled-back")
        # A request that was under way may still have the bad version's answer.
        client.again(1)
        settled = len(client.answers)
        client.again()
    assert after["EndpointConfigName"] == before["EndpointConfigName"]
    # The verdict is noted on the endpoint before the function's log is written.
    decided = wait_until(lambda: [d for d in registry.decisions() if d["decision"] in ("rolled-back", "rolling-back")])
    # Two events of the endpoint may be evaluated at the same time, to the same end.
    ((_, reason),) = {(decision["decision"], decision["reason"]) for decision in decided}
    assert message in reason
    [alert] = wait_until(registry.alerts)
    assert alert.subject == f"{registry.endpoint}: version {second} is rolled back"
    assert message in alert.text
    assert alert.text.endswith("Look: python -m pipeline --profile local endpoint")
    assert first in client.answers
    assert client.answers[settled:]
    assert set(client.answers[settled:]) == {first}
    if failures == "none":
        assert client.errors() == []
    else:
        # A share of the requests met the broken version, and each of those failures is its own.
        assert 2 < len(client.errors()) < len(client.answers) / 2 + 10
        assert all("(500)" in str(error) for error in client.errors())


def test_a_first_version_that_does_not_come_up_leaves_no_endpoint_and_the_next_one_makes_it(registry):
    registry.approve({"crash": True})
    wait_until(lambda: [d for d in registry.decisions() if d["decision"] == "cleaned-up"])
    wait_until(lambda: registry.describe() is None)
    second = registry.approve(GOOD, golden=GOOD)
    registry.evaluated(second, "accepted")

    def created():
        made = {d["model_package_version"] for d in registry.decisions() if d["decision"] == "creating"}
        return made if second in made else None

    # The verdict is another call's: the log of the one that created may be written after it.
    assert wait_until(created) == {"1", second}


def test_settings_of_the_endpoint_that_have_changed_come_with_the_next_deployment(registry):
    registry.evaluated(registry.approve(GOOD, golden=GOOD), "accepted")
    endpoint = registry.settings.endpoint.model_copy(update={"capture_percent": 50})
    changed = registry.settings.model_copy(update={"endpoint": endpoint})
    account.prepare(changed)
    done = deployment.deploy(changed, versions.latest_approved(changed))
    assert (done.version, done.decision) == (1, "updating")
    assert operation.wait(changed, done.arn, timeout=300, interval=0.2).captured_percent == 50
    assert deployment.deploy(changed, versions.latest_approved(changed)).reason == "version 1 serves already"
