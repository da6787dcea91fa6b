"""Being asked to stop: the first signal asks, a second one insists."""

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress


def stop_event() -> asyncio.Event:
    """Set by the first SIGTERM, SIGINT or SIGHUP (a closed terminal).

    The second ends the process at once, as by default.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = _asking()

    def on_signal() -> None:
        stop.set()
        for each in numbers:
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)

    for number in numbers:
        loop.add_signal_handler(number, on_signal)
    return stop


def _asking() -> tuple[signal.Signals, ...]:
    """The signals that ask. Under nohup(1) a closed terminal does not."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return (signal.SIGTERM, signal.SIGINT)
    return (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


async def until(stop: asyncio.Event, work: Coroutine[None, None, None]) -> None:
    """Do `work` until it ends or `stop` is set; what it raises is raised here."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not working.done():
            working.cancel()
        with suppress(asyncio.CancelledError):
            await working
