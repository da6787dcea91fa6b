"""How often an address presents credentials that are no good, counted in this process alone.

Guessing must cost the guesser and not the shared store.
"""

from collections import OrderedDict
from typing import Final

from authz_service.clock import Clock
from authz_service.core.meter import Log, read_rate, take_rate
from authz_service.core.rules import Charge, Rate

MAX_ADDRESSES: Final = 20_000
"""How many addresses one process remembers, at most 8 bytes a bad credential each."""


class BadCredentials:
    """A sliding window for each address; beyond `max_addresses` the one heard of longest ago goes.

    Who has that many addresses can make their own be forgotten, and nobody else's good credential
    is ever refused here.
    """

    def __init__(self, clock: Clock, *, max_addresses: int = MAX_ADDRESSES) -> None:
        self._clock = clock
        self._max_addresses = max_addresses
        self._logs: OrderedDict[str, Log] = OrderedDict()

    def note(self, address: str, rate: Rate) -> int:
        """Count one bad credential. How many milliseconds the address has to wait: 0 within `rate`.

        One that has to wait is not counted: waiting as told always helps.
        """
        now_ms = self._clock.monotonic_ms()
        charge = Charge(rate, 1)
        log = self._logs.get(address, ())
        reading = read_rate(charge, rate, log, now_ms)
        if not reading.retry_after_ms:
            self._logs[address] = take_rate(charge, rate, log, now_ms).counter
        self._logs.move_to_end(address)
        if len(self._logs) > self._max_addresses:
            self._logs.popitem(last=False)
        return reading.retry_after_ms
