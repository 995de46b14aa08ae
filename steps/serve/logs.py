"""The log as JSON, one object a line, for CloudWatch Logs' filters and Logs Insights."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime


class JsonLines(logging.Formatter):
    """Time, level and logger, then a record's `json` (given as `extra`) or its message, and a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
        }
        figures = getattr(record, "json", None)
        line |= figures if isinstance(figures, dict) else {"message": record.getMessage()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def use_json() -> None:
    """Write every record of this process as JSON from here on."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonLines())
