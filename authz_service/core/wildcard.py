"""Patterns in which every `*` stands for any number of characters, none included."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wildcard:
    """A pattern, cut at its stars: at least two pieces, any of which may be empty."""

    pieces: tuple[str, ...]

    def matches(self, text: str) -> bool:
        """Whether the whole of `text` fits."""
        first, *middle, last = self.pieces
        end = len(text) - len(last)
        if end < len(first) or not text.startswith(first) or not text.endswith(last):
            return False
        at = len(first)
        for piece in middle:
            # The leftmost place leaves the most room for the pieces that follow.
            found = text.find(piece, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return True


def wildcard(text: str) -> Wildcard | None:
    """The pattern that `text` is, or None if no star is in it."""
    return Wildcard(tuple(text.split("*"))) if "*" in text else None
