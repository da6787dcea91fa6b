"""The names of a key store's parts.

The braces are the hash tag of Redis Cluster: one script touches all of them. The 1 is the version
of this form and of the values stored under it.
"""

from typing import Final

RECORDS: Final = "authz:{1:keys}:records"
"""A hash from ids to `GENERATION JSON`."""

DIGESTS: Final = "authz:{1:keys}:digests"
"""A hash from digests to ids."""

GENERATION: Final = "authz:{1:keys}:generation"
"""How many changes there were."""

CHANGES: Final = "authz:{1:keys}:changes"
"""A stream of the latest changes: `generation`, `id`, and `record` unless it was deleted."""

USED: Final = "authz:{1:keys}:used"
"""A hash from ids to epoch milliseconds."""
