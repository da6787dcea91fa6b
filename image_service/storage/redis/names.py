"""The keys of the job store and what each holds.

`imagen:job:ID` is a hash: `document`, the job as JSON; its `revision`; its `owner`, a digest of the
subject; and `claim`, the key of its idempotency claim or nothing. `imagen:claim:DIGEST` is a hash:
`job_id`, `until_ms`, and `fingerprint` once the job is there. Three sorted sets hold ids of jobs:
all of them by when they expire, the queued and the unfinished by when they were created.
"""

from hashlib import sha256
from typing import Final

JOB_PREFIX: Final = b"imagen:job:"
EXPIRY: Final = b"imagen:jobs:expiry"
QUEUED: Final = b"imagen:jobs:queued"
UNFINISHED: Final = b"imagen:jobs:unfinished"
_CLAIM_PREFIX: Final = b"imagen:claim:"


def id_bytes(job_id: str) -> bytes:
    """An id as the server sees it. Clients may ask for any text, lone surrogates too."""
    return job_id.encode("utf-8", "surrogatepass")


def job_key(job_id: str) -> bytes:
    """Where a job is."""
    return JOB_PREFIX + id_bytes(job_id)


def claim_key(subject: str, key: str) -> bytes:
    """Where the claim of a subject's idempotency key is: of one length, whatever they hold."""
    return _CLAIM_PREFIX + _digest(subject, key)


def owner(subject: str) -> bytes:
    """A subject, of one length."""
    return _digest(subject)


def _digest(*parts: str) -> bytes:
    digest = sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        # The length first: `ab`, `c` and `a`, `bc` are not the same.
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest().encode("ascii")
