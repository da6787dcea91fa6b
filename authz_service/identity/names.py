"""What ids, subjects, tiers and scopes may look like: they stand in headers and in counters."""

import re

_NAME = re.compile(r"[A-Za-z0-9._:@/-]{1,128}")


def is_name(text: str) -> bool:
    """Whether a text is such a name."""
    return _NAME.fullmatch(text) is not None
