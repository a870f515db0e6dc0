"""Structured logs: one JSON object a line on standard error, with the trace id of the work at hand.

`bind_trace` names the trace for everything logged from the current task on (W3C trace context, 32 hex digits);
records of libraries that use the standard library's logging come out in the same form.
"""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import Processor

_NOISY = ("aiokafka", "botocore", "aiobotocore", "faust", "mode", "uvicorn", "asyncio", "urllib3", "httpx", "httpcore")


def configure_logging(service: str, level: str = "info") -> None:
    """Send all logs of this process to standard error as JSON lines that carry ``service``. Idempotent."""
    structlog.contextvars.bind_contextvars(service=service)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module: ``log.info("event-name", key=value)``."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger


def bind_trace(trace_id: str) -> None:
    """Name the trace of the current task; children of the task inherit it."""
    structlog.contextvars.bind_contextvars(trace_id=trace_id)


def clear_trace() -> None:
    """Forget the trace of the current task."""
    structlog.contextvars.unbind_contextvars("trace_id")
