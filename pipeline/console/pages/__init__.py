"""The pages of the console, a module per subject."""

from __future__ import annotations

from pipeline.console.pages import (
    data,
    decision,
    endpoint,
    inbox,
    models,
    monitor,
    overview,
    reports,
    rollback,
    run,
    runs,
    start,
    step,
    trials,
    version,
)
from pipeline.console.routes import Routes

ROUTES: tuple[Routes, ...] = (
    overview.ROUTES,
    runs.ROUTES,
    start.ROUTES,
    run.ROUTES,
    step.ROUTES,
    reports.ROUTES,
    models.ROUTES,
    version.ROUTES,
    decision.ROUTES,
    endpoint.ROUTES,
    rollback.ROUTES,
    data.ROUTES,
    trials.ROUTES,
    monitor.ROUTES,
    inbox.ROUTES,
)
