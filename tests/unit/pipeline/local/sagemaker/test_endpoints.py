"""Endpoints and their configurations: what is refused, and two changes at the same time."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from pipeline.local.context import Context, ServiceError
from pipeline.local.sagemaker import endpoints as module
from pipeline.local.sagemaker.endpoints import Endpoints
from pipeline.local.sagemaker.models import Models
from pipeline.local.sagemaker.quotas import Quotas
from pipeline.local.sagemaker.rollout import Policy, Traffic
from pipeline.local.sagemaker.serving import Answer, Variant
from pipeline.local.store import Store
from tests.unit.pipeline.local.identities import Permissive

ROLE = "arn:aws:iam::123456789012:role/serving"
INSTANCES = {"InitialInstanceCount": 2, "InstanceType": "ml.c5.large"}
SERVERLESS = {"ServerlessConfig": {"MemorySizeInMB": 3072, "MaxConcurrency": 5}}


class Cloud:
    """The operations, on an endpoint `e` that is in service as `where` says; `begun` are the rollouts."""

    def __init__(self, directory):
        self.store = Store(directory / "store.db")
        context = Context(directory, "123456789012", "us-east-1", self.store, {})
        head = SimpleNamespace(head_object=lambda **_: {})
        identity = Permissive(s3=head)
        self.models = Models(context, None, identity)
        self.events, self.begun = [], []
        events = SimpleNamespace(emit=lambda kind, resources, detail: self.events.append(detail["EndpointStatus"]))
        services = SimpleNamespace(context=context, identity=identity, quotas=Quotas(context))
        self.endpoints = Endpoints(services, self.models, events, None)
        self.endpoints._in_background = lambda name, work: self.begun.append(name)

    def call(self, operation, **request):
        operations = {**self.models.operations(), **self.endpoints.operations()}
        return operations[operation](request)

    def config(self, name, where, **more):
        """A configuration with a model of its own."""
        isolation = {"EnableNetworkIsolation": more.pop("isolated", False)}
        container = {"Image": "image", "ModelDataUrl": "s3://bins/model.tar.gz"}
        vpc = {"VpcConfig": more.pop("vpc")} if "vpc" in more else {}
        self.call("CreateModel", ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE, **isolation, **vpc)
        variant = {"VariantName": "AllTraffic", "ModelName": name, **where}
        self.call("CreateEndpointConfig", EndpointConfigName=name, ProductionVariants=[variant], **more)
        return name

    def serve(self, where):
        self.call("CreateEndpoint", EndpointName="e", EndpointConfigName=self.config("first", where))
        self.endpoints._serves("e", "first")
        self.begun.clear()

    def update(self, config):
        return self.call("UpdateEndpoint", EndpointName="e", EndpointConfigName=config)

    @property
    def status(self):
        return self.call("DescribeEndpoint", EndpointName="e")["EndpointStatus"]


@pytest.fixture
def cloud(tmp_path):
    cloud = Cloud(tmp_path)
    yield cloud
    cloud.endpoints.close()


def test_of_two_updates_at_the_same_time_one_rolls_out_and_the_other_is_refused(cloud, monkeypatch):
    cloud.serve(INSTANCES)
    configs = [cloud.config(name, INSTANCES) for name in ("second", "third")]
    both = threading.Barrier(2)

    def of(*_):
        both.wait(30)  # neither has changed anything before both are here
        return Policy()

    monkeypatch.setattr(module.Policy, "of", of)
    with ThreadPoolExecutor(2) as pool:
        updates = [pool.submit(cloud.update, config) for config in configs]
    refused = [update.exception() for update in updates if update.exception()]
    assert [error.code for error in refused] == ["ValidationException"]
    assert "in-progress endpoint" in str(refused[0])
    assert cloud.begun == ["e"]
    assert cloud.events.count("UPDATING") == 1


def test_an_endpoint_that_changes_is_not_deleted(cloud):
    cloud.serve(INSTANCES)
    cloud.update(cloud.config("second", INSTANCES))
    with pytest.raises(ServiceError, match="in-progress endpoint"):
        cloud.call("DeleteEndpoint", EndpointName="e")
    assert cloud.status == "Updating"


@pytest.mark.parametrize("operation", ["UpdateEndpoint", "DeleteEndpoint"])
def test_an_endpoint_that_is_not_there_is_named(cloud, operation):
    cloud.config("c", INSTANCES)
    with pytest.raises(ServiceError, match="Could not find endpoint"):
        cloud.call(operation, EndpointName="e", EndpointConfigName="c")


def test_instances_do_not_become_serverless_but_the_other_way_is_open(cloud):
    cloud.serve(INSTANCES)
    with pytest.raises(ServiceError, match="instances cannot be converted to a serverless variant"):
        cloud.update(cloud.config("second", SERVERLESS))
    assert (cloud.status, cloud.begun) == ("InService", [])
    cloud.call("DeleteEndpoint", EndpointName="e")
    cloud.call("CreateEndpoint", EndpointName="e", EndpointConfigName="second")
    cloud.endpoints._serves("e", "second")
    cloud.update("first")
    assert cloud.status == "Updating"


CAPTURE = {"InitialSamplingPercentage": 10, "DestinationS3Uri": "s3://b", "CaptureOptions": [{"CaptureMode": "Input"}]}


@pytest.mark.parametrize(
    ("asked", "feature"),
    [
        ({"isolated": True}, "Network isolation"),
        ({"vpc": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}}, "VPC configuration"),
        ({"DataCaptureConfig": CAPTURE}, "Data capture"),
    ],
)
def test_what_serverless_endpoints_exclude_is_refused_there_alone(cloud, asked, feature):
    with pytest.raises(ServiceError, match=f"{feature} is not supported for serverless endpoints"):
        cloud.config("serverless", SERVERLESS, **asked)
    cloud.config("instances", INSTANCES, **asked)


class Container:
    """A variant that notes the headers it is asked with."""

    name = "AllTraffic"

    def __init__(self):
        self.headers = []

    def invoke(self, body, headers):
        self.headers.append(headers)
        return Answer(200, body, "text/plain")


@pytest.mark.parametrize(
    ("members", "headers", "inference_id"),
    [
        ({}, {"Content-Type": "application/octet-stream"}, None),
        (
            {"ContentType": "image/jpeg", "Accept": "text/csv", "InferenceId": "a-1"},
            {"Content-Type": "image/jpeg", "Accept": "text/csv"},
            "a-1",
        ),
        (
            {"CustomAttributes": "trace=1", "TargetVariant": "AllTraffic"},
            {"Content-Type": "application/octet-stream", "X-Amzn-SageMaker-Custom-Attributes": "trace=1"},
            None,
        ),
    ],
)
def test_every_member_of_an_invocation_reaches_its_reader(cloud, members, headers, inference_id):
    container, captured = Container(), []
    capture = SimpleNamespace(record=lambda *parts: captured.append(parts[-1]), flush=list, flush_when_due=list)
    cloud.endpoints._cloudwatch = SimpleNamespace(observe=lambda *_: None)
    cloud.endpoints._live["e"] = module._Live(Traffic(container), capture, 100)
    assert cloud.endpoints.invoke("e", b"photo", members)[1].body == b"photo"
    assert (container.headers, captured) == ([headers], [inference_id])
    with pytest.raises(ServiceError, match="no production variant Other"):
        cloud.endpoints.invoke("e", b"photo", {**members, "TargetVariant": "Other"})
    del cloud.endpoints._live["e"]


@pytest.mark.parametrize(("more", "seconds"), [({}, 240), ({"ContainerStartupHealthCheckTimeoutInSeconds": 900}, 900)])
def test_a_container_has_the_variants_time_to_answer_its_first_ping(cloud, monkeypatch, more, seconds):
    waited = []
    monkeypatch.setattr(Variant, "start", lambda variant: waited.append(variant.ping_seconds))
    cloud.config("slow", {**INSTANCES, **more})
    cloud.endpoints._start_variant("e", "slow")
    assert waited == [seconds]


def test_a_container_that_ends_with_the_cloud_does_not_fail_its_endpoint(cloud, monkeypatch):
    """The end of a machine ends the containers first: the next start has to bring the endpoint back."""
    cloud.serve(INSTANCES)
    ended = SimpleNamespace(name="AllTraffic", exit_status=-15, write=list, stop=list)
    traffic = Traffic(ended)
    cloud.endpoints._ended.set()
    cloud.endpoints._watcher.join(30)
    cloud.endpoints._live["e"] = module._Live(traffic, None, 100)
    cloud.endpoints._replace("e", traffic, ended)
    assert cloud.endpoints._live.pop("e").traffic is traffic
    assert cloud.status == "InService"


def stage_of(cloud):
    (variant,) = cloud.call("DescribeEndpoint", EndpointName="e")["PendingDeploymentSummary"]["ProductionVariants"]
    return variant["CurrentWeight"], [stage["Status"] for stage in variant["VariantStatus"]]


def test_a_change_has_its_stage_from_the_start_of_its_instances_to_the_watched_canary(cloud):
    cloud.serve(INSTANCES)
    cloud.update(cloud.config("second", INSTANCES))
    assert stage_of(cloud) == (0.0, ["Creating"])
    traffic = Traffic(SimpleNamespace(name="AllTraffic", definition={"Image": "image"}, stop=lambda: None))
    traffic.send(0.5, traffic.in_service)
    cloud.endpoints._live["e"] = SimpleNamespace(traffic=traffic, capture=None)
    assert stage_of(cloud) == (0.5, ["Baking"])
    traffic.return_back()
    cloud.endpoints._set("e", EndpointStatus="RollingBack")
    assert stage_of(cloud) == (0.0, [])
