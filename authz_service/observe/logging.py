"""Log lines: JSON as Cloud Logging reads it, or readable ones on a terminal."""

import logging
import sys
from contextlib import suppress
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, Processor

# Not structlog's "iso", which leaves the fraction out when it is zero.
_TIMESTAMP = "%Y-%m-%dT%H:%M:%S.%fZ"
_CLOUD_TRACE = "logging.googleapis.com/trace"
_SEVERITIES = {"warn": "WARNING", "exception": "ERROR"}


def configure_logging(
    *, debug: bool, project: str | None = None, stream: TextIO = sys.stderr
) -> None:
    """Send every log line of this process to `stream`, one a line.

    Lines are readable with `debug` or on a terminal, else JSON. Those of a trace name it as the
    Google Cloud `project` does, if there is one. One that cannot be written is lost.
    """
    readable = debug or stream.isatty()
    structlog.configure(
        processors=_processors(readable=readable, colors=stream.isatty(), project=project),
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.DEBUG if debug else logging.INFO
        ),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Outlet(stream))),
        cache_logger_on_first_use=True,
    )


class _Outlet:
    """A stream whose disk may be full, or whose reader may be gone: no reason to stop working."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def _processors(*, readable: bool, colors: bool, project: str | None) -> list[Processor]:
    shared: list[Processor] = [structlog.contextvars.merge_contextvars]
    if readable:
        return [
            *shared,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(
                colors=colors, exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    return [
        *shared,
        *([] if project is None else [_filed_under(project)]),
        _severity,
        structlog.processors.TimeStamper(fmt=_TIMESTAMP, utc=True, key="timestamp"),
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("message"),
        _cloud_logging_order,
        structlog.processors.JSONRenderer(),
    ]


def _filed_under(project: str) -> Processor:
    """The name by which Cloud Logging shows a line beside the spans of its trace."""

    def named(_logger: object, _method: str, event: EventDict) -> EventDict:
        if trace_id := event.get("trace_id"):
            event[_CLOUD_TRACE] = f"projects/{project}/traces/{trace_id}"
        return event

    return named


def _severity(_logger: object, method: str, event: EventDict) -> EventDict:
    """Cloud Logging's name for the level (LogSeverity)."""
    event["severity"] = _SEVERITIES.get(method, method.upper())
    return event


def _cloud_logging_order(_logger: object, _method: str, event: EventDict) -> EventDict:
    """What people read first, first. Timestamps in milliseconds, as Envoy writes them."""
    microseconds = event.pop("timestamp")
    return {
        "timestamp": f"{microseconds[:-4]}Z",
        "severity": event.pop("severity"),
        "message": event.pop("message"),
        **event,
    }
