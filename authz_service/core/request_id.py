"""Which text may be the id of a request: what Envoy leaves of a client's header."""

import re
from typing import Final

_SANE: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def is_sane(text: str) -> bool:
    """Whether an id may stand in logs and answers as it is."""
    return _SANE.fullmatch(text) is not None
