"""What a Redis server answered, believed only as far as it makes sense."""

from dataclasses import dataclass
from typing import Final

import hiredis

from authz_service.core.meter import Metered, Reading
from authz_service.core.rules import Charge
from authz_service.errors import StoreError
from authz_service.storage.base import InconclusiveError

_DENIED: Final = 0
_ADMITTED: Final = 1
_STALE: Final = 2
_NUMBERS_PER_LIMIT: Final = 3

UNFIT_SERVER: Final = frozenset(
    {
        "READONLY",  # demoted: a replica now
        "NOREPLICAS",  # cut off from its replicas, which may have elected another
        "MASTERDOWN",
        "LOADING",
        "CLUSTERDOWN",
        "NOAUTH",  # restarted with a password since we logged in
    }
)
"""Codes that say: this server cannot count at all, and another at its address perhaps can.

`NOPERM` is not among these: rights are looked up for every command, so a new connection has the
same.
"""


def error_code(error: hiredis.ReplyError) -> str:
    """Return the first word of an error reply. The rest may quote what we sent, passwords too."""
    code = str(error).partition(" ")[0]
    return code if code.isascii() and code.isalpha() and code.isupper() else "ERR"


class KeysApartError(InconclusiveError):
    """The slot of these keys is moving, and no node has all of them. Nothing was counted."""


@dataclass(frozen=True, slots=True)
class Stale:
    """The script asks for the periods around these moments, one a charge. Nothing was counted."""

    moments_ms: tuple[int, ...]


def read_verdict(reply: object, charges: tuple[Charge, ...]) -> Metered | Stale:
    """Read what the script answered.

    Raises:
        KeysApartError: a node of a cluster has some of the keys of these charges.
        InconclusiveError: a key of these charges holds something that is no counter.
        StoreError: the reply is another error, or nothing the script says about these charges.
    """
    status, *numbers = read_numbers(reply)
    if status == _STALE and len(numbers) == len(charges):
        return Stale(tuple(numbers))
    if len(numbers) != _NUMBERS_PER_LIMIT * len(charges):
        raise nonsense()
    readings = tuple(
        _reading(charge, *numbers[at : at + _NUMBERS_PER_LIMIT])
        for charge, at in zip(charges, range(0, len(numbers), _NUMBERS_PER_LIMIT), strict=True)
    )
    admitted = not any(reading.retry_after_ms for reading in readings)
    if status != (_ADMITTED if admitted else _DENIED):
        raise nonsense()
    return Metered(admitted=admitted, readings=readings)


def check_count(reply: object) -> None:
    """See that a command which answers how many keys it touched was carried out.

    Raises:
        StoreError: the reply is an error, or no number.
    """
    if isinstance(reply, hiredis.ReplyError):
        raise StoreError(f"the counter store refused: {error_code(reply)}")
    if type(reply) is not int:
        raise nonsense()


def read_numbers(reply: object) -> list[int]:
    """Read the integers that a script answered.

    Raises:
        InconclusiveError: one of its keys holds something that is no counter.
        StoreError: the reply is another error, or no integers.
    """
    if isinstance(reply, hiredis.ReplyError):
        raise _refusal(reply)
    if not isinstance(reply, list) or set(map(type, reply)) != {int}:
        raise nonsense()
    return reply


def _refusal(error: hiredis.ReplyError) -> StoreError:
    code = error_code(error)
    told = f"the counter store refused to count: {code}"
    if code == "TRYAGAIN":
        return KeysApartError(told)
    # The script itself fails on nothing but a value that it did not write; what it calls may fail
    # for other reasons, and then the text does not begin with its name.
    of_one_key = code == "WRONGTYPE" or str(error).startswith("ERR user_script:")
    return InconclusiveError(told) if of_one_key else StoreError(told)


def _reading(charge: Charge, remaining: int, reset_ms: int, retry_after_ms: int) -> Reading:
    if not 0 <= remaining <= charge.limit.limit or reset_ms < 0 or retry_after_ms < 0:
        raise nonsense()
    return Reading(charge, remaining, reset_ms, retry_after_ms)


def nonsense() -> StoreError:
    """Return the error for a reply that makes no sense."""
    return StoreError("the counter store answered nonsense")
