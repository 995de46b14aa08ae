"""EventBridge Scheduler: schedules that are kept, and that fire."""

from pipeline.local.scheduler.service import Scheduler

__all__ = ["Scheduler"]
