"""A memory of bounded size that forgets what was put longest ago. No I/O."""

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Generations(Generic[K, V]):
    """A mapping that holds the last `at_least` entries put, and never twice as many.

    Two dicts: entries go into the young one; once it is full it becomes the old one, and what was
    old is dropped as a whole. So forgetting costs nothing per entry.
    """

    def __init__(self, *, at_least: int) -> None:
        self._at_least = at_least
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """What was last put under a key, None if that was long ago or never."""
        value = self._young.get(key)
        return self._old.get(key) if value is None else value

    def put(self, key: K, value: V) -> None:
        """Keep a value in place of the one before it."""
        self._young[key] = value
        if len(self._young) >= self._at_least:
            self._young, self._old = {}, self._young

    def clear(self) -> None:
        """Forget everything."""
        self._young, self._old = {}, {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
