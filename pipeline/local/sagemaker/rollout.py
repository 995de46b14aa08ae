"""The move of an endpoint's traffic from its old fleet to the new one, and back when an alarm goes off.

https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-blue-green.html
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pipeline.local.cloudwatch import CloudWatch
from pipeline.local.context import Request, ServiceError
from pipeline.local.sagemaker.resources import invalid
from pipeline.local.sagemaker.serving import INVOKE_SECONDS, Variant

log = logging.getLogger(__name__)

CHECK_SECONDS = 0.2  # between two looks at the alarms
LARGEST_CANARY = 0.5  # share of the instances; a fleet of one instance has no canary


class Traffic:
    """Chooses the variant per request: the fleet in service or, for a share of the requests, the new one."""

    def __init__(self, variant: Variant) -> None:
        self._lock = threading.Condition()
        self.in_service = variant
        """The variant that answers all requests, or most of them."""
        self.share = 0.0
        """Share of the requests that go to an update's new fleet."""
        self.since = 0.0
        """When the new fleet got that share, in seconds since the epoch."""
        self._new = variant
        self._in_flight: Counter[int] = Counter()

    @contextmanager
    def variant(self, target: str | None = None) -> Iterator[Variant]:
        """The variant for one request, of the name `target` if there is one. It is not stopped before it has answered.

        Raises ServiceError if no variant has this name.
        """
        with self._lock:
            chosen = self._new if random.random() < self.share else self.in_service  # noqa: S311
            if target is not None and chosen.name != target:
                others = [variant for variant in (self.in_service, self._new) if variant.name == target]
                if not others:
                    # Assumed: AWS's own text is not in its documents.
                    raise ServiceError("ValidationError", f"The endpoint has no production variant {target}.")
                chosen = others[0]
            self._in_flight[id(chosen)] += 1
        try:
            yield chosen
        finally:
            with self._lock:
                self._in_flight[id(chosen)] -= 1
                self._lock.notify_all()

    def send(self, share: float, new: Variant) -> None:
        """Send a share of the requests to `new`."""
        with self._lock:
            self._new, self.share, self.since = new, share, time.time()

    def settle(self, variant: Variant) -> Variant:
        """Send all requests to `variant`. Returns the variant that was in service."""
        with self._lock:
            before = self.in_service
            self.in_service, self._new, self.share = variant, variant, 0.0
            return before

    def return_back(self) -> None:
        """Send all requests to the variant in service."""
        with self._lock:
            self._new, self.share = self.in_service, 0.0

    def replace(self, ended: Variant, variant: Variant) -> bool:
        """Put `variant` in the place of one that has ended. Returns whether that was in service still."""
        with self._lock:
            if self.in_service is not ended:
                return False
            if self._new is ended:
                self._new = variant
            self.in_service = variant
            return True

    def retire(self, variant: Variant) -> None:
        """Stop a variant that gets no more requests, once it has answered the last one."""
        with self._lock:
            self._lock.wait_for(lambda: not self._in_flight[id(variant)], timeout=INVOKE_SECONDS)
            del self._in_flight[id(variant)]
        variant.stop()


@dataclass(frozen=True)
class Policy:
    """A request's DeploymentConfig. `share` is the canary's share of the traffic; without a canary it is 1."""

    share: float = 1.0
    canary_seconds: int = 0
    baking_seconds: int = 0
    alarms: tuple[str, ...] = ()

    @classmethod
    def of(cls, request: Request, variant: Request, cloudwatch: CloudWatch) -> Policy:
        """Read an UpdateEndpoint request. Raises ServiceError if the service, or the local cloud, would refuse it."""
        config = request.get("DeploymentConfig")
        if config is None:
            return cls()
        if "ServerlessConfig" in variant:
            raise invalid("DeploymentConfig is not supported for serverless endpoints.")
        if "BlueGreenUpdatePolicy" not in config:
            raise invalid("DeploymentConfig needs a BlueGreenUpdatePolicy.")
        policy = config["BlueGreenUpdatePolicy"]
        routing = policy["TrafficRoutingConfiguration"]
        share, seconds = 1.0, 0
        if routing["Type"] == "CANARY":
            share, seconds = _canary_share(routing, variant["InitialInstanceCount"]), routing["WaitIntervalInSeconds"]
        alarms = tuple(alarm["AlarmName"] for alarm in config.get("AutoRollbackConfiguration", {}).get("Alarms", []))
        if unknown := [name for name in alarms if not cloudwatch.exists(name)]:
            raise invalid(f"The alarms {', '.join(unknown)} do not exist.")
        return cls(share, seconds, policy.get("TerminationWaitInSeconds", 0), alarms)


def roll_out(
    traffic: Traffic, new: Variant, policy: Policy, cloudwatch: CloudWatch, ended: threading.Event
) -> str | None:
    """Move all traffic to `new`, through its canary. Returns the reason for a rollback if an alarm goes off.

    The traffic then stays as it was at the alarm. `ended`, set when the cloud stops, ends the waiting.
    """
    if policy.share < 1:
        traffic.send(policy.share, new)
        if reason := _bake(policy.canary_seconds, policy, cloudwatch, ended):
            return reason
    traffic.send(1.0, new)
    return _bake(policy.baking_seconds, policy, cloudwatch, ended)


def _bake(seconds: float, policy: Policy, cloudwatch: CloudWatch, ended: threading.Event) -> str | None:
    until = time.monotonic() + seconds
    while True:
        if alarms := cloudwatch.in_alarm(policy.alarms):
            return f"The deployment was rolled back: the alarms {', '.join(alarms)} are in ALARM state."
        if time.monotonic() >= until or ended.wait(CHECK_SECONDS):
            return None


def _canary_share(routing: Request, instances: int) -> float:
    size = routing["CanarySize"]
    share = size["Value"] / (instances if size["Type"] == "INSTANCE_COUNT" else 100)
    if share > LARGEST_CANARY:
        raise invalid(f"CanarySize must be at most 50% of the variant's instances; it has {instances}.")
    return float(share)
