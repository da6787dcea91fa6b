"""Logs: one JSON object a line, or readable lines for a person. Nothing secret goes in."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, TextIO, cast

import structlog
from aiohttp import BadContentDispositionHeader, BadContentDispositionParam
from structlog.typing import EventDict, FilteringBoundLogger, Processor

from image_service.clock import Clock

ctx_logger: Final = cast("FilteringBoundLogger", structlog.stdlib.get_logger("image_service"))
"""The service's logger; adds the request id of the work at hand to every line."""


@contextmanager
def request_context(request_id: str) -> Iterator[None]:
    """Put `request_id` on every line written inside."""
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        yield


def configure_logging(*, debug: bool, clock: Clock, stream: TextIO = sys.stdout) -> None:
    """Set up the process's logs, those of libraries included; called once, at the start."""
    ignore_warnings_of_foreign_headers()
    readable = debug or stream.isatty()
    shared = _shared_processors(clock)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=_rendering(readable=readable)
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    # It prints what it is given, and says nothing that our own lines do not.
    logging.getLogger("saq").setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        # `ctx_logger` outlives every configuration; a cached one would keep to the first.
        cache_logger_on_first_use=False,
    )


def ignore_warnings_of_foreign_headers() -> None:
    """Python remembers every text it has warned with, and these hold what a client sent."""
    for kind in (BadContentDispositionHeader, BadContentDispositionParam):
        warnings.simplefilter("ignore", kind)


def _shared_processors(clock: Clock) -> list[Processor]:
    def stamp(_logger: object, _method: str, event: EventDict) -> EventDict:
        event["timestamp"] = rfc3339(clock.now_ms())
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        stamp,
        structlog.processors.format_exc_info,
    ]


def _rendering(*, readable: bool) -> list[Processor]:
    without_extras = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if readable:
        return [without_extras, structlog.dev.ConsoleRenderer(colors=False)]
    return [without_extras, _cloud_names, structlog.processors.JSONRenderer(sort_keys=False)]


def _cloud_names(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Order and name the fields as Cloud Logging reads them."""
    head = {
        "timestamp": event.pop("timestamp"),
        "severity": str(event.pop("level")).upper(),
        "message": event.pop("event"),
    }
    return head | dict(event)


def rfc3339(ms: int) -> str:
    """Milliseconds since the epoch as `2024-01-15T10:30:00.000Z`."""
    seconds, rest = divmod(ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03}Z"
