"""Minutes of traffic that rises and falls, with a few things going wrong, for the preview."""

import math
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, cycle
from typing import Final

from authz_service.clock import stopwatch
from tests.e2e.conftest import encoded
from tests.e2e.counted import LIMITS, kill_decoders
from tests.e2e.processes import sidecar, workers
from tests.e2e.stack import Stack, key_name
from tests.monitoring.live_stack import Callers, give_up, key, one_of_each, stores_stopped

_READERS: Final = 3
_WAVE_S: Final = 90
_SIDES: Final = (160, 240, 320, 480, 640, 900)
_STORE_AWAY_S: Final = 4
_LEAVE: Final = 5
_JOIN_S: Final = 30


class Load:
    """What several callers do at the same time, until told to stop."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._ends = threading.Event()
        works = [self._read] * _READERS + [self._upload, self._everything]
        self._threads = [threading.Thread(target=work) for work in works]

    def start(self) -> None:
        """Send the first requests."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Send no more."""
        self._ends.set()
        for thread in self._threads:
            thread.join(_JOIN_S)

    def last(self, seconds: float) -> None:
        """Let it go on for so long; then one thing after the other goes wrong, and it goes on."""
        faults = (
            self._clients_leave,
            self._store_is_away,
            self._worker_dies,
            self._job_fails,
            lambda: None,
        )
        for fault in faults:
            self._ends.wait(seconds / len(faults))
            fault()

    def _read(self) -> None:
        tiers = ("enterprise", "enterprise", "pro", "free")
        names = cycle(key_name(tier, number) for number in range(20, 50) for tier in tiers)
        begun = stopwatch()
        for name in names:
            height = (1 + math.sin((stopwatch() - begun) * 2 * math.pi / _WAVE_S)) / 2
            if self._ends.wait(0.03 + 0.15 * height):
                return
            self._stack.client.get(LIMITS, key(name))

    def _upload(self) -> None:
        images = cycle(encoded("JPEG", (side, side)) for side in _SIDES)
        names = cycle(key_name("enterprise", number) for number in range(20, 50))
        wishes = cycle([[("Prefer", "wait=2")], []])
        for image, name, wish, number in zip(images, names, wishes, count(), strict=False):
            if self._ends.wait(0.4):
                return
            reply = self._stack.client.upload(name, image, headers=wish)
            if reply.status == 202:
                job = reply.header("location")
                method = "DELETE" if number % 8 == 1 else "GET"
                self._stack.client.send(method, job, key(name))

    def _everything(self) -> None:
        for _ in range(10):  # as many as there are keys
            callers = Callers.of(self._stack)
            for _ in range(20):
                if self._ends.wait(1.5):
                    return
                one_of_each(self._stack, callers)

    def _clients_leave(self) -> None:
        callers = Callers.of(self._stack)
        for _ in range(_LEAVE):
            give_up(self._stack, callers)
            self._ends.wait(1)

    def _store_is_away(self) -> None:
        with stores_stopped(self._stack):
            self._ends.wait(_STORE_AWAY_S)

    def _worker_dies(self) -> None:
        os.kill(workers(sidecar(self._stack.process.pid))[0], signal.SIGKILL)

    def _job_fails(self) -> None:
        large = encoded("JPEG", (1500, 1200))
        self._stack.client.upload(key_name("enterprise", 50), large, scale="4", format="webp")
        self._ends.wait(0.5)
        kill_decoders(self._stack)


@contextmanager
def load(stack: Stack) -> Iterator[Load]:
    """Traffic for as long as the context lasts."""
    flowing = Load(stack)
    flowing.start()
    try:
        yield flowing
    finally:
        flowing.stop()
