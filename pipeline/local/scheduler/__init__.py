"""EventBridge Scheduler: schedules in the store, and a clock that invokes their targets."""

from pipeline.local.scheduler.service import Scheduler

__all__ = ["Scheduler"]
