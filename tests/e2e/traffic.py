"""Steady traffic that goes on while a test breaks things, and what became of every request."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Final

from authz_service.clock import stopwatch
from tests.e2e.client import HOST

_PAUSE_S: Final = 0.004
_TIMEOUT_S: Final = 10
_JOIN_S: Final = 20

Outcomes = Counter[str]
"""How often each outcome occurred: a status, or the name of the error that came in its place."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: when it was sent and answered, and with what. Header names are lower-case."""

    sent_s: float
    received_s: float
    outcome: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def took_s(self) -> float:
        """How long the client waited."""
        return self.received_s - self.sent_s


class Traffic:
    """A few clients with a kept connection each, one request after the other.

    A connection that the server announced to close is opened anew, as every client does; one that
    ends without notice is an outcome.
    """

    def __init__(
        self,
        connection: Callable[[], HTTPConnection],
        *,
        path: str,
        headers: Mapping[str, str],
        threads: int = 4,
        pause_s: float = _PAUSE_S,
    ) -> None:
        self.samples: list[Sample] = []
        self._connection, self._path, self._headers = connection, path, dict(headers)
        self._pause_s = pause_s
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def start(self) -> None:
        """Send the first requests."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish the requests under way and send no more."""
        self._ends.set()
        for thread in self._threads:
            thread.join(_JOIN_S)

    @property
    def outcomes(self) -> Outcomes:
        """How often each outcome occurred so far."""
        return Counter(sample.outcome for sample in list(self.samples))

    @property
    def was_answered(self) -> bool:
        """Whether nothing was lost: every request a 200, but for checks that came too late.

        Envoy gives a check 250 ms and answers 503 then. On a machine that starts Python programs
        at the same time one in a hundred may take longer; a lost one would show as an error.
        """
        late = self.outcomes["503"]
        return set(+self.outcomes) <= {"200", "503"} and late * 100 <= self.outcomes["200"]

    def _run(self) -> None:
        connection = self._connection()
        while not self._ends.wait(self._pause_s):
            self.samples.append(self._ask(connection))
        connection.close()

    def _ask(self, connection: HTTPConnection) -> Sample:
        sent_s = stopwatch()
        try:
            connection.request("GET", self._path, headers=self._headers)
            response = connection.getresponse()
            response.read()
        except (OSError, HTTPException) as error:
            connection.close()
            return Sample(sent_s, stopwatch(), type(error).__name__)
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Sample(sent_s, stopwatch(), str(response.status), headers)


@contextmanager
def traffic(
    port: int,
    *,
    path: str,
    headers: Mapping[str, str],
    threads: int = 4,
    pause_s: float = _PAUSE_S,
) -> Iterator[Traffic]:
    """Traffic to a port for as long as the context lasts; count the outcomes after it."""

    def connection() -> HTTPConnection:
        return HTTPConnection(HOST, port, timeout=_TIMEOUT_S)

    flowing = Traffic(connection, path=path, headers=headers, threads=threads, pause_s=pause_s)
    with while_it_flows(flowing):
        yield flowing


@contextmanager
def while_it_flows(flowing: Traffic) -> Iterator[None]:
    """Have it flow for as long as the context lasts."""
    flowing.start()
    try:
        yield
    finally:
        flowing.stop()
