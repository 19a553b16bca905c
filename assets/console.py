"""What a terminal shows of a run: the time, the step and what it says; a failure as its message alone."""

import logging
import sys
from typing import Any

import dagster as dg


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        meta: dict[str, Any] = getattr(record, "dagster_meta", {})
        event = meta.get("dagster_event")
        message = meta.get("orig_message") or record.getMessage()
        if event is not None and event.is_step_failure:
            message = _failure(event)
        step = meta.get("step_key") or "run"
        return f"{self.formatTime(record, '%H:%M:%S')}  {step}: {message}"


def _failure(event: Any) -> str:
    """What is written for people, of a `Failure` or a failed check; the whole trace of anything else."""
    data = event.step_failure_data
    if data.error.cls_name == "DagsterAssetCheckFailedError":
        return f"failed: {data.error.message.partition(': ')[2].strip()}"
    described = data.user_failure_data.description if data.user_failure_data else None
    return f"failed: {described or data.error_display_string}"


@dg.logger(
    config_schema=dg.Field(str, default_value="INFO", is_required=False),
    description="Readable lines on standard error.",
)
def console(context: dg.InitLoggerContext) -> logging.Logger:
    """A logger of its own, so that lines are not printed twice; its configuration is the lowest level shown."""
    logger = logging.Logger("flywheel", level=str(context.logger_config).upper())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logger.addHandler(handler)
    return logger
