"""The names of the counters of descriptors in a shared store.

`authz:{d1:DOMAIN,KEY=VALUE,...}:ALGORITHM:SECONDS`, and `KEY*=PATTERN` where values share one.
All but plain characters of a name are escaped, so that no two names can run into each other. What
a limit allows is no part of it: a changed limit goes on with what was counted.
"""

from authz_service.core.counter_key import encode
from authz_service.core.descriptors import DescriptorLimit, Entry


def descriptor_key(domain: str, counted_as: tuple[Entry, ...], limit: DescriptorLimit) -> bytes:
    """Return the key of one counter. Different entries, windows or algorithms never share one."""
    name = b",".join([encode(domain), *map(_entry, counted_as)])
    return b"authz:{d1:%b}:%b:%d" % (name, limit.algorithm.encode(), limit.window_s)


def _entry(entry: Entry) -> bytes:
    sign = b"*=" if entry.is_pattern else b"="
    return encode(entry.key) + sign + encode(entry.value)
