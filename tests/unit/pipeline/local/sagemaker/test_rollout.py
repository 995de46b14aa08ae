"""Traffic between two fleets, and the reason that an update returns."""

import threading
import time

import pytest

from pipeline.local.context import ServiceError
from pipeline.local.sagemaker.rollout import Policy, Traffic, roll_out


class Fleet:
    def __init__(self, name):
        self.name = name
        self.stopped = False

    def stop(self):
        self.stopped = True


class Alarms:
    """Alarms by name, and when they ring."""

    def __init__(self, *names, rings_after=None):
        self.names = names
        self.rings_at = None if rings_after is None else time.monotonic() + rings_after

    def exists(self, name):
        return name in self.names

    def in_alarm(self, names):
        rings = self.rings_at is not None and time.monotonic() >= self.rings_at
        return list(names) if rings else []


def shares(traffic, number=4000):
    answered = []
    for _ in range(number):
        with traffic.variant() as fleet:
            answered.append(fleet.name)
    return {name: answered.count(name) / number for name in set(answered)}


def test_a_canary_gets_its_share_of_the_requests():
    old, new = Fleet("old"), Fleet("new")
    traffic = Traffic(old)
    traffic.send(0.25, new)
    assert shares(traffic)["new"] == pytest.approx(0.25, abs=0.04)
    traffic.settle(new)
    assert shares(traffic) == {"new": 1.0}


def test_a_request_for_a_variant_goes_there_whatever_the_weights_are():
    old, new = Fleet("old"), Fleet("new")
    traffic = Traffic(old)
    traffic.send(0.5, new)
    for name in ("old", "new") * 20:
        with traffic.variant(name) as fleet:
            assert fleet.name == name
    traffic.settle(new)
    for name in ("old", "other", ""):
        with pytest.raises(ServiceError, match="no production variant"), traffic.variant(name):
            pass
    traffic.retire(old)
    assert old.stopped


def test_a_fleet_ends_only_when_it_has_answered_what_it_has():
    old = Fleet("old")
    traffic = Traffic(old)
    inside, leave = threading.Event(), threading.Event()

    def request():
        with traffic.variant():
            inside.set()
            leave.wait(10)

    asking = threading.Thread(target=request)
    asking.start()
    inside.wait(10)
    traffic.settle(Fleet("new"))
    retiring = threading.Thread(target=traffic.retire, args=(old,))
    retiring.start()
    time.sleep(0.1)
    assert not old.stopped
    leave.set()
    retiring.join(10)
    asking.join(10)
    assert old.stopped


def test_traffic_that_no_alarm_holds_up_ends_at_the_new_fleet():
    old, new = Fleet("old"), Fleet("new")
    traffic = Traffic(old)
    assert roll_out(traffic, new, Policy(0.5, 0, 0, ("a",)), Alarms("a"), threading.Event()) is None
    assert shares(traffic) == {"new": 1.0}


@pytest.mark.parametrize("policy", [Policy(0.5, 30, 0, ("a",)), Policy(1.0, 0, 30, ("a",))], ids=["canary", "baking"])
def test_an_alarm_while_it_is_waited_is_the_reason_to_go_back(policy):
    traffic = Traffic(Fleet("old"))
    reason = roll_out(traffic, Fleet("new"), policy, Alarms("a", rings_after=0.3), threading.Event())
    assert reason == "The deployment was rolled back: the alarms a are in ALARM state."


def update(routing, alarms=(), **more):
    return {
        "DeploymentConfig": {
            "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, **more},
            "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarms]},
        }
    }


def canary(kind, value):
    size = {"Type": kind, "Value": value}
    return {"Type": "CANARY", "CanarySize": size, "WaitIntervalInSeconds": 60}


def test_a_request_without_guardrails_moves_all_at_once():
    assert Policy.of({}, {"InitialInstanceCount": 1}, Alarms()) == Policy()


@pytest.mark.parametrize(
    ("size", "share"), [(canary("INSTANCE_COUNT", 1), 0.25), (canary("CAPACITY_PERCENT", 10), 0.1)]
)
def test_the_canarys_size_is_its_share(size, share):
    request = update(size, alarms=("a",), TerminationWaitInSeconds=7)
    assert Policy.of(request, {"InitialInstanceCount": 4}, Alarms("a")) == Policy(share, 60, 7, ("a",))


@pytest.mark.parametrize(
    ("request_", "variant", "message"),
    [
        (update(canary("INSTANCE_COUNT", 1)), {"InitialInstanceCount": 1}, "at most 50%"),
        (update(canary("INSTANCE_COUNT", 1), alarms=("b",)), {"InitialInstanceCount": 4}, "alarms b do not exist"),
        (update(canary("INSTANCE_COUNT", 1)), {"ServerlessConfig": {}}, "not supported for serverless"),
        (
            {"DeploymentConfig": {"RollingUpdatePolicy": {}}},
            {"InitialInstanceCount": 4},
            "needs a BlueGreenUpdate",
        ),
    ],
)
def test_what_the_service_refuses_is_refused(request_, variant, message):
    with pytest.raises(ServiceError, match=message):
        Policy.of(request_, variant, Alarms("a"))
