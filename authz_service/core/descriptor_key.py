"""The names under which descriptors are counted.

`descriptor:DOMAIN,KEY=VALUE,...`, and `KEY*=PATTERN` where values share one. All but plain
characters of each part are escaped, so that no two names can run into each other. What a limit
allows is no part of it: a changed limit goes on with what was counted, unless it crosses 1,000.
"""

from authz_service.core.counter_key import encode
from authz_service.core.descriptors import Entry


def descriptor_subject(domain: str, counted_as: tuple[Entry, ...]) -> str:
    """Return what one counter is counted under. Different domains and entries never share it."""
    name = b",".join([encode(domain), *map(_entry, counted_as)])
    return f"descriptor:{name.decode()}"


def _entry(entry: Entry) -> bytes:
    sign = b"*=" if entry.is_pattern else b"="
    return encode(entry.key) + sign + encode(entry.value)
