"""What every counter store promises. One conformance suite holds all of them to it."""

from collections.abc import Mapping
from typing import Protocol

from authz_service.core.hits import Counted, Fixed, Hit
from authz_service.core.meter import Metered
from authz_service.core.rules import Charge, Limit
from authz_service.errors import StoreError


class InconclusiveError(StoreError):
    """This charge failed, and that tells nothing new about whether the store works for others.

    Its own counter cannot be used, or the store was not asked at all.
    """


class PartsFailedError(StoreError):
    """Counters of some subjects of a request could not be used; those of the others could.

    `errors` says what went wrong, by subject.
    """

    def __init__(self, errors: Mapping[str, StoreError]) -> None:
        super().__init__(str(next(iter(errors.values()))))
        self.errors = errors


class CounterStore(Protocol):
    """Counts admissions per subject and limit, on the store's own clock."""

    async def connect(self) -> None:
        """Be ready for the first charge, so that it need not wait for a connection.

        Charges do without: each connects where that is still to be done.

        Raises:
            StoreError: that failed, or was not done within a second.
        """

    async def charge(
        self, subject: str, charges: tuple[Charge, ...], *, once: str | None = None
    ) -> Metered:
        """Take every charge from its limit, or none of them.

        One call is atomic: concurrent callers, here or in other processes, together never
        exceed a limit. A denied call changes nothing. `charges` is not empty and names each
        limit once. What a charge says is held elsewhere is counted as if it were used here.

        `once` names the request that the charges are for. Within `REMEMBERED_MS` of an admission
        under that name, asking the same again, here or in another process, returns the first
        answer with its resets brought up to date, and takes nothing. Without it every call counts.

        Raises:
            StoreError: the store did not answer in time or answered nonsense. The charge may
                then have been taken; the caller decides what the client sees.
        """

    async def hit(self, hits: tuple[Hit, ...], *, once: str | None = None) -> Counted:
        """Count one request at several counters, each of a subject of its own. `hits` is not empty.

        Fixed windows count every hit. Sliding ones count those that have room, and none if the
        request is refused. Hits at the same counter are counted one after the other.

        On one server, or in this process, a call is atomic. On a cluster the part of each slot is:
        what other slots took of a request that is refused is given back, and until then may keep
        others out. Nowhere does a sliding window ever hold more than its limit.

        `once` names the request, as in `charge`; here an answer is remembered if anything was
        counted, also one that refuses. On a cluster it does nothing where sliding windows lie in
        several slots.

        Raises:
            PartsFailedError: some parts of the store answered and others did not. What sliding
                windows took has been given back as far as they answered.
            StoreError: as `charge` does.
        """

    @property
    def gives_back(self) -> bool:
        """Whether `hit` may give back what it took, so that a refusal may be over at any moment."""

    async def peek(self, subject: str, charges: tuple[Charge, ...]) -> Metered:
        """What `charge` would be answered now, without charging: nothing is written.

        The readings are those before any charge; `admitted` says whether it would be taken.

        Raises:
            StoreError: as `charge` does.
        """

    async def reset(self, subject: str, limits: tuple[Limit | Fixed, ...]) -> None:
        """Forget what these limits count of one subject, and nothing else. All at once.

        Answers that are remembered for retries stay: they take nothing.

        Raises:
            StoreError: the store did not answer in time or answered nonsense. The counters may
                then be gone.
        """

    def part_of(self, subject: str) -> str:
        """Name the part of the store that counts a subject now: parts fail one without another.

        A store that works or fails as a whole is one part.
        """

    async def close(self) -> None:
        """Let go of every connection. Calls after this raise `StoreError`."""
