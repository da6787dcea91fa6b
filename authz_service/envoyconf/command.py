"""Envoy's command line."""

from pathlib import Path


def command(
    binary: str, bootstrap: Path, *, concurrency: int = 2, drain_seconds: int = 30
) -> list[str]:
    """The program and its arguments.

    `concurrency` is the number of worker threads, `drain_seconds` the time over which a draining
    listener lets its connections go. Start it from the main thread: Envoy ends with the thread
    that started it.
    """
    return [
        binary,
        *("--config-path", str(bootstrap)),
        *("--concurrency", str(concurrency)),
        *("--drain-time-s", str(drain_seconds)),
        # A file is otherwise flushed every ten seconds.
        *("--file-flush-interval-msec", "100"),
        *("--log-level", "warning"),
        # The body limit logs the whole path of a refused upload as an error: query and all.
        *("--component-log-level", "http:critical"),
        # Without this a misspelt field in a followed file is dropped, and what it said with it.
        "--reject-unknown-dynamic-fields",
        # A new Envoy is a new process here; without this a second one on a machine needs an id.
        "--disable-hot-restart",
    ]
