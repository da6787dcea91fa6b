"""When to start a dead worker again, and when to stop trying. Pure: the moment is an argument."""

from collections import deque
from typing import Final

MAX_DEATHS: Final = 5
WITHIN_MS: Final = 30_000
_FIRST_DELAY_MS: Final = 100


class Restarts:
    """Remembers the deaths of all workers for half a minute."""

    def __init__(self) -> None:
        self._deaths: deque[int] = deque()

    def delay_ms(self, now_ms: int) -> int | None:
        """Note a death at `now_ms`; how long to wait before the next start, or None: give up.

        The first restart is nearly at once; each death of the last half minute doubles the wait.
        """
        self._deaths.append(now_ms)
        while self._deaths[0] <= now_ms - WITHIN_MS:
            self._deaths.popleft()
        if len(self._deaths) >= MAX_DEATHS:
            return None
        return _FIRST_DELAY_MS << (len(self._deaths) - 1)
