"""What became of a check, in the words that metrics and the decision log share."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from authz_service.core.verdict import UNAVAILABLE_REASONS, Reason


class Decision(StrEnum):
    """The kinds of answers."""

    ALLOW = "allow"
    DENY = "deny"
    OVER_LIMIT = "over_limit"
    UNAVAILABLE = "unavailable"
    ABANDONED = "abandoned"  # there was none: nobody waited for it


CANCELLED: Final = "cancelled"
"""The reason of a check whose asker stopped waiting. No answer has it, so it is no `Reason`."""

_KINDS: Final[Mapping[str, Decision]] = {
    Reason.OK: Decision.ALLOW,
    Reason.RATE_LIMITED: Decision.OVER_LIMIT,
    Reason.QUOTA_EXCEEDED: Decision.OVER_LIMIT,
    Reason.TOO_MANY_BAD_CREDENTIALS: Decision.OVER_LIMIT,
    **dict.fromkeys(UNAVAILABLE_REASONS, Decision.UNAVAILABLE),
    CANCELLED: Decision.ABANDONED,
}


def kind_of(reason: str) -> Decision:
    """The kind of answer that a reason stands for."""
    return _KINDS.get(reason, Decision.DENY)
